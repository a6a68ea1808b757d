package io.vhostfs.vhost;

/** A request that is not granted, or a stream that makes no sense. */
final class VhostUserException extends Exception {
    private static final long serialVersionUID = 1;

    private final boolean endsSession;

    private VhostUserException(String message, boolean endsSession) {
        super(message, null, false, false);
        this.endsSession = endsSession;
    }

    /** Refuses one request: the front end is told where it asked for an answer, and disconnected where it did not. */
    static VhostUserException refused(String message) {
        return new VhostUserException(message, false);
    }

    /** After this nothing on the connection can be trusted. */
    static VhostUserException ended(String message) {
        return new VhostUserException(message, true);
    }

    boolean endsSession() {
        return endsSession;
    }
}

package io.vhostfs.blobstore;

/** A store that cannot be made, opened or checked; the message names the device, the block and the reason. */
public final class StoreException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** What kind of trouble it is: a caller chooses its exit code by it. */
    public enum Kind {
        /** No store of ours is there. */
        NOT_A_STORE,
        /** One is there that this version must not touch. */
        UNSUPPORTED,
        /** Something on the device is not what was written. */
        DAMAGED,
        /** The device or the options do not allow it. */
        UNUSABLE,
        /** The device failed. */
        IO
    }

    private final Kind kind;

    public StoreException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    public Kind kind() {
        return kind;
    }
}

package io.vhostfs.sim;

/** A promise was broken; the message says which one, and what was seen. */
public final class SimFailure extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public SimFailure(String message) {
        super(message);
    }

    public SimFailure(String message, Throwable cause) {
        super(message, cause);
    }

    static void require(boolean holds, String what) {
        if (!holds) {
            throw new SimFailure(what);
        }
    }
}

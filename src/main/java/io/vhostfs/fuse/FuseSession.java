package io.vhostfs.fuse;

/** One client's session: negotiated flags and the dispatch of its messages. */
public final class FuseSession {
    /** The reply comes later, through {@link FuseRequest#onReplied}. */
    public static final int PENDING = -1;

    /** Handles one message: bytes of the reply written (0: none is due), or {@link #PENDING}. */
    public int dispatch(FuseRequest request) {
        throw new UnsupportedOperationException();
    }
}

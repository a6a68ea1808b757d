package io.vhostfs.fuse;

import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.reactor.Reactor;

/**
 * One FUSE message and its reply, preallocated by the transport (one per ring slot).
 *
 * <p>The transport fills the four iovec fields and calls {@link FuseSession#dispatch}; when that returned {@link
 * FuseSession#PENDING}, {@link #onReplied} tells when the reply is written. The iovecs may point into guest memory: each
 * byte there is read at most once.
 */
public abstract class FuseRequest extends FsRequest {
    /** The message: array of {@code struct iovec}, their number, and the bytes in all. */
    public long messageIovecs;

    public int messageIovecCount;
    public long messageBytes;

    /** Room for the reply. */
    public long replyIovecs;

    public int replyIovecCount;
    public long replyCapacityBytes;

    protected FuseRequest(FsClient client, Reactor origin) {
        super(client, origin);
    }

    /** Called on the origin's thread: the reply is in its iovecs; {@code replyBytes} of it, 0 when none is due (FORGET). */
    protected abstract void onReplied(int replyBytes);

    @Override
    public final void onComplete(int status) {
        throw new UnsupportedOperationException();
    }
}

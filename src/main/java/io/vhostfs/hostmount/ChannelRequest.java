package io.vhostfs.hostmount;

import io.vhostfs.fuse.FuseRequest;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.reactor.Reactor;
import org.jspecify.annotations.Nullable;

/**
 * One request of the kernel, of a channel or of a queue; on its reactor. Used again when it is answered.
 *
 * <p>Whoever owns it says where its message and the room for its reply lie, before it is dispatched.
 */
final class ChannelRequest extends FuseRequest {
    /** Whom a request belongs to. One class for both owners: what calls {@link #onReplied} has guests' requests too. */
    interface Owner {
        /** A request that was pending is done. */
        void onReplied(ChannelRequest request, int replyBytes);
    }

    private final Owner owner;

    /** A queue's: which of its entries this is, and the number under which the kernel waits for the answer. */
    final int entry;

    long commitId;

    /** A channel's: the buffer that this request holds until it is answered; 0 when it holds none. */
    long buffer;

    /** A channel's: whether data follows the reply's header, in a buffer. */
    boolean repliesData;

    @Nullable
    ChannelRequest nextFree;

    ChannelRequest(Owner owner, FuseSession session, Reactor origin, int entry) {
        super(session, origin);
        this.owner = owner;
        this.entry = entry;
    }

    @Override
    protected void onReplied(int replyBytes) {
        owner.onReplied(this, replyBytes);
    }
}

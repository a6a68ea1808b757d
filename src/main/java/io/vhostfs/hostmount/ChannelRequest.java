package io.vhostfs.hostmount;

import io.vhostfs.fuse.FuseRequest;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.reactor.Reactor;
import org.jspecify.annotations.Nullable;

/**
 * One request that a channel has read; on the channel's reactor. Used again when it is answered.
 *
 * <p>Its own memory holds the reply's header and every reply without data. Data lies in a buffer of the channel, which the
 * request holds only while it needs it ({@link #buffer}).
 */
final class ChannelRequest extends FuseRequest {
    /** The message's iovec, two of the reply, and the reply itself: the longest without data is STATX with 304 bytes. */
    static final int MEMORY_BYTES = 1024;

    private static final int REPLY_OFFSET = 3 * Iovecs.IOVEC_SIZE;
    private static final int REPLY_BYTES = MEMORY_BYTES - REPLY_OFFSET;

    private final FuseChannel channel;

    /** Where replies start: the header, and the body of one without data. */
    final long reply;

    /** The channel's buffer that this request holds until it is answered; 0 when it holds none. */
    long buffer;

    /** Whether data follows the reply's header, in a buffer. */
    boolean repliesData;

    @Nullable
    ChannelRequest nextFree;

    ChannelRequest(FuseChannel channel, FuseSession session, Reactor origin, long memory) {
        super(session, origin);
        this.channel = channel;
        messageIovecs = memory;
        messageIovecCount = 1;
        replyIovecs = memory + Iovecs.IOVEC_SIZE;
        reply = memory + REPLY_OFFSET;
    }

    /** A message, and room for its reply: {@code dataBytes} at {@code data} behind the header; 0 bytes: no data. */
    void set(long message, long lengthBytes, int headerBytes, long data, long dataBytes) {
        Iovecs.set(messageIovecs, 0, message, lengthBytes);
        messageBytes = lengthBytes;
        repliesData = dataBytes != 0;
        if (repliesData) {
            Iovecs.set(replyIovecs, 0, reply, headerBytes);
            Iovecs.set(replyIovecs, 1, data, dataBytes);
            replyIovecCount = 2;
            replyCapacityBytes = headerBytes + dataBytes;
        } else {
            Iovecs.set(replyIovecs, 0, reply, REPLY_BYTES);
            replyIovecCount = 1;
            replyCapacityBytes = REPLY_BYTES;
        }
    }

    @Override
    protected void onReplied(int replyBytes) {
        channel.onReplied(this, replyBytes);
    }
}

package io.vhostfs.target;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.frontend.DriverQueue;
import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.SharedMemory;
import io.vhostfs.memory.Memory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A queue whose messages are bytes and whose chains are built by hand, so that a test may send anything, and several
 * threads may have a queue of one front end each: it never touches the front end's socket.
 *
 * <p>One message at a time at descriptor 0; {@link #send} alone leaves messages in flight. One thread.
 */
final class RawQueue {
    static final int MESSAGE_BYTES = 128 << 10;

    private final SharedMemory memory;
    final DriverQueue queue;
    final long message;
    final long reply;
    private long nextUnique = 1_000_000;

    RawQueue(FrontEnd frontEnd, int queueIndex) {
        memory = frontEnd.memory();
        queue = frontEnd.queue(queueIndex);
        message = memory.allocate(MESSAGE_BYTES, 4096);
        reply = memory.allocate(MESSAGE_BYTES, 4096);
    }

    /** A whole message: header and what follows it. */
    byte[] message(int opcode, long nodeid, byte[] body) {
        byte[] bytes = new byte[FUSE_IN_HEADER_SIZE + body.length];
        ByteBuffer.wrap(bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(FUSE_IN_HEADER_LEN_OFFSET, bytes.length)
                .putInt(FUSE_IN_HEADER_OPCODE_OFFSET, opcode)
                .putLong(FUSE_IN_HEADER_UNIQUE_OFFSET, nextUnique++)
                .putLong(FUSE_IN_HEADER_NODEID_OFFSET, nodeid);
        System.arraycopy(body, 0, bytes, FUSE_IN_HEADER_SIZE, body.length);
        return bytes;
    }

    /** Puts a message of at least one byte into the queue and does not wait. */
    void send(byte[] bytes, int replyBytes) {
        send(bytes, bytes.length, replyBytes);
    }

    /** The same with the message in two descriptors, the first of {@code splitBytes}, and the reply's header in one. */
    void send(byte[] bytes, int splitBytes, int replyBytes) {
        Memory.copyFromArray(bytes, 0, message, bytes.length);
        Memory.zero(reply, FUSE_OUT_HEADER_SIZE);
        int next = 0;
        boolean split = splitBytes > 0 && splitBytes < bytes.length;
        int first = split ? splitBytes : bytes.length;
        int headerBytes = Math.min(replyBytes, FUSE_OUT_HEADER_SIZE);
        next = descriptor(next, message, first, 0, !split && headerBytes == 0);
        if (split) {
            next = descriptor(next, message + first, bytes.length - first, 0, headerBytes == 0);
        }
        if (headerBytes > 0) {
            next = descriptor(next, reply, headerBytes, VRING_DESC_F_WRITE, replyBytes == headerBytes);
        }
        if (replyBytes > headerBytes) {
            descriptor(next, reply + headerBytes, replyBytes - headerBytes, VRING_DESC_F_WRITE, true);
        }
        queue.push(0);
        queue.publish();
    }

    private int descriptor(int index, long address, int length, int flags, boolean last) {
        queue.setDescriptor(
                index, memory.guestAddress(address), length, last ? flags : flags | VRING_DESC_F_NEXT, index + 1);
        return index + 1;
    }

    /** Waits for the one message that is in flight; returns the used length. */
    int await() {
        TestTargets.await("reply", () -> queue.ready() != 0);
        int usedBytes = queue.usedLength(0);
        queue.consume(1);
        return usedBytes;
    }

    /** Sends a message and waits for its reply; the reply's error, 0 or a negative errno. */
    int call(byte[] bytes, int replyBytes) {
        send(bytes, replyBytes);
        await();
        return error();
    }

    int error() {
        return Memory.getInt(reply + FUSE_OUT_HEADER_ERROR_OFFSET);
    }

    int replyLength() {
        return Memory.getInt(reply + FUSE_OUT_HEADER_LEN_OFFSET);
    }

    long unique() {
        return Memory.getLong(reply + FUSE_OUT_HEADER_UNIQUE_OFFSET);
    }

    /** Where the bytes behind the reply's header are. */
    long replyBody() {
        return reply + FUSE_OUT_HEADER_SIZE;
    }
}

package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.frontend.DriverQueue;
import io.vhostfs.frontend.RequestLayout;
import io.vhostfs.frontend.SharedMemory;
import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.target.VirtioFsDevice;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.DescriptorChain;
import io.vhostfs.virtio.SplitVirtqueue;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A guest's virtio-fs driver: FUSE messages into a real virtqueue, replies out of it, several at a time.
 *
 * <p>Each slot has memory for one message and its reply, laid out as Linux does. The queue lives from {@link #attach} to
 * {@link #detach}; the memory longer. One thread.
 */
final class SimDriver {
    static final int SLOTS = 12;
    static final int MAX_DATA_BYTES = 128 << 10;
    private static final int ARGUMENT_BYTES = 80 << 10;
    private static final int REPLY_BYTES = 4096;
    private static final int BATCH = 32;
    private static final int QUEUE_SIZE = 16;
    private static final int MAX_DESCRIPTORS =
            RequestLayout.MAX_FIXED_PARTS + 2 * (MAX_DATA_BYTES / RequestLayout.PAGE_BYTES + 1);

    private final SharedMemory memory;
    private final long[] header = new long[SLOTS];
    private final long[] arguments = new long[SLOTS];
    private final long[] data = new long[SLOTS];
    private final long[] replyHeader = new long[SLOTS];
    private final long[] reply = new long[SLOTS];
    private final long[] replyData = new long[SLOTS];
    private final int[] replyCapacity = new int[SLOTS];
    private final long[] tables = new long[SLOTS];
    private final boolean[] busy = new boolean[SLOTS];
    private final @Nullable DescriptorChain[] chains = new @Nullable DescriptorChain[SLOTS];
    private final long[] uniques = new long[SLOTS];
    private long nextUnique = 2;

    private @Nullable DriverQueue driver;
    private @Nullable SplitVirtqueue queue;
    private @Nullable QueuePoller poller;
    private @Nullable Reactor reactor;

    /** Bytes a driver takes of the guest's memory, its queue included. */
    static long memoryBytes() {
        return SLOTS * (ARGUMENT_BYTES + REPLY_BYTES + 2L * MAX_DATA_BYTES + 4 * 4096 + MAX_DESCRIPTORS * 16L)
                + (64 << 10);
    }

    SimDriver(SharedMemory memory) {
        this.memory = memory;
        for (int i = 0; i < SLOTS; i++) {
            header[i] = memory.allocate(64, 64);
            replyHeader[i] = memory.allocate(64, 64);
            arguments[i] = memory.allocate(ARGUMENT_BYTES, 64);
            reply[i] = memory.allocate(REPLY_BYTES, 64);
            data[i] = memory.allocate(MAX_DATA_BYTES, RequestLayout.PAGE_BYTES);
            replyData[i] = memory.allocate(MAX_DATA_BYTES, RequestLayout.PAGE_BYTES);
            tables[i] = memory.allocate((long) MAX_DESCRIPTORS * VRING_DESC_SIZE, 64);
        }
    }

    /** Starts the request queue of a device; on the thread of its reactor. */
    void attach(VirtioFsDevice device, int queueIndex) {
        DriverQueue ring = new DriverQueue(memory, QUEUE_SIZE, false, -1, -1);
        SplitVirtqueue device0 = new SplitVirtqueue("simulated queue", QUEUE_SIZE);
        GuestMemory table = new GuestMemory(new GuestMemory.Region[] {
            new GuestMemory.Region(SharedMemory.GUEST_BASE, memory.address(), memory.sizeBytes(), memory.address())
        });
        device0.start(
                table,
                ring.descriptorsAddress(),
                ring.availAddress(),
                ring.usedAddress(),
                0,
                1L << VIRTIO_RING_F_INDIRECT_DESC,
                -1);
        Reactor home = device.reactorFor(queueIndex);
        ChainHandler handler = device.onQueueStarted(queueIndex, device0);
        QueuePoller polls = new QueuePoller(device0, chain -> {
            chains[chain.slot()] = chain;
            handler.onChain(chain);
        });
        home.addPoller(polls);
        driver = ring;
        queue = device0;
        poller = polls;
        reactor = home;
        Arrays.fill(busy, false);
        Arrays.fill(chains, null);
    }

    /** Ends the queue; what was in flight gets no answer. */
    void detach() {
        Reactor home = reactor;
        QueuePoller polls = poller;
        SplitVirtqueue device0 = queue;
        if (home != null && polls != null && device0 != null) {
            home.removePoller(polls);
            device0.flush();
            for (DriverQueue ring = driver(); ring.ready() > 0; ring.consume(1)) {
                chains[ring.usedHead(0)] = null;
            }
            for (DescriptorChain chain : chains) {
                if (chain != null) {
                    device0.pushUsed(chain, 0);
                }
            }
            device0.close();
        }
        driver = null;
        queue = null;
    }

    /** What the target has put into the used ring and not yet shown. */
    void flush() {
        SplitVirtqueue device0 = queue;
        if (device0 != null) {
            device0.flush();
        }
    }

    private SplitVirtqueue queue() {
        SplitVirtqueue q = queue;
        if (q == null) {
            throw new IllegalStateException("the driver is not attached");
        }
        return q;
    }

    private DriverQueue driver() {
        DriverQueue d = driver;
        if (d == null) {
            throw new IllegalStateException("the driver is not attached");
        }
        return d;
    }

    /** A free slot, or -1. */
    int freeSlot() {
        for (int i = 0; i < SLOTS; i++) {
            if (!busy[i]) {
                return i;
            }
        }
        return -1;
    }

    /** Sends one message. */
    void send(int slot, FuseMessage message, boolean hasReply) {
        byte[] argument = message.arguments();
        byte[] payload = message.payload();
        int replyBytes = message.replyBytes();
        boolean replyPages = message.replyPages();
        long unique = nextUnique;
        nextUnique += 2;
        uniques[slot] = unique;
        busy[slot] = true;
        long at = header[slot];
        Memory.zero(at, FUSE_IN_HEADER_SIZE);
        Memory.putInt(at + FUSE_IN_HEADER_LEN_OFFSET, FUSE_IN_HEADER_SIZE + argument.length + payload.length);
        Memory.putInt(at + FUSE_IN_HEADER_OPCODE_OFFSET, message.opcode());
        Memory.putLong(at + FUSE_IN_HEADER_UNIQUE_OFFSET, unique);
        Memory.putLong(at + FUSE_IN_HEADER_NODEID_OFFSET, message.nodeid());
        Memory.putShort(at + FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET, (short) (message.extensionBytes() / 8));
        Memory.copyFromArray(argument, 0, arguments[slot], argument.length);
        Memory.copyFromArray(payload, 0, data[slot], payload.length);
        Memory.zero(replyHeader[slot], FUSE_OUT_HEADER_SIZE);
        replyCapacity[slot] = replyPages ? -replyBytes : replyBytes;
        RequestLayout layout = new RequestLayout(memory, tables[slot], 0)
                .readable(header[slot], FUSE_IN_HEADER_SIZE)
                .readable(arguments[slot], argument.length)
                .readablePages(data[slot], payload.length);
        if (hasReply) {
            layout.writable(replyHeader[slot], FUSE_OUT_HEADER_SIZE);
            if (replyPages) {
                layout.writablePages(replyData[slot], replyBytes);
            } else {
                layout.writable(reply[slot], replyBytes);
            }
        }
        int count = layout.end();
        DriverQueue ring = driver();
        ring.setDescriptor(slot, memory.guestAddress(tables[slot]), count * VRING_DESC_SIZE, VRING_DESC_F_INDIRECT, 0);
        ring.push(slot);
        ring.publish();
    }

    /** The slot of the next completed request, which is free again, or -1; its reply stays until it is used again. */
    int takeCompleted() {
        DriverQueue ring = driver;
        if (ring == null) {
            return -1;
        }
        String broken = queue().brokenReason();
        if (broken != null) {
            throw new SimFailure("the queue is broken: " + broken);
        }
        if (ring.ready() == 0) {
            return -1;
        }
        int slot = ring.usedHead(0);
        int length = ring.usedLength(0);
        ring.consume(1);
        if (slot < 0 || slot >= SLOTS || !busy[slot]) {
            throw new SimFailure("the used ring names descriptor " + slot + ", which is not in flight");
        }
        busy[slot] = false;
        chains[slot] = null;
        boolean unanswered = length == 0;
        if (!unanswered && Memory.getLong(replyHeader[slot] + FUSE_OUT_HEADER_UNIQUE_OFFSET) != uniques[slot]) {
            throw new SimFailure("a reply has another request's unique");
        }
        if (!unanswered && Memory.getInt(replyHeader[slot] + FUSE_OUT_HEADER_LEN_OFFSET) != length) {
            throw new SimFailure("a reply's length is not what the used ring says");
        }
        return slot;
    }

    /** 0 or a negative errno. */
    int error(int slot) {
        return Memory.getInt(replyHeader[slot] + FUSE_OUT_HEADER_ERROR_OFFSET);
    }

    byte[] body(int slot) {
        int length = Memory.getInt(replyHeader[slot] + FUSE_OUT_HEADER_LEN_OFFSET) - FUSE_OUT_HEADER_SIZE;
        boolean pages = replyCapacity[slot] < 0;
        if (length <= 0) {
            return new byte[0];
        }
        if (length > Math.abs(replyCapacity[slot])) {
            throw new SimFailure("a reply of " + length + " bytes is longer than the room for it");
        }
        byte[] body = new byte[length];
        Memory.copyToArray(pages ? replyData[slot] : reply[slot], body, 0, length);
        return body;
    }

    /** What the vhost layer does on a reactor. */
    private static final class QueuePoller implements Poller {
        private final SplitVirtqueue queue;
        private final ChainHandler handler;

        QueuePoller(SplitVirtqueue queue, ChainHandler handler) {
            this.queue = queue;
            this.handler = handler;
        }

        @Override
        public int poll() {
            return queue.poll(handler, BATCH) + queue.flush();
        }

        @Override
        public boolean prepareToSleep() {
            return true;
        }

        @Override
        public void wake() {}
    }
}

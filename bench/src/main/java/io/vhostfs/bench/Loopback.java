package io.vhostfs.bench;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.frontend.DriverQueue;
import io.vhostfs.frontend.RequestLayout;
import io.vhostfs.frontend.SharedMemory;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseRequest;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.DescriptorChain;
import io.vhostfs.virtio.SplitVirtqueue;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Both ends of one request queue on one thread: requests are laid out once and sent again and again.
 *
 * <p>{@link #send} returns when the reply is there; meanwhile it turns the file system's reactor, which was not started. No
 * operation allocates but {@link #prepare}.
 */
final class Loopback implements AutoCloseable {
    /** As many requests can be prepared. */
    private static final int QUEUE_SIZE = 128;

    private static final long FEATURES =
            1L << VIRTIO_F_VERSION_1 | 1L << VIRTIO_RING_F_INDIRECT_DESC | 1L << VIRTIO_RING_F_EVENT_IDX;
    private static final int MEMORY_BYTES = 16 << 20;

    private final SharedMemory memory;
    private final DriverQueue driver;
    private final SplitVirtqueue device;
    private final Reactor reactor;
    private final FuseSession session;
    private final Request[] requests = new Request[QUEUE_SIZE];
    private final ChainHandler handler = this::onChain;
    private int nextHead;

    /** A request laid out: where its parts lie. */
    static final class Prepared {
        private final int head;
        private final long inHeader;
        private final long arguments;
        private final long outHeader;
        private final long reply;

        private Prepared(int head, long inHeader, long arguments, long outHeader, long reply) {
            this.head = head;
            this.inHeader = inHeader;
            this.arguments = arguments;
            this.outHeader = outHeader;
            this.reply = reply;
        }

        void putNode(long nodeid) {
            Memory.putLong(inHeader + FUSE_IN_HEADER_NODEID_OFFSET, nodeid);
        }

        void putArgument(int offset, long value) {
            Memory.putLong(arguments + offset, value);
        }

        void putArgument(int offset, int value) {
            Memory.putInt(arguments + offset, value);
        }

        /** Of the length that it was prepared with. */
        void putName(int offset, String name) {
            for (int i = 0; i < name.length(); i++) {
                Memory.putByte(arguments + offset + i, (byte) name.charAt(i));
            }
        }

        /** What follows the out header. */
        long replyLong(int offset) {
            return Memory.getLong(reply + offset);
        }

        int error() {
            return Memory.getInt(outHeader + FUSE_OUT_HEADER_ERROR_OFFSET);
        }
    }

    /** {@code reactor} is the file system's home. */
    Loopback(FileSystem fileSystem, Reactor reactor) throws IOException {
        this.reactor = reactor;
        memory = new SharedMemory(MEMORY_BYTES);
        driver = new DriverQueue(memory, QUEUE_SIZE, true, -1, -1);
        GuestMemory guest = new GuestMemory(new GuestMemory.Region[] {
            new GuestMemory.Region(SharedMemory.GUEST_BASE, memory.address(), memory.sizeBytes(), memory.address())
        });
        device = new SplitVirtqueue("loopback", QUEUE_SIZE);
        device.start(guest, driver.descriptorsAddress(), driver.availAddress(), driver.usedAddress(), 0, FEATURES, -1);
        session = new FuseSession(fileSystem, fileSystem.attach(FileSystem.ROOT_INODE), FuseOptions.exclusive());
        for (int slot = 0; slot < QUEUE_SIZE; slot++) {
            requests[slot] = new Request(session, reactor, device);
        }
        initialise();
    }

    private void initialise() {
        Prepared init = prepare(FUSE_INIT, 0, FUSE_INIT_IN_SIZE, 0, FUSE_INIT_OUT_SIZE, 0);
        init.putArgument(0, FUSE_KERNEL_VERSION);
        init.putArgument(4, FUSE_KERNEL_MINOR_VERSION);
        init.putArgument(12, FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS);
        require(send(init), "INIT");
    }

    /** Lays a request out; arguments and data are zero and to be filled. */
    Prepared prepare(int opcode, long nodeid, int argumentBytes, int dataBytes, int replyBytes, int replyDataBytes) {
        int head = nextHead++;
        long block = memory.allocate(128L + argumentBytes + replyBytes, 64);
        long inHeader = block;
        long outHeader = block + 64;
        long arguments = block + 128;
        long replyAt = arguments + argumentBytes;
        long data = memory.allocate(dataBytes, RequestLayout.PAGE_BYTES);
        long replyData = memory.allocate(replyDataBytes, RequestLayout.PAGE_BYTES);
        int maxDescriptors = RequestLayout.MAX_FIXED_PARTS + (dataBytes + replyDataBytes) / RequestLayout.PAGE_BYTES;
        long table = memory.allocate((long) maxDescriptors * VRING_DESC_SIZE, 64);
        Memory.putInt(inHeader + FUSE_IN_HEADER_LEN_OFFSET, FUSE_IN_HEADER_SIZE + argumentBytes + dataBytes);
        Memory.putInt(inHeader + FUSE_IN_HEADER_OPCODE_OFFSET, opcode);
        Memory.putLong(inHeader + FUSE_IN_HEADER_UNIQUE_OFFSET, 2L * head + 2);
        Memory.putLong(inHeader + FUSE_IN_HEADER_NODEID_OFFSET, nodeid);
        int count = new RequestLayout(memory, table, 0)
                .readable(inHeader, FUSE_IN_HEADER_SIZE)
                .readable(arguments, argumentBytes)
                .readablePages(data, dataBytes)
                .writable(outHeader, FUSE_OUT_HEADER_SIZE)
                .writable(replyAt, replyBytes)
                .writablePages(replyData, replyDataBytes)
                .end();
        driver.setDescriptor(head, memory.guestAddress(table), count * VRING_DESC_SIZE, VRING_DESC_F_INDIRECT, 0);
        return new Prepared(head, inHeader, arguments, outHeader, replyDataBytes > 0 ? replyData : replyAt);
    }

    /** A request with names behind {@code prefixBytes} of arguments. */
    Prepared prepareNamed(int opcode, long nodeid, int prefixBytes, String name, int replyBytes) {
        Prepared prepared = prepare(opcode, nodeid, prefixBytes + name.length() + 1, 0, replyBytes, 0);
        prepared.putName(prefixBytes, name);
        return prepared;
    }

    /** Sends a request and waits for its reply; 0 or the negative errno in it. */
    int send(Prepared request) {
        driver.push(request.head);
        driver.publish();
        device.poll(handler, QUEUE_SIZE);
        device.flush();
        while (driver.ready() == 0) {
            reactor.runOnce();
            device.flush();
        }
        driver.consume(1);
        return request.error();
    }

    private void onChain(DescriptorChain chain) {
        Request request = requests[chain.slot()];
        request.accept(chain);
        int replyBytes = session.dispatch(request);
        if (replyBytes != FuseSession.PENDING) {
            device.pushUsed(chain, replyBytes);
        }
    }

    static void require(int error, String what) {
        if (error != 0) {
            throw new IllegalStateException(what + ": " + Errno.name(error));
        }
    }

    @Override
    public void close() {
        session.close();
        device.close();
        memory.close();
    }

    /** A request in a slot of the ring. */
    private static final class Request extends FuseRequest {
        private final SplitVirtqueue queue;
        private @Nullable DescriptorChain chain;

        Request(FuseSession session, Reactor reactor, SplitVirtqueue queue) {
            super(session, reactor);
            this.queue = queue;
        }

        void accept(DescriptorChain next) {
            chain = next;
            messageIovecs = next.readableIovecs();
            messageIovecCount = next.readableCount();
            messageBytes = next.readableBytes();
            replyIovecs = next.writableIovecs();
            replyIovecCount = next.writableCount();
            replyCapacityBytes = next.writableBytes();
        }

        @Override
        protected void onReplied(int replyBytes) {
            if (chain != null) {
                queue.pushUsed(chain, replyBytes);
            }
        }
    }
}

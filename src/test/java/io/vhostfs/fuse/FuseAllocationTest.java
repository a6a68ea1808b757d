package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseTestClient.args;
import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Dispatch makes no garbage: neither of what completes within the call nor of what completes later. */
class FuseAllocationTest {
    private static final int WARM_UP = 50_000;
    private static final int ROUNDS = 100_000;

    private final Reactor reactor = new Reactor("test");
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void dispatchAllocatesNothing(boolean pending) {
        Instant fs = new Instant(reactor);
        FuseSession session = new FuseSession(fs, fs.attach(1), FuseOptions.exclusive());
        FuseTestClient client = new FuseTestClient(session, reactor);
        client.init().ok();
        fs.pending = pending;
        try (Arena arena = Arena.ofConfined()) {
            Prepared[] all = {
                prepare(arena, client, FUSE_READ, 4096, 1L, 0L, 4096, 0, 0L, 0, 0),
                prepare(arena, client, FUSE_WRITE, 8, 1L, 0L, 4096, 0, 0L, 0, 0, new byte[4096]),
                prepare(arena, client, FUSE_GETATTR, FUSE_ATTR_OUT_SIZE, 0, 0, 0L),
                prepare(arena, client, FUSE_LOOKUP, FUSE_ENTRY_OUT_SIZE, "some name"),
                prepare(arena, client, FUSE_CREATE, 144, 0, 0644, 0, 0, "some name"),
                prepare(arena, client, FUSE_READDIRPLUS, 4096, 1L, 0L, 4096, 0, 0L, 0, 0),
                prepare(arena, client, FUSE_RELEASE, 0, 1L, 0, 0, 0L),
                prepare(arena, client, FUSE_FORGET, 0, 1L),
            };
            for (Prepared one : all) {
                run(one, WARM_UP);
                // The first call of the bean's method allocates by itself.
                threads.getCurrentThreadAllocatedBytes();
                long before = threads.getCurrentThreadAllocatedBytes();
                run(one, ROUNDS);
                long allocated = threads.getCurrentThreadAllocatedBytes() - before;
                assertEquals(0, allocated / ROUNDS, "bytes per operation of opcode " + one.request.opcode);
            }
        }
    }

    private static void run(Prepared one, int rounds) {
        FuseSession session = one.session;
        for (int i = 0; i < rounds; i++) {
            if (session.dispatch(one.request) == FuseSession.PENDING) {
                one.request.onComplete(0);
            }
        }
    }

    private record Prepared(FuseSession session, FuseTestClient.Request request) {}

    /** As the Linux driver lays it out: header, arguments and pages apart. */
    private Prepared prepare(Arena arena, FuseTestClient client, int opcode, int bodyBytes, Object... arguments) {
        byte[] message = client.message(opcode, 5, args(arguments));
        FuseTestClient.Request request = new FuseTestClient.Request(client.session, reactor);
        long at = arena.allocate(message.length).address();
        Memory.copyFromArray(message, 0, at, message.length);
        request.messageIovecs = arena.allocate(2 * Iovecs.IOVEC_SIZE).address();
        request.messageIovecCount = 2;
        request.messageBytes = message.length;
        Iovecs.set(request.messageIovecs, 0, at, FUSE_IN_HEADER_SIZE);
        Iovecs.set(request.messageIovecs, 1, at + FUSE_IN_HEADER_SIZE, message.length - FUSE_IN_HEADER_SIZE);
        long reply = arena.allocate(FUSE_OUT_HEADER_SIZE + bodyBytes).address();
        request.replyIovecs = arena.allocate(2 * Iovecs.IOVEC_SIZE).address();
        request.replyIovecCount = 2;
        request.replyCapacityBytes = (long) FUSE_OUT_HEADER_SIZE + bodyBytes;
        Iovecs.set(request.replyIovecs, 0, reply, FUSE_OUT_HEADER_SIZE);
        Iovecs.set(request.replyIovecs, 1, reply + FUSE_OUT_HEADER_SIZE, bodyBytes);
        return new Prepared(client.session, request);
    }

    /** Says yes to everything, and lists twenty entries. */
    private static final class Instant implements FileSystem {
        private final Reactor reactor;
        private final long name;
        private boolean pending;

        Instant(Reactor reactor) {
            this.reactor = reactor;
            name = Arena.global().allocateFrom("an entry's name").address();
        }

        @Override
        public int submit(FsRequest request) {
            request.count = request.length;
            if (request.operation == FsOp.READDIR && request.filler != null) {
                for (int i = 0; i < 20; i++) {
                    request.filler.add(i + 10, name, 15, 8, i, request.attributes);
                }
            }
            return pending ? PENDING : 0;
        }

        @Override
        public Reactor home() {
            return reactor;
        }

        @Override
        public FsClient attach(long rootInode) {
            return new FsClient(rootInode) {
                @Override
                public boolean holds(long inode) {
                    return true;
                }
            };
        }

        @Override
        public void detach(FsClient client) {}
    }
}

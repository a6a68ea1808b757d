package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.vhostfs.fsdev.FsOp;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/** The operations of a warm file system make no garbage. */
class BlobFsAllocationTest {
    private static final int ROOT = 1;
    private static final int WARM_UP = 20_000;
    private static final int OPERATIONS = 20_000;
    /** What the measurement itself, or the compiler, may leave: far below one object per operation. */
    private static final long TOLERATED_BYTES = OPERATIONS;

    private static void assertNoGarbage(String what, Runnable operation) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (int i = 0; i < WARM_UP; i++) {
            operation.run();
        }
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 5; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < OPERATIONS; i++) {
                operation.run();
            }
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        }
        assertTrue(least < TOLERATED_BYTES, what + ": " + least + " bytes in " + OPERATIONS + " operations");
    }

    @Test
    void readsOverwritesAttributesAndLookups() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            client.write(file, 0, new byte[1 << 20]);
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.setData(r.data, 4096);
            r.length = 4096;
            r.offset = 40_960;
            assertNoGarbage("read", () -> client.call(r, FsOp.READ));
            assertNoGarbage("overwrite", () -> client.call(r, FsOp.WRITE));
            assertNoGarbage("getattr", () -> client.call(r, FsOp.GETATTR));
            FsTestClient.Request lookup = client.newRequest();
            lookup.inode = ROOT;
            lookup.setName("f");
            assertNoGarbage("lookup", () -> client.call(lookup, FsOp.LOOKUP));
        }
    }

    @Test
    void partialOverwritesAndFilesThatComeAndGo() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            client.write(file, 0, new byte[1 << 20]);
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.setData(r.data, 100);
            r.length = 100;
            r.offset = 40_000;
            assertNoGarbage("partial overwrite", () -> client.call(r, FsOp.WRITE));
            FsTestClient.Request name = client.newRequest();
            name.setName("comes and goes");
            name.mode = 0x1a4;
            assertNoGarbage("create and unlink", () -> {
                name.inode = ROOT;
                client.call(name, FsOp.CREATE);
                client.call(name, FsOp.RELEASE);
                long made = name.attributes.inode;
                client.call(name, FsOp.UNLINK);
                name.inode = made;
                name.count = 1;
                client.call(name, FsOp.FORGET);
                fixture.reactor.runOnce();
            });
        }
    }
}

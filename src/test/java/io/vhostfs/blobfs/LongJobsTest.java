package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.TestDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What takes long goes in steps, a turn each, and others have their turns between. */
class LongJobsTest {
    private static final int ROOT = 1;
    private static final int KEEP = LibcConstants.FALLOC_FL_KEEP_SIZE;
    private static final int PUNCH = LibcConstants.FALLOC_FL_PUNCH_HOLE | KEEP;
    private static final int EXTENTS = 100_000;

    /** Of a group, what a checkpoint adds to a turn. */
    private static final int CHECKPOINT_BLOCKS = 4096;

    private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    private long longestNs;

    /** A turn; what it did is bounded by what one group does. */
    private void turn(FsFixture fixture) {
        long groups = fixture.store.sequence();
        long used = fixture.store.usedBlocks();
        long start = threads.getCurrentThreadCpuTime();
        fixture.reactor.runOnce();
        longestNs = Math.max(longestNs, threads.getCurrentThreadCpuTime() - start);
        long done = fixture.store.sequence() - groups;
        assertTrue(done <= 2, done + " groups in a turn");
        long changed = Math.abs(fixture.store.usedBlocks() - used);
        assertTrue(
                changed <= 2L * (Limits.MAX_GROUP_BLOCKS + Limits.MAX_EXTENT_BLOCKS) + CHECKPOINT_BLOCKS,
                changed + " blocks in a turn");
    }

    private int await(FsFixture fixture, FsTestClient.Request r) {
        while (r.status == FileSystem.PENDING) {
            turn(fixture);
        }
        return r.status;
    }

    private void print(String what) {
        System.out.printf(Locale.ROOT, "%s: longest turn %.3f ms of processor time%n", what, longestNs / 1e6);
        longestNs = 0;
    }

    @Test
    void aTebibyteIsAllocatedAndFreedInSteps() {
        FsFixture fixture = new FsFixture(new VastDevice(1L << 40), StoreOptions.DEFAULT);
        FsTestClient client = fixture.newClient();
        long available = fixture.store.availableBlocks();
        long bytes = 1000L << 30;
        for (int round = 0; round < 2; round++) {
            long file = client.create(ROOT, "f");
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.mode = 0;
            r.offset = 0;
            r.length = bytes;
            client.start(r, FsOp.FALLOCATE);
            assertEquals(0, await(fixture, r));
            print("allocating 1000 GiB");
            assertEquals(bytes / 512, client.getattr(file).blocks);
            if (round == 0) {
                assertEquals(0, client.tryUnlink(ROOT, "f"));
                client.forget(file, 1);
            } else {
                r.newAttributes.sizeBytes = 0;
                r.valid = FsRequest.SET_SIZE;
                client.start(r, FsOp.SETATTR);
                assertEquals(0, await(fixture, r));
            }
            while (fixture.fileSystem.isCleaning()) {
                turn(fixture);
            }
            fixture.store.requestCheckpoint();
            long checkpoints = fixture.store.checkpointsCompleted();
            while (fixture.store.checkpointsCompleted() == checkpoints) {
                turn(fixture);
            }
            for (int i = 0; i < 10_000; i++) {
                turn(fixture);
            }
            print(round == 0 ? "deleting it" : "truncating it");
            long back = fixture.store.availableBlocks();
            assertTrue(
                    back > available - 20_000, available - back + " blocks are missing besides the maps of free space");
        }
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private static long scattered(FsTestClient client, String name) {
        long file = client.create(ROOT, name);
        for (int i = 0; i < EXTENTS; i++) {
            assertEquals(0, client.fallocate(file, KEEP, i * 8192L, 4096));
        }
        return file;
    }

    @Test
    void aFileOfManyExtentsIsClonedInSteps() {
        FsFixture fixture = new FsFixture(1L << 30);
        FsTestClient client = fixture.newClient();
        int extents = EXTENTS / 5;
        long file = client.create(ROOT, "source");
        for (int i = 0; i < extents; i++) {
            client.write(file, i * 8192L, new byte[4096]);
        }
        FsTestClient.Request r = client.newRequest();
        r.inode = file;
        r.length = extents * 8192L;
        for (int round = 0; round < 2; round++) {
            r.inode2 = round == 0 ? client.create(ROOT, "clone") : r.inode2;
            longestNs = 0;
            client.start(r, FsOp.CLONE);
            assertOthersHaveTheirTurn(fixture, client);
            assertEquals(0, await(fixture, r));
            assertEquals((2L * extents - 1) * 4096, r.count);
            print((round == 0 ? "cloning " : "cloning once more ") + extents + " extents");
        }
        assertEquals(client.getattr(file).blocks, client.getattr(r.inode2).blocks);
        assertEquals(0, client.tryUnlink(ROOT, "clone"));
        client.forget(r.inode2, 1);
        longestNs = 0;
        while (fixture.fileSystem.isCleaning()) {
            turn(fixture);
        }
        print("deleting the clone");
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    @Test
    void aFileOfManyExtentsIsPunchedTruncatedAndDeletedInSteps() {
        FsFixture fixture = new FsFixture(4L << 30);
        FsTestClient client = fixture.newClient();
        FsTestClient.Request r = client.newRequest();

        r.inode = scattered(client, "punched");
        longestNs = 0;
        r.mode = PUNCH;
        r.offset = 0;
        r.length = EXTENTS * 8192L;
        client.start(r, FsOp.FALLOCATE);
        assertOthersHaveTheirTurn(fixture, client);
        assertEquals(0, await(fixture, r));
        print("punching " + EXTENTS + " extents");
        assertEquals(0, client.getattr(r.inode).blocks);

        r.inode = scattered(client, "truncated");
        fixture.remount();
        client = fixture.newClient();
        r = client.newRequest();
        r.inode = client.lookup(ROOT, "truncated");
        r.newAttributes.sizeBytes = 0;
        r.valid = FsRequest.SET_SIZE;
        client.start(r, FsOp.SETATTR);
        assertOthersHaveTheirTurn(fixture, client);
        assertEquals(0, await(fixture, r));
        print("truncating " + EXTENTS + " extents");

        long file = scattered(client, "deleted");
        assertEquals(0, client.tryUnlink(ROOT, "deleted"));
        client.forget(file, 1);
        assertTrue(fixture.fileSystem.isCleaning());
        assertOthersHaveTheirTurn(fixture, client);
        while (fixture.fileSystem.isCleaning()) {
            turn(fixture);
        }
        print("deleting " + EXTENTS + " extents");
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private void assertOthersHaveTheirTurn(FsFixture fixture, FsTestClient client) {
        FsTestClient.Request other = client.newRequest();
        other.inode = ROOT;
        other.mode = 0x1ed;
        other.setName("other" + fixture.store.sequence());
        client.start(other, FsOp.MKDIR);
        for (int turns = 0; other.status == FileSystem.PENDING; turns++) {
            assertTrue(turns < 50, "still waiting");
            turn(fixture);
        }
        assertEquals(0, other.status, Errno.name(other.status));
    }

    /** A device that keeps only what was written to it. */
    private static final class VastDevice extends TestDevice {
        private final long capacityBytes;
        private final Map<Long, byte[]> blocks = new HashMap<>();

        VastDevice(long capacityBytes) {
            super("vast device");
            this.capacityBytes = capacityBytes;
        }

        @Override
        public int blockSize() {
            return BLOCK;
        }

        @Override
        public long capacityBytes() {
            return capacityBytes;
        }

        @Override
        protected int answer(BlockIo io) {
            long at = io.offsetBytes / BLOCK;
            for (int i = 0; i < io.iovecCount; i++) {
                long base = Iovecs.base(io.iovecsAddress, i);
                for (long end = base + Iovecs.length(io.iovecsAddress, i); base < end; base += BLOCK) {
                    transfer(io.operation, at++, base);
                }
            }
            return 0;
        }

        private void transfer(int operation, long block, long address) {
            if (operation == BlockIo.WRITE) {
                Memory.copyToArray(address, blocks.computeIfAbsent(block, b -> new byte[BLOCK]), 0, BLOCK);
            } else if (operation == BlockIo.READ) {
                Memory.copyFromArray(blocks.getOrDefault(block, new byte[BLOCK]), 0, address, BLOCK);
            }
        }
    }
}

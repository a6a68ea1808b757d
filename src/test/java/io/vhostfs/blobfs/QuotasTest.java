package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.blobfs.CheckFinding.Kind;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.fsdev.FsStatistics;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class QuotasTest {
    private static final int ROOT = 1;
    private static final long KIB = 1024;
    private static final long MIB = 1024 * KIB;

    private final FsFixture fixture = new FsFixture(64 << 20);
    private FsTestClient client = fixture.newClient();

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private void setQuota(long directory, long maxBytes, long maxInodes) {
        fixture.setQuota(directory, maxBytes, maxInodes);
    }

    private void remount() {
        fixture.remount();
        client = fixture.newClient();
        fixture.settle();
    }

    /** Bytes and inodes in use; statfs in that directory must say the same. */
    private long[] used(long directory) {
        client.request.inode = directory;
        assertEquals(0, client.call(FsOp.STATFS));
        FsStatistics s = client.request.statistics;
        Inode inode = fixture.fileSystem.volume().load(directory);
        assertNotNull(inode);
        Quota quota = inode.quota;
        assertNotNull(quota);
        if (quota.maxBytes != 0) {
            assertEquals(quota.maxBytes >> 12, s.blocks);
            assertEquals((quota.maxBytes - quota.usedBytes) >> 12, s.freeBlocks);
        }
        assertEquals(quota.maxInodes, s.files);
        assertEquals(quota.maxInodes == 0 ? 0 : quota.maxInodes - quota.usedInodes, s.freeFiles);
        return new long[] {quota.usedBytes, quota.usedInodes};
    }

    private int write(long file, long offset, long bytes) {
        return client.tryWrite(file, 0, offset, new byte[(int) bytes], 0);
    }

    // --- bytes

    @Test
    void aFileGrowsUpToTheQuotaAndNotBeyond() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 0);
        long file = client.create(dir, "f");
        assertEquals(0, write(file, 0, MIB / 2));
        assertEquals(-Errno.ENOSPC, write(file, MIB / 2, MIB / 2));
        assertEquals(0, write(file, MIB / 2, MIB / 4));
        assertEquals(-Errno.ENOSPC, client.fallocate(file, 0, MIB, MIB / 4));
        // What is there may be written again, and elsewhere there is room.
        assertEquals(0, write(file, 0, MIB / 2));
        assertEquals(0, write(client.create(ROOT, "f"), 0, 2 * MIB));
        assertEquals(0, client.truncate(file, 0));
        assertEquals(0, write(file, 0, 3 * MIB / 4));
    }

    @Test
    void removedAndPunchedBlocksCountNoMore() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 100);
        long empty = used(dir)[0];
        long file = client.create(dir, "f");
        assertEquals(0, write(file, 0, MIB / 2));
        int punch = LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE;
        long before = used(dir)[0];
        assertEquals(0, client.fallocate(file, punch, MIB / 4, MIB / 8));
        assertEquals(before - MIB / 8, used(dir)[0]);
        assertEquals(0, client.tryUnlink(dir, "f"));
        assertEquals(before - MIB / 8 - Quotas.entryBytes(1), used(dir)[0]);
        client.forget(file, 1);
        fixture.settle();
        assertEquals(empty, used(dir)[0]);
        assertEquals(1, used(dir)[1]);
    }

    @Test
    void smallContentAttributesAndNamesCountToo() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, 256 * KIB, 1 << 20);
        long last = used(dir)[0];
        long file = client.create(dir, "f");
        List<Runnable> growing = List.of(
                () -> write(file, 0, 1000),
                () -> client.trySetxattr(file, "user.a", new byte[60_000], 0),
                () -> client.tryLink(file, dir, "g"),
                () -> client.trySymlink(dir, "s", "x".repeat(4000)));
        for (Runnable grow : growing) {
            grow.run();
            assertTrue(used(dir)[0] > last);
            last = used(dir)[0];
        }
        assertEquals(0, client.trySetxattr(file, "user.b", new byte[65_000], 0));
        assertEquals(0, client.trySetxattr(file, "user.c", new byte[65_000], 0));
        assertEquals(-Errno.ENOSPC, client.trySetxattr(file, "user.d", new byte[65_000], 0));
        int made = 0;
        while (client.tryCreate(dir, "file-" + made, 0) == 0) {
            client.release(client.request.handle);
            made++;
        }
        assertTrue(made < 2000, made + " files");
        assertEquals(0, client.removexattr(file, "user.a"));
        assertEquals(0, client.tryCreate(dir, "one more", 0));
    }

    @Test
    void aFileThatOutgrowsTheTreeNeedsABlock() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, 8 * KIB, 0);
        long file = client.create(dir, "f");
        assertEquals(0, write(file, 0, 1900));
        assertEquals(0, client.tryWrite(file, 0, 1900, new byte[1000], 0));
        long other = client.create(dir, "g");
        assertEquals(0, write(other, 0, 1900));
        assertEquals(-Errno.ENOSPC, write(other, 1900, 1000));
        assertEquals(1900, client.getattr(other).sizeBytes);
    }

    // --- inodes

    @Test
    void inodesAreLimitedOfWhateverKind() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, 0, 5);
        client.create(dir, "f");
        client.mkdir(dir, "d");
        assertEquals(0, client.trySymlink(dir, "s", "f"));
        client.request.inode = dir;
        client.request.mode = 0x1a4;
        client.request.flags = 0;
        assertEquals(0, client.call(FsOp.TMPFILE));
        assertEquals(-Errno.ENOSPC, client.tryCreate(dir, "g", 0));
        assertEquals(-Errno.ENOSPC, client.tryMkdir(dir, "g"));
        assertEquals(-Errno.ENOSPC, client.call(FsOp.TMPFILE));
        assertEquals(-Errno.ENOSPC, client.tryRename(dir, "f", dir, "g", LibcConstants.RENAME_WHITEOUT));
        // Another name is no inode.
        assertEquals(0, client.tryLink(client.lookup(dir, "f"), dir, "g"));
        assertEquals(5, used(dir)[1]);
    }

    @Test
    void theQuotaLastsOverRemountsAndMayBeChanged() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 10);
        long file = client.create(dir, "f");
        assertEquals(0, write(file, 0, MIB / 2));
        long[] before = used(dir);
        remount();
        client.lookup(ROOT, "d");
        client.lookup(dir, "f");
        assertEquals(before[0], used(dir)[0]);
        assertEquals(before[1], used(dir)[1]);
        assertEquals(-Errno.ENOSPC, write(file, MIB / 2, MIB));
        setQuota(dir, 2 * MIB, 10);
        assertEquals(before[0], used(dir)[0]);
        assertEquals(0, write(file, MIB / 2, MIB));
        setQuota(dir, 0, 0);
        assertEquals(0, write(file, 2 * MIB, MIB));
    }

    // --- what is there already

    @Test
    void whatIsThereAlreadyIsCounted() {
        long dir = client.mkdir(ROOT, "d");
        long sub = client.mkdir(dir, "sub");
        long file = client.create(sub, "f");
        assertEquals(0, write(file, 0, MIB));
        assertEquals(0, client.trySetxattr(file, "user.a", new byte[10_000], 0));
        assertEquals(0, client.tryLink(file, dir, "again"));
        assertEquals(0, client.tryLink(file, ROOT, "outside"));
        long small = client.create(dir, "small");
        assertEquals(0, write(small, 0, 100));
        setQuota(dir, 3 * MIB, 100);
        assertEquals(4, used(dir)[1]);
        assertTrue(used(dir)[0] > MIB && used(dir)[0] < MIB + 20 * KIB);
        assertEquals(-Errno.ENOSPC, write(file, MIB, 2 * MIB));
        assertEquals(0, client.tryRename(sub, "f", dir, "moved", 0));
        // Its other name is out of the share, the file is in it.
        assertEquals(0, client.tryRename(ROOT, "outside", dir, "inside", 0));
    }

    @Test
    void aQuotaWithinAQuotaTakesItsPartAway() {
        long outer = client.mkdir(ROOT, "outer");
        long inner = client.mkdir(outer, "inner");
        setQuota(outer, 10 * MIB, 100);
        long file = client.create(inner, "f");
        assertEquals(0, write(file, 0, MIB));
        long whole = used(outer)[0];
        setQuota(inner, 2 * MIB, 50);
        assertTrue(used(outer)[0] < whole - MIB);
        assertTrue(used(inner)[0] > MIB);
        assertEquals(1, used(outer)[1]);
        assertEquals(2, used(inner)[1]);
        client.create(outer, "g");
        assertEquals(-Errno.EXDEV, client.tryRename(inner, "f", outer, "f", 0));
        assertEquals(-Errno.EXDEV, client.tryRename(outer, "g", inner, "g", 0));
        assertEquals(-Errno.EXDEV, client.tryLink(file, outer, "f"));
    }

    @Test
    void countingThatACrashCutShortIsDoneAgain() {
        long dir = client.mkdir(ROOT, "d");
        for (int i = 0; i < 3000; i++) {
            client.create(dir, "file-" + i);
        }
        int[] status = {1};
        fixture.fileSystem.setQuota(dir, 10 * MIB, 10_000, s -> status[0] = s);
        fixture.reactor.runOnce();
        assertEquals(1, status[0]);
        assertEquals(0, client.fsync(dir, false));
        fixture.crash();
        fixture.mount();
        fixture.settle();
        client = fixture.newClient();
        client.lookup(ROOT, "d");
        setQuota(dir, 10 * MIB, 10_000);
        assertEquals(3001, used(dir)[1]);
    }

    // --- crashes

    @Test
    void afterACrashUsageIsThatOfWhatIsLeft() {
        Random random = new Random(7);
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, 8 * MIB, 200);
        for (int round = 0; round < 30; round++) {
            List<String> names = new ArrayList<>();
            for (int i = 0; i < 60; i++) {
                someChange(random, dir, names);
            }
            if (round % 3 == 0) {
                assertEquals(0, client.fsync(dir, false));
            }
            fixture.crash();
            List<CheckFinding> wrong = wrongUsage();
            fixture.mount();
            assertEquals(List.of(), wrong);
            client = fixture.newClient();
            client.lookup(ROOT, "d");
            fixture.settle();
        }
    }

    private List<CheckFinding> wrongUsage() {
        return Checks.run(fixture.device).stream()
                .filter(f -> f.kind() == Kind.WRONG_USAGE)
                .toList();
    }

    private void someChange(Random random, long dir, List<String> names) {
        String name = "n" + random.nextInt(20);
        String other = "n" + random.nextInt(20);
        long known = client.tryLookup(dir, name) == 0 ? client.request.attributes.inode : 0;
        switch (random.nextInt(9)) {
            case 0 -> client.tryCreate(dir, name, 0);
            case 1 -> client.tryMkdir(dir, name);
            case 2 -> client.tryRename(dir, name, dir, other, random.nextInt(4) == 0 ? 4 : 0);
            case 3 -> client.tryUnlink(dir, name);
            case 4 -> client.trySymlink(dir, name, "x".repeat(1 + random.nextInt(4000)));
            case 5 -> client.trySetxattr(known == 0 ? dir : known, "user." + random.nextInt(3), bytes(random, 9000), 0);
            case 6 -> client.truncate(known == 0 ? dir : known, random.nextInt(300_000));
            case 7 -> client.tryLink(known == 0 ? dir : known, dir, other);
            default -> client.tryWrite(known == 0 ? dir : known, 0, random.nextInt(100_000), bytes(random, 100_000), 0);
        }
        names.add(name);
    }

    private static byte[] bytes(Random random, int bound) {
        return new byte[random.nextInt(bound)];
    }

    // --- several at once

    @Test
    void concurrentWritesDoNotOvershoot() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 0);
        long[] files = new long[8];
        for (int i = 0; i < files.length; i++) {
            files[i] = client.create(dir, "f" + i);
        }
        FsTestClient.Request[] requests = new FsTestClient.Request[files.length];
        for (int i = 0; i < files.length; i++) {
            FsTestClient.Request r = client.newRequest();
            requests[i] = r;
            r.inode = files[i];
            r.length = (int) (256 * KIB);
            r.setData(r.data, r.length);
            client.start(r, FsOp.WRITE);
        }
        int written = 0;
        for (FsTestClient.Request r : requests) {
            written += client.await(r) == 0 ? 1 : 0;
        }
        assertEquals(3, written);
    }

    @Test
    void whoHasNoQuotaSeesTheStore() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 10);
        client.request.inode = ROOT;
        assertEquals(0, client.call(FsOp.STATFS));
        assertEquals(fixture.store.totalBlocks(), client.request.statistics.blocks);
        assertEquals(0, client.request.statistics.files);
        assertEquals(0, client.trySetattr(dir, FsRequest.SET_MODE));
    }

    // --- on disk

    /** Fsck tells of usage that is wrong, and a repair counts it anew. */
    @Test
    void wrongUsageIsFoundAndRepaired() {
        long dir = client.mkdir(ROOT, "d");
        setQuota(dir, MIB, 10);
        assertEquals(0, write(client.create(dir, "f"), 0, MIB / 4));
        long right = used(dir)[0];
        Inode inode = fixture.fileSystem.volume().load(dir);
        assertNotNull(inode);
        assertNotNull(inode.quota);
        inode.quota.usedBytes += 5;
        inode.quota.usedInodes -= 2;
        client.create(dir, "g");
        fixture.unmount();
        List<CheckFinding> wrong = Checks.run(fixture.device);
        List<String> said = new ArrayList<>();
        RepairReporter reporter = new RepairReporter() {
            @Override
            public void problem(String text) {
                // Said again by what is repaired.
            }

            @Override
            public void repaired(String text) {
                said.add(text);
            }

            @Override
            public void lost(String text) {
                throw new AssertionError(text);
            }
        };
        BlobStore.repair(fixture.device, StoreOptions.DEFAULT, reporter, new BlobFsRepair(reporter, 1));
        fixture.mount();
        assertEquals(
                List.of(Kind.WRONG_USAGE),
                wrong.stream().map(CheckFinding::kind).toList());
        assertTrue(said.toString().contains("quota"), said.toString());
        client = fixture.newClient();
        client.lookup(ROOT, "d");
        assertEquals(right + Quotas.INODE_BYTES + Quotas.entryBytes(1), used(dir)[0]);
        assertEquals(3, used(dir)[1]);
    }
}

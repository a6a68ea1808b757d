package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Files that share blocks: what one of them changes no other sees. */
class CloneTest {
    private static final int ROOT = 1;
    private static final int BLOCK = 4096;
    private static final int KEEP = LibcConstants.FALLOC_FL_KEEP_SIZE;
    private static final int PUNCH = LibcConstants.FALLOC_FL_PUNCH_HOLE | KEEP;

    private final DeferringDevice device = new DeferringDevice(new MallocDevice(64 << 20), 1, 512, 1);
    private final FsFixture fixture = new FsFixture(device, StoreOptions.DEFAULT);
    private FsTestClient client = fixture.newClient();
    private final long a = client.create(ROOT, "a");
    private final long b = client.create(ROOT, "b");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(device));
        List<String> problems = new ArrayList<>();
        BlobStore.check(device, problems::add, new FileSystemVisitor());
        assertEquals(List.of(), problems);
        device.close();
    }

    private static byte[] bytes(int length, int seed) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    /** Blocks in use when all is durable and nothing waits. */
    private long used() {
        fixture.settle();
        fixture.checkpoint();
        return fixture.store.totalBlocks() - fixture.store.availableBlocks();
    }

    private void again() {
        fixture.remount();
        client = fixture.newClient();
        client.lookup(ROOT, "a");
        client.lookup(ROOT, "b");
    }

    private boolean hasFeature() {
        assertEquals(BlobStore.OK, fixture.store.find(Items.SYSTEM, Items.SUPER_KEY));
        return Memory.getLong(fixture.store.valueAddress + Items.SUPER_INCOMPATIBLE_OFFSET) == Items.FEATURE_SHARED;
    }

    @Test
    void aCloneTakesNoSpaceUntilItIsWritten() {
        client.write(a, 0, bytes(100 * BLOCK, 1));
        assertTrue(!hasFeature(), "until blocks are shared older programs may mount it");
        long before = used();
        assertEquals(100 * BLOCK, client.cloneRange(a, 0, b, 0, 100 * BLOCK));
        assertTrue(hasFeature());
        assertTrue(used() - before < 20, "blocks taken");
        assertEquals(800, client.getattr(b).blocks);
        assertEquals(800, client.getattr(a).blocks);
        assertEquals(100 * BLOCK, client.getattr(b).sizeBytes);
        assertArrayEquals(bytes(100 * BLOCK, 1), client.read(b, 0, 100 * BLOCK));

        client.write(b, 10 * BLOCK, bytes(20 * BLOCK, 2));
        long written = used() - before;
        assertTrue(written >= 20 && written < 40, written + " blocks taken");
        assertArrayEquals(bytes(100 * BLOCK, 1), client.read(a, 0, 100 * BLOCK));
        client.write(a, 0, bytes(100 * BLOCK, 3));
        again();
        byte[] expected = bytes(100 * BLOCK, 1);
        System.arraycopy(bytes(20 * BLOCK, 2), 0, expected, 10 * BLOCK, 20 * BLOCK);
        assertArrayEquals(expected, client.read(b, 0, 100 * BLOCK));
        assertArrayEquals(bytes(100 * BLOCK, 3), client.read(a, 0, 100 * BLOCK));
    }

    @Test
    void blocksAreFreeWhenTheLastFileThatHoldsThemIsGone() {
        long before = used();
        client.write(a, 0, bytes(200 * BLOCK, 1));
        for (int i = 0; i < 5; i++) {
            long clone = client.create(ROOT, "clone" + i);
            assertEquals(100 * BLOCK, client.cloneRange(a, i * 20L * BLOCK, clone, 0, 100 * BLOCK));
        }
        assertEquals(0, client.tryUnlink(ROOT, "a"));
        client.forget(a, 1);
        long held = used() - before;
        assertTrue(held >= 180 && held < 200, held + " blocks held");
        for (int i = 0; i < 5; i++) {
            long clone = client.lookup(ROOT, "clone" + i);
            assertArrayEquals(
                    Arrays.copyOfRange(bytes(200 * BLOCK, 1), i * 20 * BLOCK, (i * 20 + 100) * BLOCK),
                    client.read(clone, 0, 100 * BLOCK));
            assertEquals(0, client.tryUnlink(ROOT, "clone" + i));
            client.forget(clone, 2);
        }
        assertTrue(used() - before < 8, "blocks left");
        client.create(ROOT, "a");
    }

    @Test
    void onlyWhatIsWholeIsShared() {
        client.write(a, 0, bytes(3 * BLOCK + 100, 1));
        assertEquals(-Errno.EINVAL, client.tryClone(a, 100, b, 100, BLOCK));
        assertEquals(-Errno.EINVAL, client.tryClone(a, 0, b, 0, 100));
        assertEquals(-Errno.EINVAL, client.tryClone(a, 0, b, -BLOCK, BLOCK));
        assertEquals(-Errno.EINVAL, client.tryClone(a, 0, a, 2 * BLOCK, 3 * BLOCK), "overlap");
        assertEquals(-Errno.EISDIR, client.tryClone(a, 0, ROOT, 0, BLOCK));
        assertEquals(-Errno.EFBIG, client.tryClone(a, 0, b, 1L << 60, BLOCK));
        assertEquals(0, client.cloneRange(a, 4 * BLOCK, b, 0, BLOCK), "behind the end");
        assertEquals(3 * BLOCK, client.cloneRange(a, 0, b, 0, 10 * BLOCK), "the last block is not whole");
        assertEquals(3 * BLOCK, client.getattr(b).sizeBytes);
        long small = client.create(ROOT, "small");
        client.write(small, 0, bytes(1000, 2));
        assertEquals(0, client.truncate(small, 1500));
        assertEquals(0, client.cloneRange(small, 0, b, 0, BLOCK));
        assertArrayEquals(Arrays.copyOf(bytes(3 * BLOCK + 100, 1), 3 * BLOCK), client.read(b, 0, 4 * BLOCK));
    }

    @Test
    void holesAndUnwrittenBlocksBecomeHoles() {
        client.write(a, 2 * BLOCK, bytes(BLOCK, 1));
        client.write(a, 9 * BLOCK, bytes(BLOCK, 2));
        assertEquals(0, client.fallocate(a, 0, 4 * BLOCK, 3 * BLOCK));
        client.write(b, 0, bytes(12 * BLOCK, 3));
        long before = used();
        assertEquals(10 * BLOCK, client.cloneRange(a, 0, b, BLOCK, 10 * BLOCK));
        assertTrue(used() < before, "what the target held is free");
        assertEquals(4 * 8, client.getattr(b).blocks);
        byte[] expected = new byte[12 * BLOCK];
        System.arraycopy(bytes(12 * BLOCK, 3), 0, expected, 0, BLOCK);
        System.arraycopy(bytes(12 * BLOCK, 3), 11 * BLOCK, expected, 11 * BLOCK, BLOCK);
        System.arraycopy(bytes(BLOCK, 1), 0, expected, 3 * BLOCK, BLOCK);
        System.arraycopy(bytes(BLOCK, 2), 0, expected, 10 * BLOCK, BLOCK);
        assertArrayEquals(expected, client.read(b, 0, 12 * BLOCK));
    }

    @Test
    void withinOneFile() {
        client.write(a, 0, bytes(4 * BLOCK, 1));
        assertEquals(4 * BLOCK, client.cloneRange(a, 0, a, 4 * BLOCK, 4 * BLOCK));
        assertEquals(8 * BLOCK, client.cloneRange(a, 0, a, 8 * BLOCK, 8 * BLOCK));
        client.write(a, 5 * BLOCK + 10, bytes(20, 2));
        again();
        byte[] content = client.read(a, 0, 16 * BLOCK);
        for (int i = 0; i < 4; i++) {
            byte[] expected = bytes(4 * BLOCK, 1);
            if (i == 1) {
                System.arraycopy(bytes(20, 2), 0, expected, BLOCK + 10, 20);
            }
            assertArrayEquals(expected, Arrays.copyOfRange(content, i * 4 * BLOCK, (i + 1) * 4 * BLOCK), "copy " + i);
        }
        assertEquals(0, client.truncate(a, 6 * BLOCK));
    }

    @Test
    void partsOfSharedBlocksAreZeroedInOneFileOnly() {
        byte[] original = bytes(8 * BLOCK, 1);
        client.write(a, 0, original);
        assertEquals(8 * BLOCK, client.cloneRange(a, 0, b, 0, 8 * BLOCK));
        byte[] expected = original.clone();
        assertEquals(0, client.fallocate(b, PUNCH, 100, 2 * BLOCK));
        Arrays.fill(expected, 100, 100 + 2 * BLOCK, (byte) 0);
        assertEquals(0, client.fallocate(b, LibcConstants.FALLOC_FL_ZERO_RANGE, 4 * BLOCK + 50, 2 * BLOCK));
        Arrays.fill(expected, 4 * BLOCK + 50, 6 * BLOCK + 50, (byte) 0);
        assertEquals(0, client.truncate(b, 7 * BLOCK + 1000));
        assertEquals(0, client.truncate(b, 9 * BLOCK));
        expected = Arrays.copyOf(Arrays.copyOf(expected, 7 * BLOCK + 1000), 9 * BLOCK);
        assertArrayEquals(expected, client.read(b, 0, 10 * BLOCK));
        assertArrayEquals(original, client.read(a, 0, 10 * BLOCK));
        assertEquals(0, client.fallocate(a, 0, 0, 8 * BLOCK), "what is there already stays");
        again();
        assertArrayEquals(expected, client.read(b, 0, 10 * BLOCK));
        assertArrayEquals(original, client.read(a, 0, 10 * BLOCK));
    }

    @Test
    void behindTheEndOfASharedBlockIsNothingWhenTheFileGrows() {
        client.write(a, 0, bytes(4 * BLOCK, 1));
        assertEquals(4 * BLOCK, client.cloneRange(a, 0, b, 0, 4 * BLOCK));
        assertEquals(0, client.truncate(b, BLOCK + 7));
        client.write(b, 2 * BLOCK, bytes(10, 2));
        byte[] expected = Arrays.copyOf(Arrays.copyOf(bytes(4 * BLOCK, 1), BLOCK + 7), 2 * BLOCK + 10);
        System.arraycopy(bytes(10, 2), 0, expected, 2 * BLOCK, 10);
        assertArrayEquals(expected, client.read(b, 0, 4 * BLOCK));
        assertEquals(0, client.truncate(a, 3 * BLOCK + 1));
        assertEquals(BLOCK, client.cloneRange(b, 0, a, 8 * BLOCK, BLOCK), "a clone behind the end");
        byte[] grown = Arrays.copyOf(Arrays.copyOf(bytes(4 * BLOCK, 1), 3 * BLOCK + 1), 9 * BLOCK);
        System.arraycopy(bytes(4 * BLOCK, 1), 0, grown, 8 * BLOCK, BLOCK);
        assertArrayEquals(grown, client.read(a, 0, 9 * BLOCK));
    }

    @Test
    void aFileInManyPiecesIsClonedWrittenAndRemovedInSteps() {
        int pieces = 3000;
        for (int i = 0; i < pieces; i++) {
            client.write(a, 2L * i * BLOCK, bytes(BLOCK, i));
        }
        long groups = fixture.store.sequence();
        FsTestClient.Request r = client.newRequest();
        r.inode = a;
        r.inode2 = b;
        r.length = 2L * pieces * BLOCK;
        client.start(r, FsOp.CLONE);
        while (r.status == FileSystem.PENDING) {
            long before = fixture.store.sequence();
            fixture.reactor.runOnce();
            assertTrue(fixture.store.sequence() - before <= 2, "groups in a turn");
        }
        assertEquals(0, r.status);
        assertEquals((2L * pieces - 1) * BLOCK, r.count);
        assertTrue(fixture.store.sequence() - groups >= pieces / Limits.MAX_GROUP_SHARED_RANGES);
        // Every write replaces many shared extents.
        client.write(b, 0, bytes(1 << 20, 7));
        assertEquals(0, client.fallocate(b, LibcConstants.FALLOC_FL_ZERO_RANGE, 1 << 20, 1 << 20));
        assertEquals(0, client.fallocate(b, PUNCH, 2 << 20, 1 << 20));
        assertEquals(0, client.truncate(b, 4 << 20));
        again();
        assertArrayEquals(bytes(1 << 20, 7), client.read(b, 0, 1 << 20));
        assertArrayEquals(new byte[2 << 20], client.read(b, 1 << 20, 2 << 20));
        byte[] content = client.read(b, 3 << 20, 1 << 20);
        for (int i = 0; i < content.length / BLOCK; i += 2) {
            assertArrayEquals(
                    bytes(BLOCK, 384 + i / 2), Arrays.copyOfRange(content, i * BLOCK, (i + 1) * BLOCK), "piece " + i);
        }
        assertEquals(0, client.tryUnlink(ROOT, "b"));
        client.forget(b, 2);
        fixture.settle();
        for (int i = 0; i < pieces; i++) {
            assertArrayEquals(bytes(BLOCK, i), client.read(a, 2L * i * BLOCK, BLOCK), "piece " + i);
        }
        client.create(ROOT, "b");
    }

    @Test
    void aRemovalThatACrashCutsIsWholeInEveryState() {
        int pieces = 300;
        for (int i = 0; i < pieces; i++) {
            client.write(a, 2L * i * BLOCK, bytes(BLOCK, i));
        }
        client.cloneRange(a, 0, b, 0, 2L * pieces * BLOCK);
        assertEquals(0, client.tryUnlink(ROOT, "a"));
        client.forget(a, 1);
        for (int i = 0; i < 8; i++) {
            fixture.reactor.runOnce();
        }
        FsTestClient.Request r = client.newRequest();
        client.start(r, FsOp.SYNCFS);
        while (r.status == FileSystem.PENDING) {
            fixture.reactor.runOnce();
        }
        assertTrue(fixture.fileSystem.isCleaning(), "the removal is not over");
        fixture.crash();
        assertEquals(List.of(), Checks.run(device));
        fixture.mount();
        client = fixture.newClient();
        fixture.settle();
        assertEquals(b, client.lookup(ROOT, "b"));
        for (int i = 0; i < pieces - 1; i++) {
            assertArrayEquals(bytes(BLOCK, i), client.read(b, 2L * i * BLOCK, BLOCK), "piece " + i);
        }
    }

    @Test
    void clonesCrosswiseDoNotWaitForEachOther() {
        client.write(a, 0, bytes(64 * BLOCK, 1));
        client.write(b, 0, bytes(64 * BLOCK, 2));
        Random random = new Random(5);
        for (int round = 0; round < 50; round++) {
            List<FsTestClient.Request> requests = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                FsTestClient.Request r = client.newRequest();
                boolean writes = random.nextInt(3) == 0;
                r.inode = random.nextBoolean() ? a : b;
                r.inode2 = r.inode == a ? b : a;
                r.offset = random.nextInt(48) * (long) BLOCK + (writes ? 512 : 0);
                r.offset2 = random.nextInt(48) * (long) BLOCK;
                r.length = (1 + random.nextInt(16)) * (long) BLOCK;
                r.setData(r.data, r.length);
                client.start(r, writes ? FsOp.WRITE : FsOp.CLONE);
                requests.add(r);
            }
            for (FsTestClient.Request r : requests) {
                assertEquals(0, client.await(r));
                assertEquals(r.length, r.count);
            }
        }
    }

    @Test
    void overwritesOnAnotherReactorSeeThatBlocksAreShared() {
        Reactor other = new Reactor("other");
        FsTestClient elsewhere = fixture.newClientElsewhere(client.client, other);
        Random random = new Random(6);
        byte[] expected = bytes(32 * BLOCK, 1);
        client.write(a, 0, expected);
        for (int round = 0; round < 200; round++) {
            FsTestClient.Request overwrite = elsewhere.newRequest();
            int at = random.nextInt(32) * BLOCK;
            overwrite.inode = a;
            overwrite.offset = at;
            overwrite.length = BLOCK;
            Memory.copyFromArray(bytes(BLOCK, 1000 + round), 0, overwrite.data, BLOCK);
            overwrite.setData(overwrite.data, BLOCK);
            elsewhere.start(overwrite, FsOp.WRITE);
            FsTestClient.Request clone = client.newRequest();
            clone.inode = a;
            clone.inode2 = b;
            clone.length = 32 * BLOCK;
            client.start(clone, FsOp.CLONE);
            while (clone.status == FileSystem.PENDING || overwrite.status == FileSystem.PENDING) {
                fixture.reactor.runOnce();
                other.runOnce();
            }
            assertEquals(0, clone.status);
            assertEquals(0, overwrite.status);
            byte[] cloned = client.read(b, 0, 32 * BLOCK);
            byte[] after = expected.clone();
            System.arraycopy(bytes(BLOCK, 1000 + round), 0, after, at, BLOCK);
            assertTrue(Arrays.equals(cloned, expected) || Arrays.equals(cloned, after), "round " + round);
            assertArrayEquals(after, elsewhere.read(a, 0, 32 * BLOCK));
            expected = after;
            elsewhere.write(a, 0, Arrays.copyOf(expected, BLOCK));
            assertArrayEquals(cloned, client.read(b, 0, 32 * BLOCK), "the clone keeps what it got");
        }
    }

    @Test
    void aFullDiskLosesNothing() {
        int length = 1 << 20;
        client.write(a, 0, bytes(length, 1));
        client.cloneRange(a, 0, b, 0, length);
        long big = client.create(ROOT, "big");
        long at = 0;
        for (int size = 1 << 20; size >= BLOCK; size /= 4) {
            while (client.tryWrite(big, 0, at, new byte[size], 0) == 0) {
                at += client.request.count;
            }
        }
        assertEquals(-Errno.ENOSPC, client.tryWrite(a, 0, 0, bytes(length, 2), 0));
        assertEquals(-Errno.ENOSPC, client.tryWrite(a, 0, 100, bytes(5, 2), 0));
        assertEquals(-Errno.ENOSPC, client.fallocate(a, PUNCH, 100, 200));
        assertArrayEquals(bytes(length, 1), client.read(a, 0, length));
        assertArrayEquals(bytes(length, 1), client.read(b, 0, length));
        assertEquals(0, client.fallocate(b, PUNCH, 2 * BLOCK, BLOCK), "a hole takes no block");
        assertEquals(0, client.truncate(b, length / 2));
        assertEquals(0, client.tryUnlink(ROOT, "b"));
        client.forget(b, 1);
        fixture.settle();
        assertArrayEquals(bytes(length, 1), client.read(a, 0, length));
        assertEquals(0, client.tryUnlink(ROOT, "big"));
        client.forget(big, 1);
        client.write(a, 0, bytes(length, 2));
        assertArrayEquals(bytes(length, 2), client.read(a, 0, length));
        client.create(ROOT, "b");
    }

    /** A disk so full that not even a file can be made takes a clone or refuses it, and stays whole. */
    @Test
    void aCloneOnAFullDiskIsMadeOrRefused() {
        int length = 1 << 20;
        for (int at = 0; at < length; at += 2 * BLOCK) {
            client.write(a, at, bytes(BLOCK, at));
        }
        byte[] old = bytes(300_000, 5);
        client.write(b, 0, old);
        byte[] source = client.read(a, 0, length - BLOCK);
        long big = fillUp();
        int refused = 0;
        for (int round = 0; round < 40; round++) {
            int status = client.tryClone(a, 0, b, (long) round << 21, length);
            refused += status == 0 ? 0 : 1;
            assertEquals(status == 0 ? 0 : -Errno.ENOSPC, status);
        }
        assertTrue(refused > 0, "the disk was not full");
        assertArrayEquals(source, client.read(a, 0, length - BLOCK));
        byte[] now = client.read(b, 0, old.length);
        assertTrue(
                Arrays.equals(now, old)
                        || Arrays.equals(now, Arrays.copyOf(source, old.length))
                        || startsAsOne(now, source, old),
                "neither what was there nor what came");
        assertEquals(0, client.tryUnlink(ROOT, "b"));
        client.forget(b, 1);
        fixture.settle();
        assertEquals(0, client.tryUnlink(ROOT, "big"));
        client.forget(big, 1);
        client.create(ROOT, "b");
        again();
        assertArrayEquals(source, client.read(client.lookup(ROOT, "a"), 0, length - BLOCK));
    }

    /** A clone in groups may have ended early. */
    private static boolean startsAsOne(byte[] now, byte[] first, byte[] then) {
        int same = Arrays.mismatch(now, first);
        int block = same & -BLOCK;
        return Arrays.equals(now, block, now.length, then, block, now.length);
    }

    /** Until not even an empty file can be made. */
    private long fillUp() {
        long big = client.create(ROOT, "big");
        long at = 0;
        for (int size = 1 << 20; size >= BLOCK; size /= 4) {
            while (client.tryWrite(big, 0, at, new byte[size], 0) == 0) {
                at += client.request.count;
            }
        }
        int files = 0;
        while (client.tryMkdir(ROOT, "directory " + files) == 0) {
            files++;
        }
        return big;
    }

    @Test
    void aCloneIsChargedToTheQuotaOfItsDirectory() {
        long dir = client.mkdir(ROOT, "limited");
        fixture.setQuota(dir, 1 << 20, 0);
        long inside = client.create(dir, "inside");
        client.write(a, 0, bytes(200 * BLOCK, 1));
        Quota quota = Objects.requireNonNull(
                Objects.requireNonNull(fixture.fileSystem.volume().load(inside)).quota);
        long before = quota.usedBytes;
        assertEquals(200 * BLOCK, client.cloneRange(a, 0, inside, 0, 200 * BLOCK));
        assertEquals(200 * BLOCK, quota.usedBytes - before, "shared blocks count in full");
        long second = client.create(dir, "second");
        before = quota.usedBytes;
        assertEquals(-Errno.ENOSPC, client.tryClone(a, 0, second, 0, 200 * BLOCK));
        assertEquals(before, quota.usedBytes);
        assertEquals(0, client.getattr(second).sizeBytes);
        assertEquals(200 * BLOCK, client.cloneRange(a, 0, inside, 0, 200 * BLOCK), "what is there makes room");
        assertEquals(before, quota.usedBytes);
        client.write(inside, 10 * BLOCK, bytes(50 * BLOCK, 2));
        assertEquals(before, quota.usedBytes, "what is written takes the place of what was shared");
        assertEquals(0, client.fallocate(inside, PUNCH, 0, 100 * BLOCK));
        assertEquals(before - 100 * BLOCK, quota.usedBytes);
        assertEquals(40 * BLOCK, client.cloneRange(inside, 100 * BLOCK, a, 0, 40 * BLOCK), "out of it");
        assertEquals(before - 100 * BLOCK, quota.usedBytes);
        assertEquals(0, client.tryUnlink(dir, "inside"));
        client.forget(inside, 1);
        fixture.settle();
        assertTrue(quota.usedBytes < 4 * BLOCK, quota.usedBytes + " bytes are left");
        again();
        client.lookup(ROOT, "limited");
        assertEquals(0, client.getattr(client.lookup(dir, "second")).sizeBytes);
    }

    @Test
    void aCloneToAFileThatIsToBeDurableIsDurable() {
        client.write(a, 0, bytes(4 * BLOCK, 1));
        assertEquals(0, client.tryOpen(b, LibcConstants.O_RDWR | LibcConstants.O_SYNC));
        long handle = client.request.handle;
        client.request.inode = a;
        client.request.handle = 0;
        client.request.offset = 0;
        client.request.inode2 = b;
        client.request.handle2 = handle;
        client.request.offset2 = 0;
        client.request.length = 4 * BLOCK;
        assertEquals(0, client.call(FsOp.CLONE));
        assertEquals(4 * BLOCK, client.request.count);
        long c = client.create(ROOT, "c");
        client.request.newAttributes.flags = LibcConstants.FS_SYNC_FL;
        assertEquals(0, client.trySetattr(c, FsRequest.SET_FLAGS));
        assertEquals(2 * BLOCK, client.cloneRange(a, BLOCK, c, 0, 2 * BLOCK));
        fixture.crash();
        fixture.mount();
        client = fixture.newClient();
        assertArrayEquals(bytes(4 * BLOCK, 1), client.read(client.lookup(ROOT, "b"), 0, 4 * BLOCK));
        assertArrayEquals(
                Arrays.copyOfRange(bytes(4 * BLOCK, 1), BLOCK, 3 * BLOCK),
                client.read(client.lookup(ROOT, "c"), 0, 2 * BLOCK));
    }

    /** As far as the client's own writes go, who had the file open may write on. */
    @Test
    void aFileThatBecameImmutableIsNoTargetOfACopy() {
        client.write(a, 0, bytes(4 * BLOCK, 1));
        client.write(b, 0, bytes(4 * BLOCK, 2));
        client.request.newAttributes.flags = LibcConstants.FS_IMMUTABLE_FL;
        assertEquals(0, client.trySetattr(b, FsRequest.SET_FLAGS));
        assertEquals(-Errno.EPERM, client.tryClone(a, 0, b, 0, 4 * BLOCK));
        client.request.isCopy = true;
        assertEquals(-Errno.EPERM, client.tryWrite(b, 0, 10, bytes(100, 3), 0));
        client.request.isCopy = false;
        assertArrayEquals(bytes(4 * BLOCK, 2), client.read(b, 0, 4 * BLOCK));
        assertEquals(4 * BLOCK, client.cloneRange(b, 0, a, 0, 4 * BLOCK), "it may be taken from");
        client.request.newAttributes.flags = 0;
        assertEquals(0, client.trySetattr(b, FsRequest.SET_FLAGS));
    }

    @Test
    void whatWasSyncedIsThereAfterACrash() {
        client.write(a, 0, bytes(16 * BLOCK, 1));
        client.cloneRange(a, 0, b, 0, 16 * BLOCK);
        client.write(a, 2 * BLOCK, bytes(BLOCK, 2));
        assertEquals(0, client.fsync(a, true));
        assertEquals(0, client.tryWrite(b, 0, 5 * BLOCK, bytes(BLOCK, 3), LibcConstants.O_DSYNC));
        fixture.crash();
        fixture.mount();
        client = fixture.newClient();
        byte[] expected = bytes(16 * BLOCK, 1);
        System.arraycopy(bytes(BLOCK, 2), 0, expected, 2 * BLOCK, BLOCK);
        assertArrayEquals(expected, client.read(client.lookup(ROOT, "a"), 0, 16 * BLOCK));
        expected = bytes(16 * BLOCK, 1);
        System.arraycopy(bytes(BLOCK, 3), 0, expected, 5 * BLOCK, BLOCK);
        assertArrayEquals(expected, client.read(client.lookup(ROOT, "b"), 0, 16 * BLOCK));
    }
}

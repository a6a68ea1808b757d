package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FileDataTest {
    private static final int ROOT = 1;

    private final DeferringDevice device = new DeferringDevice(new MallocDevice(256 << 20), 1, 4096, 512);
    private final FsFixture fixture = new FsFixture(device, StoreOptions.DEFAULT);
    private final FsTestClient client = fixture.newClient();
    private final long file = client.create(ROOT, "f");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private static byte[] bytes(int length, int seed) {
        byte[] b = new byte[length];
        new Random(seed).nextBytes(b);
        return b;
    }

    @Test
    void aSmallFileTakesNoBlocks() {
        client.write(file, 0, bytes(2000, 1));
        assertEquals(0, client.getattr(file).blocks);
        assertArrayEquals(bytes(2000, 1), client.read(file, 0, 5000));
        client.write(file, 2000, new byte[] {5});
        assertEquals(8, client.getattr(file).blocks);
        byte[] content = client.read(file, 0, 5000);
        assertEquals(2001, content.length);
        assertArrayEquals(bytes(2000, 1), Arrays.copyOf(content, 2000));
        assertEquals(5, content[2000]);
    }

    @Test
    void holesReadAsZeroesAndTakeNoBlocks() {
        client.write(file, 1L << 40, bytes(10, 2));
        assertEquals((1L << 40) + 10, client.getattr(file).sizeBytes);
        assertEquals(8, client.getattr(file).blocks);
        assertArrayEquals(new byte[10_000], client.read(file, 123_456_789, 10_000));
        assertArrayEquals(bytes(10, 2), client.read(file, 1L << 40, 100));
        assertArrayEquals(new byte[0], client.read(file, 1L << 41, 100));
    }

    @Test
    void aFileHasUpToAnExbibyte() {
        assertEquals(-Errno.EFBIG, client.tryWrite(file, 0, 1L << 60, new byte[1], 0));
        assertEquals(-Errno.EINVAL, client.tryWrite(file, 0, -1, new byte[1], 0));
        assertEquals(-Errno.EINVAL, client.tryRead(file, 0, -1, 1));
        assertEquals(-Errno.EFBIG, client.truncate(file, (1L << 60) + 1));
        assertEquals(0, client.truncate(file, 1L << 60));
        assertEquals(0, client.tryWrite(file, 0, (1L << 60) - 1, new byte[2], 0));
        assertEquals(1, client.request.count, "up to the limit");
    }

    @Test
    void onlyRegularFilesHaveData() {
        assertEquals(-Errno.EISDIR, client.tryRead(ROOT, 0, 0, 1));
        assertEquals(-Errno.EISDIR, client.tryWrite(ROOT, 0, 0, new byte[1], 0));
        assertEquals(-Errno.EISDIR, client.truncate(ROOT, 1));
        assertEquals(0, client.trySymlink(ROOT, "l", "x"));
        assertEquals(-Errno.EINVAL, client.tryRead(client.request.attributes.inode, 0, 0, 1));
        assertEquals(-Errno.EISDIR, client.tryOpen(ROOT, 0));
    }

    @Test
    void appendsGoToTheEndWhateverTheOffset() {
        client.write(file, 0, bytes(5000, 3));
        List<FsTestClient.Request> requests = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.offset = 0;
            r.length = 777;
            r.flags = LibcConstants.O_APPEND;
            Memory.copyFromArray(bytes(777, i), 0, r.data, 777);
            r.setData(r.data, 777);
            client.start(r, FsOp.WRITE);
            requests.add(r);
        }
        requests.forEach(client::await);
        assertEquals(5000 + 20 * 777, client.getattr(file).sizeBytes);
        for (int i = 0; i < 20; i++) {
            assertArrayEquals(bytes(777, i), client.read(file, 5000 + i * 777, 777));
        }
    }

    @Test
    void concurrentWritesToPartsOfOneBlockLoseNothing() {
        client.write(file, 0, new byte[3 * 4096]);
        List<FsTestClient.Request> requests = new ArrayList<>();
        for (int i = 0; i < 96; i++) {
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.offset = i * 128L;
            r.length = 128;
            Memory.copyFromArray(bytes(128, i), 0, r.data, 128);
            r.setData(r.data, 128);
            client.start(r, FsOp.WRITE);
            requests.add(r);
        }
        for (FsTestClient.Request r : requests) {
            assertEquals(0, client.await(r));
            assertEquals(1, r.completions);
        }
        for (int i = 0; i < 96; i++) {
            assertArrayEquals(bytes(128, i), client.read(file, i * 128L, 128));
        }
    }

    @Test
    void overwritesAndPartialWritesOfOneBlockLoseNothing() {
        client.write(file, 0, new byte[8192]);
        for (int round = 0; round < 50; round++) {
            FsTestClient.Request whole = client.newRequest();
            whole.inode = file;
            whole.length = 4096;
            Memory.copyFromArray(bytes(4096, round), 0, whole.data, 4096);
            whole.setData(whole.data, 4096);
            FsTestClient.Request part = client.newRequest();
            part.inode = file;
            part.offset = 4000;
            part.length = 200;
            Memory.copyFromArray(bytes(200, round + 1000), 0, part.data, 200);
            part.setData(part.data, 200);
            client.start(round % 2 == 0 ? whole : part, FsOp.WRITE);
            client.start(round % 2 == 0 ? part : whole, FsOp.WRITE);
            assertEquals(0, client.await(whole));
            assertEquals(0, client.await(part));
            byte[] content = client.read(file, 0, 4200);
            assertArrayEquals(bytes(4096, round), content.length == 4200 ? firstAs(content, round) : content);
            assertArrayEquals(
                    Arrays.copyOfRange(bytes(200, round + 1000), 96, 200), Arrays.copyOfRange(content, 4096, 4200));
        }
    }

    /** The first block, with what the part may have written to it put back. */
    private static byte[] firstAs(byte[] content, int round) {
        byte[] first = Arrays.copyOf(content, 4096);
        byte[] part = bytes(200, round + 1000);
        byte[] whole = bytes(4096, round);
        boolean isPart = Arrays.equals(Arrays.copyOfRange(first, 4000, 4096), Arrays.copyOf(part, 96));
        if (isPart) {
            System.arraycopy(whole, 4000, first, 4000, 96);
        }
        return first;
    }

    @Test
    void scatteredWritesToASparseFileStayInReach() {
        Random random = new Random(5);
        int blocks = 65_536;
        int[] seeds = new int[blocks];
        byte[] block = new byte[4096];
        device.defers = false;
        for (int i = 1; i <= 20_000; i++) {
            int b = random.nextInt(blocks);
            Arrays.fill(block, (byte) i);
            seeds[b] = (byte) i;
            client.write(file, b * 4096L, block);
        }
        fixture.remount();
        FsTestClient again = fixture.newClient();
        assertEquals(file, again.lookup(ROOT, "f"));
        for (int b = 0; b < blocks; b += 3) {
            long size = again.getattr(file).sizeBytes;
            if (b * 4096L < size) {
                assertEquals((byte) seeds[b], again.read(file, b * 4096L + 100, 1)[0]);
            }
        }
    }

    @Test
    void iovecsOfAnyShapeAreTaken() {
        byte[] content = bytes(300_000, 7);
        FsTestClient.Request r = client.newRequest();
        r.inode = file;
        r.offset = 1000;
        r.length = content.length;
        Memory.copyFromArray(content, 0, r.data, content.length);
        int[] cuts = {1, 4095, 4096, 512, 3, 100_000, 8192, 77};
        long at = 0;
        int n = 0;
        for (; at < content.length; n++) {
            long piece = Math.min(cuts[n % cuts.length], content.length - at);
            Iovecs.set(r.iovecs, n, r.data + at, piece);
            at += piece;
        }
        r.dataIovecs = r.iovecs;
        r.dataIovecCount = n;
        assertEquals(0, client.call(r, FsOp.WRITE));
        Memory.zero(r.data, content.length);
        assertEquals(0, client.call(r, FsOp.READ));
        assertEquals(content.length, r.count);
        assertArrayEquals(content, FsTestClient.bytes(r.data, content.length));
        assertArrayEquals(content, client.read(file, 1000, 400_000));
    }

    @Test
    void aReadBehindTheEndLeavesTheRestOfTheMemoryAlone() {
        client.write(file, 0, bytes(5000, 8));
        FsTestClient.Request r = client.newRequest();
        r.inode = file;
        r.offset = 4096;
        r.length = 4096;
        Memory.segment(r.data, 8192).fill((byte) 0x55);
        r.setData(r.data, 4096);
        assertEquals(0, client.call(r, FsOp.READ));
        assertEquals(904, r.count);
        for (int i = 904; i < 4096; i++) {
            assertEquals(0, Memory.getByte(r.data + i));
        }
        assertEquals(0x55, Memory.getByte(r.data + 4096));
    }

    @Test
    void whatWasCutOffDoesNotComeBack() {
        client.write(file, 0, bytes(20_000, 9));
        assertEquals(0, client.truncate(file, 5001));
        assertEquals(0, client.truncate(file, 20_000));
        byte[] content = client.read(file, 0, 30_000);
        assertArrayEquals(Arrays.copyOf(bytes(20_000, 9), 5001), Arrays.copyOf(content, 5001));
        assertArrayEquals(new byte[14_999], Arrays.copyOfRange(content, 5001, 20_000));
        assertEquals(0, client.truncate(file, 3000));
        client.write(file, 4096, new byte[] {1});
        content = client.read(file, 0, 5000);
        assertArrayEquals(new byte[1096], Arrays.copyOfRange(content, 3000, 4096));
    }

    @Test
    void writingTakesSetIdBitsAwayWhenAskedTo() {
        client.write(file, 0, new byte[8192]);
        client.request.newAttributes.mode = LibcConstants.S_ISUID | LibcConstants.S_ISGID | 0x1ff;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MODE));
        client.request.killPrivileges = true;
        client.write(file, 0, new byte[4096]);
        assertEquals(LibcConstants.S_IFREG | 0x1ff, client.getattr(file).mode);
    }

    @Test
    void writingChangesTheTimesAndTheyLast() {
        FsAttributes before = client.getattr(file);
        client.write(file, 0, new byte[8192]);
        client.request.newAttributes.modifyTimeNs = 17;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MTIME));
        assertEquals(17, client.getattr(file).modifyTimeNs);
        client.write(file, 0, new byte[4096]);
        FsAttributes after = client.getattr(file);
        assertTrue(after.modifyTimeNs >= before.modifyTimeNs);
        assertEquals(0, client.fsync(file, false));
        fixture.crash();
        fixture.mount();
        FsTestClient again = fixture.newClient();
        assertEquals(after.modifyTimeNs, again.getattr(again.lookup(ROOT, "f")).modifyTimeNs);
    }

    @Test
    void aWriteThatKeepsTheTimesLeavesThemAloneHoweverItReachesTheFile() {
        FsAttributes set = client.request.newAttributes;
        set.modifyTimeNs = 17;
        set.changeTimeNs = 18;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MTIME | FsRequest.SET_CTIME));
        client.request.keepsTimes = true;
        client.write(file, 0, bytes(100, 1)); // inline
        client.write(file, 4096, bytes(8192, 2)); // new blocks
        client.write(file, 4096, bytes(4096, 3)); // in place
        client.write(file, 5000, bytes(100, 4)); // part of a block
        client.write(file, 50_000, bytes(100, 5)); // a new end
        FsAttributes after = client.getattr(file);
        assertEquals(50_100, after.sizeBytes);
        assertEquals(17, after.modifyTimeNs);
        assertEquals(18, after.changeTimeNs);
    }

    @ParameterizedTest
    @ValueSource(ints = {4096, 4900, 6000, 9000})
    void whatATruncationCutOffIsThereAfterACrashBeforeItsCommit(int offset) {
        byte[] synced = bytes(7000, 1);
        client.write(file, 0, synced);
        assertEquals(0, client.fsync(file, false));
        assertEquals(0, client.truncate(file, 5000));
        byte[] written = bytes(100, 2);
        client.write(file, offset, written);
        fixture.crash();
        fixture.mount();
        FsTestClient again = fixture.newClient();
        long size = again.getattr(again.lookup(ROOT, "f")).sizeBytes;
        byte[] found = again.read(file, 0, 10_000);
        int cut = size == synced.length ? synced.length : 5000;
        for (int i = 0; i < size; i++) {
            boolean overwritten = i >= offset && i < offset + written.length;
            byte old = i < cut ? synced[i] : 0;
            boolean mayBeOld = !overwritten || offset < 5000;
            assertTrue(
                    (mayBeOld && found[i] == old) || (overwritten && found[i] == written[i - offset]),
                    "byte " + i + " of " + size);
        }
    }

    @Test
    void whatAnFsyncCoveredSurvivesACrash() {
        client.write(file, 0, bytes(100_000, 10));
        assertEquals(0, client.fsync(file, true));
        assertEquals(0, client.tryWrite(file, 0, 100_000, bytes(50_000, 11), LibcConstants.O_DSYNC));
        long dir = client.mkdir(ROOT, "d");
        assertEquals(0, client.fsync(dir, false));
        client.mkdir(ROOT, "lost");
        fixture.crash();
        fixture.mount();
        FsTestClient again = fixture.newClient();
        assertEquals(file, again.lookup(ROOT, "f"));
        assertArrayEquals(bytes(100_000, 10), again.read(file, 0, 100_000));
        assertArrayEquals(bytes(50_000, 11), again.read(file, 100_000, 100_000));
        assertEquals(dir, again.lookup(ROOT, "d"));
        assertEquals(-Errno.ENOENT, again.tryLookup(ROOT, "lost"));
    }

    @Test
    void bytesOfAnAppendThatACrashUndidAreZeroesWhenTheFileGrowsOverThem() {
        client.write(file, 0, bytes(5000, 20));
        assertEquals(0, client.fsync(file, false));
        client.write(file, 5000, bytes(600, 21));
        fixture.crash();
        fixture.mount();
        FsTestClient again = fixture.newClient();
        assertEquals(file, again.lookup(ROOT, "f"));
        assertEquals(5000, again.getattr(file).sizeBytes);
        assertEquals(0, again.truncate(file, 8000));
        assertArrayEquals(Arrays.copyOf(bytes(5000, 20), 8000), again.read(file, 0, 10_000));
    }

    @Test
    void aDeviceErrorReachesThatRequestOnly() {
        client.write(file, 0, bytes(40_000, 12));
        long other = client.create(ROOT, "g");
        client.write(other, 0, bytes(8192, 13));
        long available = fixture.store.availableBlocks();
        device.failFrom = 0;
        assertEquals(-Errno.EIO, client.tryRead(file, 0, 0, 4096));
        assertEquals(-Errno.EIO, client.tryWrite(file, 0, 0, new byte[4096], 0));
        assertEquals(-Errno.EIO, client.tryWrite(file, 0, 10, new byte[10], 0));
        assertEquals(-Errno.EIO, client.tryWrite(file, 0, 1 << 20, new byte[8192], 0));
        device.failFrom = Long.MAX_VALUE;
        assertEquals(40_000, client.getattr(file).sizeBytes);
        assertEquals(available, fixture.store.availableBlocks());
        assertArrayEquals(bytes(40_000, 12), client.read(file, 0, 50_000));
        client.write(file, 0, bytes(4096, 14));
        assertArrayEquals(bytes(8192, 13), client.read(other, 0, 8192));
    }
}

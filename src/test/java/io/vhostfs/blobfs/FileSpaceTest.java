package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class FileSpaceTest {
    private static final int ROOT = 1;
    private static final int KEEP = LibcConstants.FALLOC_FL_KEEP_SIZE;
    private static final int PUNCH = LibcConstants.FALLOC_FL_PUNCH_HOLE | KEEP;
    private static final int ZERO = LibcConstants.FALLOC_FL_ZERO_RANGE;

    private final FsFixture fixture = new FsFixture(64 << 20);
    private final FsTestClient client = fixture.newClient();
    private final long file = client.create(ROOT, "f");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private static byte[] bytes(int length) {
        byte[] b = new byte[length];
        new Random(length).nextBytes(b);
        return b;
    }

    @Test
    void allocationTakesBlocksThatReadAsZeroes() {
        assertEquals(0, client.fallocate(file, 0, 10_000, 100_000));
        assertEquals(110_000, client.getattr(file).sizeBytes);
        assertEquals(8 * 25, client.getattr(file).blocks);
        assertArrayEquals(new byte[110_000], client.read(file, 0, 200_000));
        client.write(file, 20_000, bytes(5000));
        assertEquals(8 * 25, client.getattr(file).blocks);
        byte[] content = client.read(file, 0, 200_000);
        assertArrayEquals(bytes(5000), Arrays.copyOfRange(content, 20_000, 25_000));
        assertArrayEquals(new byte[3616], Arrays.copyOfRange(content, 16_384, 20_000));
    }

    @Test
    void keepSizeAllocatesBehindTheEnd() {
        client.write(file, 0, bytes(3000));
        assertEquals(0, client.fallocate(file, KEEP, 0, 1 << 20));
        assertEquals(3000, client.getattr(file).sizeBytes);
        assertEquals(8 * 256, client.getattr(file).blocks);
        assertEquals(0, client.truncate(file, 3000));
        assertEquals(8, client.getattr(file).blocks, "truncation to the same size gives back what lies behind");
    }

    @Test
    void punchedHolesReadAsZeroesAndGiveTheirBlocksBack() {
        client.write(file, 0, bytes(100_000));
        assertEquals(0, client.fallocate(file, PUNCH, 5000, 50_000));
        byte[] expected = bytes(100_000);
        Arrays.fill(expected, 5000, 55_000, (byte) 0);
        assertArrayEquals(expected, client.read(file, 0, 100_000));
        assertEquals(8 * (25 - 11), client.getattr(file).blocks);
        assertEquals(0, client.fallocate(file, PUNCH, 60_000, 100));
        Arrays.fill(expected, 60_000, 60_100, (byte) 0);
        assertArrayEquals(expected, client.read(file, 0, 100_000));
        assertEquals(0, client.fallocate(file, PUNCH, 0, 1L << 50));
        assertEquals(0, client.getattr(file).blocks);
        assertEquals(100_000, client.getattr(file).sizeBytes);
    }

    @Test
    void zeroedRangesReadAsZeroesAndKeepTheirBlocks() {
        client.write(file, 0, bytes(100_000));
        assertEquals(0, client.fallocate(file, ZERO | KEEP, 5000, 50_000));
        byte[] expected = bytes(100_000);
        Arrays.fill(expected, 5000, 55_000, (byte) 0);
        assertArrayEquals(expected, client.read(file, 0, 100_000));
        assertEquals(8 * 25, client.getattr(file).blocks);
        assertEquals(0, client.fallocate(file, ZERO, 99_000, 10_000));
        assertEquals(109_000, client.getattr(file).sizeBytes);
        expected = Arrays.copyOf(expected, 109_000);
        Arrays.fill(expected, 99_000, 109_000, (byte) 0);
        assertArrayEquals(expected, client.read(file, 0, 200_000));
    }

    @Test
    void otherModesAreNotSupported() {
        assertEquals(-Errno.EOPNOTSUPP, client.fallocate(file, LibcConstants.FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
        assertEquals(-Errno.EOPNOTSUPP, client.fallocate(file, LibcConstants.FALLOC_FL_INSERT_RANGE, 0, 4096));
        assertEquals(-Errno.EOPNOTSUPP, client.fallocate(file, LibcConstants.FALLOC_FL_PUNCH_HOLE, 0, 4096));
        assertEquals(-Errno.EOPNOTSUPP, client.fallocate(file, PUNCH | ZERO, 0, 4096));
        assertEquals(-Errno.EINVAL, client.fallocate(file, 0, 0, 0));
        assertEquals(-Errno.EINVAL, client.fallocate(file, 0, -1, 10));
        assertEquals(-Errno.EFBIG, client.fallocate(file, 0, 1L << 60, 10));
        assertEquals(-Errno.EISDIR, client.fallocate(ROOT, 0, 0, 10));
    }

    @Test
    void moreThanTheDiskHoldsIsRefusedAtOnce() {
        long available = fixture.store.availableBlocks();
        assertEquals(-Errno.ENOSPC, client.fallocate(file, 0, 0, 1L << 40));
        assertEquals(0, client.getattr(file).blocks);
        assertEquals(available, fixture.store.availableBlocks());
    }

    @Test
    void seekFindsDataAndHoles() {
        client.write(file, 0, bytes(8192));
        client.write(file, 1 << 20, bytes(8192));
        assertEquals(0, client.fallocate(file, KEEP, 2 << 20, 8192));
        assertEquals(0, client.truncate(file, 3 << 20));
        assertSeek(0, 0, LibcConstants.SEEK_DATA);
        assertSeek(8192, 0, LibcConstants.SEEK_HOLE);
        assertSeek(9000, 9000, LibcConstants.SEEK_HOLE);
        assertSeek(1 << 20, 9000, LibcConstants.SEEK_DATA);
        assertSeek((1 << 20) + 8192, (1 << 20) + 100, LibcConstants.SEEK_HOLE);
        assertEquals(-Errno.ENXIO, client.seek(file, 2 << 20, LibcConstants.SEEK_DATA));
        assertEquals(-Errno.ENXIO, client.seek(file, 3 << 20, LibcConstants.SEEK_HOLE));
        assertEquals(-Errno.ENXIO, client.seek(file, -1, LibcConstants.SEEK_DATA));
        assertEquals(-Errno.EINVAL, client.seek(file, 0, LibcConstants.SEEK_SET));
        long small = client.create(ROOT, "small");
        client.write(small, 0, bytes(100));
        assertEquals(0, client.seek(small, 10, LibcConstants.SEEK_HOLE));
        assertEquals(100, client.request.count);
    }

    private void assertSeek(long expected, long offset, int whence) {
        assertEquals(0, client.seek(file, offset, whence));
        assertEquals(expected, client.request.count);
    }

    @Test
    void manySmallPiecesAreAllocatedZeroedAndPunchedInSteps() {
        for (int i = 0; i < 500; i++) {
            client.write(file, i * 8192L, bytes(4096));
        }
        long end = 500 * 8192L;
        assertEquals(0, client.fallocate(file, 0, 0, end));
        assertEquals(8 * 1000, client.getattr(file).blocks);
        byte[] piece = client.read(file, 100 * 8192L, 8192);
        assertArrayEquals(bytes(4096), Arrays.copyOf(piece, 4096));
        assertArrayEquals(new byte[4096], Arrays.copyOfRange(piece, 4096, 8192));
        assertEquals(0, client.fallocate(file, ZERO, 0, end));
        assertEquals(8 * 1000, client.getattr(file).blocks);
        assertArrayEquals(new byte[8192], client.read(file, 100 * 8192L, 8192));
        assertEquals(0, client.fallocate(file, PUNCH, 0, end));
        assertEquals(0, client.getattr(file).blocks);
    }

    @Test
    void aFullDiskLosesNothingAndCanBeEmptied() {
        byte[] block = bytes(1 << 20);
        int files = 0;
        int status = 0;
        while (status == 0) {
            status = client.tryCreate(ROOT, "fill" + files, 0);
            if (status == 0) {
                long inode = client.request.attributes.inode;
                assertEquals(0, client.release(client.request.handle));
                status = client.tryWrite(inode, 0, 0, block, 0);
                files++;
            }
        }
        assertEquals(-Errno.ENOSPC, status);
        assertTrue(files > 40);
        status = 0;
        int small = 0;
        while (status == 0) {
            status = client.tryCreate(ROOT, "small" + small, 0);
            if (status == 0) {
                assertEquals(0, client.release(client.request.handle));
                small++;
            }
            assertTrue(small < 1_000_000);
        }
        assertEquals(-Errno.ENOSPC, status);
        for (int i = 0; i < files - 1; i++) {
            assertArrayEquals(block, client.read(client.lookup(ROOT, "fill" + i), 0, 1 << 20));
        }
        fixture.remount();
        FsTestClient again = fixture.newClient();
        assertEquals(-Errno.ENOSPC, again.tryWrite(again.lookup(ROOT, "f"), 0, 0, block, 0));
        for (int i = 0; i < files; i++) {
            assertEquals(0, again.tryUnlink(ROOT, "fill" + i), "delete " + i);
        }
        for (int i = 0; i < small; i++) {
            assertEquals(0, again.tryUnlink(ROOT, "small" + i));
        }
        again.write(again.lookup(ROOT, "f"), 0, block);
        assertArrayEquals(block, again.read(again.lookup(ROOT, "f"), 0, 1 << 20));
    }
}

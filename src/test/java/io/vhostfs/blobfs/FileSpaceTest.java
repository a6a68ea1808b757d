package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FsOp;
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

    /** Fills the disk with data and then with tiny files and directories; the number of names. */
    private int fill(String prefix, long big) {
        byte[] piece = bytes(1 << 20);
        long at = 0;
        for (int length = 1 << 20; length >= 4096; length /= 4) {
            while (client.tryWrite(big, 0, at, Arrays.copyOf(piece, length), 0) == 0) {
                at += client.request.count;
            }
        }
        int names = 0;
        int status = 0;
        while (status == 0) {
            String name = prefix + names;
            status = names % 4 == 0 ? client.tryMkdir(ROOT, name) : client.tryCreate(ROOT, name, 0);
            if (status == 0) {
                names++;
                long inode = client.request.attributes.inode;
                if (names % 4 != 1) {
                    assertEquals(0, client.release(client.request.handle));
                    int written = client.tryWrite(inode, 0, 0, new byte[100], 0);
                    assertTrue(written == 0 || written == -Errno.ENOSPC, Errno.name(written));
                }
                client.forget(inode, 1);
            }
        }
        assertEquals(-Errno.ENOSPC, status);
        return names;
    }

    @Test
    void aStoreFullOfDataAndNamesStillShrinksAndIsFilledAgain() {
        int[] names = new int[2];
        long[] size = new long[2];
        long available = fixture.store.availableBlocks();
        for (int round = 0; round < 2; round++) {
            String prefix = "name-" + round + "-";
            long big = client.create(ROOT, "big" + round);
            names[round] = fill(prefix, big);
            size[round] = client.getattr(big).sizeBytes;

            // What takes no space works, what frees some does, what takes some is refused and changes nothing.
            assertEquals(0, client.tryWrite(big, 0, 8192, bytes(4096), 0), "overwrite");
            assertEquals(-Errno.ENOSPC, client.fallocate(big, 0, size[round], 64 << 20));
            assertEquals(-Errno.ENOSPC, client.tryWrite(big, 0, size[round], new byte[1 << 20], 0));
            assertEquals(size[round], client.getattr(big).sizeBytes);
            assertEquals(0, client.fallocate(big, PUNCH, 4096, 4096), "a hole in the midst of an extent");
            assertEquals(0, client.truncate(big, size[round] - 8192));
            assertEquals(0, client.tryRmdir(ROOT, prefix + 0));
            assertEquals(0, client.tryUnlink(ROOT, prefix + 1));
            assertArrayEquals(bytes(4096), client.read(big, 8192, 4096));
            fixture.settle();

            for (int i = 2; i < names[round]; i++) {
                String name = prefix + i;
                assertEquals(0, i % 4 == 0 ? client.tryRmdir(ROOT, name) : client.tryUnlink(ROOT, name), name);
            }
            assertEquals(0, client.truncate(big, 0));
            assertEquals(0, client.tryUnlink(ROOT, "big" + round));
            client.forget(big, 1);
            fixture.settle();
            assertEquals(0, client.call(FsOp.SYNCFS));
        }
        assertTrue(names[1] > names[0] * 9 / 10 && size[1] > size[0] * 9 / 10, Arrays.toString(names));
        assertTrue(fixture.store.availableBlocks() > available - 200, "blocks are missing");
    }

    @Test
    void aFileOfManyExtentsIsCutInOneStepOnAFullStore() {
        long other = client.create(ROOT, "other");
        for (int i = 0; i < 60; i++) {
            client.write(file, i * 4096L, bytes(4096));
            client.write(other, i * 4096L, bytes(4096));
        }
        fill("name", client.create(ROOT, "big"));
        fixture.settle();
        assertEquals(0, client.truncate(file, 0));
        assertEquals(0, client.getattr(file).blocks);
    }

    @Test
    void holesInAFullStoreLeaveRoomForDeletes() {
        long big = client.create(ROOT, "big");
        int names = fill("name", big);
        int status = 0;
        long size = client.getattr(big).sizeBytes;
        for (long at = 0; status == 0 && at < size; at += 8192) {
            status = client.fallocate(big, PUNCH, at, 4096);
        }
        assertTrue(status == 0 || status == -Errno.ENOSPC, Errno.name(status));
        for (int i = 0; i < names; i++) {
            assertEquals(0, i % 4 == 0 ? client.tryRmdir(ROOT, "name" + i) : client.tryUnlink(ROOT, "name" + i));
        }
        assertEquals(0, client.truncate(big, 0));
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A device that fails: who is told, what goes on, what is there afterwards. */
class DeviceErrorsTest {
    private static final int ROOT = 1;
    private static final int LOG_START = 8 * 4096;
    private static final int LOG_BYTES = (64 << 20) / 16;
    private static final int NODE_MAGIC = 0x4e54_4256;
    private static final int PUNCH = LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE;

    private final DeferringDevice device = new DeferringDevice(new MallocDevice(64 << 20), 7, 512, 1);
    private final FsFixture fixture;
    private FsTestClient client;
    private final ByteArrayOutputStream logged = new ByteArrayOutputStream();
    private final PrintStream realErr = System.err;

    DeviceErrorsTest() {
        device.claimsVolatileCache = true;
        fixture = new FsFixture(device, StoreOptions.DEFAULT);
        client = fixture.newClient();
    }

    @BeforeEach
    void captureLog() {
        System.setErr(new PrintStream(logged, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void releaseLog() {
        System.setErr(realErr);
        device.close();
    }

    private static byte[] bytes(long seed, int length) {
        byte[] b = new byte[length];
        new Random(seed).nextBytes(b);
        return b;
    }

    private static boolean isLogWrite(BlockIo io) {
        return io.operation == BlockIo.WRITE && io.offsetBytes >= LOG_START && io.offsetBytes < LOG_START + LOG_BYTES;
    }

    private static boolean isNodeWrite(BlockIo io) {
        return io.operation == BlockIo.WRITE
                && io.lengthBytes == 16384
                && Memory.getInt(Iovecs.base(io.iovecsAddress, 0)) == NODE_MAGIC;
    }

    private static boolean isSlotWrite(BlockIo io) {
        return io.operation == BlockIo.WRITE && io.offsetBytes < LOG_START;
    }

    /** Eight reads or writes of a file of eight separate blocks, all in flight at once, the disk's error at one of them. */
    private int[] eightAtOnce(int operation, long file, byte[] data) {
        List<FsTestClient.Request> requests = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            FsTestClient.Request r = client.newRequest();
            r.inode = file;
            r.offset = i * 8192L;
            r.length = 4096;
            r.setData(r.data, 4096);
            Memory.copyFromArray(data, 0, r.data, 4096);
            client.start(r, operation);
            requests.add(r);
        }
        int[] statuses = new int[8];
        for (int i = 0; i < 8; i++) {
            statuses[i] = client.await(requests.get(i));
        }
        return statuses;
    }

    private static void assertOnlyOneFailed(int failed, int[] statuses) {
        for (int i = 0; i < 8; i++) {
            assertEquals(i == failed ? -Errno.EIO : 0, statuses[i], "request " + i);
        }
    }

    /** The third read or write of data fails, the others do not. */
    private Predicate<BlockIo> blockOf(int operation, long diskOffset) {
        return io -> io.operation == operation
                && io.offsetBytes <= diskOffset
                && io.offsetBytes + io.lengthBytes > diskOffset;
    }

    private long diskOffset(long inode, long fileBlock) {
        Inode loaded = Objects.requireNonNull(fixture.fileSystem.volume().inodes.get(inode));
        ExtentCursor cursor = new ExtentCursor();
        Objects.requireNonNull(loaded.map).seek(fileBlock, cursor);
        assertEquals(ExtentCursor.WRITTEN, cursor.state);
        return cursor.diskBlock << 12;
    }

    @Test
    void aDataErrorReachesItsRequestAndNoOther() {
        long file = client.create(ROOT, "f");
        byte[] old = bytes(1, 4096);
        for (int i = 0; i < 8; i++) {
            client.write(file, i * 8192L, old);
        }
        assertEquals(0, client.fsync(file, false));
        device.fails = blockOf(BlockIo.READ, diskOffset(file, 10));
        assertOnlyOneFailed(5, eightAtOnce(FsOp.READ, file, old));
        device.fails = blockOf(BlockIo.WRITE, diskOffset(file, 6));
        assertOnlyOneFailed(3, eightAtOnce(FsOp.WRITE, file, bytes(2, 4096)));
        device.fails = io -> false;
        assertArrayEquals(old, client.read(file, 3 * 8192L, 4096), "the write that failed");
        assertArrayEquals(bytes(2, 4096), client.read(file, 2 * 8192L, 4096));
        assertFalse(fixture.store.isReadOnly());
        assertEquals(0, client.fsync(file, false));
        fixture.unmount();
        assertEquals(List.of(), Checks.run(device));
    }

    @Test
    void aWriteThatFailsMakesTheFileNoLongerAndTakesNoSpace() {
        long file = client.create(ROOT, "f");
        client.write(file, 0, bytes(1, 8192));
        long available = fixture.store.availableBlocks();
        device.fails = io -> io.operation == BlockIo.WRITE && !isLogWrite(io) && !isNodeWrite(io);
        assertEquals(-Errno.EIO, client.tryWrite(file, 0, 8192, bytes(2, 65536), 0));
        device.fails = io -> false;
        assertEquals(8192, client.getattr(file).sizeBytes);
        assertEquals(available, fixture.store.availableBlocks());
        assertArrayEquals(bytes(1, 8192), client.read(file, 0, 100_000));
        fixture.unmount();
        assertEquals(List.of(), Checks.run(device));
    }

    @Test
    void anErrorOfTheLogEndsChangesAndSaysSoOnce() {
        device.fails = DeviceErrorsTest::isLogWrite;
        assertReadOnlyFromNowOn("a write of the log failed with EIO");
    }

    @Test
    void anErrorOfAFlushEndsChanges() {
        device.fails = io -> io.operation == BlockIo.FLUSH;
        assertReadOnlyFromNowOn("a flush of the device failed with EIO");
    }

    @Test
    void anErrorOfANodeWriteEndsChanges() {
        device.fails = DeviceErrorsTest::isNodeWrite;
        assertReadOnlyFromNowOn("a write of the tree node at block ");
    }

    @Test
    void anErrorOfARootSlotEndsChanges() {
        device.fails = DeviceErrorsTest::isSlotWrite;
        assertReadOnlyFromNowOn("a write of root slot ");
    }

    private void assertReadOnlyFromNowOn(String why) {
        Predicate<BlockIo> error = device.fails;
        device.fails = io -> false;
        long synced = client.create(ROOT, "synced");
        client.write(synced, 0, bytes(1, 20_000));
        assertEquals(0, client.fsync(synced, false));
        long unsynced = client.create(ROOT, "unsynced");
        client.write(unsynced, 0, bytes(2, 20_000));
        device.fails = error;
        fixture.store.requestCheckpoint();
        for (int turns = 0; !fixture.store.isReadOnly(); turns++) {
            assertTrue(turns < 100_000, "nothing was written");
            fixture.reactor.runOnce();
        }
        assertEquals(-Errno.EIO, client.fsync(unsynced, false), "what is not durable");
        assertEquals(-Errno.EIO, fixture.store.failure());

        assertArrayEquals(bytes(1, 20_000), client.read(synced, 0, 20_000));
        assertArrayEquals(bytes(2, 20_000), client.read(unsynced, 0, 20_000));
        assertEquals(synced, client.lookup(ROOT, "synced"));
        assertEquals(4, client.list(ROOT, 100).size());
        assertEquals(-Errno.EROFS, client.tryCreate(ROOT, "new", 0));
        assertEquals(-Errno.EROFS, client.tryMkdir(ROOT, "dir"));
        assertEquals(-Errno.EROFS, client.tryUnlink(ROOT, "synced"));
        assertEquals(-Errno.EROFS, client.tryRename(ROOT, "synced", ROOT, "other", 0));
        assertEquals(-Errno.EROFS, client.tryWrite(synced, 0, 0, bytes(3, 4096), 0), "overwrite");
        assertEquals(-Errno.EROFS, client.tryWrite(synced, 0, 30_000, bytes(3, 4096), 0), "append");
        assertEquals(-Errno.EROFS, client.truncate(synced, 10));
        assertEquals(-Errno.EROFS, client.fallocate(synced, PUNCH, 100, 10_000));
        client.request.newAttributes.mode = 0;
        assertEquals(-Errno.EROFS, client.trySetattr(synced, FsRequest.SET_MODE));
        assertEquals(-Errno.EROFS, client.trySetxattr(synced, "user.a", new byte[10], 0));
        assertEquals(-Errno.EIO, client.fsync(unsynced, true));
        assertEquals(-Errno.EIO, client.call(FsOp.SYNCFS));
        assertArrayEquals(bytes(1, 20_000), client.read(synced, 0, 20_000), "no change was half done");
        assertOneLine(why);
        assertTrue(fixture.store.status().readOnly());
        assertTrue(fixture.store.status().failure().startsWith(why), fixture.store.failureText());

        fixture.crash();
        device.fails = io -> false;
        fixture.mount();
        client = fixture.newClient();
        assertArrayEquals(bytes(1, 20_000), client.read(client.lookup(ROOT, "synced"), 0, 30_000));
        client.create(ROOT, "new");
        fixture.unmount();
        assertEquals(List.of(), Checks.run(device));
    }

    private void assertOneLine(String why) {
        List<String> lines = logged.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(line -> line.contains("ERROR"))
                .toList();
        assertEquals(1, lines.size(), lines.toString());
        String line = lines.getFirst();
        assertTrue(line.contains(device.name()) && line.contains(why) && line.contains("read-only"), line);
        assertTrue(line.contains("Remedy: "), line);
    }

    @Test
    void everyRequestThatWaitedForTheLogIsAnswered() {
        List<FsTestClient.Request> requests = new ArrayList<>();
        device.fails = DeviceErrorsTest::isLogWrite;
        for (int i = 0; i < 64; i++) {
            FsTestClient.Request r = client.newRequest();
            r.inode = ROOT;
            r.mode = 0x1a4;
            r.setName("f" + i);
            client.start(r, FsOp.CREATE);
            requests.add(r);
            FsTestClient.Request sync = client.newRequest();
            sync.inode = ROOT;
            client.start(sync, FsOp.FSYNC);
            requests.add(sync);
        }
        int failed = 0;
        for (FsTestClient.Request r : requests) {
            int status = client.await(r);
            assertEquals(1, r.completions == 0 ? 1 : r.completions);
            assertTrue(
                    status == 0 || status == (r.operation == FsOp.FSYNC ? -Errno.EIO : -Errno.EROFS),
                    Errno.name(status));
            failed += status == 0 ? 0 : 1;
        }
        assertTrue(failed >= 64, failed + " failed");
        fixture.crash();
    }
}

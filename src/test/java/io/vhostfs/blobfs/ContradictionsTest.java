package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.ImageDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorClock;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.function.LongConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Metadata that cannot be true, with checksums that are right: the request that meets it fails, the file system is
 * read-only from then on, and neither its reactor nor what was answered before is lost.
 */
class ContradictionsTest {
    private static final int ROOT = 1;
    private static final int BLOCK = 4096;
    private static final int PUNCH = LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE;

    private final ImageDevice device = new ImageDevice(16 << 20);
    private final FsFixture fixture = new FsFixture(device, StoreOptions.DEFAULT);
    private FsTestClient client = fixture.newClient();
    private final long first = client.create(ROOT, "first");
    private final long second = client.create(ROOT, "second");
    private final long other = client.create(ROOT, "other");
    private final byte[] content = bytes(3 * BLOCK);

    private final ByteArrayOutputStream logged = new ByteArrayOutputStream();
    private final PrintStream realErr = System.err;

    @BeforeEach
    void captureLog() {
        System.setErr(new PrintStream(logged, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void releaseLog() {
        System.setErr(realErr);
        fixture.crash();
        device.close();
    }

    private static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    /** Changes an item as no operation would, in a group of its own. */
    private void putRaw(long k0, long k1, int length, LongConsumer value) {
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(length, 8).address();
            value.accept(at);
            BlobStore store = fixture.store;
            assertEquals(BlobStore.OK, store.prepare(k0, k1, length));
            assertEquals(BlobStore.OK, store.begin(BlobStore.logBytes(length)));
            store.put(k0, k1, at, length);
            assertEquals(BlobStore.OK, store.end());
        }
    }

    /** Where a block of a file in use lies. */
    private ExtentCursor seek(long inode, long block) {
        Inode loaded = Objects.requireNonNull(fixture.fileSystem.volume().inodes.get(inode));
        ExtentCursor cursor = new ExtentCursor();
        Objects.requireNonNull(loaded.map).seek(block, cursor);
        return cursor;
    }

    private void remount() {
        fixture.remount();
        client = fixture.newClient();
    }

    private long lookup(String name) {
        assertEquals(0, client.tryLookup(ROOT, name));
        return client.request.attributes.inode;
    }

    /** Both files have three blocks, and the same ones. */
    private void claimTwice() {
        client.write(first, 0, content);
        client.write(second, 0, content);
        ExtentCursor cursor = seek(first, 0);
        putRaw(second, Items.extentKey(0), Items.EXTENT_SIZE, at -> Items.encodeExtent(at, cursor.diskBlock, 3));
        client.write(other, 0, content);
        remount();
        assertEquals(first, lookup("first"));
        assertEquals(second, lookup("second"));
        assertEquals(other, lookup("other"));
        assertArrayEquals(content, client.read(second, 0, content.length));
    }

    enum Change {
        TRUNCATE,
        PUNCH,
        CLONE
    }

    private int change(Change change) {
        return switch (change) {
            case TRUNCATE -> client.truncate(second, 0);
            case PUNCH -> client.fallocate(second, PUNCH, BLOCK, BLOCK);
            case CLONE -> client.tryClone(other, 0, second, 0, 2 * BLOCK);
        };
    }

    @ParameterizedTest
    @EnumSource
    void blocksFreedTwiceEndChangesAndLoseNothing(Change change) {
        claimTwice();
        assertEquals(0, client.truncate(first, 0));
        long kept = client.create(ROOT, "answered, not synced");
        client.write(kept, 0, bytes(100));
        assertEquals(-Errno.EIO, change(change));
        assertTrue(fixture.store.isReadOnly());
        String text = fixture.store.failureText();
        assertTrue(text.matches("of blocks \\d+ to \\d+ some are freed and free already"), text);
        assertEquals(
                1, logged.toString(StandardCharsets.UTF_8).split("it is read-only|It is read-only", -1).length - 1);
        assertNull(fixture.reactor.failure());
        assertEquals(-Errno.EROFS, client.tryCreate(ROOT, "later", 0));
        assertEquals(-Errno.EROFS, client.tryWrite(other, 0, 0, content, 0));
        assertArrayEquals(content, client.read(other, 0, content.length));
        fixture.tryUnmount();
        fixture.mount();
        client = fixture.newClient();
        assertFalse(fixture.store.isReadOnly());
        assertArrayEquals(bytes(100), client.read(lookup("answered, not synced"), 0, 100));
        assertEquals(0, client.tryGetattr(lookup("first")));
        assertEquals(0, client.request.attributes.sizeBytes);
        assertEquals(0, client.tryLookup(ROOT, "other"));
        assertEquals(0, client.tryLookup(ROOT, "second"));
        assertEquals(content.length, client.request.attributes.sizeBytes);
    }

    @Test
    void anFsyncOfWhatCameBeforeIsAnsweredAndTrue() {
        claimTwice();
        assertEquals(0, client.truncate(first, 0));
        client.write(other, BLOCK, bytes(500));
        FsTestClient.Request sync = client.newRequest();
        sync.inode = other;
        client.start(sync, FsOp.FSYNC);
        assertEquals(-Errno.EIO, client.truncate(second, 0));
        assertEquals(0, client.await(sync));
        sync.inode = other;
        client.start(sync, FsOp.FSYNC);
        assertEquals(-Errno.EIO, client.await(sync));
        fixture.crash();
        fixture.mount();
        client = fixture.newClient();
        assertArrayEquals(bytes(500), client.read(lookup("other"), BLOCK, 500));
    }

    @Test
    void aSynchronousWriteOfWhatIsDamagedIsNotAnsweredWithSuccess() {
        claimTwice();
        assertEquals(3 * BLOCK, client.cloneRange(other, 0, second, 4 * BLOCK, 3 * BLOCK));
        // Nobody counts the second holder, and the first gives the blocks back.
        assertEquals(0, client.truncate(other, 0));
        long shared = lookup("second");
        ExtentCursor cursor = seek(shared, 4);
        assertEquals(ExtentCursor.SHARED, cursor.state);
        fixture.store.begin(BlobStore.RANGE_LOG_BYTES);
        fixture.store.free(cursor.diskBlock, 3);
        assertEquals(BlobStore.OK, fixture.store.end());
        assertEquals(-Errno.EIO, client.tryWrite(shared, 0, 4 * BLOCK, content, LibcConstants.O_DSYNC));
        assertTrue(fixture.store.isReadOnly());
    }

    @Test
    void anExtentOfFreeBlocksIsNotReadAndNothingElseSuffers() {
        client.write(first, 0, content);
        ExtentCursor cursor = seek(first, 0);
        fixture.store.begin(BlobStore.RANGE_LOG_BYTES);
        fixture.store.free(cursor.diskBlock, 3);
        assertEquals(BlobStore.OK, fixture.store.end());
        remount();
        assertEquals(-Errno.EIO, client.tryRead(lookup("first"), 0, 0, BLOCK));
        assertEquals(-Errno.EIO, client.truncate(lookup("first"), 0));
        assertFalse(fixture.store.isReadOnly());
        client.write(lookup("other"), 0, content);
        fixture.unmount();
    }

    @Test
    void aTreeNodeThatTheMapSaysIsFreeEndsChangesBeforeItIsOverwritten() {
        for (int i = 0; i < 500; i++) {
            client.create(ROOT, "file " + i);
        }
        fixture.unmount();
        DiskEditor editor = new DiskEditor(device);
        long node = editor.nodeBlocks().getLast();
        DiskEditor.Item map = editor.items().stream()
                .filter(i -> editor.get(i.slotOffset(), 8) == 0)
                .findFirst()
                .orElseThrow();
        editor.put(
                map.valueOffset() + (int) (node / 8),
                1,
                editor.get(map.valueOffset() + (int) (node / 8), 1) & ~(15 << node % 8));
        editor.sealAll();
        fixture.mount();
        client = fixture.newClient();
        for (int i = 0; i < 500; i++) {
            assertEquals(0, client.tryLookup(ROOT, "file " + i));
        }
        assertTrue(fixture.store.isReadOnly());
        assertTrue(fixture.store.failureText().contains("of blocks " + node), fixture.store.failureText());
        fixture.tryUnmount();
    }

    /** What nobody thought of ends as everything else: the clock stands for it. */
    @Test
    void anExceptionEndsTheFileSystemAndNotItsReactor() {
        fixture.unmount();
        boolean[] isBroken = {false};
        fixture.mount(Reactor.Config.named("test").withClock(new ReactorClock() {
            @Override
            public long monotonicNs() {
                return System.nanoTime();
            }

            @Override
            public long wallClockNs() {
                if (isBroken[0]) {
                    throw new ArrayIndexOutOfBoundsException("of a test");
                }
                return 1;
            }
        }));
        client = fixture.newClient();
        client.create(ROOT, "before");
        client.write(lookup("other"), 0, content);
        fixture.reactor.forgetWallClock();
        isBroken[0] = true;
        assertEquals(-Errno.EIO, client.tryCreate(ROOT, "never", 0));
        isBroken[0] = false;
        assertTrue(fixture.store.failureText().startsWith("an unexpected java.lang.ArrayIndex"));
        assertInstanceOf(ArrayIndexOutOfBoundsException.class, fixture.store.unexpected());
        assertEquals(-Errno.EROFS, client.tryCreate(ROOT, "later", 0));
        assertArrayEquals(content, client.read(lookup("other"), 0, content.length));
        assertNull(fixture.reactor.failure());
        fixture.tryUnmount();
        fixture.mount();
        client = fixture.newClient();
        lookup("before");
        assertEquals(-Errno.ENOENT, client.tryLookup(ROOT, "never"));
        fixture.unmount();
        assertEquals(List.of(), Checks.run(device));
    }

    @Test
    void memoryIsNotReadBehindAValueThatIsTooShort() {
        putRaw(Items.SYSTEM, Items.orphanKey(first), 0, at -> {});
        putRaw(first, Items.INLINE_KEY, 8, at -> Memory.putLong(at, Items.VERSION));
        remount();
        fixture.settle();
        assertEquals(0, client.tryRead(lookup("first"), 0, 0, 10));
        fixture.unmount();
    }
}

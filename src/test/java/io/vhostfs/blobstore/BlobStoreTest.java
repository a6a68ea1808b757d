package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.os.Errno;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BlobStoreTest {
    private static final StoreOptions SMALL = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);

    private static final StoreOptions TINY = StoreOptions.DEFAULT.withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES);

    static long[] seeds() {
        return new long[] {1, 2, new Random().nextLong()};
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void holdsWhatAMapHolds(long seed) {
        try (MallocDevice device = new MallocDevice(64 << 20)) {
            StoreModel model = new StoreModel(seed, device, SMALL);
            for (int i = 0; i < 10_000; i++) {
                assertEquals(BlobStore.OK, model.change());
                model.checkFind();
                model.checkCeiling();
                model.checkFloor();
                if (i % 5000 == 0) {
                    model.checkAll();
                }
            }
            model.checkAll();
            model.store.closeBlocking();
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void holdsTheSameAfterItWasClosedAndOpened(long seed) {
        try (MallocDevice device = new MallocDevice(64 << 20)) {
            StoreModel model = new StoreModel(seed, device, SMALL);
            for (int round = 0; round < 10; round++) {
                for (int i = 0; i < 1000; i++) {
                    model.change();
                    model.changeSpace();
                    if (i % 300 == 0) {
                        model.checkpoint();
                    }
                }
                model.checkAll();
                model.store.closeBlocking();
                model.reopen();
                model.checkAll();
            }
            model.store.closeBlocking();
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void losesNothingCommittedAndNoHalfGroupInACrash(long seed) {
        StoreModel model = new StoreModel(seed, new CrashDevice(32 << 20, new Random(seed)), SMALL);
        crashRepeatedly(seed, model, 25, 400);
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void losesNothingInACrashWhenTheCacheIsSmall(long seed) {
        StoreModel model = new StoreModel(seed, new CrashDevice(128 << 20, new Random(seed)), TINY);
        model.keySpace = 30_000;
        model.maxValueBytes = 800;
        crashRepeatedly(seed, model, 9, 2000);
        assertTrue(model.store.treeNodes() > NodeCache.MIN_FRAMES, model.store.treeNodes() + " nodes");
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void losesNothingInACrashOfAFullStore(long seed) {
        StoreModel model = new StoreModel(seed, new CrashDevice(12 << 20, new Random(seed)), SMALL);
        model.maxValueBytes = 1500;
        while (model.noSpace < 10) {
            model.change();
            model.allocateRun(0, 20);
        }
        crashRepeatedly(seed, model, 15, 150);
    }

    private static void crashRepeatedly(long seed, StoreModel model, int crashes, int maxSteps) {
        Random random = new Random(~seed);
        CrashDevice device = (CrashDevice) model.device;
        for (int crash = 0; crash < crashes; crash++) {
            long committed = 0;
            int steps = random.nextInt(maxSteps);
            for (int i = 0; i < steps; i++) {
                model.change();
                model.changeSpace();
                switch (random.nextInt(60)) {
                    case 0 -> {
                        assertEquals(0, model.commit());
                        committed = model.store.sequence();
                    }
                    case 1 -> model.store.requestCheckpoint();
                    case 2 -> model.checkFind();
                    default -> model.turn(random.nextInt(20));
                }
            }
            if (random.nextInt(4) == 0) {
                device.kill();
            } else {
                device.crash(random, random.nextInt(101));
            }
            model.store.abandon();
            model.reopen();
            if (random.nextInt(3) == 0) {
                // Once more before anything was done.
                device.crash(random, random.nextInt(101));
                model.store.abandon();
                model.reopen();
            }
            long kept = model.store.sequence();
            assertTrue(kept >= committed, "committed " + committed + ", kept " + kept);
            model.rollBackTo(kept);
            model.checkAll();
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void worksWithATreeFarLargerThanItsCache(long seed) {
        Random random = new Random(seed);
        CrashDevice device = new CrashDevice(256 << 20, random);
        StoreModel model = new StoreModel(seed, device, TINY);
        model.keySpace = 60_000;
        model.maxValueBytes = 600;
        for (int i = 0; i < 10_000; i++) {
            assertEquals(BlobStore.OK, model.change());
            if (i % 8 == 0) {
                model.checkFind();
                model.checkCeiling();
                model.checkFloor();
            }
        }
        model.checkAll();
        model.store.closeBlocking();
        model.reopen();
        model.checkAll();
        assertTrue(model.store.treeNodes() > 2 * NodeCache.MIN_FRAMES, model.store.treeNodes() + " nodes");
        model.store.abandon();
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void saysNoSpaceWhenFullAndStillDeletes(long seed) {
        Random random = new Random(seed);
        CrashDevice device = new CrashDevice(16 << 20, random);
        StoreModel model = new StoreModel(seed, device, SMALL);
        model.keySpace = 20_000;
        model.maxValueBytes = 2000;
        for (int round = 0; round < 4; round++) {
            model.noSpace = 0;
            while (model.noSpace < 100) {
                if (random.nextInt(4) == 0) {
                    model.allocateRun(0, 1 + random.nextInt(30));
                } else {
                    model.change();
                }
            }
            assertEquals(0, model.store.failure());
            model.checkAll();
            if (random.nextBoolean()) {
                model.store.closeBlocking();
                model.reopen();
                model.checkAll();
            }
            while (!model.items.isEmpty() || !model.runs.isEmpty()) {
                model.deleteSomething();
            }
            model.checkAll();
            model.checkpoint();
            model.checkpoint();
            assertEquals(1, model.store.treeHeight());
        }
        model.store.closeBlocking();
    }

    @Test
    void blocksOfAFreedRunAreNotGivenAwayWhileAnIoIsInFlight() {
        CrashDevice device = new CrashDevice(12 << 20, null);
        StoreModel model = new StoreModel(1, device, SMALL);
        while (model.noSpace == 0) {
            model.allocateRun(0, 64);
        }
        int epoch = model.store.ioStarted(3);
        long freed = model.runs.firstKey();
        int blocks = model.runs.firstEntry().getValue();
        assertEquals(BlobStore.OK, model.freeRun(freed));
        model.checkpoint();
        model.checkpoint();
        model.turn(100);
        assertEquals(BlobStore.NOT_RESIDENT, model.store.reserve(freed, blocks));
        boolean[] woken = new boolean[1];
        model.store.park(new BlobStore.Parkable() {
            @Override
            public void unpark() {
                woken[0] = true;
            }
        });
        model.turn(100);
        assertFalse(woken[0]);
        model.store.ioEnded(3, epoch);
        model.store.driveUntil(() -> woken[0]);
        assertEquals(BlobStore.OK, model.store.reserve(freed, blocks));
        assertEquals(freed, model.store.reservedBlock);
        model.store.abandon();
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void aWriteErrorEndsChangesButNotReading(long seed) {
        Random random = new Random(seed);
        CrashDevice device = new CrashDevice(32 << 20, random);
        StoreModel model = new StoreModel(seed, device, SMALL);
        for (int i = 0; i < 500; i++) {
            model.change();
        }
        assertEquals(0, model.commit());
        long committed = model.store.sequence();
        device.failWritesAfter = random.nextInt(40);
        int status = 0;
        for (int i = 0; i < 3000 && status == 0; i++) {
            status = model.change();
            if (status == 0 && i % 20 == 0) {
                model.store.requestCheckpoint();
                status = model.commit();
            }
        }
        assertTrue(status == -Errno.EIO || status == -Errno.EROFS, Errno.name(status));
        assertEquals(-Errno.EIO, model.store.failure());
        assertFalse(model.store.failureText().isEmpty());
        assertEquals(-Errno.EROFS, model.change());
        assertEquals(-Errno.EIO, model.commit());
        model.checkFind();
        assertThrows(StoreException.class, model.store::closeBlocking);
        device.failWritesAfter = Long.MAX_VALUE;
        device.crash(random, 50);
        model.reopen();
        assertTrue(model.store.sequence() >= committed);
        model.rollBackTo(model.store.sequence());
        model.checkAll();
        model.store.abandon();
    }

    @Test
    void commitsAndFlushesCoalesce() {
        CrashDevice device = new CrashDevice(32 << 20, new Random(5));
        StoreModel model = new StoreModel(5, device, SMALL);
        model.change();
        assertEquals(0, model.commit());
        long writes = device.writes;
        long flushes = device.flushes;
        int[] done = new int[1];
        for (int i = 0; i < 50; i++) {
            model.change();
            model.store.noteDataWrite(0);
            model.store.commit(new CountingWaiter(done));
            model.store.flush(new CountingWaiter(done));
        }
        model.store.driveUntil(() -> done[0] == 100);
        assertEquals(writes + 1, device.writes);
        assertTrue(device.flushes - flushes <= 2, device.flushes - flushes + " flushes");
        assertEquals(model.store.sequence(), model.store.committedSequence());
        model.store.flush(new CountingWaiter(done));
        model.store.driveUntil(() -> done[0] == 101);
        assertTrue(device.flushes - flushes <= 2, "a flush of nothing");
        model.store.abandon();
    }

    private static final class CountingWaiter extends BlobStore.CommitWaiter {
        private final int[] done;

        CountingWaiter(int[] done) {
            this.done = done;
        }

        @Override
        public void onCommitted(int status) {
            assertEquals(0, status);
            done[0]++;
        }
    }

    @Test
    void anOpenStoreOfReadOnlyKindWritesNothingAndHasTheLog() {
        CrashDevice device = new CrashDevice(32 << 20, null);
        StoreModel model = new StoreModel(9, device, SMALL);
        for (int i = 0; i < 2000; i++) {
            model.change();
        }
        assertEquals(0, model.commit());
        model.store.abandon();
        long writes = device.writes;
        model.store = BlobStore.open(device, SMALL.withReadOnly());
        model.checkAll();
        assertEquals(-Errno.EROFS, model.store.prepare(1, 1, 1));
        assertEquals(-Errno.EROFS, model.store.begin(10));
        assertEquals(-Errno.EROFS, model.store.reserve(0, 1));
        model.store.closeBlocking();
        assertEquals(writes, device.writes);
    }
}

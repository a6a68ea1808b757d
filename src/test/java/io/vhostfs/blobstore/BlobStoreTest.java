package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BlobStoreTest {
    private static final StoreOptions SMALL = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);

    static long[] seeds() {
        return new long[] {1, 2, 3, new Random().nextLong()};
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void holdsWhatAMapHolds(long seed) {
        try (MallocDevice device = new MallocDevice(64 << 20)) {
            StoreModel model = new StoreModel(seed, device, SMALL);
            for (int i = 0; i < 20_000; i++) {
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
        Random random = new Random(seed);
        CrashDevice device = new CrashDevice(32 << 20, random);
        StoreModel model = new StoreModel(seed, device, SMALL);
        for (int crash = 0; crash < 40; crash++) {
            long committed = 0;
            int steps = random.nextInt(400);
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
        StoreModel model = new StoreModel(
                seed, device, StoreOptions.DEFAULT.withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES));
        model.keySpace = 60_000;
        model.maxValueBytes = 600;
        for (int i = 0; i < 15_000; i++) {
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
}

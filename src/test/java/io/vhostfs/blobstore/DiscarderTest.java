package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a disk is told to forget is what nobody needs: on this one it turns to garbage at once. */
class DiscarderTest {
    private static final StoreOptions DISCARDS =
            StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20).withDiscard(true);
    private static final int BLOCK = BlobStore.BLOCK_SIZE;

    static long[] seeds() {
        return new long[] {1, 2, new Random().nextLong()};
    }

    private static StoreModel model(long seed, CrashDevice device) {
        device.discards = true;
        StoreModel model = new StoreModel(seed, device, DISCARDS);
        model.serve();
        return model;
    }

    /** Allocates a run of exactly that length. */
    private static long allocate(StoreModel model, int blocks) {
        while (true) {
            int before = model.runs.size();
            assertEquals(BlobStore.OK, model.allocateRun(0, blocks));
            if (model.runs.size() > before && model.runs.containsValue(blocks)) {
                return model.runs.entrySet().stream()
                        .filter(run -> run.getValue() == blocks)
                        .findFirst()
                        .orElseThrow()
                        .getKey();
            }
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void nothingThatIsInUseIsEverDiscardedAlsoNotAfterACrash(long seed) {
        Random random = new Random(~seed);
        CrashDevice device = new CrashDevice(32 << 20, new Random(seed));
        StoreModel model = model(seed, device);
        for (int crash = 0; crash < 20; crash++) {
            int steps = random.nextInt(500);
            for (int i = 0; i < steps; i++) {
                if (i % 8 == 0) {
                    model.change();
                }
                model.changeSpace();
                switch (random.nextInt(40)) {
                    case 0 -> assertEquals(0, model.commit());
                    case 1 -> model.store.requestCheckpoint();
                    case 2 -> model.checkData();
                    default -> model.turn(random.nextInt(20));
                }
            }
            device.crash(random, random.nextInt(101));
            model.store.abandon();
            model.reopen();
            model.serve();
            model.rollBackTo(model.store.sequence());
            model.checkAll();
        }
        assertTrue(device.discardedBytes > 1 << 20, device.discardedBytes + " bytes discarded");
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void aFullStoreDoesNotWaitForDiscardsAndSaysNoSpaceOnlyWhenThereIsNone(long seed) {
        CrashDevice device = new CrashDevice(12 << 20, new Random(seed));
        StoreModel model = model(seed, device);
        for (int round = 0; round < 6; round++) {
            model.noSpace = 0;
            while (model.noSpace < 3) {
                model.allocateRun(0, 64);
            }
            assertTrue(model.store.availableBlocks() < 100, model.store.availableBlocks() + " blocks left");
            while (model.runs.size() > 3) {
                assertEquals(BlobStore.OK, model.freeRun(model.randomRun()));
            }
        }
        model.checkAll();
        assertEquals(0, model.store.failure());
        model.store.closeBlocking();
    }

    @Test
    void discardsAfterTheCheckpointThatFreedAndWhenNoReadIsUnderWay() {
        CrashDevice device = new CrashDevice(32 << 20, null);
        StoreModel model = model(5, device);
        long block = allocate(model, 40);
        model.checkpoint();
        int epoch = model.store.ioStarted(0);
        assertEquals(BlobStore.OK, model.freeRun(block));
        assertEquals(0, model.commit());
        model.turn(100);
        assertEquals(0, device.discardedBytes, "no checkpoint yet");
        model.checkpoint();
        model.turn(100);
        assertEquals(0, device.discardedBytes, "a read is under way");
        model.store.ioEnded(0, epoch);
        model.turn(100);
        assertEquals(40 * BLOCK, device.discardedBytes);
        assertEquals(40, model.store.discardedBlocks());
        model.store.closeBlocking();
    }

    @Test
    void longRunsGoInPieces() {
        CrashDevice device = new CrashDevice(64 << 20, new Random(3));
        StoreModel model = model(6, device);
        int blocks = Discarder.MAX_BLOCKS * 2 + 100;
        long block = allocate(model, blocks);
        assertEquals(BlobStore.OK, model.freeRun(block));
        model.checkpoint();
        model.store.driveUntil(() -> model.store.discardedBlocks() > 0);
        assertEquals(Discarder.MAX_BLOCKS, model.store.discardedBlocks());
        model.store.driveUntil(() -> model.store.discardedBlocks() == blocks);
        model.store.closeBlocking();
    }

    @Test
    void shortRunsAreGathered() {
        CrashDevice device = new CrashDevice(32 << 20, null);
        StoreModel model = model(7, device);
        List<Long> singles = new ArrayList<>();
        while (model.runs.size() < 4 * Discarder.MIN_BLOCKS) {
            model.allocateRun(0, 1);
        }
        singles.addAll(model.runs.keySet());
        for (long block : singles) {
            assertEquals(0, device.discardedBytes);
            assertEquals(BlobStore.OK, model.freeRun(block));
        }
        model.checkpoint();
        model.turn(100);
        assertTrue(device.discardedBytes >= 3L * Discarder.MIN_BLOCKS * BLOCK, device.discardedBytes + " bytes");
        assertEquals(0, device.discardedBytes % (Discarder.MIN_BLOCKS * BLOCK));
        model.store.closeBlocking();
    }

    @Test
    void anErrorEndsDiscardingAndNothingElse() {
        CrashDevice device = new CrashDevice(32 << 20, new Random(4));
        StoreModel model = model(8, device);
        device.failDiscardsAfter = 0;
        long available = model.store.availableBlocks();
        for (int round = 0; round < 3; round++) {
            long block = allocate(model, 200);
            assertEquals(BlobStore.OK, model.freeRun(block));
            model.checkpoint();
            model.turn(1000);
        }
        assertEquals(0, model.store.discardedBlocks());
        assertEquals(-1, device.failDiscardsAfter, "one was tried");
        assertEquals(0, model.store.failure());
        while (model.noSpace == 0) {
            model.allocateRun(0, 500);
        }
        assertTrue(model.runs.values().stream().mapToInt(n -> n).sum() > available * 9 / 10, "all can be used again");
        model.store.closeBlocking();
    }

    @Test
    void aTrimDiscardsAllThatIsFreeAndNothingElse() {
        CrashDevice device = new CrashDevice(64 << 20, new Random(5));
        device.discards = true;
        StoreModel model = new StoreModel(10, device, DISCARDS.withDiscard(false));
        for (int i = 0; i < 400; i++) {
            model.change();
            model.changeSpace();
        }
        assertEquals(0, model.commit());
        long trimmed = model.store.trimBlocking();
        assertEquals(trimmed * BLOCK, device.discardedBytes);
        long free = model.store.totalBlocks() - model.store.usedBlocks();
        assertTrue(trimmed <= free && trimmed > free * 9 / 10, trimmed + " of " + free + " free blocks");
        model.checkAll();
        model.store.closeBlocking();
        model.reopen();
        model.checkAll();
        device.failDiscardsAfter = 1;
        assertEquals(
                StoreException.Kind.IO,
                assertThrows(StoreException.class, () -> model.store.trimBlocking())
                        .kind());
        model.store.closeBlocking();
    }

    @Test
    void whoDoesNotAskForItDiscardsNothing() {
        CrashDevice device = new CrashDevice(32 << 20, null);
        device.discards = true;
        StoreModel model = new StoreModel(9, device, DISCARDS.withDiscard(false));
        model.serve();
        assertEquals(BlobStore.OK, model.freeRun(allocate(model, 200)));
        model.checkpoint();
        model.turn(100);
        assertEquals(0, device.discardedBytes);
        model.store.closeBlocking();
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.blobstore.StoreException.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class StoreGrowTest {
    private static final StoreOptions SMALL = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);
    private static final long BLOCK = BlobStore.BLOCK_SIZE;

    static long[] seeds() {
        return new long[] {1, 2, new Random().nextLong()};
    }

    /** Not sound: the problems. */
    private static List<String> check(CrashDevice device) {
        List<String> problems = new ArrayList<>();
        BlobStore.check(device, problems::add, null);
        return problems;
    }

    @Test
    void aFullStoreHasRoomAgainAndKeepsIt() {
        CrashDevice device = new CrashDevice(8 << 20, null);
        StoreModel model = new StoreModel(7, device, SMALL);
        while (model.noSpace == 0) {
            model.allocateRun(0, 40);
        }
        long available = model.store.availableBlocks();
        device.enlarge(80 << 20);
        model.store.growBlocking((80 << 20) / BLOCK);
        assertEquals((80 << 20) / BLOCK, model.store.totalBlocks());
        long more = model.store.availableBlocks() - available;
        assertTrue(more > 0.97 * (72 << 20) / BLOCK, more + " more blocks are available");
        while (model.noSpace == 1) {
            model.allocateRun(0, 40);
        }
        assertTrue(model.runs.lastKey() > (79 << 20) / BLOCK, "the end is used: " + model.runs.lastKey());
        model.checkAll();
        model.store.closeBlocking();
        assertEquals(List.of(), check(device));
        model.reopen();
        assertEquals((80 << 20) / BLOCK, model.store.totalBlocks());
        model.checkAll();
        model.store.closeBlocking();
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void aCutAtAnyWriteLeavesTheOldSizeOrTheNew(long seed) {
        int grown = 0;
        int cuts = 0;
        boolean ended = false;
        for (int write = 0; !ended; write++) {
            Random random = new Random(seed + write);
            CrashDevice device = new CrashDevice((4 << 20) + random.nextInt(1000) * BLOCK, null);
            StoreModel model = new StoreModel(seed, device, SMALL);
            for (int i = 0; i < 30; i++) {
                model.change();
                model.changeSpace();
            }
            assertEquals(0, model.commit());
            long oldBlocks = model.store.totalBlocks();
            long newBlocks = oldBlocks + 1 + random.nextInt(40_000);
            device.enlarge(newBlocks * BLOCK);
            device.cutAtWrite(write, random);
            try {
                model.store.growBlocking(newBlocks);
                ended = true;
            } catch (StoreException e) {
                assertEquals(Kind.IO, e.kind());
                cuts++;
            }
            device.crash(random, random.nextInt(101));
            model.store.abandon();
            device.cutAtWrite(Long.MAX_VALUE, random);
            assertEquals(List.of(), check(device), "cut at write " + write);
            model.reopen();
            long blocks = model.store.totalBlocks();
            assertTrue(
                    blocks == newBlocks || (blocks == oldBlocks && !ended), blocks + " blocks, cut at write " + write);
            grown += blocks == newBlocks ? 1 : 0;
            model.checkAll();
            while (model.noSpace == 0) {
                model.allocateRun(0, 200);
            }
            model.checkAll();
            model.store.closeBlocking();
            assertEquals(List.of(), check(device));
        }
        assertTrue(cuts >= 3 && grown >= 2 && grown <= cuts, cuts + " cuts, grown after " + grown);
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void growsAgainAndAgainBesideChangesAndCrashes(long seed) {
        Random random = new Random(~seed);
        CrashDevice device = new CrashDevice(6 << 20, new Random(seed));
        StoreModel model = new StoreModel(seed, device, SMALL);
        long least = model.store.totalBlocks();
        for (int round = 0; round < 25; round++) {
            long[] growing = {least};
            boolean[] grown = {false};
            for (int i = 0; i < 120; i++) {
                model.change();
                model.changeSpace();
                model.turn(random.nextInt(20));
                if (growing[0] == least && random.nextInt(60) == 0) {
                    growing[0] = least + 1 + random.nextInt(6000);
                    device.enlarge(growing[0] * BLOCK);
                    assertTrue(model.store.grow(model.store.prepareGrowth(growing[0]), new BlobStore.CommitWaiter() {
                        @Override
                        public void onCommitted(int status) {
                            assertEquals(0, status);
                            grown[0] = true;
                        }
                    }));
                }
                assertEquals(grown[0] ? growing[0] : least, model.store.totalBlocks());
            }
            device.crash(random, random.nextInt(101));
            model.store.abandon();
            model.reopen();
            long blocks = model.store.totalBlocks();
            assertTrue(blocks == growing[0] || (blocks == least && !grown[0]), blocks + " blocks");
            least = blocks;
            model.rollBackTo(model.store.sequence());
            model.checkAll();
        }
        model.store.closeBlocking();
        assertEquals(List.of(), check(device));
        assertTrue(least > (6 << 20) / BLOCK, "it grew");
    }

    @Test
    void refusesWhatIsNoGrowth() {
        CrashDevice device = new CrashDevice(8 << 20, null);
        StoreModel model = new StoreModel(3, device, SMALL);
        long blocks = model.store.totalBlocks();
        for (long wrong : new long[] {0, blocks - 1, blocks, blocks + 1, Long.MAX_VALUE}) {
            StoreException e = assertThrows(StoreException.class, () -> model.store.prepareGrowth(wrong));
            assertEquals(Kind.UNUSABLE, e.kind());
            assertTrue(String.valueOf(e.getMessage()).contains("enlarge the device first"), e.getMessage());
        }
        device.enlarge(16 << 20);
        BlobStore.Growth some = model.store.prepareGrowth(blocks + 1);
        BlobStore.Growth more = model.store.prepareGrowth(blocks + 2);
        int[] called = {0};
        BlobStore.CommitWaiter waiter = new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int status) {
                assertEquals(0, status);
                called[0]++;
            }
        };
        assertTrue(model.store.grow(more, waiter));
        assertFalse(model.store.grow(some, waiter), "one at a time");
        model.store.driveUntil(() -> called[0] > 0);
        assertFalse(model.store.grow(some, waiter), "it is larger already");
        model.store.closeBlocking();
        assertEquals(1, called[0]);
    }

    @Test
    void aDeviceThatIsSmallerThanItsStoreIsRefusedAndNamed() {
        CrashDevice device = new CrashDevice(8 << 20, null);
        StoreModel model = new StoreModel(4, device, SMALL);
        device.enlarge(16 << 20);
        model.store.growBlocking((16 << 20) / BLOCK);
        model.store.closeBlocking();
        device.enlarge(12 << 20);
        StoreException e = assertThrows(StoreException.class, model::reopen);
        assertEquals(Kind.DAMAGED, e.kind());
        assertTrue(
                String.valueOf(e.getMessage()).contains("covers 4096 blocks, but the device has only 3072"),
                e.getMessage());
        assertTrue(
                check(device).toString().contains("covers 4096 blocks"),
                check(device).toString());
    }

    @Test
    void aStoreThatFailedDoesNotGrow() {
        CrashDevice device = new CrashDevice(8 << 20, null);
        StoreModel model = new StoreModel(5, device, SMALL);
        device.enlarge(16 << 20);
        device.failWritesAfter = 0;
        assertThrows(StoreException.class, () -> model.store.growBlocking((16 << 20) / BLOCK));
        assertEquals((8 << 20) / BLOCK, model.store.totalBlocks());
        model.store.abandon();
    }
}

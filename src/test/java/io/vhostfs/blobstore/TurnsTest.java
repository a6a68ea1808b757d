package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.memory.PermanentMemory;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** What a checkpoint does in one turn of the reactor is bounded, however much there is to do; changes pass between turns. */
class TurnsTest {
    private static final int NODES_PER_TURN = 32;

    private long longestNs;

    private void turn(StoreModel model) {
        long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        model.turn(1);
        longestNs = Math.max(longestNs, ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start);
    }

    private void print(String what) {
        System.out.printf(Locale.ROOT, "%s: longest turn %.3f ms of processor time%n", what, longestNs / 1e6);
    }

    @Test
    void aCheckpointOfManyNodesTakesManyTurnsAndChangesPassMeanwhile() {
        try (MallocDevice device = new MallocDevice(512 << 20)) {
            StoreModel model =
                    new StoreModel(11, device, StoreOptions.DEFAULT.withIntervals(1_000_000_000L, 3_600_000_000_000L));
            // Memory touched for the first time costs milliseconds per hugepage; that is not the store's time.
            try (BlockingIo io = new BlockingIo(device)) {
                long zeroes = PermanentMemory.allocate(1 << 20);
                for (long at = 0; at < device.capacityBytes(); at += 1 << 20) {
                    io.write(at, zeroes, 1 << 20);
                }
            }
            // A log so long that the checkpoint starts when it is asked for, not before.
            model.store.abandon();
            BlobStore.format(device, new FormatOptions(new UUID(1, 2), "turns", 64 << 20, 99, 0));
            model.reopen();
            model.keySpace = 60_000;
            model.maxValueBytes = 2000;
            while (model.store.cache().dirtyFrames() < 1200) {
                assertEquals(BlobStore.OK, model.change());
            }
            long before = model.store.checkpointsCompleted();
            int dirty = model.store.cache().dirtyFrames();
            long written = model.store.nodesWritten();
            model.store.requestCheckpoint();
            int turns = 0;
            int changes = 0;
            while (model.store.checkpointsCompleted() == before) {
                long nodes = model.store.nodesWritten();
                turn(model);
                turns++;
                long inTurn = model.store.nodesWritten() - nodes;
                assertTrue(inTurn <= NODES_PER_TURN, inTurn + " nodes in one turn");
                long group = model.store.sequence();
                assertEquals(BlobStore.OK, model.change());
                changes += (int) (model.store.sequence() - group);
            }
            print(dirty + " dirty nodes in " + turns + " turns, " + changes + " changes meanwhile");
            assertTrue(model.store.nodesWritten() - written >= dirty);
            assertTrue(turns >= dirty / NODES_PER_TURN, turns + " turns");
            assertTrue(changes >= turns, changes + " changes");
            model.checkAll();
            model.store.closeBlocking();
        }
    }

    @Test
    void manyFreedRangesComeBackInSteps() {
        int runs = 5 * SpaceMap.RANGES_PER_STEP;
        try (MallocDevice device = new MallocDevice(512 << 20)) {
            StoreModel model = new StoreModel(12, device, StoreOptions.DEFAULT);
            List<Long> blocks = new ArrayList<>();
            for (int i = 0; i < 2 * runs; i++) {
                assertEquals(BlobStore.OK, model.run(() -> model.store.reserve(0, 1)));
                long block = model.store.reservedBlock;
                assertEquals(BlobStore.OK, model.run(() -> model.store.begin(BlobStore.RANGE_LOG_BYTES)));
                model.store.markUsed(block, 1);
                model.store.end();
                blocks.add(block);
            }
            for (int i = 0; i < 2 * runs; i += 2) {
                assertEquals(BlobStore.OK, model.run(() -> model.store.begin(BlobStore.RANGE_LOG_BYTES)));
                model.store.free(blocks.get(i), 1);
                model.store.end();
            }
            long before = model.store.checkpointsCompleted();
            model.store.requestCheckpoint();
            int steps = 0;
            while (model.store.checkpointsCompleted() == before
                    || model.store.space().isDraining()) {
                steps += model.store.space().isDraining() ? 1 : 0;
                turn(model);
            }
            print(runs + " ranges in " + steps + " turns");
            assertTrue(steps >= runs / SpaceMap.RANGES_PER_STEP - 1, steps + " turns");
            model.store.abandon();
        }
    }
}

package io.vhostfs.target;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreStatus;
import java.util.List;
import java.util.Locale;

/**
 * How a target is doing, at one moment. Immutable.
 *
 * @param stores in the order of the configuration
 * @param reactors likewise
 */
public record TargetStatus(List<Store> stores, List<Turns> reactors) {
    /**
     * A store by the name of its device.
     *
     * @param device what the device has counted; empty when it counts nothing
     */
    public record Store(String name, StoreStatus status, String device) {}

    /**
     * A reactor's work since it was started.
     *
     * @param turns turns so far
     * @param busyTurns of these, those that found something to do
     * @param sleeps times that it went to sleep
     * @param failures messages and timers that threw: what they were about may be lost
     * @param longestSpanNs the longest time that a few turns in a row took, one of them busy: no turn was longer
     */
    public record Turns(String name, long turns, long busyTurns, long sleeps, long failures, long longestSpanNs) {}

    public TargetStatus {
        stores = List.copyOf(stores);
        reactors = List.copyOf(reactors);
    }

    /** For people, a line for each store and reactor. */
    public String text() {
        StringBuilder out = new StringBuilder();
        for (Store store : stores) {
            out.append(line(store.name(), store.status())).append('\n');
            if (!store.device().isEmpty()) {
                out.append("device ")
                        .append(store.name())
                        .append(": ")
                        .append(store.device())
                        .append('\n');
            }
        }
        for (Turns r : reactors) {
            out.append(String.format(
                    Locale.ROOT,
                    "reactor %s: %d turns, %d busy, %d sleeps, %d failures, longest busy span %.3f ms%n",
                    r.name(),
                    r.turns(),
                    r.busyTurns(),
                    r.sleeps(),
                    r.failures(),
                    r.longestSpanNs() / 1e6));
        }
        return out.toString();
    }

    private static String line(String name, StoreStatus s) {
        return String.format(
                Locale.ROOT,
                "store %s: %s; %s of %s available; tree of %d nodes, %d of %d in the cache dirty; log %.0f %% full;"
                        + " %d changes, %d log writes, %d checkpoints, %d changes delayed, %d damaged nodes met",
                name,
                state(s),
                size(s.availableBlocks()),
                size(s.totalBlocks()),
                s.treeNodes(),
                s.dirtyNodes(),
                s.cacheNodes(),
                100.0 * s.logUsedBlocks() / s.logBlocks(),
                s.groups(),
                s.logRecords(),
                s.checkpoints(),
                s.delayedChanges(),
                s.damagedReads());
    }

    private static String state(StoreStatus s) {
        if (!s.failure().isEmpty()) {
            return "READ-ONLY since " + s.failure();
        }
        return s.readOnly() ? "read-only" : "ok";
    }

    private static String size(long blocks) {
        return BlockDeviceSpec.formatSize(blocks * BlobStore.BLOCK_SIZE);
    }
}

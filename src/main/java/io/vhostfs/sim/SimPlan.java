package io.vhostfs.sim;

import io.vhostfs.blobstore.StoreOptions;

/**
 * What a seed is about: the disk, the faults, how the guest behaves. Drawn once; immutable but for the faults' counters.
 *
 * @param disk the disk
 * @param faults what goes wrong besides power cuts
 * @param small whether the disk may be full
 * @param logBytes size of the log
 * @param options of the store
 * @param concurrency requests that a guest has in flight
 * @param syncPercent how many operations are syncs
 * @param maxInodes how many inodes there are at most
 * @param maxFileBytes how large a file gets
 * @param operationsPerCrash how many operations there are about between two crashes
 * @param discards whether the disk takes discards, and is trimmed now and then
 * @param grows whether the disk becomes larger now and then, and the store with it
 */
record SimPlan(
        DiskProfile disk,
        DiskFaults faults,
        boolean small,
        long logBytes,
        StoreOptions options,
        int concurrency,
        int syncPercent,
        int maxInodes,
        int maxFileBytes,
        int operationsPerCrash,
        boolean discards,
        boolean grows) {
    private static final long MS = 1_000_000L;

    static SimPlan draw(SimRandom random) {
        boolean damaged = random.percent(15);
        // On a small disk places are used again soon: a lost write leaves an old node there.
        boolean small = random.percent(damaged ? 60 : 20);
        DiskProfile disk = DiskProfile.draw(random, small);
        DiskFaults faults = new DiskFaults(random.split());
        if (damaged) {
            faults.onlyNodes = random.percent(70);
            faults.maxDamage = random.pick(1, 1, 3);
            faults.lostWrites = random.pick(0, 10_000, 50_000);
            faults.misdirectedWrites = random.pick(0, 0, 3000);
            faults.rot = random.pick(0, 20_000, 100_000);
        } else if (random.percent(15)) {
            faults.readErrors = random.pick(0, 200, 2000);
            faults.dataWriteErrors = random.pick(0, 200, 5000);
            faults.metadataWriteErrors = random.pick(0, 0, 300);
        }
        SimRandom more = random.split();
        boolean discards = more.percent(40);
        boolean grows = more.percent(40);
        StoreOptions options = StoreOptions.DEFAULT
                .withDiscard(discards && more.percent(80))
                .withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES)
                .withIntervals(random.pick(5, 50, 1000) * MS, random.pick(10, 100, 1000, 10_000) * MS);
        return new SimPlan(
                disk,
                faults,
                small,
                1L << 20,
                options,
                random.pick(1, 2, 4, 8),
                random.pick(1, 4, 15),
                random.pick(12, 30, 80, 200),
                random.pick(3000, 64 << 10, 256 << 10, 1 << 20),
                random.pick(30, 150, 150, 600, 2000),
                discards,
                grows);
    }
}

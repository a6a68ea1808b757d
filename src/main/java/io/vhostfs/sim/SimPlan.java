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
 * @param fillsLog whether the guest mostly sets large attributes, so that the log comes round while a checkpoint is slow
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
        boolean grows,
        boolean fillsLog) {
    private static final long MS = 1_000_000L;

    /** Few nodes that change often: the log fills before the cache. */
    private static final int FEW_INODES = 12;

    static SimPlan draw(SimRandom random, int damagePercent) {
        boolean damaged = random.percent(damagePercent);
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
        if (faults.onlyNodes) {
            faults.useOneKind(more.percent(50));
        }
        boolean discards = more.percent(40);
        boolean grows = more.percent(40);
        boolean fillsLog = more.percent(20);
        disk = more.percent(fillsLog || grows ? 70 : 20) ? disk.withSlowRoots() : disk;
        boolean slowReads = more.percent(20);
        // What a disk becomes larger by is used at once where it is full.
        boolean tight = grows && more.percent(50);
        // Places are used again soon, also in the time that a read takes.
        small |= slowReads || tight;
        disk = slowReads || tight ? disk.withCapacity(more.between(tight ? 4 : 5, tight ? 5 : 9)) : disk;
        disk = slowReads ? disk.withSlowReads() : disk;
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
                Math.max(random.pick(1, 2, 4, 8), slowReads ? 4 : 1),
                random.pick(1, 4, 15),
                fillsLog ? FEW_INODES : random.pick(12, 30, 80, 200),
                tight ? FileModel.MAX_BYTES : random.pick(3000, 64 << 10, 256 << 10, FileModel.MAX_BYTES),
                Math.max(random.pick(30, 150, 150, 600, 2000), fillsLog ? 600 : tight ? 150 : 0),
                discards,
                grows,
                fillsLog);
    }
}

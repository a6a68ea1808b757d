package io.vhostfs.sim;

/**
 * What kind of disk a seed has.
 *
 * @param capacityBytes size
 * @param blockBytes smallest unit of I/O, 512 or 4096
 * @param atomicBytes what a power cut leaves whole or untouched, at least {@code blockBytes}
 * @param volatileCache whether completed writes may be lost before a flush
 * @param memoryAlignment alignment that iovecs must have
 * @param immediatePercent how many requests end within the call
 * @param latencyNs typical time of a request
 * @param slowPermille how many requests take a hundred times as long
 * @param stuckPer100000 how many of 100,000 requests take seconds
 * @param slowReadPercent how many reads take a thousand times as long
 * @param slowRoots whether writes to the first blocks, where superblocks and root slots are, take long
 */
record DiskProfile(
        long capacityBytes,
        int blockBytes,
        int atomicBytes,
        boolean volatileCache,
        int memoryAlignment,
        int immediatePercent,
        long latencyNs,
        int slowPermille,
        int stuckPer100000,
        int slowReadPercent,
        boolean slowRoots) {
    private static final int MIB = 1 << 20;
    private static final int SLOW_READ_PERCENT = 15;

    static DiskProfile draw(SimRandom random, boolean small) {
        int block = random.pick(512, 512, 4096);
        int atomic = random.percent(40) ? 4096 : block;
        long capacity = (small ? random.between(5, 9) : random.pick(24, 32, 48)) * (long) MIB;
        return new DiskProfile(
                capacity,
                block,
                atomic,
                !random.percent(10),
                random.pick(1, 512, block),
                random.pick(0, 0, 0, 20, 60),
                random.pick(5_000, 20_000, 100_000, 1_000_000),
                random.pick(0, 5, 50),
                random.pick(0, 0, 1, 200),
                0,
                false);
    }

    /** What must not happen before a checkpoint is durable has time to happen. */
    DiskProfile withSlowRoots() {
        return with(capacityBytes, immediatePercent, slowReadPercent, true);
    }

    DiskProfile withCapacity(int mebibytes) {
        return with((long) mebibytes * MIB, immediatePercent, slowReadPercent, slowRoots);
    }

    DiskProfile withSlowReads() {
        return with(capacityBytes, 0, SLOW_READ_PERCENT, slowRoots);
    }

    private DiskProfile with(long capacity, int immediate, int slowReads, boolean rootsAreSlow) {
        return new DiskProfile(
                capacity,
                blockBytes,
                atomicBytes,
                volatileCache,
                memoryAlignment,
                immediate,
                latencyNs,
                slowPermille,
                stuckPer100000,
                slowReads,
                rootsAreSlow);
    }
}

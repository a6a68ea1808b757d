package io.vhostfs.sim;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.os.Errno;

/**
 * Disks that become larger, while a target serves them or between two, and stores that follow; and what size a store may have
 * after a crash: the one that was acknowledged last, or the one it was about to take. One thread.
 */
final class SimGrowth {
    private static final int MIB = 1 << 20;

    private final SimPlan plan;
    private final SimDisk disk;
    private final SimRandom random;
    private long acknowledgedBlocks;
    private long wantedBlocks;
    private boolean underWay;

    SimGrowth(SimPlan plan, SimDisk disk, SimRandom random) {
        this.plan = plan;
        this.disk = disk;
        this.random = random;
    }

    /** The store was made. */
    void formatted() {
        acknowledgedBlocks = disk.capacityBytes() / SimDisk.BLOCK;
        wantedBlocks = acknowledgedBlocks;
    }

    /** Enlarges the disk: mostly by little; the store's map of free space gets another group now and then. */
    private long enlarge() {
        int bytes = random.oneIn(6) ? random.between(16 * MIB, 64 * MIB) : random.between(SimDisk.BLOCK, MIB);
        disk.enlarge((long) bytes / SimDisk.BLOCK * SimDisk.BLOCK);
        return disk.refreshCapacity() / SimDisk.BLOCK;
    }

    /** The disk grows, and the store that is in use with it. */
    void start(BlobStore store, SimGuest guest) {
        long blocks = enlarge();
        if (underWay || blocks <= store.totalBlocks()) {
            return;
        }
        underWay = store.grow(store.prepareGrowth(blocks), new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int status) {
                guest.remember(
                        "--- the store grows to " + blocks + " blocks: " + (status == 0 ? "done" : Errno.name(status)));
                underWay = false;
                ended(status, blocks);
            }
        });
        if (!underWay && !plan.faults().hasErred()) {
            throw new SimFailure("the store does not grow from " + store.totalBlocks() + " to " + blocks + " blocks");
        }
        wantedBlocks = underWay ? blocks : wantedBlocks;
    }

    private void ended(int status, long blocks) {
        if (status == 0) {
            acknowledgedBlocks = blocks;
        } else if (!plan.faults().hasErred()) {
            throw new SimFailure("growing to " + blocks + " blocks failed: " + Errno.name(status));
        }
    }

    /** What {@code vhostfs grow} does with a store that nobody serves; the power may go meanwhile. */
    void growOffline(SimGuest guest) {
        long blocks = enlarge();
        BlobStore store = BlobStore.open(disk, plan.options());
        try {
            if (blocks > store.totalBlocks()) {
                wantedBlocks = blocks;
                store.growBlocking(blocks);
                acknowledgedBlocks = disk.isPowerOff() ? acknowledgedBlocks : blocks;
                guest.remember("--- grown to " + blocks + " blocks while nobody serves it");
            }
            store.closeBlocking();
        } finally {
            store.abandon();
        }
    }

    /** What {@code vhostfs trim} does. */
    void trimOffline(SimGuest guest) {
        BlobStore store = BlobStore.open(disk, plan.options());
        try {
            guest.remember("--- trimmed: " + store.trimBlocking() + " blocks");
            store.closeBlocking();
        } finally {
            store.abandon();
        }
    }

    /** An orderly end has waited for it. */
    void requireEnded() {
        if (underWay && !plan.faults().hasErred()) {
            throw new SimFailure("the store was closed, but its growth to " + wantedBlocks + " blocks not ended");
        }
        underWay = false;
    }

    /** Whoever waited for it is gone. */
    void forget() {
        underWay = false;
    }

    /** After a mount. */
    void check(BlobStore store) {
        long blocks = store.totalBlocks();
        if (blocks != acknowledgedBlocks && blocks != wantedBlocks) {
            throw new SimFailure("the store has " + blocks + " blocks, not " + acknowledgedBlocks
                    + " as acknowledged or " + wantedBlocks + " as asked for");
        }
        acknowledgedBlocks = blocks;
        wantedBlocks = blocks;
    }
}

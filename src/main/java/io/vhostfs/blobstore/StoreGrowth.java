package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDevice;
import org.jspecify.annotations.Nullable;

/**
 * A store that becomes larger, as its device has.
 *
 * <p>Invariant: the new blocks are allocated only after a checkpoint that covers them is durable; until then, and after a crash
 * before, the store has its old size. One growth at a time. Home reactor, except where said.
 */
final class StoreGrowth {
    private final BlockDevice device;
    private final SpaceMap space;
    private final Checkpoint checkpoint;
    private final StoreHealth health;

    private SpaceMap.@Nullable Maps wanted;
    private BlobStore.@Nullable CommitWaiter waiter;

    StoreGrowth(BlockDevice device, SpaceMap space, Checkpoint checkpoint, StoreHealth health) {
        this.device = device;
        this.space = space;
        this.checkpoint = checkpoint;
        this.health = health;
    }

    /**
     * Memory for the maps of {@code blocks} blocks; takes long. Any thread.
     *
     * @throws StoreException when the store or its device does not grow to that size, or memory is short
     */
    SpaceMap.Maps prepare(long blocks) {
        long deviceBlocks = device.capacityBytes() / BlobStore.BLOCK_SIZE;
        if (blocks <= space.totalBlocks() || blocks > deviceBlocks) {
            throw unusable("the store covers " + space.totalBlocks() + " blocks of 4096 bytes and the device has "
                    + deviceBlocks + ", so it cannot grow to " + blocks + "; enlarge the device first");
        }
        if (blocks > Superblock.MAX_BLOCKS) {
            throw unusable("a store of " + blocks + " blocks; it can have " + Superblock.MAX_BLOCKS);
        }
        try {
            return new SpaceMap.Maps(blocks);
        } catch (OutOfMemoryError e) {
            throw unusable("no memory for the map of " + blocks + " blocks; give the JVM a larger heap: -Xmx");
        }
    }

    private StoreException unusable(String why) {
        return new StoreException(StoreException.Kind.UNUSABLE, device.name() + ": " + why);
    }

    /** Has a checkpoint cover what was prepared; false when another growth is under way, or a larger one has been. */
    boolean start(SpaceMap.Maps maps, BlobStore.CommitWaiter whenDone) {
        if (wanted != null || maps.totalBlocks <= space.totalBlocks()) {
            return false;
        }
        wanted = maps;
        waiter = whenDone;
        checkpoint.request();
        return true;
    }

    /** What the next checkpoint says that the store covers. */
    long blocksToCover() {
        SpaceMap.Maps maps = wanted;
        return maps == null ? space.totalBlocks() : maps.totalBlocks;
    }

    /** A checkpoint that covers so many blocks is durable. */
    void onCheckpoint(long totalBlocks) {
        SpaceMap.Maps maps = wanted;
        if (maps != null && maps.totalBlocks == totalBlocks) {
            space.grow(maps);
            wanted = null;
        }
    }

    /** Whether somebody is to be told. */
    boolean hasEnded() {
        return waiter != null && (wanted == null || health.hasFailed());
    }

    /** Tells who waits for the end, once; how many were told. */
    int complete() {
        BlobStore.CommitWaiter whenDone = waiter;
        if (whenDone == null || !hasEnded()) {
            return 0;
        }
        waiter = null;
        wanted = null;
        whenDone.onCommitted(health.failure());
        return 1;
    }
}

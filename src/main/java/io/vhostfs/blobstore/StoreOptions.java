package io.vhostfs.blobstore;

import java.util.concurrent.TimeUnit;

/**
 * How a store is run.
 *
 * @param metaCacheBytes memory for tree nodes; at least {@link #MIN_META_CACHE_BYTES}
 * @param commitIntervalNs how long a change may wait for the log when nobody asks for a commit
 * @param checkpointIntervalNs how long a change may live in the log alone
 * @param ioSlots number of slots for {@link BlobStore#ioStarted}: one per reactor
 * @param discard whether the device is told of blocks that were freed
 * @param readOnly nothing is written to the device; the log is replayed in memory
 */
public record StoreOptions(
        long metaCacheBytes,
        long commitIntervalNs,
        long checkpointIntervalNs,
        int ioSlots,
        boolean discard,
        boolean readOnly) {
    public static final long MIN_META_CACHE_BYTES = 4L << 20;
    public static final long MAX_META_CACHE_BYTES = 64L << 30;
    public static final int MAX_IO_SLOTS = 1024;

    public static final StoreOptions DEFAULT =
            new StoreOptions(64L << 20, TimeUnit.SECONDS.toNanos(1), TimeUnit.SECONDS.toNanos(10), 64, false, false);

    public StoreOptions {
        if (metaCacheBytes < MIN_META_CACHE_BYTES || metaCacheBytes > MAX_META_CACHE_BYTES) {
            throw new IllegalArgumentException("metadata cache of " + metaCacheBytes + " bytes; possible are "
                    + MIN_META_CACHE_BYTES + " to " + MAX_META_CACHE_BYTES);
        }
        if (commitIntervalNs <= 0 || checkpointIntervalNs <= 0 || ioSlots <= 0 || ioSlots > MAX_IO_SLOTS) {
            throw new IllegalArgumentException("intervals must be positive and I/O slots 1 to " + MAX_IO_SLOTS);
        }
    }

    public StoreOptions withMetaCacheBytes(long bytes) {
        return new StoreOptions(bytes, commitIntervalNs, checkpointIntervalNs, ioSlots, discard, readOnly);
    }

    public StoreOptions withIntervals(long commitNs, long checkpointNs) {
        return new StoreOptions(metaCacheBytes, commitNs, checkpointNs, ioSlots, discard, readOnly);
    }

    public StoreOptions withReadOnly() {
        return new StoreOptions(metaCacheBytes, commitIntervalNs, checkpointIntervalNs, ioSlots, discard, true);
    }

    public StoreOptions withDiscard(boolean on) {
        return new StoreOptions(metaCacheBytes, commitIntervalNs, checkpointIntervalNs, ioSlots, on, readOnly);
    }
}

package io.vhostfs.blobstore;

/**
 * What a store says of itself at one moment. Immutable.
 *
 * @param readOnly nothing is changed any more: it was opened so, or a device error ended all changes
 * @param failure the error that ended all changes; empty when there was none
 * @param damagedReads tree nodes found damaged when they were read
 * @param totalBlocks blocks of 4 KiB that it has
 * @param availableBlocks of these, free for data
 * @param treeNodes nodes of 16 KiB that its tree has
 * @param cacheNodes nodes that its cache has room for
 * @param dirtyNodes nodes in the cache that a checkpoint has yet to write
 * @param logBlocks length of the log ring
 * @param logUsedBlocks of these, those that the next mount would replay
 * @param groups changes since it was made
 * @param logRecords log writes since it was opened
 * @param checkpoints checkpoints since it was opened
 * @param delayedChanges changes that had to wait because the log or the cache was filling
 */
public record StoreStatus(
        boolean readOnly,
        String failure,
        long damagedReads,
        long totalBlocks,
        long availableBlocks,
        long treeNodes,
        long cacheNodes,
        long dirtyNodes,
        long logBlocks,
        long logUsedBlocks,
        long groups,
        long logRecords,
        long checkpoints,
        long delayedChanges) {}

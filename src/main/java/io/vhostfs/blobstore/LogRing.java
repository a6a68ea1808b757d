package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockingIo;

/**
 * The log ring of a store that is not running, read by positions: blocks since the store was made.
 *
 * <p>Reads only; what starts before the ring's end goes on at its start. Control threads.
 */
final class LogRing {
    private final BlockingIo io;
    private final Superblock superblock;

    LogRing(BlockingIo io, Superblock superblock) {
        this.io = io;
        this.superblock = superblock;
    }

    /** The block of the device where a position lies. */
    long block(long position) {
        return superblock.logStart() + position % superblock.logBlocks();
    }

    void read(long position, long address, int blocks) {
        long place = position % superblock.logBlocks();
        int first = (int) Math.min(blocks, superblock.logBlocks() - place);
        io.read(block(position) * BlobStore.BLOCK_SIZE, address, (long) first * BlobStore.BLOCK_SIZE);
        if (first < blocks) {
            io.read(
                    superblock.logStart() * BlobStore.BLOCK_SIZE,
                    address + (long) first * BlobStore.BLOCK_SIZE,
                    (long) (blocks - first) * BlobStore.BLOCK_SIZE);
        }
    }
}

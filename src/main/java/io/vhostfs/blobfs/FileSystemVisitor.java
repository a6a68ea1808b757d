package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreVisitor;
import io.vhostfs.memory.Memory;

/**
 * The file system's part in a check of its store: runs {@link BlobFsCheck}, and says which blocks files use so that the
 * store finds blocks that are used twice, lost, or free while in use. On the checking thread.
 */
public final class FileSystemVisitor extends StoreVisitor {
    private long inodes;
    private long totalBlocks;
    /** A bit per block: an extent that may share it was seen. */
    private long[] shared = new long[0];

    /** Files, directories and other inodes found. */
    public long inodeCount() {
        return inodes;
    }

    @Override
    public void begin(BlobStore store) {
        totalBlocks = store.totalBlocks();
        shared = new long[(int) ((totalBlocks + 63) >>> 6)];
        BlobFsCheck check = new BlobFsCheck(
                store,
                finding -> reportProblem("inode " + finding.inode() + ": " + finding.kind() + ": " + finding.detail()));
        check.run();
        if (check.isIncomplete()) {
            reportProblem("tree nodes cannot be read: names, link counts and sizes were not checked");
        }
        inodes = check.inodeCount();
    }

    /** What is no well-formed extent was reported by the check above. */
    @Override
    public void item(long k0, long k1, long valueAddress, int valueLength) {
        boolean isExtent = k0 != Items.SYSTEM
                && Items.type(k1) == Items.TYPE_EXTENT
                && Items.isExtent(valueAddress, valueLength, totalBlocks);
        if (isExtent) {
            long block = Memory.getLong(valueAddress + Items.EXTENT_BLOCK_OFFSET);
            int length = Items.extentLength(valueAddress);
            if (ExtentMap.isShared(length)) {
                useShared(block, ExtentMap.blocks(length), "inode " + k0);
            } else {
                useBlocks(block, ExtentMap.blocks(length), "inode " + k0);
            }
        }
    }

    /** Blocks that another extent used already are used once. */
    private void useShared(long block, int blocks, String owner) {
        long from = block;
        for (long b = block; b <= block + blocks; b++) {
            boolean isEnd = b == block + blocks;
            if (isEnd || (shared[(int) (b >>> 6)] & 1L << b) != 0) {
                if (b > from) {
                    useBlocks(from, b - from, owner);
                }
                from = b + 1;
            } else {
                shared[(int) (b >>> 6)] |= 1L << b;
            }
        }
    }
}

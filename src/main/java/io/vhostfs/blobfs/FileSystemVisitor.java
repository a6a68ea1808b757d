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

    /** Files, directories and other inodes found. */
    public long inodeCount() {
        return inodes;
    }

    @Override
    public void begin(BlobStore store) {
        totalBlocks = store.totalBlocks();
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
            useBlocks(
                    Memory.getLong(valueAddress + Items.EXTENT_BLOCK_OFFSET),
                    Memory.getInt(valueAddress + Items.EXTENT_LENGTH_OFFSET),
                    "inode " + k0);
        }
    }
}

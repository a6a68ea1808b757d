package io.vhostfs.blobfs;

/** Where {@link ExtentMap#seek} stands: a run of file blocks that is all hole, all unwritten or all data. Reused. */
final class ExtentCursor {
    static final int HOLE = 0;
    static final int UNWRITTEN = 1;
    static final int WRITTEN = 2;

    int state;
    /** Disk block of the block sought; 0 for a hole. */
    long diskBlock;
    /** Blocks from the block sought to the end of the run; for the hole behind the last extent, very many. */
    long runBlocks;
}

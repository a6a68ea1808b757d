package io.vhostfs.blobfs;

/** Where {@link ExtentMap#seek} stands: a run of file blocks of one state. Reused. */
final class ExtentCursor {
    static final int HOLE = 0;
    static final int UNWRITTEN = 1;
    /** This and what is above has data. */
    static final int WRITTEN = 2;
    /** Data that other extents may hold, too: read as any, never written in place. */
    static final int SHARED = 3;

    int state;
    /** Disk block of the block sought; 0 for a hole. */
    long diskBlock;
    /** Blocks from the block sought to the end of the run; for the hole behind the last extent, very many. */
    long runBlocks;
}

package io.vhostfs.blobstore;

/** Hears what a check of a store finds. On the checking thread. */
public interface StoreReporter {
    /** Something is damaged: what, where, and what it means. */
    void problem(String text);

    /** Worth knowing, but no damage: what a crash leaves behind and a mount puts right. */
    void remark(String text);

    /** Blocks seen so far, of all that are in use. */
    void progress(long doneBlocks, long usedBlocks);
}

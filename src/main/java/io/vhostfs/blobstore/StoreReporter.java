package io.vhostfs.blobstore;

/** Hears what a check of a store finds; who wants problems only needs no more than their method. On the checking thread. */
public interface StoreReporter {
    /** Something is damaged: what, where, and what it means. */
    void problem(String text);

    /** Worth knowing, but no damage: what a crash leaves behind and a mount puts right. */
    default void remark(String text) {}

    /** Blocks seen so far, of all that are in use. */
    default void progress(long doneBlocks, long usedBlocks) {}
}

package io.vhostfs.blobstore;

/** The user's part in a repair: knows which blocks an item holds, and puts the items in order. On the repairing thread. */
public interface StoreMender {
    /** Takes the blocks of data that an item holds. */
    interface BlockSink {
        void use(long block, long blocks);
    }

    /** Says which blocks a well-formed item holds; of others nothing. The value is valid during the call. */
    void blocksOf(long k0, long k1, long valueAddress, int valueLength, long totalBlocks, BlockSink sink);

    /** Puts the items in order; every item that could be saved is there. */
    void mend(StoreEditor editor);
}

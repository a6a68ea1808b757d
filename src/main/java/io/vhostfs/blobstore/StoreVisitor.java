package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * The user's part in a check of a store: sees every item of the user's once, in the order of keys, and says which blocks
 * they use. On the checking thread.
 */
public abstract class StoreVisitor {
    @Nullable
    StoreChecker checker;

    /** Before the first item; the store is open read-only, in blocking style. */
    public void begin(BlobStore store) {}

    /** The value is valid during the call. */
    public abstract void item(long k0, long k1, long valueAddress, int valueLength);

    /** After the last item. */
    public void end() {}

    /** A range of data blocks that an item refers to; whatever is wrong with it is reported under the owner's name. */
    protected final void useBlocks(long block, long blocks, String owner) {
        StoreChecker c = checker;
        if (c != null) {
            c.useBlocks(block, blocks, owner);
        }
    }

    protected final void reportProblem(String text) {
        StoreChecker c = checker;
        if (c != null) {
            c.problem(text);
        }
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.blobstore.StoreException.Kind;
import io.vhostfs.blobstore.TreeSalvage.Hole;
import io.vhostfs.os.Errno;
import java.util.List;

/**
 * Reads and changes the items of a store that is being repaired, in blocking style.
 *
 * <p>Invariant: nothing that it does is on the device before the repair's checkpoint, which makes all of it durable at once;
 * a repair that changes more than the metadata cache holds takes several. Repairing thread.
 */
public final class StoreEditor {
    /** Nodes that one change may touch, splits included. */
    private static final int NODES_PER_CHANGE = 2 * (Node.MAX_LEVEL + 1);

    private final BlobStore store;
    private final List<Hole> holes;
    private final List<Hole> guesses;
    private BlockSet nodes = new BlockSet(0);
    private boolean canCheckpoint;
    private long changes;

    StoreEditor(BlobStore store, List<Hole> holes, List<Hole> guesses) {
        this.store = store;
        this.holes = holes;
        this.guesses = guesses;
    }

    /** From now on the map of free space covers all that is in use; {@code nodeBlocks} are those of tree nodes. */
    void allowCheckpoints(BlockSet nodeBlocks) {
        canCheckpoint = true;
        nodes = nodeBlocks;
    }

    /** Whether some of the blocks belong to the store itself: superblocks, slots, log, tree. */
    public boolean isStoresOwn(long block, long blocks) {
        return block < store.superblock().firstDataBlock() || nodes.intersects(block, blocks);
    }

    long changes() {
        return changes;
    }

    /** The store, to be looked at: its value and found fields are those of the last find or ceiling. */
    public BlobStore store() {
        return store;
    }

    /** Whether items were used of which only their age says that they are the right ones. */
    public boolean isGuessed() {
        return !guesses.isEmpty();
    }

    /** Takes ranges of keys {@code k1}. */
    public interface RangeSink {
        void range(long fromK1, long toK1);
    }

    /** Whether keys of {@code k0} from {@code fromK1} up to and without {@code toK1} may have been lost. */
    public boolean mayHaveLost(long k0, long fromK1, long toK1) {
        boolean[] any = {false};
        lostRanges(k0, fromK1, toK1, (from, to) -> any[0] = true);
        return any[0];
    }

    /** Tells which keys of {@code k0} within {@code [fromK1, toK1)} may have been lost. */
    public void lostRanges(long k0, long fromK1, long toK1, RangeSink sink) {
        TreeSalvage.Key from = new TreeSalvage.Key(k0, fromK1);
        TreeSalvage.Key to = new TreeSalvage.Key(k0, toK1);
        for (Hole hole : holes) {
            if (hole.low().compareTo(to) < 0 && hole.high().compareTo(from) > 0) {
                sink.range(
                        hole.low().compareTo(from) > 0 ? hole.low().k1() : fromK1,
                        hole.high().compareTo(to) < 0 ? hole.high().k1() : toK1);
            }
        }
    }

    /** Tells, for each range of keys that may have been lost, its first {@code k0} and its last. */
    public void lostNumbers(RangeSink sink) {
        tell(holes, sink);
    }

    /** Tells, for each range of keys whose items may be of an older state, its first {@code k0} and its last. */
    public void guessedNumbers(RangeSink sink) {
        tell(guesses, sink);
    }

    private static void tell(List<Hole> ranges, RangeSink sink) {
        for (Hole hole : ranges) {
            sink.range(
                    hole.low().k0(),
                    hole.high().equals(TreeSalvage.Key.END)
                            ? Long.MAX_VALUE
                            : hole.high().k0());
        }
    }

    /** Whether the key is there. */
    public boolean find(long k0, long k1) {
        return wait(() -> store.find(k0, k1)) == BlobStore.OK;
    }

    /** Whether there is a key not less than the given one. */
    public boolean ceiling(long k0, long k1) {
        return wait(() -> store.ceiling(k0, k1)) == BlobStore.OK;
    }

    /** Puts a value that does not lie in the store's own memory. */
    public void put(long k0, long k1, long valueAddress, int valueLength) {
        prepare(k0, k1, valueLength);
        store.tree().put(k0, k1, valueAddress, valueLength);
        store.tree().forgetPrepared();
        changes++;
    }

    /** Deletes a key that may or may not be there. */
    public void delete(long k0, long k1) {
        prepare(k0, k1, 0);
        store.tree().delete(k0, k1);
        store.tree().forgetPrepared();
        changes++;
    }

    private void prepare(long k0, long k1, int valueLength) {
        if (canCheckpoint) {
            store.makeRoomForReplay(NODES_PER_CHANGE);
        }
        wait(() -> store.prepareReplay(k0, k1, valueLength));
    }

    private interface Attempt {
        int run();
    }

    private int wait(Attempt attempt) {
        int status = attempt.run();
        while (status == BlobStore.NOT_RESIDENT) {
            Recovery.awaitNode(store);
            status = attempt.run();
        }
        if (status < 0) {
            throw new StoreException(
                    status == -Errno.EIO ? Kind.IO : Kind.UNUSABLE,
                    status == -Errno.EIO
                            ? store.damageText() + ": it was whole a moment ago"
                            : "the repair has no room for the tree nodes that it changes (" + Errno.name(status)
                                    + "); nothing was changed");
        }
        return status;
    }
}

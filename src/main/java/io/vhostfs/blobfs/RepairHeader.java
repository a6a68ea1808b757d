package io.vhostfs.blobfs;

import io.vhostfs.blobstore.StoreException;
import io.vhostfs.memory.Memory;

/**
 * The file system's own items: its header and the counter of inode numbers.
 *
 * <p>Invariant: afterwards both are there, and no number that was given out is given out again, as far as can be told.
 * Repairing thread.
 */
final class RepairHeader {
    private final RepairItems items;
    private boolean hasSuper;
    private long nextInode;
    private boolean counterChanged;

    RepairHeader(RepairItems items) {
        this.items = items;
    }

    /** What this version does not know must not be repaired by it. */
    void checkFeatures() {
        if (items.editor.find(Items.SYSTEM, Items.SUPER_KEY) && items.store.valueLength == Items.SUPER_SIZE) {
            long features =
                    (Memory.getLong(items.store.valueAddress + Items.SUPER_INCOMPATIBLE_OFFSET) & ~Items.FEATURE_SHARED)
                            | (Memory.getLong(items.store.valueAddress + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET)
                                    & ~Items.FEATURE_QUOTAS);
            if (features != 0) {
                throw new StoreException(
                        StoreException.Kind.UNSUPPORTED,
                        "the file system uses features that this version does not know: 0x"
                                + Long.toHexString(features));
            }
        }
    }

    /** Whether the item that is looked at is the header or the counter, good or not. */
    boolean take(long k1) {
        if (k1 == Items.SUPER_KEY) {
            hasSuper = items.length == Items.SUPER_SIZE && Memory.getUnsignedByte(items.value) == Items.VERSION;
        } else if (k1 == Items.NEXT_INODE_KEY) {
            nextInode =
                    items.length == Items.COUNTER_SIZE ? Memory.getLong(items.value + Items.COUNTER_VALUE_OFFSET) : 0;
        }
        return k1 == Items.SUPER_KEY || k1 == Items.NEXT_INODE_KEY;
    }

    /** When all items were taken; {@code lastNumber} is the greatest number of an inode that was seen. */
    void mend(long lastNumber) {
        if (!hasSuper) {
            Memory.zero(items.made, Items.SUPER_SIZE);
            Memory.putLong(items.made + Items.SUPER_VERSION_OFFSET, Items.VERSION);
            Memory.putLong(items.made + Items.SUPER_CREATED_OFFSET, items.nowNs);
            items.editor.put(Items.SYSTEM, Items.SUPER_KEY, items.made, Items.SUPER_SIZE);
            items.repaired("the file system's header was made anew");
        }
        if (nextInode <= lastNumber || nextInode > Limits.MAX_NEXT_INODE) {
            // Numbers behind the last one seen may have been given out, too.
            nextInode = lastNumber + 1 + Limits.INODE_BATCH;
            counterChanged = true;
            items.repaired("the counter of inode numbers was set to " + nextInode);
        }
    }

    /** A number for a new inode; {@link #store} is to follow. */
    long newNumber() {
        counterChanged = true;
        return nextInode++;
    }

    /** Puts the counter if it changed. */
    void store() {
        if (counterChanged) {
            Items.encodeCounter(items.made, nextInode);
            items.editor.put(Items.SYSTEM, Items.NEXT_INODE_KEY, items.made, Items.COUNTER_SIZE);
        }
    }
}

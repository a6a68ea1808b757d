package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;

/**
 * The counts of references of blocks that extents share.
 *
 * <p>Invariant: afterwards they are those of the extents that are there, and the header says that there are some. Repairing
 * thread.
 */
final class RepairShared {
    private final RepairItems items;
    private final SharedCounts counts = new SharedCounts();

    RepairShared(RepairItems items) {
        this.items = items;
    }

    /** The item that is looked at is an extent that stays. */
    void hold() {
        if (ExtentMap.isShared(Items.extentLength(items.value))) {
            counts.hold(
                    Memory.getLong(items.value + Items.EXTENT_BLOCK_OFFSET),
                    Memory.getInt(items.value + Items.EXTENT_LENGTH_OFFSET));
        }
    }

    /** Whether the item that is looked at counts references, and may. */
    boolean take(long k1) {
        return Items.type(k1) == Items.TYPE_SHARED
                && Items.isShared(k1, items.value, items.length, items.store.totalBlocks())
                && counts.store(
                        Items.sub(k1),
                        Memory.getInt(items.value + Items.SHARED_LENGTH_OFFSET),
                        Memory.getLong(items.value + Items.SHARED_REFERENCES_OFFSET));
    }

    /** When all items were taken, and the header is there. */
    void mend() {
        if (counts.isEmpty()) {
            return;
        }
        boolean[] wrong = {false};
        counts.forEach((block, blocks, holders, stored) -> wrong[0] |= stored != (holders > 1 ? holders : 0));
        if (wrong[0]) {
            items.forEachOf(Items.SYSTEM, Items.sharedKey(0), k1 -> {
                if (Items.type(k1) == Items.TYPE_SHARED) {
                    items.editor.delete(Items.SYSTEM, k1);
                }
            });
            counts.forEach((block, blocks, holders, stored) -> {
                if (holders > 1) {
                    put(block, blocks, holders);
                }
            });
            items.repaired("the extents that share blocks were counted anew");
        }
        mendFeature();
    }

    private void put(long block, long blocks, long holders) {
        for (long at = block; at < block + blocks; at += Limits.MAX_ITEM_EXTENT_BLOCKS) {
            int count = (int) Math.min(Limits.MAX_ITEM_EXTENT_BLOCKS, block + blocks - at);
            Items.encodeShared(items.made, count, holders);
            items.editor.put(Items.SYSTEM, Items.sharedKey(at), items.made, Items.SHARED_SIZE);
        }
    }

    private void mendFeature() {
        if (!items.editor.find(Items.SYSTEM, Items.SUPER_KEY)) {
            throw new IllegalStateException("the header is gone");
        }
        Memory.copy(items.store.valueAddress, items.made, Items.SUPER_SIZE);
        long features = Memory.getLong(items.made + Items.SUPER_INCOMPATIBLE_OFFSET);
        if ((features & Items.FEATURE_SHARED) == 0) {
            Memory.putLong(items.made + Items.SUPER_INCOMPATIBLE_OFFSET, features | Items.FEATURE_SHARED);
            items.editor.put(Items.SYSTEM, Items.SUPER_KEY, items.made, Items.SUPER_SIZE);
            items.repaired("the header says now that extents share blocks");
        }
    }
}

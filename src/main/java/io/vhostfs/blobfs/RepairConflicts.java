package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;

/**
 * Two extents in the same blocks, where leaves were chosen by their age only.
 *
 * <p>Invariant: afterwards no block is in two extents unless both may share it, and the file that was changed later has
 * kept its own. Repairing thread.
 */
final class RepairConflicts {
    private final RepairItems items;
    private final RepairLosses losses;

    RepairConflicts(RepairItems items, RepairLosses losses) {
        this.items = items;
        this.losses = losses;
    }

    private record Claim(long changedNs, long inode, long k1, long block, long blocks) {}

    /** Of two files in the same blocks the one that was changed later is right: the other one's item is left over. */
    void drop() {
        TreeMap<Long, Claim> byBlock = new TreeMap<>();
        long[] current = {0, 0};
        Set<Claim> dropped = new HashSet<>();
        List<Claim> sharing = new ArrayList<>();
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (Items.isInodeNumber(k0) && k1 == Items.INODE_KEY && RepairInodes.isInode(items, k0)) {
                current[0] = k0;
                current[1] = Memory.getLong(items.value + Items.INODE_CTIME_OFFSET);
            }
            if (Items.isInodeNumber(k0)
                    && Items.type(k1) == Items.TYPE_EXTENT
                    && Items.isExtent(items.value, items.length, items.store.totalBlocks())) {
                long block = Memory.getLong(items.value + Items.EXTENT_BLOCK_OFFSET);
                long blocks = Memory.getInt(items.value + Items.EXTENT_LENGTH_OFFSET);
                Claim claim = new Claim(current[0] == k0 ? current[1] : 0, k0, k1, block, blocks);
                if (ExtentMap.isShared(Items.extentLength(items.value))) {
                    sharing.add(claim);
                } else if (dropOlder(byBlock, dropped, claim)) {
                    byBlock.put(block, claim);
                }
            }
        });
        // Those that share blocks with each other are no conflict; with one that does not know of it they are.
        for (Claim claim : sharing) {
            dropOlder(byBlock, dropped, claim);
        }
        for (Claim claim : dropped) {
            long first = Items.sub(claim.k1);
            items.editor.delete(claim.inode, claim.k1);
            losses.lost(
                    claim.inode,
                    "file blocks " + first + " to " + (first + claim.blocks - 1)
                            + " are lost: they belong to a newer file now");
        }
    }

    /** Whether the claim is newer than all those in its blocks, which are dropped then; else it is dropped. */
    private static boolean dropOlder(NavigableMap<Long, Claim> byBlock, Set<Claim> dropped, Claim claim) {
        Map.Entry<Long, Claim> at = byBlock.floorEntry(claim.block);
        if (at == null || at.getValue().block + at.getValue().blocks <= claim.block) {
            at = byBlock.higherEntry(claim.block);
        }
        while (at != null && at.getKey() < claim.block + claim.blocks) {
            Claim other = at.getValue();
            if (other.changedNs >= claim.changedNs) {
                dropped.add(claim);
                return false;
            }
            dropped.add(other);
            byBlock.remove(at.getKey());
            at = byBlock.higherEntry(at.getKey());
        }
        return true;
    }
}

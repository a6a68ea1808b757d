package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;

/**
 * What shares' quotas say to be used.
 *
 * <p>Invariant: afterwards it is what the items that are there take, and every project that an inode is of has a quota, if
 * need be one without limits. Where inodes were made anew, which are of no project, all is to be marked and counted again
 * when the share is served. Repairing thread.
 */
final class RepairQuotas {
    private final RepairItems items;
    private final CheckInodes inodes;
    private final RepairLosses losses;

    RepairQuotas(RepairItems items, RepairLosses losses) {
        this.items = items;
        inodes = items.inodes;
        this.losses = losses;
    }

    /** Whether a system item is a quota as they are made. */
    static boolean isQuota(long k1, long value, int length) {
        return QuotaSums.isQuota(k1, value, length) && isPossible((int) Items.sub(k1));
    }

    private static boolean isPossible(int project) {
        int number = project & Integer.MAX_VALUE;
        return number > 0 && number <= Limits.MAX_QUOTAS;
    }

    /** When all other items are in order. */
    void mend(boolean madeAnew) {
        for (int i = 0; i < inodes.count; i++) {
            if (Items.isQuotaProject(inodes.project[i]) && !isPossible(inodes.project[i])) {
                inodes.project[i] = 0;
                items.changeInode(inodes.number[i], address -> Memory.putInt(address + Items.INODE_PROJECT_OFFSET, 0));
                items.repaired("inode " + inodes.number[i] + ": it was of a project that cannot be");
            }
        }
        QuotaSums sums = sum();
        if (sums.isEmpty()) {
            return;
        }
        for (int project = Quotas.FIRST_PROJECT; project <= sums.last(); project++) {
            mend(sums.sum(project), madeAnew);
        }
        mendFeature();
    }

    private QuotaSums sum() {
        QuotaSums sums = new QuotaSums();
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            int i = Items.isInodeNumber(k0) ? inodes.indexOf(k0) : -1;
            if (i >= 0 && Items.type(k1) == Items.TYPE_EXTENT) {
                sums.addBlocks(inodes.project[i], Memory.getInt(items.value + Items.EXTENT_LENGTH_OFFSET));
            } else if (i >= 0) {
                sums.addItem(inodes.project[i], k1, items.length);
            } else if (k0 == Items.SYSTEM && QuotaSums.isQuota(k1, items.value, items.length)) {
                sums.addQuota(Items.decodeProject((int) Items.sub(k1), items.value));
            }
        });
        return sums;
    }

    private void mend(QuotaSums.Sum sum, boolean madeAnew) {
        Quota quota = sum.quota;
        boolean isRight = quota.usedBytes == sum.bytes && quota.usedInodes == sum.inodes;
        if (!sum.isThere) {
            quota = new Quota(quota.project, topOf(quota.project));
            losses.lost(quota.root, "the limits of its quota are lost");
        } else if (quota.isCounting || (isRight && !madeAnew)) {
            return;
        } else if (!isRight) {
            items.repaired("inode " + quota.root + ": its quota's usage was set from " + quota.usedBytes + " to "
                    + sum.bytes + " bytes, from " + quota.usedInodes + " to " + sum.inodes + " inodes");
        }
        quota.usedBytes = sum.bytes;
        quota.usedInodes = sum.inodes;
        quota.isCounting |= madeAnew;
        Items.encodeProject(items.made, quota);
        items.editor.put(Items.SYSTEM, Items.projectKey(quota.project), items.made, Items.PROJECT_SIZE);
    }

    /** The directory with which a project begins, or 0. */
    private long topOf(int project) {
        for (int i = 0; i < inodes.count; i++) {
            if (inodes.project[i] == project && inodes.isDirectory(i)) {
                int above = inodes.indexOf(inodes.owner[i]);
                if (above < 0 || above == i || inodes.project[above] != project) {
                    return inodes.number[i];
                }
            }
        }
        return 0;
    }

    private void mendFeature() {
        if (!items.editor.find(Items.SYSTEM, Items.SUPER_KEY)) {
            throw new IllegalStateException("the header is gone");
        }
        Memory.copy(items.store.valueAddress, items.made, Items.SUPER_SIZE);
        long features = Memory.getLong(items.made + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET);
        if ((features & Items.FEATURE_QUOTAS) == 0) {
            Memory.putLong(items.made + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET, features | Items.FEATURE_QUOTAS);
            items.editor.put(Items.SYSTEM, Items.SUPER_KEY, items.made, Items.SUPER_SIZE);
        }
    }
}

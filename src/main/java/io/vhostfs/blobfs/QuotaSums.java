package io.vhostfs.blobfs;

import java.util.TreeMap;
import java.util.function.BiConsumer;

/** What the inodes of each quota's project take, as their items say, and what the quotas say. One thread. */
final class QuotaSums {
    /** A quota as found, or one that should be there, and what is used of it. */
    static final class Sum {
        Quota quota;
        boolean isThere;
        long bytes;
        long inodes;

        private Sum(Quota quota) {
            this.quota = quota;
        }
    }

    private final TreeMap<Integer, Sum> sums = new TreeMap<>();

    /** Whether a system item is a quota. */
    static boolean isQuota(long k1, long value, int length) {
        return Items.type(k1) == Items.TYPE_PROJECT
                && Items.sub(k1) >>> Integer.SIZE == 0
                && Items.isQuotaProject((int) Items.sub(k1))
                && Items.isProject(value, length);
    }

    /** The sum of a project, which is none when nothing was found of it. */
    Sum sum(int project) {
        return sums.computeIfAbsent(project, p -> new Sum(new Quota(p, 0)));
    }

    /** An item of an inode of that project; extents come with {@link #addBlocks}. */
    void addItem(int project, long k1, int valueLength) {
        if (!Items.isQuotaProject(project) || Items.type(k1) == Items.TYPE_EXTENT) {
            return;
        }
        Sum sum = sum(project);
        sum.bytes += Quotas.bytesOf(valueLength);
        sum.inodes += k1 == Items.INODE_KEY ? 1 : 0;
    }

    void addBlocks(int project, long blocks) {
        if (Items.isQuotaProject(project)) {
            sum(project).bytes += blocks << Items.BLOCK_SHIFT;
        }
    }

    void addQuota(Quota quota) {
        Sum sum = sum(quota.project);
        sum.quota = quota;
        sum.isThere = true;
    }

    boolean isEmpty() {
        return sums.isEmpty();
    }

    /** The project with the greatest number of those found. */
    int last() {
        return sums.lastKey();
    }

    /** Tells of each quota that says something else than its inodes. */
    void compare(BiConsumer<Quota, String> differing) {
        sums.forEach((project, sum) -> {
            Quota quota = sum.quota;
            if (!sum.isThere) {
                differing.accept(
                        quota,
                        "project 0x" + Integer.toHexString(project) + " of " + sum.inodes + " inodes has no quota");
            } else if (!quota.isCounting && (quota.usedBytes != sum.bytes || quota.usedInodes != sum.inodes)) {
                differing.accept(
                        quota,
                        "quota of project 0x" + Integer.toHexString(project) + " says " + quota.usedBytes
                                + " bytes and " + quota.usedInodes + " inodes, there are " + sum.bytes + " and "
                                + sum.inodes);
            }
        });
    }
}

package io.vhostfs.blobfs;

import java.util.Arrays;

/**
 * An immutable map of one file's extents: any reactor may read it while home makes the next one.
 *
 * <p>Invariant: extents are sorted, do not overlap, and no leaf is empty. Two levels: a change copies the leaves it
 * touches (at most {@link #LEAF_EXTENTS} extents each) and the top array.
 */
final class ExtentMap {
    static final int LEAF_EXTENTS = 128;

    /** Sign bit of a length: the extent is allocated, but reads as zeroes. */
    static final int UNWRITTEN = 1 << 31;

    /** Of a length: other extents may hold some of the blocks, too. Never together with {@link #UNWRITTEN}. */
    static final int SHARED = 1 << 30;

    private static final int LENGTH_MASK = ~(UNWRITTEN | SHARED);

    static final class Leaf {
        final long[] fileBlocks;
        final long[] diskBlocks;
        final int[] lengths;

        Leaf(long[] fileBlocks, long[] diskBlocks, int[] lengths) {
            this.fileBlocks = fileBlocks;
            this.diskBlocks = diskBlocks;
            this.lengths = lengths;
        }

        int count() {
            return lengths.length;
        }
    }

    static final ExtentMap EMPTY = new ExtentMap(new long[0], new Leaf[0], 0);

    private final long[] leafStarts;
    private final Leaf[] leaves;
    private final int extentCount;

    private ExtentMap(long[] leafStarts, Leaf[] leaves, int extentCount) {
        this.leafStarts = leafStarts;
        this.leaves = leaves;
        this.extentCount = extentCount;
    }

    int extentCount() {
        return extentCount;
    }

    int leafCount() {
        return leaves.length;
    }

    Leaf leaf(int index) {
        return leaves[index];
    }

    static int blocks(int length) {
        return length & LENGTH_MASK;
    }

    static int flags(int length) {
        return length & ~LENGTH_MASK;
    }

    static boolean isShared(int length) {
        return (length & SHARED) != 0;
    }

    /** The last index whose value is at most {@code key}, or -1. */
    private static int floorIndex(long[] sorted, int count, long key) {
        int low = 0;
        int high = count - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (sorted[middle] <= key) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return high;
    }

    /** Sets the cursor to the run that holds {@code fileBlock}. */
    void seek(long fileBlock, ExtentCursor cursor) {
        int l = floorIndex(leafStarts, leafStarts.length, fileBlock);
        if (l < 0) {
            hole(cursor, (leafStarts.length == 0 ? Long.MAX_VALUE : leafStarts[0]) - fileBlock);
            return;
        }
        Leaf leaf = leaves[l];
        int i = floorIndex(leaf.fileBlocks, leaf.count(), fileBlock);
        long into = fileBlock - leaf.fileBlocks[i];
        int length = leaf.lengths[i];
        long run = blocks(length) - into;
        if (run > 0) {
            cursor.state =
                    length < 0 ? ExtentCursor.UNWRITTEN : isShared(length) ? ExtentCursor.SHARED : ExtentCursor.WRITTEN;
            cursor.diskBlock = leaf.diskBlocks[i] + into;
            cursor.runBlocks = run;
            return;
        }
        long next = i + 1 < leaf.count()
                ? leaf.fileBlocks[i + 1]
                : l + 1 < leafStarts.length ? leafStarts[l + 1] : Long.MAX_VALUE;
        hole(cursor, next - fileBlock);
    }

    private static void hole(ExtentCursor cursor, long run) {
        cursor.state = ExtentCursor.HOLE;
        cursor.diskBlock = 0;
        cursor.runBlocks = run;
    }

    /** Packed position (leaf in the upper, index in the lower half) of the first extent that ends behind {@code fileBlock}. */
    long firstEndingBehind(long fileBlock) {
        int l = floorIndex(leafStarts, leafStarts.length, fileBlock);
        if (l < 0) {
            return 0;
        }
        Leaf leaf = leaves[l];
        int i = floorIndex(leaf.fileBlocks, leaf.count(), fileBlock);
        if (leaf.fileBlocks[i] + blocks(leaf.lengths[i]) > fileBlock) {
            return position(l, i);
        }
        return next(position(l, i));
    }

    static long position(int leaf, int index) {
        return (long) leaf << 32 | index;
    }

    boolean isEnd(long position) {
        return (int) (position >>> 32) >= leaves.length;
    }

    long next(long position) {
        int l = (int) (position >>> 32);
        int i = (int) position + 1;
        return i < leaves[l].count() ? position(l, i) : position(l + 1, 0);
    }

    /** The position before, or -1. */
    long previous(long position) {
        int l = (int) (position >>> 32);
        int i = (int) position;
        if (i > 0) {
            return position(l, i - 1);
        }
        return l == 0 ? -1 : position(l - 1, leaves[l - 1].count() - 1);
    }

    long fileBlock(long position) {
        return leaves[(int) (position >>> 32)].fileBlocks[(int) position];
    }

    long diskBlock(long position) {
        return leaves[(int) (position >>> 32)].diskBlocks[(int) position];
    }

    /** With {@link #UNWRITTEN} or {@link #SHARED}. */
    int length(long position) {
        return leaves[(int) (position >>> 32)].lengths[(int) position];
    }

    /** The first block behind the last extent. */
    long endBlock() {
        if (leaves.length == 0) {
            return 0;
        }
        Leaf last = leaves[leaves.length - 1];
        int i = last.count() - 1;
        return last.fileBlocks[i] + blocks(last.lengths[i]);
    }

    /**
     * A map with {@code oldCount} extents from {@code position} on replaced by the given ones, which must keep the order.
     */
    ExtentMap splice(long position, int oldCount, long[] files, long[] disks, int[] lengths, int newCount) {
        int first = (int) (position >>> 32);
        int head = (int) position;
        if (first >= leaves.length) {
            first = Math.max(0, leaves.length - 1);
            head = leaves.length == 0 ? 0 : leaves[first].count();
        }
        int last = first;
        int tail = head + oldCount;
        while (last < leaves.length && tail > leaves[last].count()) {
            tail -= leaves[last].count();
            last++;
        }
        int tailCount = leaves.length == 0 ? 0 : leaves[last].count() - tail;
        int total = head + newCount + tailCount;
        long[] f = new long[total];
        long[] d = new long[total];
        int[] n = new int[total];
        if (head > 0) {
            copy(leaves[first], 0, head, f, d, n, 0);
        }
        System.arraycopy(files, 0, f, head, newCount);
        System.arraycopy(disks, 0, d, head, newCount);
        System.arraycopy(lengths, 0, n, head, newCount);
        if (tailCount > 0) {
            copy(leaves[last], tail, tailCount, f, d, n, head + newCount);
        }
        return withLeaves(first, leaves.length == 0 ? 0 : last + 1, f, d, n, extentCount - oldCount + newCount);
    }

    private static void copy(Leaf from, int at, int count, long[] f, long[] d, int[] n, int to) {
        System.arraycopy(from.fileBlocks, at, f, to, count);
        System.arraycopy(from.diskBlocks, at, d, to, count);
        System.arraycopy(from.lengths, at, n, to, count);
    }

    /** Puts the extents, cut into leaves, in the place of the leaves {@code [from, to)}. */
    private ExtentMap withLeaves(int from, int to, long[] f, long[] d, int[] n, int count) {
        int total = f.length;
        int pieces = (total + LEAF_EXTENTS - 1) / LEAF_EXTENTS;
        int leafCount = leaves.length - (to - from) + pieces;
        if (leafCount == 0) {
            return EMPTY;
        }
        Leaf[] newLeaves = new Leaf[leafCount];
        long[] newStarts = new long[leafCount];
        System.arraycopy(leaves, 0, newLeaves, 0, from);
        System.arraycopy(leafStarts, 0, newStarts, 0, from);
        for (int p = 0; p < pieces; p++) {
            int start = (int) ((long) total * p / pieces);
            int end = (int) ((long) total * (p + 1) / pieces);
            newLeaves[from + p] = pieces == 1
                    ? new Leaf(f, d, n)
                    : new Leaf(
                            Arrays.copyOfRange(f, start, end),
                            Arrays.copyOfRange(d, start, end),
                            Arrays.copyOfRange(n, start, end));
            newStarts[from + p] = f[start];
        }
        System.arraycopy(leaves, to, newLeaves, from + pieces, leaves.length - to);
        System.arraycopy(leafStarts, to, newStarts, from + pieces, leaves.length - to);
        return new ExtentMap(newStarts, newLeaves, count);
    }

    /** Collects extents in ascending order, as they are read from the tree. */
    static final class Builder {
        private Leaf[] leaves = new Leaf[4];
        private int leafCount;
        private long[] f = new long[LEAF_EXTENTS];
        private long[] d = new long[LEAF_EXTENTS];
        private int[] n = new int[LEAF_EXTENTS];
        private int filled;
        private int count;
        private long end;

        /** The first block behind what was added. */
        long end() {
            return end;
        }

        void add(long fileBlock, long diskBlock, int length) {
            if (filled == LEAF_EXTENTS) {
                flush();
            }
            f[filled] = fileBlock;
            d[filled] = diskBlock;
            n[filled++] = length;
            count++;
            end = fileBlock + blocks(length);
        }

        private void flush() {
            if (leafCount == leaves.length) {
                leaves = Arrays.copyOf(leaves, 2 * leafCount);
            }
            leaves[leafCount++] =
                    new Leaf(Arrays.copyOf(f, filled), Arrays.copyOf(d, filled), Arrays.copyOf(n, filled));
            filled = 0;
        }

        ExtentMap build() {
            if (count == 0) {
                return EMPTY;
            }
            flush();
            long[] starts = new long[leafCount];
            for (int i = 0; i < leafCount; i++) {
                starts[i] = leaves[i].fileBlocks[0];
            }
            return new ExtentMap(starts, Arrays.copyOf(leaves, leafCount), count);
        }
    }
}

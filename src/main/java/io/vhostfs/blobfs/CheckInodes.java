package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;
import java.util.Arrays;

/** What a check or a repair knows of each inode: parallel arrays in ascending order of number. One thread. */
final class CheckInodes {
    int count;
    long[] number = new long[1024];
    int[] mode = new int[1024];
    int[] links = new int[1024];
    /** Entries that name it. */
    int[] named = new int[1024];
    /** Of a directory: subdirectories. */
    int[] subdirectories = new int[1024];

    long[] parent = new long[1024];
    /** Of a directory, in a repair: the one whose entry counts. */
    long[] owner = new long[1024];

    long[] size = new long[1024];
    long[] blocks = new long[1024];
    int[] flags = new int[1024];
    int[] project = new int[1024];
    /** ORPHAN reason, or 0. */
    byte[] orphan = new byte[1024];

    /** Inodes come in ascending order. */
    int add(long inode) {
        if (count == number.length) {
            grow(2 * count);
        }
        number[count] = inode;
        mode[count] = 0;
        links[count] = 0;
        named[count] = 0;
        subdirectories[count] = 0;
        parent[count] = 0;
        owner[count] = 0;
        size[count] = 0;
        blocks[count] = 0;
        flags[count] = 0;
        project[count] = 0;
        orphan[count] = 0;
        return count++;
    }

    /** Adds an inode with what its item says. */
    void add(long inode, long item) {
        int i = add(inode);
        mode[i] = Memory.getInt(item + Items.INODE_MODE_OFFSET);
        links[i] = Memory.getInt(item + Items.INODE_LINKS_OFFSET);
        flags[i] = Memory.getInt(item + Items.INODE_FLAGS_OFFSET);
        size[i] = Memory.getLong(item + Items.INODE_SIZE_OFFSET);
        blocks[i] = Memory.getLong(item + Items.INODE_BLOCKS_OFFSET);
        parent[i] = Memory.getLong(item + Items.INODE_PARENT_OFFSET);
        project[i] = Memory.getInt(item + Items.INODE_PROJECT_OFFSET);
    }

    void clear() {
        count = 0;
    }

    private void grow(int capacity) {
        number = Arrays.copyOf(number, capacity);
        mode = Arrays.copyOf(mode, capacity);
        links = Arrays.copyOf(links, capacity);
        named = Arrays.copyOf(named, capacity);
        subdirectories = Arrays.copyOf(subdirectories, capacity);
        parent = Arrays.copyOf(parent, capacity);
        owner = Arrays.copyOf(owner, capacity);
        size = Arrays.copyOf(size, capacity);
        blocks = Arrays.copyOf(blocks, capacity);
        flags = Arrays.copyOf(flags, capacity);
        project = Arrays.copyOf(project, capacity);
        orphan = Arrays.copyOf(orphan, capacity);
    }

    /** The index, or a negative number. */
    int indexOf(long inode) {
        return Arrays.binarySearch(number, 0, count, inode);
    }

    boolean isDirectory(int i) {
        return (mode[i] & Modes.S_IFMT) == Modes.S_IFDIR;
    }

    boolean isLink(int i) {
        return (mode[i] & Modes.S_IFMT) == Modes.S_IFLNK;
    }

    boolean isInline(int i) {
        return (flags[i] & Items.FLAG_INLINE) != 0;
    }

    /** Whether an INLINE item is one that this inode may have. */
    boolean isInlineItem(int i, long k1, long value, int length) {
        boolean fits = isLink(i)
                ? Items.isTargetPiece(k1, size[i], length)
                : Items.sub(k1) == 0 && isInline(i) && length <= Items.INLINE_DATA_OFFSET + Limits.MAX_INLINE_BYTES;
        return fits && length >= Items.INLINE_DATA_OFFSET && Memory.getUnsignedByte(value) == Items.VERSION;
    }

    /** Takes an ORPHAN item when all entries are counted; false when the inode is none. */
    boolean takeOrphan(long inode, byte reason) {
        int i = indexOf(inode);
        boolean truncating = reason == Items.ORPHAN_TRUNCATING;
        if (i < 0
                || (!truncating && reason != Items.ORPHAN_UNLINKED)
                || (truncating && (flags[i] & Items.FLAG_TRUNCATING) == 0)
                || (!truncating && named[i] != 0)) {
            return false;
        }
        orphan[i] = reason;
        return true;
    }
}

package io.vhostfs.blobfs;

import java.util.Arrays;

/** What a check knows of each inode: parallel arrays in ascending order of number. One thread. */
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
    long[] size = new long[1024];
    long[] blocks = new long[1024];
    int[] flags = new int[1024];
    /** ORPHAN reason, or 0. */
    byte[] orphan = new byte[1024];

    /** Inodes come in ascending order. */
    int add(long inode) {
        if (count == number.length) {
            grow(2 * count);
        }
        number[count] = inode;
        return count++;
    }

    private void grow(int capacity) {
        number = Arrays.copyOf(number, capacity);
        mode = Arrays.copyOf(mode, capacity);
        links = Arrays.copyOf(links, capacity);
        named = Arrays.copyOf(named, capacity);
        subdirectories = Arrays.copyOf(subdirectories, capacity);
        parent = Arrays.copyOf(parent, capacity);
        size = Arrays.copyOf(size, capacity);
        blocks = Arrays.copyOf(blocks, capacity);
        flags = Arrays.copyOf(flags, capacity);
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
}

package io.vhostfs.blobstore;

/** A set of blocks of one store: a bit for each. One thread. */
final class BlockSet {
    private final long[] words;

    BlockSet(long totalBlocks) {
        words = new long[(int) ((totalBlocks + 63) >>> 6)];
    }

    /** Adds a range that lies within the store. */
    void add(long block, long count) {
        for (long b = block; b < block + count; b++) {
            words[(int) (b >>> 6)] |= 1L << b;
        }
    }

    boolean contains(long block) {
        return (words[(int) (block >>> 6)] & (1L << block)) != 0;
    }

    boolean intersects(long block, long count) {
        for (long b = block; b < block + count; b++) {
            if (contains(b)) {
                return true;
            }
        }
        return false;
    }

    /** The bits of blocks {@code 64 * index} to {@code 64 * index + 63}; none beyond the end. */
    long word(int index) {
        return index < words.length ? words[index] : 0;
    }
}

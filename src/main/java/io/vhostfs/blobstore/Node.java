package io.vhostfs.blobstore;

import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The layout of a tree node in memory and on disk, and what can be done within one node.
 *
 * <p>Invariant: a node that {@link #structureError} accepts can be searched and changed by every method here without
 * touching memory outside its 16 KiB, and no change of one value changes another. An instance holds the scratch of one
 * store; home reactor only.
 *
 * <p>A leaf keeps 24-byte slots (key, offset and length of the value) that grow up, and a heap of values, each rounded up
 * to 8 bytes, that grows down. An inner node keeps an array of keys and an array of 24-byte children; child {@code i}
 * holds the keys from key {@code i} up to key {@code i + 1}, and key 0 counts as the least key of all.
 */
final class Node {
    static final int BLOCKS = 4;
    static final int SIZE = BLOCKS * BlobStore.BLOCK_SIZE;
    static final int MAGIC = 0x4e544256;

    static final int MAGIC_OFFSET = 0;
    static final int CRC_OFFSET = 4;
    static final int BLOCK_OFFSET = 8;
    static final int GENERATION_OFFSET = 16;
    static final int UUID_OFFSET = 24;
    static final int LEVEL_OFFSET = 32;
    static final int COUNT_OFFSET = 34;
    static final int HEAP_OFFSET = 36;
    static final int GARBAGE_OFFSET = 38;
    static final int HEADER_SIZE = 64;

    static final int SLOT_SIZE = 24;
    /** More checkpoints than any store sees: what comes after a node that was found can be counted on. */
    static final long MAX_GENERATION = 1L << 62;

    static final int SLOT_K1_OFFSET = 8;
    static final int SLOT_VALUE_OFFSET = 16;
    static final int SLOT_LENGTH_OFFSET = 18;

    /** What a leaf can hold: slots and rounded values. */
    static final int LEAF_CAPACITY = SIZE - HEADER_SIZE;

    static final int KEY_SIZE = 16;
    static final int CHILD_SIZE = 24;
    static final int CHILD_GENERATION_OFFSET = 8;
    static final int CHILD_CRC_OFFSET = 16;
    static final int INNER_CAPACITY = (SIZE - HEADER_SIZE) / (KEY_SIZE + CHILD_SIZE);
    private static final int CHILDREN_OFFSET = HEADER_SIZE + INNER_CAPACITY * KEY_SIZE;

    /** 408 children to a node: more levels would need more blocks than 64 bits can number. */
    static final int MAX_LEVEL = 7;

    /** Values start at multiples of it and take multiples of it. */
    private static final int VALUE_UNIT = 8;

    private final long scratch;

    /** A bit for every {@link #VALUE_UNIT} of a leaf that is being verified: a value lies there. */
    private final long[] taken = new long[SIZE / VALUE_UNIT / Long.SIZE];

    private final Crc32c crc32c = new Crc32c();

    /** First half of the store's UUID: a node of another store is not taken for ours. */
    private final long uuidPart;

    /** @param scratch address of {@link #SIZE} bytes */
    Node(long uuidPart, long scratch) {
        this.scratch = scratch;
        this.uuidPart = uuidPart;
    }

    void initialise(long node, int level, long block, long generation) {
        Memory.zero(node, SIZE);
        Memory.putInt(node + MAGIC_OFFSET, MAGIC);
        Memory.putLong(node + UUID_OFFSET, uuidPart);
        Memory.putShort(node + LEVEL_OFFSET, (short) level);
        Memory.putShort(node + HEAP_OFFSET, (short) SIZE);
        stamp(node, block, generation);
    }

    /** Gives the node the place and the epoch in which it will be written next. */
    static void stamp(long node, long block, long generation) {
        Memory.putLong(node + BLOCK_OFFSET, block);
        Memory.putLong(node + GENERATION_OFFSET, generation);
    }

    static long block(long node) {
        return Memory.getLong(node + BLOCK_OFFSET);
    }

    static long generation(long node) {
        return Memory.getLong(node + GENERATION_OFFSET);
    }

    static int crc(long node) {
        return Memory.getInt(node + CRC_OFFSET);
    }

    static int level(long node) {
        return Memory.getUnsignedShort(node + LEVEL_OFFSET);
    }

    static int count(long node) {
        return Memory.getUnsignedShort(node + COUNT_OFFSET);
    }

    private static void setCount(long node, int count) {
        Memory.putShort(node + COUNT_OFFSET, (short) count);
    }

    /** Computes the checksum over all but the magic and the checksum itself, and stores it. */
    int seal(long node) {
        int crc = crc32c.of(node + BLOCK_OFFSET, SIZE - BLOCK_OFFSET);
        Memory.putInt(node + CRC_OFFSET, crc);
        return crc;
    }

    static int round8(int bytes) {
        return (bytes + 7) & ~7;
    }

    // --- leaf

    private static int heap(long node) {
        return Memory.getUnsignedShort(node + HEAP_OFFSET);
    }

    private static int garbage(long node) {
        return Memory.getUnsignedShort(node + GARBAGE_OFFSET);
    }

    private static void setHeap(long node, int heap, int garbage) {
        Memory.putShort(node + HEAP_OFFSET, (short) heap);
        Memory.putShort(node + GARBAGE_OFFSET, (short) garbage);
    }

    private static long slot(long node, int index) {
        return node + HEADER_SIZE + (long) index * SLOT_SIZE;
    }

    static long leafK0(long node, int index) {
        return Memory.getLong(slot(node, index));
    }

    static long leafK1(long node, int index) {
        return Memory.getLong(slot(node, index) + SLOT_K1_OFFSET);
    }

    static long valueAddress(long node, int index) {
        return node + Memory.getUnsignedShort(slot(node, index) + SLOT_VALUE_OFFSET);
    }

    static int valueLength(long node, int index) {
        return Memory.getUnsignedShort(slot(node, index) + SLOT_LENGTH_OFFSET);
    }

    /** Bytes that slots and values may still take, after compaction. */
    static int leafFree(long node) {
        return heap(node) + garbage(node) - HEADER_SIZE - count(node) * SLOT_SIZE;
    }

    static int leafUsed(long node) {
        return LEAF_CAPACITY - leafFree(node);
    }

    /** Whether the key at {@code index} is less than the one given. */
    static boolean leafLess(long node, int index, long k0, long k1) {
        long at = slot(node, index);
        long s0 = Memory.getLong(at);
        return s0 == k0
                ? Long.compareUnsigned(Memory.getLong(at + SLOT_K1_OFFSET), k1) < 0
                : Long.compareUnsigned(s0, k0) < 0;
    }

    static boolean leafEquals(long node, int index, long k0, long k1) {
        long at = slot(node, index);
        return Memory.getLong(at) == k0 && Memory.getLong(at + SLOT_K1_OFFSET) == k1;
    }

    /** Index of the first key not less than the one given; the count when there is none. */
    static int leafLowerBound(long node, long k0, long k1) {
        int low = 0;
        int n = count(node);
        long x0 = k0 ^ Long.MIN_VALUE;
        long x1 = k1 ^ Long.MIN_VALUE;
        while (n > 0) {
            int half = n >>> 1;
            long at = slot(node, low + half);
            long s0 = Memory.getLong(at) ^ Long.MIN_VALUE;
            if (s0 < x0 || (s0 == x0 && (Memory.getLong(at + SLOT_K1_OFFSET) ^ Long.MIN_VALUE) < x1)) {
                low += half + 1;
                n -= half + 1;
            } else {
                n = half;
            }
        }
        return low;
    }

    /** Replaces the value at {@code index}; false when it does not fit, and then nothing changed. */
    boolean leafReplace(long node, int index, long valueAddress, int length) {
        long at = slot(node, index);
        int oldLength = Memory.getUnsignedShort(at + SLOT_LENGTH_OFFSET);
        int oldRoom = round8(oldLength);
        int room = round8(length);
        if (room <= oldRoom) {
            Memory.copy(valueAddress, node + Memory.getUnsignedShort(at + SLOT_VALUE_OFFSET), length);
            if (length != oldLength) {
                Memory.putShort(at + SLOT_LENGTH_OFFSET, (short) length);
                setHeap(node, heap(node), garbage(node) + oldRoom - room);
            }
            return true;
        }
        if (leafFree(node) + oldRoom < room) {
            return false;
        }
        Memory.putShort(at + SLOT_LENGTH_OFFSET, (short) 0);
        setHeap(node, heap(node), garbage(node) + oldRoom);
        int offset = takeHeap(node, 0, room);
        Memory.putShort(at + SLOT_VALUE_OFFSET, (short) offset);
        Memory.putShort(at + SLOT_LENGTH_OFFSET, (short) length);
        Memory.copy(valueAddress, node + offset, length);
        return true;
    }

    /** Inserts a key before {@code index}; the caller has seen to it that {@link #leafFree} is enough. */
    void leafInsert(long node, int index, long k0, long k1, long valueAddress, int length) {
        int count = count(node);
        int offset = takeHeap(node, SLOT_SIZE, round8(length));
        long at = slot(node, index);
        if (index < count) {
            Memory.copy(at, at + SLOT_SIZE, (long) (count - index) * SLOT_SIZE);
        }
        Memory.putLong(at, k0);
        Memory.putLong(at + SLOT_K1_OFFSET, k1);
        Memory.putLong(at + SLOT_VALUE_OFFSET, offset | (long) length << 16);
        setCount(node, count + 1);
        Memory.copy(valueAddress, node + offset, length);
    }

    static void leafRemove(long node, int index) {
        int count = count(node);
        long at = slot(node, index);
        int room = round8(Memory.getUnsignedShort(at + SLOT_LENGTH_OFFSET));
        int offset = Memory.getUnsignedShort(at + SLOT_VALUE_OFFSET);
        if (index + 1 < count) {
            Memory.copy(at + SLOT_SIZE, at, (long) (count - index - 1) * SLOT_SIZE);
        }
        setCount(node, count - 1);
        if (offset == heap(node)) {
            setHeap(node, offset + room, garbage(node));
        } else {
            setHeap(node, heap(node), garbage(node) + room);
        }
    }

    /** Appends the slots {@code from} to {@code to} (exclusive) of one leaf to another that has room. */
    void leafAppend(long target, long source, int from, int to) {
        for (int i = from; i < to; i++) {
            leafInsert(
                    target,
                    count(target),
                    leafK0(source, i),
                    leafK1(source, i),
                    valueAddress(source, i),
                    valueLength(source, i));
        }
    }

    /** Drops the slots from {@code count} on. */
    static void leafTruncate(long node, int count) {
        int garbage = garbage(node);
        for (int i = count; i < count(node); i++) {
            garbage += round8(valueLength(node, i));
        }
        setCount(node, count);
        setHeap(node, heap(node), garbage);
    }

    private int takeHeap(long node, int slotBytes, int room) {
        if (heap(node) - HEADER_SIZE - count(node) * SLOT_SIZE - slotBytes < room) {
            compact(node);
        }
        int offset = heap(node) - room;
        setHeap(node, offset, garbage(node));
        return offset;
    }

    /** Moves the values together at the end of the node. */
    private void compact(long node) {
        int heap = heap(node);
        Memory.copy(node + heap, scratch + heap, SIZE - heap);
        int offset = SIZE;
        for (int i = 0, count = count(node); i < count; i++) {
            long at = slot(node, i);
            int length = Memory.getUnsignedShort(at + SLOT_LENGTH_OFFSET);
            int from = Memory.getUnsignedShort(at + SLOT_VALUE_OFFSET);
            offset -= round8(length);
            Memory.copy(scratch + from, node + offset, length);
            Memory.putShort(at + SLOT_VALUE_OFFSET, (short) offset);
        }
        setHeap(node, offset, 0);
    }

    // --- inner

    private static long key(long node, int index) {
        return node + HEADER_SIZE + (long) index * KEY_SIZE;
    }

    private static long child(long node, int index) {
        return node + CHILDREN_OFFSET + (long) index * CHILD_SIZE;
    }

    static long innerK0(long node, int index) {
        return Memory.getLong(key(node, index));
    }

    static long innerK1(long node, int index) {
        return Memory.getLong(key(node, index) + 8);
    }

    static long childBlock(long node, int index) {
        return Memory.getLong(child(node, index));
    }

    static long childGeneration(long node, int index) {
        return Memory.getLong(child(node, index) + CHILD_GENERATION_OFFSET);
    }

    static int childCrc(long node, int index) {
        return Memory.getInt(child(node, index) + CHILD_CRC_OFFSET);
    }

    static void setChild(long node, int index, long block, long generation, int crc) {
        long at = child(node, index);
        Memory.putLong(at, block);
        Memory.putLong(at + CHILD_GENERATION_OFFSET, generation);
        Memory.putLong(at + CHILD_CRC_OFFSET, crc & 0xffff_ffffL);
    }

    /** Index of the child that holds the key. */
    static int innerFind(long node, long k0, long k1) {
        int low = 0;
        int n = count(node) - 1;
        long x0 = k0 ^ Long.MIN_VALUE;
        long x1 = k1 ^ Long.MIN_VALUE;
        while (n > 0) {
            int half = (n + 1) >>> 1;
            long at = key(node, low + half);
            long s0 = Memory.getLong(at) ^ Long.MIN_VALUE;
            if (s0 < x0 || (s0 == x0 && (Memory.getLong(at + 8) ^ Long.MIN_VALUE) <= x1)) {
                low += half;
                n -= half;
            } else {
                n = half - 1;
            }
        }
        return low;
    }

    static void innerInsert(long node, int index, long k0, long k1, long block, long generation, int crc) {
        int count = count(node);
        if (index < count) {
            Memory.copy(key(node, index), key(node, index + 1), (long) (count - index) * KEY_SIZE);
            Memory.copy(child(node, index), child(node, index + 1), (long) (count - index) * CHILD_SIZE);
        }
        Memory.putLong(key(node, index), k0);
        Memory.putLong(key(node, index) + 8, k1);
        setChild(node, index, block, generation, crc);
        setCount(node, count + 1);
    }

    static void innerRemove(long node, int index) {
        int count = count(node);
        if (index + 1 < count) {
            Memory.copy(key(node, index + 1), key(node, index), (long) (count - index - 1) * KEY_SIZE);
            Memory.copy(child(node, index + 1), child(node, index), (long) (count - index - 1) * CHILD_SIZE);
        }
        setCount(node, count - 1);
    }

    /** Appends children {@code from} to {@code to} (exclusive) of one inner node to another that has room. */
    static void innerAppend(long target, long source, int from, int to) {
        int count = count(target);
        Memory.copy(key(source, from), key(target, count), (long) (to - from) * KEY_SIZE);
        Memory.copy(child(source, from), child(target, count), (long) (to - from) * CHILD_SIZE);
        setCount(target, count + to - from);
    }

    static void innerTruncate(long node, int count) {
        setCount(node, count);
    }

    static void setInnerKey(long node, int index, long k0, long k1) {
        Memory.putLong(key(node, index), k0);
        Memory.putLong(key(node, index) + 8, k1);
    }

    /** The root lost its last child: it becomes an empty leaf. */
    static void becomeEmptyLeaf(long node) {
        Memory.putShort(node + LEVEL_OFFSET, (short) 0);
        setCount(node, 0);
        setHeap(node, SIZE, 0);
    }

    // --- verification of what was read

    /** Everything about a node that can be said without its parent; null when all is well. */
    @Nullable
    String structureError(long node, long block) {
        if (Memory.getInt(node + MAGIC_OFFSET) != MAGIC) {
            return "has no node magic";
        }
        if (Memory.getInt(node + CRC_OFFSET) != crc32c.of(node + BLOCK_OFFSET, SIZE - BLOCK_OFFSET)) {
            return "has a wrong checksum";
        }
        if (block(node) != block) {
            return "belongs to block " + block(node);
        }
        if (Memory.getLong(node + UUID_OFFSET) != uuidPart) {
            return "belongs to another store";
        }
        int level = level(node);
        if (level > MAX_LEVEL) {
            return "has level " + level;
        }
        if (generation(node) <= 0 || generation(node) > MAX_GENERATION) {
            return "has generation " + generation(node);
        }
        return level == 0 ? leafError(node) : innerError(node);
    }

    private @Nullable String leafError(long node) {
        int count = count(node);
        int heap = heap(node);
        if (HEADER_SIZE + count * SLOT_SIZE > heap || heap > SIZE || heap % VALUE_UNIT != 0) {
            return "has " + count + " slots and a heap at " + heap;
        }
        int live = 0;
        Arrays.fill(taken, 0);
        for (int i = 0; i < count; i++) {
            int offset = (int) (valueAddress(node, i) - node);
            int length = valueLength(node, i);
            // A value of no bytes lies nowhere: the heap may have moved on.
            if ((length > 0 && offset < heap) || length > BlobStore.MAX_VALUE_BYTES || offset + round8(length) > SIZE) {
                return "has a value outside its heap in slot " + i;
            }
            if (offset % VALUE_UNIT != 0 || !take(offset, round8(length))) {
                return "has a value where another one lies in slot " + i;
            }
            live += round8(length);
            if (i > 0 && !leafLess(node, i - 1, leafK0(node, i), leafK1(node, i))) {
                return "has slot " + i + " out of order";
            }
        }
        if (count > 0 && (leafK0(node, count - 1) & leafK1(node, count - 1)) == -1L) {
            return "has a key that is none";
        }
        return SIZE - heap - garbage(node) == live ? null : "has a wrong count of free bytes";
    }

    /** Notes where a value lies; false when some of it was noted before. */
    private boolean take(int offset, int room) {
        int unit = offset / VALUE_UNIT;
        int end = unit + room / VALUE_UNIT;
        boolean free = true;
        while (unit < end) {
            int bits = Math.min(Long.SIZE - unit % Long.SIZE, end - unit);
            long mask = (-1L >>> (Long.SIZE - bits)) << unit;
            free &= (taken[unit / Long.SIZE] & mask) == 0;
            taken[unit / Long.SIZE] |= mask;
            unit += bits;
        }
        return free;
    }

    private static @Nullable String innerError(long node) {
        int count = count(node);
        if (count == 0 || count > INNER_CAPACITY) {
            return "has " + count + " children";
        }
        for (int i = 1; i < count; i++) {
            if (compare(innerK0(node, i - 1), innerK1(node, i - 1), innerK0(node, i), innerK1(node, i)) >= 0) {
                return "has key " + i + " out of order";
            }
        }
        for (int i = 0; i < count; i++) {
            // A child's change changes its parent, too.
            if (childGeneration(node, i) > generation(node)) {
                return "has a child " + i + " that is younger";
            }
        }
        return null;
    }

    static int compare(long a0, long a1, long b0, long b1) {
        return a0 == b0 ? Long.compareUnsigned(a1, b1) : Long.compareUnsigned(a0, b0);
    }

    /** Whether all keys lie in {@code [low, high)}; a high of all ones stands for no bound. */
    static boolean keysWithin(long node, long low0, long low1, long high0, long high1) {
        int count = count(node);
        if (count == 0) {
            return true;
        }
        boolean leaf = level(node) == 0;
        int last = count - 1;
        // Key 0 of an inner node may be less than its true bound after a neighbour on its left was removed.
        boolean lowOk = !leaf || compare(leafK0(node, 0), leafK1(node, 0), low0, low1) >= 0;
        long last0 = leaf ? leafK0(node, last) : innerK0(node, last);
        long last1 = leaf ? leafK1(node, last) : innerK1(node, last);
        boolean highOk = (high0 & high1) == -1L || compare(last0, last1, high0, high1) < 0;
        return lowOk && (highOk || (!leaf && count == 1));
    }
}

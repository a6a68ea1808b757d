package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * How many references a client holds to each inode: open addressing in memory outside the heap.
 *
 * <p>Invariant: no entry has count 0. Cut into parts by hash, so that growing one copies little. Written by home; other
 * reactors may ask {@link #contains} and must take false, which may be wrong while entries move, to home. Memory of
 * parts that grew is kept until the table goes: a reader may still look at it.
 */
final class ReferenceTable {
    private static final int PART_COUNT = 64;
    private static final int FIRST_CAPACITY = 64;
    private static final int SLOT_SIZE = 16;
    private static final int SLOT_COUNT_OFFSET = 8;

    /** Addresses, mask in the part's header: capacity - 1 in the first 8 bytes, slots behind. */
    private static final int HEADER_SIZE = 16;

    private static final VarHandle PART = MethodHandles.arrayElementVarHandle(long[].class);

    private final long[] parts = new long[PART_COUNT];
    private final int[] counts = new int[PART_COUNT];
    /** Holds the memory until the table is garbage. */
    private final Arena arena = Arena.ofAuto();

    private final int limit;
    private int count;

    ReferenceTable(int limit) {
        this.limit = limit;
        for (int i = 0; i < PART_COUNT; i++) {
            parts[i] = allocate(FIRST_CAPACITY);
        }
    }

    private long allocate(int capacity) {
        MemorySegment segment = arena.allocate(HEADER_SIZE + (long) capacity * SLOT_SIZE, 64);
        Memory.putLong(segment.address(), capacity - 1);
        return segment.address();
    }

    private static long hash(long inode) {
        long h = inode * 0x9E3779B97F4A7C15L;
        return h ^ h >>> 32;
    }

    private static int part(long hash) {
        return (int) (hash >>> 58);
    }

    /** Address of the inode's slot in its part, or of the free one where it would go. */
    private static long slot(long partAddress, long hash, long inode) {
        long mask = Memory.getLong(partAddress);
        long i = hash & mask;
        for (long n = 0; n <= mask; n++) {
            long at = partAddress + HEADER_SIZE + i * SLOT_SIZE;
            long key = Memory.getLong(at);
            if (key == inode || key == 0) {
                return at;
            }
            i = i + 1 & mask;
        }
        return partAddress + HEADER_SIZE + (hash & mask) * SLOT_SIZE;
    }

    boolean contains(long inode) {
        long hash = hash(inode);
        long address = (long) PART.getAcquire(parts, part(hash));
        return Memory.getLong(slot(address, hash, inode)) == inode && inode != 0;
    }

    /** Whether one more inode can be counted. */
    boolean hasRoom() {
        return count < limit;
    }

    int size() {
        return count;
    }

    /** Adds one reference; the caller has asked {@link #hasRoom}. */
    void add(long inode) {
        long hash = hash(inode);
        int p = part(hash);
        long at = slot(parts[p], hash, inode);
        if (Memory.getLong(at) == inode) {
            Memory.putLong(at + SLOT_COUNT_OFFSET, Memory.getLong(at + SLOT_COUNT_OFFSET) + 1);
            return;
        }
        Memory.putLong(at + SLOT_COUNT_OFFSET, 1);
        Memory.putLongRelease(at, inode);
        counts[p]++;
        count++;
        if (2L * counts[p] > Memory.getLong(parts[p]) + 1) {
            grow(p);
        }
    }

    private void grow(int p) {
        long old = parts[p];
        int capacity = (int) Memory.getLong(old) + 1;
        long grown = allocate(2 * capacity);
        for (int i = 0; i < capacity; i++) {
            long from = old + HEADER_SIZE + (long) i * SLOT_SIZE;
            long inode = Memory.getLong(from);
            if (inode != 0) {
                long to = slot(grown, hash(inode), inode);
                Memory.putLong(to + SLOT_COUNT_OFFSET, Memory.getLong(from + SLOT_COUNT_OFFSET));
                Memory.putLong(to, inode);
            }
        }
        PART.setRelease(parts, p, grown);
    }

    /** Takes back up to {@code references}; true when none is left, also when there was none. */
    boolean drop(long inode, long references) {
        long hash = hash(inode);
        int p = part(hash);
        long at = slot(parts[p], hash, inode);
        if (inode == 0 || Memory.getLong(at) != inode) {
            return true;
        }
        long left = Memory.getLong(at + SLOT_COUNT_OFFSET);
        if (Long.compareUnsigned(references, left) < 0) {
            Memory.putLong(at + SLOT_COUNT_OFFSET, left - references);
            return false;
        }
        remove(parts[p], at);
        counts[p]--;
        count--;
        return true;
    }

    private static void remove(long partAddress, long at) {
        long mask = Memory.getLong(partAddress);
        long slots = partAddress + HEADER_SIZE;
        long gap = (at - slots) / SLOT_SIZE;
        for (long j = gap + 1 & mask; ; j = j + 1 & mask) {
            long from = slots + j * SLOT_SIZE;
            long inode = Memory.getLong(from);
            if (inode == 0) {
                break;
            }
            long wanted = hash(inode) & mask;
            if ((j - wanted & mask) >= (j - gap & mask)) {
                long to = slots + gap * SLOT_SIZE;
                Memory.putLong(to + SLOT_COUNT_OFFSET, Memory.getLong(from + SLOT_COUNT_OFFSET));
                Memory.putLongRelease(to, inode);
                gap = j;
            }
        }
        Memory.putLongRelease(slots + gap * SLOT_SIZE, 0);
    }
}

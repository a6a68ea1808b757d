package io.vhostfs.memory;

import org.jspecify.annotations.Nullable;

/**
 * A fixed number of buffers of one size, cut from one region of memory.
 *
 * <p>Invariant: a buffer is either free or held by one holder; giving back what is not held throws. The last buffer given
 * back is handed out first, for its lines are still in the cache. Nothing is allocated after construction. One thread
 * owns a pool; it is not checked.
 */
public final class MemoryPool implements AutoCloseable {
    public static final int PAGE_SIZE = 4096;

    /** Keeps the free list below 64 MiB; no configuration has as many requests in flight. */
    public static final int MAX_BUFFERS = 1 << 24;

    private final int[] free;
    private int freeCount;
    private final long regionAddress;
    private final long strideBytes;

    /** Log2 of the stride, or -1 when it is no power of two. */
    private final int strideShift;

    private final int bufferBytes;
    private final long[] held;
    private final String name;
    private final @Nullable HugepageMemory owned;

    /** Buffers in a region of their own, aligned to pages, or to the next power of two when smaller than a page. */
    public static MemoryPool allocate(String name, int bufferBytes, int count) {
        checkSizes(name, bufferBytes, count);
        long stride = strideOf(bufferBytes);
        HugepageMemory memory = HugepageMemory.allocate(stride * count, name);
        return new MemoryPool(name, memory.address(), bufferBytes, count, memory);
    }

    /**
     * Buffers in memory of the caller, who keeps it for the pool's life.
     *
     * @param regionAddress aligned as the buffers are
     * @param regionBytes at least {@link #regionBytesFor}
     */
    public static MemoryPool of(String name, long regionAddress, long regionBytes, int bufferBytes, int count) {
        checkSizes(name, bufferBytes, count);
        if (regionBytes < regionBytesFor(bufferBytes, count)) {
            throw new IllegalArgumentException(
                    "pool " + name + ": " + regionBytes + " bytes do not hold " + count + " buffers of " + bufferBytes);
        }
        if ((regionAddress & (Math.min(strideOf(bufferBytes), PAGE_SIZE) - 1)) != 0) {
            throw new IllegalArgumentException(
                    "pool " + name + ": region 0x" + Long.toHexString(regionAddress) + " is not aligned");
        }
        return new MemoryPool(name, regionAddress, bufferBytes, count, null);
    }

    private MemoryPool(String name, long regionAddress, int bufferBytes, int count, @Nullable HugepageMemory owned) {
        this.name = name;
        this.regionAddress = regionAddress;
        this.bufferBytes = bufferBytes;
        this.strideBytes = strideOf(bufferBytes);
        this.strideShift = Long.bitCount(strideBytes) == 1 ? Long.numberOfTrailingZeros(strideBytes) : -1;
        this.owned = owned;
        free = new int[count];
        held = new long[(count + 63) >>> 6];
        for (int i = 0; i < count; i++) {
            free[i] = count - 1 - i;
        }
        freeCount = count;
    }

    /** Bytes that {@code count} buffers take up. */
    public static long regionBytesFor(int bufferBytes, int count) {
        return strideOf(bufferBytes) * count;
    }

    /** A buffer of {@link #bufferBytes}, its content undefined, or 0 when all are held. */
    public long acquire() {
        if (freeCount == 0) {
            return 0;
        }
        int index = free[--freeCount];
        held[index >>> 6] |= 1L << index;
        return regionAddress + index * strideBytes;
    }

    /** Gives a buffer back. */
    public void release(long address) {
        int index = indexOf(address);
        long bit = 1L << index;
        if ((held[index >>> 6] & bit) == 0) {
            throw notHeld(address);
        }
        held[index >>> 6] &= ~bit;
        free[freeCount++] = index;
    }

    /** The index, from 0, of the buffer that starts at {@code address}. */
    public int indexOf(long address) {
        long offset = address - regionAddress;
        long index = strideShift >= 0 ? offset >>> strideShift : offset / strideBytes;
        if (offset < 0 || index >= free.length || index * strideBytes != offset) {
            throw notHeld(address);
        }
        return (int) index;
    }

    public long addressOf(int index) {
        return regionAddress + index * strideBytes;
    }

    /** Whether the whole range lies in this pool's region. */
    public boolean contains(long address, long lengthBytes) {
        long offset = address - regionAddress;
        return offset >= 0 && lengthBytes >= 0 && offset <= regionBytes() && lengthBytes <= regionBytes() - offset;
    }

    public int available() {
        return freeCount;
    }

    public int count() {
        return free.length;
    }

    public int bufferBytes() {
        return bufferBytes;
    }

    public long regionAddress() {
        return regionAddress;
    }

    public long regionBytes() {
        return strideBytes * free.length;
    }

    /** Frees the region, if it is the pool's own. No buffer may be in use by anyone, device included. */
    @Override
    public void close() {
        if (owned != null) {
            owned.close();
        }
    }

    private IllegalStateException notHeld(long address) {
        return new IllegalStateException(
                "pool " + name + ": 0x" + Long.toHexString(address) + " is not a buffer that is held");
    }

    private static long strideOf(int bufferBytes) {
        if (bufferBytes >= PAGE_SIZE) {
            return (bufferBytes + PAGE_SIZE - 1L) & -PAGE_SIZE;
        }
        int powerOfTwo = Integer.highestOneBit(bufferBytes * 2 - 1);
        return Math.max(powerOfTwo, PermanentMemory.CACHE_LINE_BYTES);
    }

    private static void checkSizes(String name, int bufferBytes, int count) {
        if (bufferBytes <= 0 || count <= 0 || count > MAX_BUFFERS) {
            throw new IllegalArgumentException("pool " + name + ": " + count + " buffers of " + bufferBytes
                    + " bytes; possible are 1 to " + MAX_BUFFERS + " buffers of at least one byte");
        }
    }
}

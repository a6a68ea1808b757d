package io.vhostfs.memory;

/**
 * Zeroed memory that is never given back: small structures that live as long as the process.
 *
 * <p>Invariant: no two allocations share a byte, and none moves. Handed out by bumping an address through chunks of one
 * hugepage, so that what is small and hot shares few TLB entries. Any thread; start-up and control paths only.
 */
public final class PermanentMemory {
    /** Larger things belong to {@link HugepageMemory}, which can be closed. */
    public static final int MAX_ALLOCATION_BYTES = HugepageMemory.HUGEPAGE_SIZE;

    /** More than this is a leak: something transient is allocated here. */
    public static final long MAX_TOTAL_BYTES = 1L << 30;

    public static final int CACHE_LINE_BYTES = 64;

    private static final Object LOCK = new Object();
    private static long next;
    private static long end;
    private static long total;

    private PermanentMemory() {}

    /** {@code lengthBytes} zeroed bytes, aligned to a cache line and sharing none with another allocation. */
    public static long allocate(int lengthBytes) {
        return allocate(lengthBytes, CACHE_LINE_BYTES);
    }

    /**
     * {@code lengthBytes} zeroed bytes; the length is rounded up to whole cache lines.
     *
     * @param alignment a power of two from 64 up to 2 MiB
     */
    public static long allocate(int lengthBytes, int alignment) {
        if (lengthBytes <= 0 || lengthBytes > MAX_ALLOCATION_BYTES) {
            throw new IllegalArgumentException(lengthBytes + " bytes of permanent memory asked for, 1 to "
                    + MAX_ALLOCATION_BYTES + " are possible");
        }
        if (Integer.bitCount(alignment) != 1
                || alignment < CACHE_LINE_BYTES
                || alignment > HugepageMemory.HUGEPAGE_SIZE) {
            throw new IllegalArgumentException("alignment " + alignment + " is no power of two from 64 to 2 MiB");
        }
        int rounded = (lengthBytes + CACHE_LINE_BYTES - 1) & -CACHE_LINE_BYTES;
        synchronized (LOCK) {
            long address = (next + alignment - 1) & -alignment;
            if (next == 0 || address + rounded > end) {
                newChunk();
                address = next;
            }
            next = address + rounded;
            return address;
        }
    }

    private static void newChunk() {
        if (total + HugepageMemory.HUGEPAGE_SIZE > MAX_TOTAL_BYTES) {
            throw new OutOfNativeMemoryException(
                    "permanent memory has reached its limit of " + MAX_TOTAL_BYTES + " bytes");
        }
        HugepageMemory chunk = HugepageMemory.allocateSmall(HugepageMemory.HUGEPAGE_SIZE, "permanent structures");
        next = chunk.address();
        end = next + chunk.lengthBytes();
        total += chunk.lengthBytes();
    }
}

package io.vhostfs.vfio;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Hands out the addresses that an IOMMU has for devices.
 *
 * <p>Invariant: what is handed out lies in the ranges that the kernel named, which leave out what is reserved (interrupt
 * messages, say) and end where the IOMMU's address width does; nothing is handed out twice; address 0 never. Guarded by its
 * owner.
 */
final class IovaAllocator {
    /** A device that is told address 0, or a small one, was most likely told nothing. */
    private static final long LOWEST = 1L << 20;

    /** Superpages of the IOMMU need it; a waste where 39 bits are all there is, but 512 GiB hold many regions. */
    private static final long ALIGNMENT = 1L << 21;

    /** What to assume of a kernel (before 5.4) that names no ranges: 39 bits, without x86's interrupt messages. */
    private static final List<Range> UNKNOWN =
            List.of(new Range(0, 0xfedf_ffffL), new Range(0xfef0_0000L, (1L << 39) - 1));

    /**
     * A range of usable addresses.
     *
     * @param last inclusive, unsigned
     */
    record Range(long start, long last) {}

    private final List<Range> ranges = new ArrayList<>();
    private final TreeMap<Long, Long> taken = new TreeMap<>();

    /** @param kernelRanges as the kernel names them; empty when it does not */
    IovaAllocator(List<Range> kernelRanges) {
        for (Range range : kernelRanges.isEmpty() ? UNKNOWN : kernelRanges) {
            // Half of the 64-bit space is more than anyone has; signed comparisons then do.
            long last = range.last < 0 ? Long.MAX_VALUE : range.last;
            long start = Math.max(range.start, LOWEST);
            if (range.start >= 0 && start <= last) {
                ranges.add(new Range(start, last));
            }
        }
        ranges.sort(Comparator.comparingLong(Range::start));
    }

    /** An address for so many bytes, aligned to 2 MiB; -1 when there is none. */
    long allocate(long lengthBytes) {
        for (Range range : ranges) {
            long at = align(range.start);
            while (at >= 0 && at <= range.last && lengthBytes - 1 <= range.last - at) {
                long end = at + lengthBytes;
                Map.Entry<Long, Long> before = taken.lowerEntry(end);
                if (before == null || before.getKey() + before.getValue() <= at) {
                    taken.put(at, lengthBytes);
                    return at;
                }
                at = align(before.getKey() + before.getValue());
            }
        }
        return -1;
    }

    void free(long iova) {
        if (taken.remove(iova) == null) {
            throw new IllegalArgumentException("IOVA 0x" + Long.toHexString(iova) + " is not taken");
        }
    }

    private static long align(long address) {
        return (address + ALIGNMENT - 1) & -ALIGNMENT;
    }
}

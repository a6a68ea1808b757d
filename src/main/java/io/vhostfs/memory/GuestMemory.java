package io.vhostfs.memory;

import java.util.Arrays;
import java.util.Comparator;

/**
 * An immutable snapshot of a front end's memory table: where each guest region is mapped in this process.
 *
 * <p>Invariant: an address that {@link #translate} or {@link #translateUser} returns lies, with the whole length asked
 * for, inside one mapped region. Regions do not overlap; the constructor refuses a table where they do. The owner unmaps
 * regions only after every reactor that could hold an address has said that it holds none. Any thread.
 */
public final class GuestMemory {
    /** What vhost-user's CONFIGURE_MEM_SLOTS allows us to take: QEMU's limit for memory slots is below it. */
    public static final int MAX_REGIONS = 509;

    public static final GuestMemory EMPTY = new GuestMemory(new Region[0]);

    /**
     * One region.
     *
     * @param guestAddress guest physical address
     * @param userAddress the front end's own virtual address, in which vring addresses are given
     * @param lengthBytes length
     * @param address where it is mapped here
     */
    public record Region(long guestAddress, long userAddress, long lengthBytes, long address) {}

    // The largest region, which holds most of what a guest's driver puts on its rings, is looked at first.
    private final long largestStart;
    private final long largestLength;
    private final long largestAddress;

    // All regions, ordered by guest address, unpacked for the binary search.
    private final long[] guestStarts;
    private final long[] lengths;
    private final long[] addresses;

    private final Region[] regions;

    /**
     * The regions in any order.
     *
     * @throws IllegalArgumentException when there are too many regions, or they are empty, wrap or overlap
     */
    public GuestMemory(Region[] regions) {
        checkRegions(regions);
        this.regions = regions.clone();
        Region[] byGuestAddress = regions.clone();
        Arrays.sort(byGuestAddress, (a, b) -> Long.compareUnsigned(a.guestAddress(), b.guestAddress()));
        guestStarts =
                Arrays.stream(byGuestAddress).mapToLong(Region::guestAddress).toArray();
        lengths = Arrays.stream(byGuestAddress).mapToLong(Region::lengthBytes).toArray();
        addresses = Arrays.stream(byGuestAddress).mapToLong(Region::address).toArray();
        Region largest = Arrays.stream(byGuestAddress)
                .max(Comparator.comparingLong(Region::lengthBytes))
                .orElse(new Region(0, 0, 0, 0));
        largestStart = largest.guestAddress();
        largestLength = largest.lengthBytes();
        largestAddress = largest.address();
    }

    public int regionCount() {
        return regions.length;
    }

    public Region region(int index) {
        return regions[index];
    }

    /**
     * The local address of a guest physical range, or 0 when no region holds all of it. An empty range is held by the
     * region its address lies in, not by the one it ends.
     */
    public long translate(long guestAddress, long lengthBytes) {
        long offset = guestAddress - largestStart;
        // Unsigned: an address below the start wraps to a huge offset, a negative length is a huge one.
        if (Long.compareUnsigned(offset, largestLength) < 0
                && Long.compareUnsigned(lengthBytes, largestLength - offset) <= 0) {
            return largestAddress + offset;
        }
        return translateSlowPath(guestAddress, lengthBytes);
    }

    /**
     * Bytes from a guest physical address to the end of its region; 0 when no region holds it. A buffer that goes on in
     * the next region is to be translated piece by piece.
     */
    public long bytesToRegionEnd(long guestAddress) {
        int i = indexOf(guestAddress);
        return i < 0 ? 0 : lengths[i] - (guestAddress - guestStarts[i]);
    }

    /** The local address of a range given in the front end's virtual addresses, or 0. Control paths: rings are few. */
    public long translateUser(long userAddress, long lengthBytes) {
        for (Region region : regions) {
            long offset = userAddress - region.userAddress();
            if (Long.compareUnsigned(offset, region.lengthBytes()) < 0
                    && Long.compareUnsigned(lengthBytes, region.lengthBytes() - offset) <= 0) {
                return region.address() + offset;
            }
        }
        return 0;
    }

    private long translateSlowPath(long guestAddress, long lengthBytes) {
        int i = indexOf(guestAddress);
        if (i < 0) {
            return 0;
        }
        long offset = guestAddress - guestStarts[i];
        return Long.compareUnsigned(lengthBytes, lengths[i] - offset) <= 0 ? addresses[i] + offset : 0;
    }

    /** The index in the ordered arrays of the region that holds the byte at {@code guestAddress}, or -1. */
    private int indexOf(long guestAddress) {
        int low = 0;
        int high = guestStarts.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            long offset = guestAddress - guestStarts[middle];
            if (Long.compareUnsigned(guestAddress, guestStarts[middle]) < 0) {
                high = middle - 1;
            } else if (Long.compareUnsigned(offset, lengths[middle]) < 0) {
                return middle;
            } else {
                low = middle + 1;
            }
        }
        return -1;
    }

    private static void checkRegions(Region[] regions) {
        if (regions.length > MAX_REGIONS) {
            throw new IllegalArgumentException(
                    "memory table has " + regions.length + " regions, at most " + MAX_REGIONS + " are taken");
        }
        for (int i = 0; i < regions.length; i++) {
            Region region = regions[i];
            if (region.lengthBytes() <= 0
                    || wraps(region.guestAddress(), region.lengthBytes())
                    || wraps(region.userAddress(), region.lengthBytes())
                    || region.address() <= 0
                    || region.address() + region.lengthBytes() < 0) {
                throw new IllegalArgumentException("memory region " + i + " is empty or wraps: " + region);
            }
            for (int j = 0; j < i; j++) {
                if (overlap(region.guestAddress(), regions[j].guestAddress(), region, regions[j])
                        || overlap(region.userAddress(), regions[j].userAddress(), region, regions[j])) {
                    throw new IllegalArgumentException(
                            "memory regions " + j + " and " + i + " overlap: " + regions[j] + ", " + region);
                }
            }
        }
    }

    private static boolean wraps(long start, long length) {
        return Long.compareUnsigned(start + length - 1, start) < 0;
    }

    private static boolean overlap(long a, long b, Region regionA, Region regionB) {
        long distance = a - b;
        return Long.compareUnsigned(a, b) >= 0
                ? Long.compareUnsigned(distance, regionB.lengthBytes()) < 0
                : Long.compareUnsigned(-distance, regionA.lengthBytes()) < 0;
    }
}

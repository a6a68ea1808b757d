package io.vhostfs.memory;

/**
 * An immutable snapshot of a front end's memory table: where each guest region is mapped in this process.
 *
 * <p>Invariant: an address that {@link #translate} or {@link #translateUser} returns lies, with the whole length asked
 * for, inside one mapped region. Regions do not overlap. The owner unmaps regions only after every reactor that could
 * hold an address has said that it holds none. Any thread.
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

    private final Region[] regions;

    // The same, unpacked for the hot path.
    private final long[] guestStarts;
    private final long[] lengths;
    private final long[] addresses;

    public GuestMemory(Region[] regions) {
        this.regions = regions.clone();
        int n = regions.length;
        guestStarts = new long[n];
        lengths = new long[n];
        addresses = new long[n];
        for (int i = 0; i < n; i++) {
            guestStarts[i] = regions[i].guestAddress();
            lengths[i] = regions[i].lengthBytes();
            addresses[i] = regions[i].address();
        }
    }

    public int regionCount() {
        return regions.length;
    }

    public Region region(int index) {
        return regions[index];
    }

    /** The local address of a guest physical range, or 0 when no region holds all of it. */
    public long translate(long guestAddress, long lengthBytes) {
        for (int i = 0; i < guestStarts.length; i++) {
            long offset = guestAddress - guestStarts[i];
            long length = lengths[i];
            // Unsigned: a guest address below the start wraps to a huge offset.
            if (Long.compareUnsigned(offset, length) < 0 && Long.compareUnsigned(lengthBytes, length - offset) <= 0) {
                return addresses[i] + offset;
            }
        }
        return 0;
    }

    /** The local address of a range given in the front end's virtual addresses, or 0. */
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
}

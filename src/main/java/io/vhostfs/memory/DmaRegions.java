package io.vhostfs.memory;

import java.util.ArrayList;
import java.util.List;

/**
 * The memory of this process that devices may transfer from and to: hugepage memory and guests' regions.
 *
 * <p>Invariant: every listener has been told of every region here, and of none that is not; regions do not overlap. Whoever
 * removes a region makes sure that nobody uses it any more, and removes it before it is unmapped; who cannot be sure retires
 * it. Any thread; control paths.
 */
public final class DmaRegions {
    /** Who wants to know which memory there is. Called under the registry's lock; must not call back. */
    public interface Listener {
        void onRegionAdded(long address, long lengthBytes);

        void onRegionRemoved(long address, long lengthBytes);

        /** As {@link #onRegionRemoved}, but transfers may still be under way: these may go on. */
        void onRegionRetired(long address, long lengthBytes);
    }

    private record Region(long address, long lengthBytes) {}

    private static final Object LOCK = new Object();
    private static final List<Region> REGIONS = new ArrayList<>();
    private static final List<Listener> LISTENERS = new ArrayList<>();

    private DmaRegions() {}

    public static void add(long address, long lengthBytes) {
        synchronized (LOCK) {
            REGIONS.add(new Region(address, lengthBytes));
            for (Listener listener : LISTENERS) {
                listener.onRegionAdded(address, lengthBytes);
            }
        }
    }

    /** No effect when it is not there. */
    public static void remove(long address, long lengthBytes) {
        synchronized (LOCK) {
            if (REGIONS.remove(new Region(address, lengthBytes))) {
                for (Listener listener : LISTENERS) {
                    listener.onRegionRemoved(address, lengthBytes);
                }
            }
        }
    }

    /**
     * As {@link #remove}, of a region that something may still be transferred from or to: nothing new is, and devices keep its
     * pages until that has ended.
     */
    public static void retire(long address, long lengthBytes) {
        synchronized (LOCK) {
            if (REGIONS.remove(new Region(address, lengthBytes))) {
                for (Listener listener : LISTENERS) {
                    listener.onRegionRetired(address, lengthBytes);
                }
            }
        }
    }

    /** Tells {@code listener} of all that is there, and of every change from then on. */
    public static void listen(Listener listener) {
        synchronized (LOCK) {
            LISTENERS.add(listener);
            for (Region region : REGIONS) {
                listener.onRegionAdded(region.address, region.lengthBytes);
            }
        }
    }

    /** Ends that; the listener is not told of what is still there. */
    public static void unlisten(Listener listener) {
        synchronized (LOCK) {
            LISTENERS.remove(listener);
        }
    }
}

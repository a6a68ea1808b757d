package io.vhostfs.blobfs;

import java.util.Arrays;

/**
 * How many extents hold each block of those that may be shared, and how many the SHARED items say: for a check or a repair,
 * which add what they find in any order and then compare. About 16 bytes per extent and item. One thread.
 */
final class SharedCounts {
    /** A run of blocks that are all alike. */
    interface Run {
        void run(long block, long blocks, long holders, long stored);
    }

    // Where the number of holders changes: the block, and in the lowest bit whether it rises.
    private long[] events = new long[64];
    private int eventCount;

    // The items, in ascending order and not overlapping.
    private long[] start = new long[16];
    private int[] blocks = new int[16];
    private long[] references = new long[16];
    private int items;

    /** An extent holds these blocks. */
    void hold(long block, long count) {
        if (eventCount + 2 > events.length) {
            events = Arrays.copyOf(events, 2 * events.length);
        }
        events[eventCount++] = block << 1 | 1;
        events[eventCount++] = (block + count) << 1;
    }

    /** An item says how many do; false, and not taken, when it lies on the one before. */
    boolean store(long block, int count, long storedReferences) {
        if (items > 0 && start[items - 1] + blocks[items - 1] > block) {
            return false;
        }
        if (items == start.length) {
            start = Arrays.copyOf(start, 2 * items);
            blocks = Arrays.copyOf(blocks, 2 * items);
            references = Arrays.copyOf(references, 2 * items);
        }
        start[items] = block;
        blocks[items] = count;
        references[items++] = storedReferences;
        return true;
    }

    boolean isEmpty() {
        return eventCount == 0 && items == 0;
    }

    /** Shows all blocks that any extent holds or any item counts; stored is 0 where there is no item. */
    void forEach(Run run) {
        Arrays.sort(events, 0, eventCount);
        long at = 0;
        long holders = 0;
        int e = 0;
        int item = 0;
        while (e < eventCount || item < items) {
            while (e < eventCount && events[e] >>> 1 <= at) {
                holders += (events[e++] & 1) == 0 ? -1 : 1;
            }
            while (item < items && start[item] + blocks[item] <= at) {
                item++;
            }
            boolean isCounted = item < items && start[item] <= at;
            long end = e < eventCount ? events[e] >>> 1 : Long.MAX_VALUE;
            if (item < items) {
                end = Math.min(end, isCounted ? start[item] + blocks[item] : start[item]);
            }
            if (end != Long.MAX_VALUE && (holders > 0 || isCounted)) {
                run.run(at, end - at, holders, isCounted ? references[item] : 0);
            }
            at = end;
            if (end == Long.MAX_VALUE) {
                return;
            }
        }
    }
}

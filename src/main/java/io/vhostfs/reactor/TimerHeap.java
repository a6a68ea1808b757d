package io.vhostfs.reactor;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The scheduled timers of one reactor, a binary heap: the earliest is at the root.
 *
 * <p>Invariant: a timer's {@code heapIndex} is its place here, and no timer is due before its parent. Grows, up to a
 * limit, and allocates nothing else. The reactor's thread only.
 */
final class TimerHeap {
    /** A timer per request of the largest configuration is far below this; more is a leak. */
    static final int MAX_TIMERS = 1 << 20;

    private @Nullable ReactorTimer[] heap = new @Nullable ReactorTimer[64];
    private int size;
    private long nextSequence;

    int size() {
        return size;
    }

    /** Every timer scheduled so far has a lower sequence number. */
    long nextSequence() {
        return nextSequence;
    }

    /** The earliest timer, or null. */
    @Nullable
    ReactorTimer first() {
        return heap[0];
    }

    /** Schedules a timer, or moves one that is scheduled. */
    void put(ReactorTimer timer, long deadlineNs) {
        if (timer.isScheduled()) {
            remove(timer);
        }
        if (size == heap.length) {
            grow();
        }
        timer.deadlineNs = deadlineNs;
        timer.sequence = nextSequence++;
        siftUp(timer, size++);
    }

    /** Takes a scheduled timer out. */
    void remove(ReactorTimer timer) {
        int hole = timer.heapIndex;
        timer.heapIndex = ReactorTimer.NOT_SCHEDULED;
        ReactorTimer last = at(--size);
        heap[size] = null;
        if (last != timer) {
            siftDown(last, hole);
            if (last.heapIndex == hole) {
                siftUp(last, hole);
            }
        }
    }

    private void siftUp(ReactorTimer timer, int from) {
        int index = from;
        while (index > 0) {
            int parent = (index - 1) >>> 1;
            if (!isBefore(timer, at(parent))) {
                break;
            }
            place(at(parent), index);
            index = parent;
        }
        place(timer, index);
    }

    private void siftDown(ReactorTimer timer, int from) {
        int index = from;
        while (2 * index + 1 < size) {
            int child = 2 * index + 1;
            if (child + 1 < size && isBefore(at(child + 1), at(child))) {
                child++;
            }
            if (!isBefore(at(child), timer)) {
                break;
            }
            place(at(child), index);
            index = child;
        }
        place(timer, index);
    }

    private void place(ReactorTimer timer, int index) {
        heap[index] = timer;
        timer.heapIndex = index;
    }

    private ReactorTimer at(int index) {
        ReactorTimer timer = heap[index];
        assert timer != null : index;
        return timer;
    }

    private void grow() {
        if (size >= MAX_TIMERS) {
            throw new IllegalStateException("more than " + MAX_TIMERS + " timers are scheduled on one reactor");
        }
        heap = Arrays.copyOf(heap, size * 2);
    }

    /** By difference: the clock's origin is arbitrary, so it may pass from positive to negative. */
    private static boolean isBefore(ReactorTimer a, ReactorTimer b) {
        long difference = a.deadlineNs - b.deadlineNs;
        return difference != 0 ? difference < 0 : a.sequence - b.sequence < 0;
    }
}

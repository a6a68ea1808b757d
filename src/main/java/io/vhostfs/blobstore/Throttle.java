package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * Slows changes down while what they fill is filling, so that they need not stop when it is full.
 *
 * <p>Invariant: with a gap of 0 a change passes at once, unless others wait already. Else changes pass one after the other
 * in the order they came, a gap apart. With {@link #HOLD} nothing passes.
 *
 * <p>The gap grows with the fill {@code f} (0 where slowing down starts, 1 where it is full) as {@code f / (1 - f)}: whatever
 * the speed at which the disk empties it, there is a fill at which changes come as fast as that, and there the fill stays.
 * At half the gap is such that the whole way from start to full would take {@link #FILL_NS}; to come to 0.9 takes 1.4 times
 * as long, to 0.99 3.6 times. Home reactor only.
 */
final class Throttle {
    /** As long as a disk may need for a flush without anybody noticing much. */
    private static final double FILL_NS = 100e6;

    /** Close to full: still some hundred changes a second. */
    static final long MAX_GAP_NS = 4_000_000;

    /** The gap when it is full. */
    static final long HOLD = Long.MAX_VALUE;

    /** What a reactor that comes late may let pass at once, in time. */
    private static final long MAX_CATCH_UP_NS = 200_000;

    private BlobStore.@Nullable Parkable head;
    private BlobStore.@Nullable Parkable tail;

    /** Changes let pass in this turn that have not begun yet. */
    private int passes;

    private long nextPassNs;

    /** Changes that had to wait. */
    long delayed;

    /** From now on times are those of another clock. */
    void setClock(long nowNs) {
        nextPassNs = nowNs;
    }

    /** The gap behind a change that fills {@code unit} more, when {@code used} is filled of what is full at {@code full}. */
    static long gapNs(long used, long start, long full, int unit) {
        if (used <= start) {
            return 0;
        }
        if (used >= full) {
            return HOLD;
        }
        double gap = FILL_NS * unit / (full - start) * (used - start) / (full - used);
        return gap < MAX_GAP_NS ? (long) gap : MAX_GAP_NS;
    }

    boolean hasWaiters() {
        return head != null;
    }

    /** Whether a change may begin now; else it is to be parked here. */
    boolean mayPass(long gapNs, long nowNs) {
        if (passes > 0) {
            passes--;
            return true;
        }
        if (head != null || gapNs == HOLD) {
            return false;
        }
        if (gapNs > 0) {
            if (nowNs - nextPassNs < 0) {
                return false;
            }
            nextPassNs = nowNs + gapNs;
        }
        return true;
    }

    void park(BlobStore.Parkable change) {
        delayed++;
        change.nextParked = null;
        if (tail == null) {
            head = change;
        } else {
            tail.nextParked = change;
        }
        tail = change;
    }

    /** What was let pass and has not begun waits for something else now. */
    void startTurn() {
        passes = 0;
    }

    /** Takes out the next change that may pass now, to be run at once; null when there is none. */
    BlobStore.@Nullable Parkable next(long gapNs, long nowNs) {
        BlobStore.Parkable first = head;
        if (first == null || gapNs == HOLD || (gapNs > 0 && nowNs - nextPassNs < 0)) {
            return null;
        }
        nextPassNs = Math.max(nextPassNs, nowNs - MAX_CATCH_UP_NS) + gapNs;
        head = first.nextParked;
        if (head == null) {
            tail = null;
        }
        first.nextParked = null;
        passes++;
        return first;
    }

    /** How long until {@link #next} may give one; at most 0: now. */
    long waitNs(long nowNs) {
        return nextPassNs - nowNs;
    }
}

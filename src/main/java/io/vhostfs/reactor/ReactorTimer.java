package io.vhostfs.reactor;

/**
 * A timer that its owner keeps and schedules again and again with {@link Reactor#schedule(ReactorTimer, long)}.
 *
 * <p>Scheduled at most once at a time, on one reactor; everything runs on that reactor's thread.
 */
public final class ReactorTimer {
    static final int NOT_SCHEDULED = -1;

    long deadlineNs;

    /** Timers of the same deadline run in the order in which they were scheduled. */
    long sequence;

    int heapIndex = NOT_SCHEDULED;

    final Message action;

    /**
     * A timer that is not scheduled.
     *
     * @param action what runs when the time has come; it may schedule this timer again
     */
    public ReactorTimer(Message action) {
        this.action = action;
    }

    public boolean isScheduled() {
        return heapIndex != NOT_SCHEDULED;
    }
}

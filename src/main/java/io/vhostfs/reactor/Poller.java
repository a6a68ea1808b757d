package io.vhostfs.reactor;

/**
 * Something a reactor runs in turn. All methods run on that reactor's thread; none may block, lock or throw.
 *
 * <p>Sleeping without losing a wake-up: before the reactor sleeps it calls {@link #prepareToSleep} on every poller. A
 * poller asks its source for a notification there (sets avail_event, say), then looks once more, and refuses when work
 * has appeared. {@link #wake} takes the request for notifications back.
 */
public interface Poller {
    /**
     * Does a bounded amount of work.
     *
     * @return the number of things done; 0 when there was nothing to do
     */
    int poll();

    /** Asks for notifications, then looks again; false when there is work, so that the reactor must not sleep. */
    boolean prepareToSleep();

    /** Takes the request for notifications back; called after a sleep, and when another poller refused to sleep. */
    void wake();
}

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

    /**
     * Asks for notifications, then looks again; false when there is work, so that the reactor must not sleep. Must not add
     * or remove pollers.
     */
    boolean prepareToSleep();

    /**
     * Takes the request for notifications back. Follows every {@link #prepareToSleep}, whatever that answered. Must not
     * add or remove pollers.
     */
    void wake();

    /**
     * Told what was thrown while this poller ran. True: the poller has dealt with it (ended the session whose memory went
     * away, say) and stays. False: the reactor logs it and removes the poller.
     *
     * <p>An {@link InternalError}, from memory that its owner truncated, may also come out of a message, which has no
     * poller: so it is offered to every poller, the one that ran first, until one answers true. A poller answers true only
     * when its own memory is what went away.
     */
    default boolean onError(Throwable thrown) {
        return false;
    }
}

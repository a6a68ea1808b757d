package io.vhostfs.sim;

import io.vhostfs.reactor.ReactorClock;

/**
 * Time that passes only when the simulation says so, and the limits that tell a seed which makes no end.
 *
 * <p>Whatever loops asks it again and again: {@link #checkLimits} throws when more simulated time has passed than a seed can
 * need, or when the watchdog has interrupted the thread. One thread.
 */
final class SimClock implements ReactorClock {
    /** An arbitrary day in 2020: time stamps of files are wall clock time. */
    private static final long EPOCH_NS = 1_600_000_000_000_000_000L;

    private static final long NS_PER_SECOND = 1_000_000_000L;

    private final long limitNs;
    private long nowNs = NS_PER_SECOND;

    /**
     * A clock that stops a seed.
     *
     * @param limitSeconds so much simulated time a seed has
     */
    SimClock(long limitSeconds) {
        limitNs = limitSeconds * NS_PER_SECOND;
    }

    @Override
    public long monotonicNs() {
        return nowNs;
    }

    @Override
    public long wallClockNs() {
        return EPOCH_NS + nowNs;
    }

    void advance(long ns) {
        nowNs += ns;
    }

    void advanceTo(long ns) {
        nowNs = Math.max(nowNs, ns);
    }

    /** Throws when the seed must end here. */
    void checkLimits() {
        if (nowNs > limitNs) {
            throw new SimFailure("the seed hangs: " + limitNs / NS_PER_SECOND + " s of simulated time have passed");
        }
        if (Thread.currentThread().isInterrupted()) {
            throw new SimFailure("the seed hangs: the watchdog has interrupted it");
        }
    }
}

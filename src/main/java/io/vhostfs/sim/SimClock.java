package io.vhostfs.sim;

import io.vhostfs.reactor.ReactorClock;

/** Time that passes only when the simulation says so. One thread. */
final class SimClock implements ReactorClock {
    /** An arbitrary day in 2020: time stamps of files are wall clock time. */
    private static final long EPOCH_NS = 1_600_000_000_000_000_000L;

    private long nowNs = 1_000_000_000L;

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
}

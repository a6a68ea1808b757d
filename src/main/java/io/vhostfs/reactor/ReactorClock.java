package io.vhostfs.reactor;

/** Where a reactor's time comes from: the system, or a simulation. Called on the reactor's thread, once a turn at most. */
public interface ReactorClock {
    /** Nanoseconds of a clock that never goes back, from an arbitrary origin. */
    long monotonicNs();

    /** Nanoseconds since 1970-01-01T00:00Z. */
    long wallClockNs();
}

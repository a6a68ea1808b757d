package io.vhostfs.sim;

/**
 * Tells a hang from slow I/O: it takes many turns without progress and a long simulated time. One thread.
 *
 * <p>Who asks again in every turn keeps time from leaping to the disk's next answer; after some turns it leaps here.
 */
final class Patience {
    private static final int TURNS = 20_000;
    private static final int TURNS_BEFORE_LEAPS = 1000;
    private static final int LEAP_NS = 1_000_000;

    /** Ten times what the slowest requests of a disk take. */
    private static final long LIMIT_NS = 200_000_000_000L;

    private final SimClock clock;
    private final SimRandom random;
    private int turns;
    private long sinceNs;

    Patience(SimClock clock, SimRandom random) {
        this.clock = clock;
        this.random = random;
        sinceNs = clock.monotonicNs();
    }

    /** There was progress. */
    void renew() {
        turns = 0;
        sinceNs = clock.monotonicNs();
    }

    /** A turn without progress; {@code what} says in words what that means in the end. */
    void spend(String what) {
        turns++;
        if (turns > TURNS_BEFORE_LEAPS) {
            clock.advance(random.below(LEAP_NS));
        }
        if (turns > TURNS && clock.monotonicNs() - sinceNs > LIMIT_NS) {
            throw new SimFailure(what);
        }
    }
}

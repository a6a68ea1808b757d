package io.vhostfs.sim;

import java.util.SplittableRandom;

/** The only source of chance in a simulation: all of it follows from one seed. One thread. */
final class SimRandom {
    private static final int PERCENT = 100;

    private final SplittableRandom random;

    SimRandom(long seed) {
        random = new SplittableRandom(seed);
    }

    private SimRandom(SplittableRandom random) {
        this.random = random;
    }

    /** A stream of its own, so that what one part draws does not shift what another part sees. */
    SimRandom split() {
        return new SimRandom(random.split());
    }

    long nextLong() {
        return random.nextLong();
    }

    /** 0 to {@code bound} - 1. */
    int below(int bound) {
        return random.nextInt(bound);
    }

    /** {@code least} to {@code most}, both included. */
    int between(int least, int most) {
        return least + random.nextInt(most - least + 1);
    }

    long between(long least, long most) {
        return random.nextLong(least, most + 1);
    }

    boolean percent(int chance) {
        return random.nextInt(PERCENT) < chance;
    }

    boolean oneIn(int n) {
        return random.nextInt(n) == 0;
    }

    int pick(int... values) {
        return values[random.nextInt(values.length)];
    }

    /** Small values far more often than large ones: 1 to {@code most}. */
    int skewed(int most) {
        int bits = 32 - Integer.numberOfLeadingZeros(most);
        return Math.min(most, 1 + random.nextInt(1 << random.nextInt(bits + 1)));
    }
}

package io.vhostfs.sim;

/** A running hash of everything that happens: equal for equal seeds, or something was not deterministic. One thread. */
final class TraceHash {
    private static final long MULTIPLIER = 0x9E3779B97F4A7C15L;

    private long hash = MULTIPLIER;

    void add(long value) {
        hash = (Long.rotateLeft(hash, 23) ^ value) * MULTIPLIER;
        hash ^= hash >>> 29;
    }

    void add(byte[] bytes) {
        int at = 0;
        long folded = bytes.length;
        for (byte b : bytes) {
            folded = folded * 31 + b;
            at++;
            if ((at & 0xff) == 0) {
                add(folded);
            }
        }
        add(folded);
    }

    long value() {
        return hash;
    }
}

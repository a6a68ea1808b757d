package io.vhostfs.blobstore;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Tells when all I/O to data blocks that started before a moment has ended.
 *
 * <p>Invariant: an I/O counts in the epoch that {@link #started} returned; when an epoch that is over has drained, every
 * I/O that looked its blocks up before the epoch was over has ended. At most two epochs have I/O in flight. Each reactor
 * writes its own slot's counters; the epoch is the home reactor's.
 */
final class IoEpochs {
    /** Counters of a slot lie on two cache lines of their own (the prefetcher fetches pairs). */
    private static final int STRIDE = 16;

    private static final int STARTED = 0;
    private static final int ENDED = 2;
    private static final int WRITES = 4;

    private final int slots;
    private final AtomicLongArray counters;
    private final AtomicLong epoch = new AtomicLong();

    IoEpochs(int slots) {
        this.slots = slots;
        counters = new AtomicLongArray(slots * STRIDE);
    }

    /**
     * Before the blocks are looked up. The volatile store and the second look at the epoch pair with those of {@link
     * #advance}: either the home reactor sees the count, or this I/O counts in the new epoch and looks up after the free.
     */
    int started(int slot) {
        while (true) {
            long now = epoch.getAcquire();
            int index = slot * STRIDE + STARTED + (int) (now & 1);
            counters.set(index, counters.getPlain(index) + 1);
            if (epoch.get() == now) {
                return (int) now & 1;
            }
            counters.setRelease(index, counters.getPlain(index) - 1);
        }
    }

    void ended(int slot, int parity) {
        int index = slot * STRIDE + ENDED + parity;
        counters.setRelease(index, counters.getPlain(index) + 1);
    }

    /** A data write has completed; it is volatile until the next flush. */
    void noteWrite(int slot) {
        int index = slot * STRIDE + WRITES;
        counters.setRelease(index, counters.getPlain(index) + 1);
    }

    /** Changes with every completed data write. */
    long writes() {
        long sum = 0;
        for (int slot = 0; slot < slots; slot++) {
            sum += counters.getAcquire(slot * STRIDE + WRITES);
        }
        return sum;
    }

    /** Whether the epoch before the running one has drained, so that its counters can serve the next. */
    boolean canAdvance() {
        return hasDrained((int) (epoch.getPlain() + 1) & 1);
    }

    /** Ends the running epoch; returns its parity, to be asked for with {@link #hasDrained}. */
    int advance() {
        return (int) epoch.getAndIncrement() & 1;
    }

    /** Home reactor: whether all I/O of that parity's last epoch has ended. */
    boolean hasDrained(int parity) {
        // Ended first: a start seen too late only delays, an end seen without its start would deceive.
        long ended = 0;
        long started = 0;
        for (int slot = 0; slot < slots; slot++) {
            ended += counters.get(slot * STRIDE + ENDED + parity);
        }
        for (int slot = 0; slot < slots; slot++) {
            started += counters.get(slot * STRIDE + STARTED + parity);
        }
        return started == ended;
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A store under more load than its disk takes; all times are those of a simulated clock. */
class LoadTest {
    private static final long TURN_NS = 2_000;
    private static final long CHANGE_NS = 1_000;
    private static final int VALUE_BYTES = 128;

    private final SlowDevice.Clock clock = new SlowDevice.Clock();
    private final SlowDevice device = new SlowDevice(128 << 20, clock);
    private final Reactor reactor = new Reactor(Reactor.Config.named("load").withClock(clock));
    private final long value = PermanentMemory.allocate(4096);
    private final Random random = new Random(3);

    @SuppressWarnings("NullAway.Init") // each test starts it
    private BlobStore store;

    private long[] waitsNs = new long[1 << 16];
    private int changes;

    private void start(long logBytes, StoreOptions options) {
        BlobStore.format(device, new FormatOptions(new UUID(1, 2), "load", logBytes, 99, 0));
        store = BlobStore.open(device, options);
        store.handOver();
        store.start(reactor);
        device.slow = true;
    }

    @AfterEach
    void abandon() {
        store.abandon();
        device.close();
    }

    /** Somebody who changes one thing after the other; or, with {@code syncs}, one thing and then commits. */
    private final class Changer extends BlobStore.Parkable {
        private final int keys;
        private final boolean syncs;
        private boolean waiting;
        private boolean started;
        private long startedNs;
        private long k1;

        private final BlobStore.CommitWaiter committed = new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int status) {
                assertEquals(0, status);
                ended();
            }
        };

        Changer(int keys, boolean syncs) {
            this.keys = keys;
            this.syncs = syncs;
        }

        void run() {
            if (!waiting) {
                change();
            }
        }

        @Override
        public void unpark() {
            waiting = false;
            change();
        }

        private void change() {
            if (!started) {
                started = true;
                startedNs = clock.nowNs;
                k1 = random.nextInt(keys);
            }
            int status = store.prepare(1, k1, VALUE_BYTES);
            if (status == BlobStore.OK) {
                status = store.begin(BlobStore.logBytes(VALUE_BYTES));
            }
            if (status == BlobStore.NOT_RESIDENT) {
                waiting = true;
                store.park(this);
                return;
            }
            assertEquals(BlobStore.OK, status, () -> Errno.name(store.failure()));
            store.put(1, k1, value, VALUE_BYTES);
            store.end();
            clock.nowNs += CHANGE_NS;
            if (syncs) {
                waiting = true;
                store.noteDataWrite(0);
                store.commit(committed);
            } else {
                ended();
            }
        }

        private void ended() {
            waiting = false;
            started = false;
            if (changes == waitsNs.length) {
                waitsNs = Arrays.copyOf(waitsNs, 2 * changes);
            }
            waitsNs[changes++] = clock.nowNs - startedNs;
        }
    }

    private List<Changer> changers(int count, int keys, boolean syncs) {
        List<Changer> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            all.add(new Changer(keys, syncs));
        }
        return all;
    }

    private void run(List<Changer> changers, long forNs) {
        changes = 0;
        long endNs = clock.nowNs + forNs;
        while (clock.nowNs < endNs) {
            clock.nowNs += TURN_NS;
            reactor.runOnce();
            changers.forEach(Changer::run);
        }
    }

    private long waitNs(double part) {
        long[] sorted = Arrays.copyOf(waitsNs, changes);
        Arrays.sort(sorted);
        return sorted[(int) Math.min(changes - 1, (long) (part * changes))];
    }

    private void print(String what) {
        StoreStatus status = store.status();
        System.out.printf(
                Locale.ROOT,
                "%s: %d changes, %d delayed, %d checkpoints, longest flush %.1f ms; simulated wait p50 %.3f, p99 %.3f, p99.9"
                        + " %.3f, max %.3f ms%n",
                what,
                changes,
                status.delayedChanges(),
                status.checkpoints(),
                device.longestFlushNs / 1e6,
                waitNs(0.5) / 1e6,
                waitNs(0.99) / 1e6,
                waitNs(0.999) / 1e6,
                waitNs(1) / 1e6);
    }

    /** Without slowing down, the longest wait is the longest flush, and more. */
    @ParameterizedTest
    @ValueSource(longs = {1 << 20, 8 << 20})
    void aLogThatFillsSlowsChangesDownAndStopsNone(long logBytes) {
        start(logBytes, StoreOptions.DEFAULT);
        run(changers(32, 50_000, false), 5_000_000_000L);
        print("log of " + (logBytes >> 20) + " MiB");
        assertTrue(store.checkpointsCompleted() >= 10, store.checkpointsCompleted() + " checkpoints");
        assertTrue(store.status().delayedChanges() > changes / 100, "the disk keeps up: nothing is tested");
        assertTrue(changes > 100_000, changes + " changes");
        assertTrue(waitNs(1) < device.longestFlushNs / 2, waitNs(1) + " ns");
        assertTrue(waitNs(1) < 32 * Throttle.MAX_GAP_NS, waitNs(1) + " ns");
    }

    @Test
    void aCacheFullOfDirtyNodesSlowsChangesDownAndStopsNone() {
        start(8 << 20, StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20));
        run(changers(32, 100_000, false), 5_000_000_000L);
        print("cache of 8 MiB");
        assertTrue(store.checkpointsCompleted() >= 10, store.checkpointsCompleted() + " checkpoints");
        assertTrue(changes > 10_000, changes + " changes");
        assertTrue(waitNs(1) < device.longestFlushNs, waitNs(1) + " ns");
    }

    @Test
    void aDiskThatKeepsUpSlowsNobodyDown() {
        device.nsPerKib = 500;
        device.latencyNs = 20_000;
        start(8 << 20, StoreOptions.DEFAULT);
        run(changers(8, 5_000, false), 500_000_000L);
        print("fast disk");
        assertEquals(0, store.status().delayedChanges());
        assertTrue(store.checkpointsCompleted() >= 5, store.checkpointsCompleted() + " checkpoints");
    }

    @Test
    void concurrentSyncsShareLogWritesAndFlushes() {
        start(8 << 20, StoreOptions.DEFAULT.withIntervals(1_000_000_000L, 3_600_000_000_000L));
        device.nsPerKib = 1000;
        long writes = device.durableWrites;
        long flushes = device.flushes;
        run(changers(256, 5_000, true), 1_000_000_000L);
        writes = device.durableWrites - writes;
        flushes = device.flushes - flushes;
        print("256 at once: " + writes + " log writes, " + flushes + " flushes");
        // One flush and one log write take 2 ms: 500 rounds a second at the most, and each takes all that wait.
        assertTrue(changes >= 200 * writes, changes + " syncs, " + writes + " log writes");
        assertTrue(changes >= 200 * flushes, changes + " syncs, " + flushes + " flushes");
        assertTrue(writes >= 300 && writes <= 500, writes + " log writes");
        assertTrue(waitNs(1) < 8_000_000, "nobody waits for more than two rounds: " + waitNs(1));
    }

    @Test
    void oneSyncAfterTheOtherWaitsForItsOwnWriteOnly() {
        start(8 << 20, StoreOptions.DEFAULT.withIntervals(1_000_000_000L, 3_600_000_000_000L));
        device.nsPerKib = 0;
        run(changers(1, 5_000, true), 200_000_000L);
        print("one at a time");
        assertTrue(Math.abs(waitNs(0.5) - 2 * device.latencyNs) < 100_000, waitNs(0.5) + " ns");
        assertTrue(Math.abs(waitNs(1) - 2 * device.latencyNs) < 100_000, waitNs(1) + " ns");
    }
}

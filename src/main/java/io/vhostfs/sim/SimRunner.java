package io.vhostfs.sim;

import io.vhostfs.frontend.SharedMemory;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Runs seeds on several threads until the time is over, a number of seeds is done, or one fails.
 *
 * <p>Invariant: simulations share nothing, so a seed does the same however many run beside it. The caller's thread waits
 * and watches; a seed that does not come to an end counts as failed.
 */
public final class SimRunner {
    /** A thousand times what a seed takes. */
    private static final long HANG_NS = TimeUnit.MINUTES.toNanos(5);

    private static final long WATCH_MS = 200;
    private static final long MEMORY_SLACK = 1 << 20;

    /** What all seeds so far came to. */
    public static final class Totals {
        public long seeds;
        public long operations;
        public long crashes;
        public long mounts;
        public long faults;
        public long requests;
        public final List<SimResult> failures = new ArrayList<>();
    }

    private final SimOptions options;
    private final int threads;
    private final int maxFailures;
    private final AtomicLong nextSeed;
    private final long endSeed;
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final Totals totals = new Totals();
    private final List<Worker> workers = new ArrayList<>();

    /**
     * A runner of seeds from {@code firstSeed} up.
     *
     * @param seeds how many; 0: no limit
     * @param maxFailures so many failures end it
     */
    public SimRunner(SimOptions options, int threads, long firstSeed, long seeds, int maxFailures) {
        this.options = options;
        this.threads = threads;
        this.maxFailures = maxFailures;
        nextSeed = new AtomicLong(firstSeed);
        endSeed = seeds == 0 ? Long.MAX_VALUE : firstSeed + seeds;
    }

    /**
     * Runs for at most {@code seconds}; {@code progress} is called now and then, on the calling thread.
     *
     * @throws IOException when there is no memory for a guest
     */
    public Totals run(long seconds, Consumer<Totals> progress) throws IOException, InterruptedException {
        long endNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        for (int i = 0; i < threads; i++) {
            Worker worker = new Worker(new SharedMemory(Simulation.memoryBytes() + MEMORY_SLACK));
            workers.add(worker);
            worker.thread.start();
        }
        boolean hung = false;
        while (!hung && isAnyAlive()) {
            workers.get(0).thread.join(WATCH_MS);
            if (System.nanoTime() - endNs >= 0) {
                stopping.set(true);
            }
            hung = isAnyHung();
            synchronized (totals) {
                progress.accept(totals);
            }
        }
        for (Worker worker : workers) {
            if (!worker.thread.isAlive()) {
                worker.memory.close();
            }
        }
        synchronized (totals) {
            return totals;
        }
    }

    private boolean isAnyAlive() {
        return workers.stream().anyMatch(worker -> worker.thread.isAlive());
    }

    /** A loop that never ends is a failure like any other, but its thread cannot be stopped. */
    private boolean isAnyHung() {
        boolean any = false;
        for (Worker worker : workers) {
            long startedNs = worker.startedNs;
            if (worker.thread.isAlive() && startedNs != 0 && System.nanoTime() - startedNs > HANG_NS) {
                any = true;
                SimFailure hang =
                        new SimFailure("the seed does not come to an end; its thread is where this trace says");
                hang.setStackTrace(worker.thread.getStackTrace());
                add(new SimResult(worker.seed, 0, 0, 0, 0, 0, 0, hang, ""));
            }
        }
        return any;
    }

    private void add(SimResult result) {
        synchronized (totals) {
            totals.seeds++;
            totals.operations += result.operations();
            totals.crashes += result.crashes();
            totals.mounts += result.mounts();
            totals.faults += result.faults();
            totals.requests += result.requests();
            if (result.failure() != null) {
                totals.failures.add(result);
            }
            if (totals.failures.size() >= maxFailures) {
                stopping.set(true);
            }
        }
    }

    /** Which of so many seeds fails first and how, or null: for tests, on the calling thread. */
    public static @Nullable String describeFirstFailure(long firstSeed, int seeds) throws IOException {
        try (SharedMemory memory = new SharedMemory(Simulation.memoryBytes() + MEMORY_SLACK)) {
            for (long seed = firstSeed; seed < firstSeed + seeds; seed++) {
                SimResult result = Simulation.run(seed, SimOptions.DEFAULT, memory);
                Throwable failure = result.failure();
                if (failure != null) {
                    return "seed " + seed + " after " + result.crashes() + " crashes: " + failure;
                }
            }
        }
        return null;
    }

    private final class Worker {
        private final SharedMemory memory;
        private final Thread thread;
        private volatile long seed;
        private volatile long startedNs;

        Worker(SharedMemory memory) {
            this.memory = memory;
            thread = Thread.ofPlatform().name("simulation").daemon(true).unstarted(this::work);
        }

        private void work() {
            while (!stopping.get()) {
                seed = nextSeed.getAndIncrement();
                if (seed >= endSeed) {
                    return;
                }
                startedNs = System.nanoTime();
                add(Simulation.run(seed, options, memory));
                startedNs = 0;
            }
        }
    }
}

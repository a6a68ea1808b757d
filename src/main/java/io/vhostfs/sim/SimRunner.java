package io.vhostfs.sim;

import io.vhostfs.frontend.SharedMemory;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Runs seeds on several threads until the time is over, a number of seeds is done, or so many have failed.
 *
 * <p>Invariant: simulations share nothing, so a seed does the same however many run beside it. The caller's thread waits
 * and watches; a seed that does not come to an end counts as failed, and the others go on.
 */
public final class SimRunner {
    private static final long WATCH_MS = 200;
    private static final long MEMORY_SLACK = 1 << 20;

    /** On a busy machine a seed waits for a processor: only much more than its limit of processor time is a hang. */
    private static final int WALL_FACTOR = 30;

    /** So long a seed has, on the processor, to see that it was interrupted; then its thread is given up. */
    private static final long GRACE_NS = TimeUnit.SECONDS.toNanos(1);

    /** What runs one seed: {@link Simulation#run}, but in tests. */
    interface Seed {
        SimResult run(long seed, SimOptions options, SharedMemory memory);
    }

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
    private final Seed simulation;
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final Totals totals = new Totals();
    private final List<Worker> workers = new ArrayList<>();
    private final ThreadMXBean processorTimes = ManagementFactory.getThreadMXBean();
    private int reported;

    /**
     * A runner of seeds from {@code firstSeed} up.
     *
     * @param seeds how many; 0: no limit
     * @param maxFailures so many failures end it
     */
    public SimRunner(SimOptions options, int threads, long firstSeed, long seeds, int maxFailures) {
        this(options, threads, firstSeed, seeds, maxFailures, Simulation::run);
    }

    SimRunner(SimOptions options, int threads, long firstSeed, long seeds, int maxFailures, Seed simulation) {
        this.options = options;
        this.threads = threads;
        this.maxFailures = maxFailures;
        this.simulation = simulation;
        nextSeed = new AtomicLong(firstSeed);
        endSeed = seeds == 0 ? Long.MAX_VALUE : firstSeed + seeds;
    }

    /**
     * Runs for at most {@code seconds}. Both are called on the calling thread.
     *
     * @param onFailure is told of each seed that failed, at once
     * @param progress is called now and then
     * @throws IOException when there is no memory for a guest
     */
    public Totals run(long seconds, Consumer<SimResult> onFailure, Consumer<Totals> progress)
            throws IOException, InterruptedException {
        long endNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        for (int i = 0; i < threads; i++) {
            startWorker();
        }
        while (!workers.isEmpty()) {
            workers.get(0).thread.join(WATCH_MS);
            if (System.nanoTime() - endNs >= 0) {
                stopping.set(true);
            }
            replaceHung();
            for (Worker worker : List.copyOf(workers)) {
                if (!worker.thread.isAlive()) {
                    worker.memory.close();
                    workers.remove(worker);
                }
            }
            report(onFailure, progress);
        }
        return totals;
    }

    private void startWorker() throws IOException {
        Worker worker = new Worker(new SharedMemory(Simulation.memoryBytes() + MEMORY_SLACK));
        workers.add(worker);
        worker.thread.start();
    }

    private void report(Consumer<SimResult> onFailure, Consumer<Totals> progress) {
        synchronized (totals) {
            while (reported < totals.failures.size()) {
                onFailure.accept(totals.failures.get(reported++));
            }
            progress.accept(totals);
        }
    }

    /** Interrupts who takes too long; a loop that does not see that has its thread and memory for good. */
    private void replaceHung() throws IOException {
        for (Worker worker : List.copyOf(workers)) {
            if (worker.isHung()) {
                worker.abandoned = true;
                workers.remove(worker);
                SimFailure hang =
                        new SimFailure("the seed hangs; its thread is where this trace says, and is given up");
                hang.setStackTrace(worker.thread.getStackTrace());
                add(new SimResult(worker.seed, 0, 0, 0, 0, 0, 0, hang, ""));
                if (!stopping.get()) {
                    startWorker();
                }
            }
        }
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

    /**
     * Which of so many seeds fails first and how, or null: for tests, on the calling thread.
     *
     * @param damaged whether every seed has a damaged disk, instead of the usual share of them
     */
    public static @Nullable String describeFirstFailure(long firstSeed, int seeds, boolean damaged) throws IOException {
        SimOptions options = damaged ? SimOptions.DEFAULT.withDamagePercent(100) : SimOptions.DEFAULT;
        try (SharedMemory memory = new SharedMemory(Simulation.memoryBytes() + MEMORY_SLACK)) {
            for (long seed = firstSeed; seed < firstSeed + seeds; seed++) {
                SimResult result = Simulation.run(seed, options, memory);
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
        private volatile long startedProcessorNs;
        private volatile boolean abandoned;
        private long interruptedSeed = -1;
        private long interruptedProcessorNs;

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
                startedProcessorNs = processorTimes.getCurrentThreadCpuTime();
                startedNs = System.nanoTime();
                SimResult result = simulation.run(seed, options, memory);
                startedNs = 0;
                if (abandoned) {
                    return;
                }
                add(result);
                // That of a seed which ended just before it came.
                Thread.interrupted();
            }
        }

        /** The watchdog: interrupts a seed over its limit; true when that did not help. */
        boolean isHung() {
            long nowNs = System.nanoTime();
            long started = startedNs;
            long running = seed;
            if (!thread.isAlive() || started == 0) {
                return false;
            }
            long processorNs = processorTimes.getThreadCpuTime(thread.threadId());
            if (interruptedSeed == running) {
                return processorNs - interruptedProcessorNs > GRACE_NS;
            }
            if (processorNs - startedProcessorNs > options.processorNs()
                    || (nowNs - started) / WALL_FACTOR > options.processorNs()) {
                interruptedSeed = running;
                interruptedProcessorNs = processorNs;
                thread.interrupt();
            }
            return false;
        }
    }
}

package io.vhostfs.frontend;

import java.util.Arrays;
import org.HdrHistogram.Histogram;

/**
 * Latencies in short windows of time, so that what else runs on the machine can be told from what is measured.
 *
 * <p>On a shared machine a neighbour takes the processor away for milliseconds at a time. It makes the windows it falls into
 * slow and cannot make one fast, so the quarter of the windows with the most operations is the undisturbed part. For that
 * windows must be shorter than a neighbour's turn, and still long enough for so many operations that chance does not choose
 * among them. They are allocated beforehand; recording allocates nothing. One thread.
 */
final class WindowRecorder {
    static final long MIN_WINDOW_NS = 2_000_000;
    private static final long MAX_WINDOW_NS = 50_000_000;
    private static final int OPERATIONS_PER_WINDOW = 100;

    /** Longer latencies are recorded as this one. */
    private static final long MAX_LATENCY_NS = 10_000_000_000L;

    /** Latencies are recorded to one part in a hundred. */
    private static final int DIGITS = 2;

    private final Histogram[] windows;
    private final long[] elapsedNs;
    private long windowNs = MIN_WINDOW_NS;
    private int windowCount;
    private int current;
    private long windowStartNs;
    private long windowEndNs;

    /** For runs of at most {@code maxRunNs}. */
    WindowRecorder(long maxRunNs) {
        windows = new Histogram[(int) Math.max(1, maxRunNs / MIN_WINDOW_NS)];
        for (int i = 0; i < windows.length; i++) {
            windows[i] = new Histogram(1, MAX_LATENCY_NS, DIGITS);
        }
        elapsedNs = new long[windows.length];
        windowCount = windows.length;
    }

    /** Sets how long the next runs and their windows are; {@code operationNs} is what an operation is expected to take. */
    void plan(long runNs, double operationNs) {
        windowNs = (long) Math.max(MIN_WINDOW_NS, Math.min(MAX_WINDOW_NS, operationNs * OPERATIONS_PER_WINDOW));
        windowCount = (int) Math.max(1, Math.min(windows.length, runNs / windowNs));
    }

    void start(long nowNs) {
        for (Histogram window : windows) {
            if (window.getTotalCount() > 0) {
                window.reset();
            }
        }
        current = 0;
        windowStartNs = nowNs;
        windowEndNs = nowNs + windowNs;
    }

    void record(long latencyNs) {
        if (current == windowCount) {
            return; // Of what is still in flight.
        }
        windows[current].recordValue(Math.min(Math.max(1, latencyNs), MAX_LATENCY_NS));
    }

    /** Ends the window when it is over; false when that was the last one. */
    boolean advance(long nowNs) {
        if (nowNs < windowEndNs || current == windowCount) {
            return current < windowCount;
        }
        elapsedNs[current] = nowNs - windowStartNs;
        windowStartNs = nowNs;
        windowEndNs = nowNs + windowNs;
        current++;
        return current < windowCount;
    }

    /** Operations in all finished windows. */
    long operations() {
        long operations = 0;
        for (int i = 0; i < current; i++) {
            operations += windows[i].getTotalCount();
        }
        return operations;
    }

    /** Mean time between operations in all finished windows. */
    double operationNs() {
        long elapsed = 0;
        for (int i = 0; i < current; i++) {
            elapsed += elapsedNs[i];
        }
        return (double) elapsed / Math.max(1, operations());
    }

    /** What the finished windows say. */
    BenchSample sample() {
        Integer[] order = new Integer[current];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (a, b) -> Double.compare(rate(b), rate(a)));
        Histogram best = new Histogram(1, MAX_LATENCY_NS, DIGITS);
        Histogram all = new Histogram(1, MAX_LATENCY_NS, DIGITS);
        long bestOps = 0;
        long bestNs = 0;
        long allOps = 0;
        long allNs = 0;
        int quarter = Math.max(1, current / 4);
        for (int i = 0; i < current; i++) {
            Histogram window = windows[order[i]];
            all.add(window);
            allOps += window.getTotalCount();
            allNs += elapsedNs[order[i]];
            if (i < quarter) {
                best.add(window);
                bestOps += window.getTotalCount();
                bestNs += elapsedNs[order[i]];
            }
        }
        return new BenchSample(
                bestOps * 1e9 / bestNs,
                best.getValueAtPercentile(50),
                best.getValueAtPercentile(90),
                best.getValueAtPercentile(99),
                best.getValueAtPercentile(99.9),
                best.getMaxValue(),
                allOps * 1e9 / allNs,
                all.getValueAtPercentile(99),
                all.getValueAtPercentile(99.9),
                all.getMaxValue(),
                0);
    }

    private double rate(int window) {
        return (double) windows[window].getTotalCount() / elapsedNs[window];
    }
}

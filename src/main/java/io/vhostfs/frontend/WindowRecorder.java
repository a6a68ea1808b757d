package io.vhostfs.frontend;

import java.util.Arrays;
import org.HdrHistogram.Histogram;

/**
 * Latencies in short windows of time, so that what else runs on the machine can be told from what is measured.
 *
 * <p>On a shared machine a neighbour takes the processor away for milliseconds at a time. It makes the windows it falls into
 * slow and cannot make one fast, so the quarter of the windows with the most operations is the undisturbed part. Windows are
 * allocated beforehand; recording allocates nothing. One thread.
 */
final class WindowRecorder {
    /** Longer latencies are recorded as this one. */
    private static final long MAX_LATENCY_NS = 10_000_000_000L;

    private final long windowNs;
    private final Histogram[] windows;
    private final long[] elapsedNs;
    private int current;
    private long windowStartNs;
    private long windowEndNs;

    WindowRecorder(long windowNs, int windowCount) {
        this.windowNs = windowNs;
        windows = new Histogram[windowCount];
        for (int i = 0; i < windowCount; i++) {
            windows[i] = new Histogram(1, MAX_LATENCY_NS, 3);
        }
        elapsedNs = new long[windowCount];
    }

    void start(long nowNs) {
        for (int i = 0; i < current; i++) {
            windows[i].reset();
        }
        current = 0;
        windowStartNs = nowNs;
        windowEndNs = nowNs + windowNs;
    }

    void record(long latencyNs) {
        if (current == windows.length) {
            return; // Of what is still in flight.
        }
        windows[current].recordValue(Math.min(Math.max(1, latencyNs), MAX_LATENCY_NS));
    }

    /** Ends the window when it is over; false when that was the last one. */
    boolean advance(long nowNs) {
        if (nowNs < windowEndNs || current == windows.length) {
            return current < windows.length;
        }
        elapsedNs[current] = nowNs - windowStartNs;
        windowStartNs = nowNs;
        windowEndNs = nowNs + windowNs;
        current++;
        return current < windows.length;
    }

    /** Operations in all finished windows. */
    long operations() {
        long operations = 0;
        for (int i = 0; i < current; i++) {
            operations += windows[i].getTotalCount();
        }
        return operations;
    }

    /** What the finished windows say. */
    BenchSample sample() {
        Integer[] order = new Integer[current];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (a, b) -> Double.compare(rate(b), rate(a)));
        Histogram best = new Histogram(1, MAX_LATENCY_NS, 3);
        long bestOps = 0;
        long bestNs = 0;
        long allOps = 0;
        long allNs = 0;
        int quarter = Math.max(1, current / 4);
        for (int i = 0; i < current; i++) {
            Histogram window = windows[order[i]];
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
                0);
    }

    private double rate(int window) {
        return (double) windows[window].getTotalCount() / elapsedNs[window];
    }
}

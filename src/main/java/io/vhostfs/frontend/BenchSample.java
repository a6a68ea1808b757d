package io.vhostfs.frontend;

import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * The figures of one repetition, or the medians of several; latencies in nanoseconds.
 *
 * @param opsPerSecond of the undisturbed part, as are the latencies
 * @param allOpsPerSecond of the whole repetition
 * @param allP99Ns of the whole repetition, as are the next two: what a stall does to those who wait for it
 * @param opsPerCpuSecond operations of the whole repetition per second of the target's processor time; 0 when unknown
 */
public record BenchSample(
        double opsPerSecond,
        double p50Ns,
        double p90Ns,
        double p99Ns,
        double p999Ns,
        double maxNs,
        double allOpsPerSecond,
        double allP99Ns,
        double allP999Ns,
        double allMaxNs,
        double opsPerCpuSecond) {

    BenchSample withOpsPerCpuSecond(double value) {
        return new BenchSample(
                opsPerSecond,
                p50Ns,
                p90Ns,
                p99Ns,
                p999Ns,
                maxNs,
                allOpsPerSecond,
                allP99Ns,
                allP999Ns,
                allMaxNs,
                value);
    }

    /** Each figure's median by itself. */
    static BenchSample median(List<BenchSample> samples) {
        return new BenchSample(
                median(samples, BenchSample::opsPerSecond),
                median(samples, BenchSample::p50Ns),
                median(samples, BenchSample::p90Ns),
                median(samples, BenchSample::p99Ns),
                median(samples, BenchSample::p999Ns),
                median(samples, BenchSample::maxNs),
                median(samples, BenchSample::allOpsPerSecond),
                median(samples, BenchSample::allP99Ns),
                median(samples, BenchSample::allP999Ns),
                median(samples, BenchSample::allMaxNs),
                median(samples, BenchSample::opsPerCpuSecond));
    }

    private static double median(List<BenchSample> samples, ToDoubleFunction<BenchSample> figure) {
        double[] sorted = samples.stream().mapToDouble(figure).sorted().toArray();
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

package io.vhostfs.frontend;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What a benchmark found, as a table to read, as tab-separated values, or as JSON. Immutable; any thread.
 *
 * @param targets names of the targets, in the order they were given
 * @param results one per workload
 * @param kicks per target, how many times it was woken by its eventfd
 */
public record BenchReport(List<String> targets, List<Result> results, List<Long> kicks) {
    /**
     * One workload's figures.
     *
     * @param samples per target, medians over the repetitions
     */
    public record Result(BenchWorkload workload, List<BenchSample> samples) {}

    private static final String EXPLANATION =
            """
            Each workload was repeated, the targets taking turns. A repetition is cut into short windows; ops/s and the
            latencies are those of the quarter of its windows with the most operations, which other load on the machine
            disturbed least, and of these the median over the repetitions. What is named 'all' is of all windows; 'ops/cpu-s'
            are all operations per second of processor time of the target's process. An operation of a workload with '+' in
            its name is the whole cycle. Latencies are in microseconds.
            """;

    /** For people. */
    public String text() {
        StringBuilder out = new StringBuilder(EXPLANATION);
        int nameWidth = targets.stream().mapToInt(String::length).max().orElse(0);
        out.append(String.format(
                "%n%-18s %-" + nameWidth + "s %10s %8s %8s %8s %8s %8s %9s %10s %9s %9s %10s %10s%n",
                "workload",
                "",
                "ops/s",
                "MiB/s",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "max",
                "ops/s all",
                "p99 all",
                "p99.9 all",
                "max all",
                "ops/cpu-s"));
        for (Result result : results) {
            for (int i = 0; i < targets.size(); i++) {
                BenchSample s = result.samples().get(i);
                out.append(String.format(
                        Locale.ROOT,
                        "%-18s %-" + nameWidth
                                + "s %10.0f %8s %8.2f %8.2f %8.2f %8.2f %9.1f %10.0f %9.1f %9.1f %10.1f %10.0f%n",
                        i == 0 ? result.workload().id() : "",
                        targets.get(i),
                        s.opsPerSecond(),
                        result.workload().blockBytes() == 0
                                ? ""
                                : String.format(Locale.ROOT, "%.0f", mebibytesPerSecond(result.workload(), s)),
                        s.p50Ns() / 1e3,
                        s.p90Ns() / 1e3,
                        s.p99Ns() / 1e3,
                        s.p999Ns() / 1e3,
                        s.maxNs() / 1e3,
                        s.allOpsPerSecond(),
                        s.allP99Ns() / 1e3,
                        s.allP999Ns() / 1e3,
                        s.allMaxNs() / 1e3,
                        s.opsPerCpuSecond()));
            }
        }
        return out.toString();
    }

    /** One line per workload and target, a header line first; latencies in nanoseconds. */
    public String tsv() {
        List<String> lines = new ArrayList<>();
        lines.add(
                "workload\ttarget\tops_per_s\tp50_ns\tp90_ns\tp99_ns\tp999_ns\tmax_ns\tall_ops_per_s\tops_per_cpu_s\tall_p99_ns\tall_p999_ns"
                        + "\tall_max_ns");
        for (Result result : results) {
            for (int i = 0; i < targets.size(); i++) {
                BenchSample s = result.samples().get(i);
                lines.add(String.format(
                        Locale.ROOT,
                        "%s\t%s\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f",
                        result.workload().id(),
                        targets.get(i),
                        s.opsPerSecond(),
                        s.p50Ns(),
                        s.p90Ns(),
                        s.p99Ns(),
                        s.p999Ns(),
                        s.maxNs(),
                        s.allOpsPerSecond(),
                        s.opsPerCpuSecond(),
                        s.allP99Ns(),
                        s.allP999Ns(),
                        s.allMaxNs()));
            }
        }
        return String.join("\n", lines) + "\n";
    }

    /** The same as an array of objects; names of targets must not need escaping. */
    public String json() {
        List<String> objects = new ArrayList<>();
        for (Result result : results) {
            for (int i = 0; i < targets.size(); i++) {
                BenchSample s = result.samples().get(i);
                objects.add(String.format(
                        Locale.ROOT,
                        "  {\"workload\":\"%s\",\"queue_depth\":%d,\"block_bytes\":%d,\"target\":\"%s\","
                                + "\"ops_per_s\":%.1f,\"p50_ns\":%.0f,\"p90_ns\":%.0f,\"p99_ns\":%.0f,\"p999_ns\":%.0f,"
                                + "\"max_ns\":%.0f,\"all_ops_per_s\":%.1f,\"ops_per_cpu_s\":%.1f,"
                                + "\"all_p99_ns\":%.0f,\"all_p999_ns\":%.0f,\"all_max_ns\":%.0f}",
                        result.workload().name(),
                        result.workload().queueDepth(),
                        result.workload().blockBytes(),
                        targets.get(i),
                        s.opsPerSecond(),
                        s.p50Ns(),
                        s.p90Ns(),
                        s.p99Ns(),
                        s.p999Ns(),
                        s.maxNs(),
                        s.allOpsPerSecond(),
                        s.opsPerCpuSecond(),
                        s.allP99Ns(),
                        s.allP999Ns(),
                        s.allMaxNs()));
            }
        }
        return "[\n" + String.join(",\n", objects) + "\n]\n";
    }

    private static double mebibytesPerSecond(BenchWorkload workload, BenchSample sample) {
        return sample.opsPerSecond() * workload.blockBytes() / (1 << 20);
    }
}

package io.vhostfs.frontend;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

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

    /** A figure for programs. */
    private record Column(String name, String format, ToDoubleFunction<BenchSample> figure) {
        String of(BenchSample sample) {
            return String.format(Locale.ROOT, format, figure.applyAsDouble(sample));
        }
    }

    private static final List<Column> COLUMNS = List.of(
            new Column("ops_per_s", "%.1f", BenchSample::opsPerSecond),
            new Column("p50_ns", "%.0f", BenchSample::p50Ns),
            new Column("p90_ns", "%.0f", BenchSample::p90Ns),
            new Column("p99_ns", "%.0f", BenchSample::p99Ns),
            new Column("p999_ns", "%.0f", BenchSample::p999Ns),
            new Column("max_ns", "%.0f", BenchSample::maxNs),
            new Column("all_ops_per_s", "%.1f", BenchSample::allOpsPerSecond),
            new Column("ops_per_cpu_s", "%.1f", BenchSample::opsPerCpuSecond),
            new Column("all_p99_ns", "%.0f", BenchSample::allP99Ns),
            new Column("all_p999_ns", "%.0f", BenchSample::allP999Ns),
            new Column("all_max_ns", "%.0f", BenchSample::allMaxNs));

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
        StringBuilder out = new StringBuilder("workload\ttarget");
        COLUMNS.forEach(column -> out.append('\t').append(column.name));
        forEachSample((workload, target, sample) -> {
            out.append('\n').append(workload.id()).append('\t').append(target);
            COLUMNS.forEach(column -> out.append('\t').append(column.of(sample)));
        });
        return out.append('\n').toString();
    }

    /** The same as an array of objects; names of targets must not need escaping. */
    public String json() {
        List<String> objects = new ArrayList<>();
        forEachSample((workload, target, sample) -> {
            StringBuilder object = new StringBuilder(String.format(
                    Locale.ROOT,
                    "  {\"workload\":\"%s\",\"queue_depth\":%d,\"block_bytes\":%d,\"target\":\"%s\"",
                    workload.name(),
                    workload.queueDepth(),
                    workload.blockBytes(),
                    target));
            COLUMNS.forEach(column ->
                    object.append(",\"").append(column.name).append("\":").append(column.of(sample)));
            objects.add(object.append('}').toString());
        });
        return "[\n" + String.join(",\n", objects) + "\n]\n";
    }

    private interface SampleVisitor {
        void sample(BenchWorkload workload, String target, BenchSample sample);
    }

    private void forEachSample(SampleVisitor visitor) {
        for (Result result : results) {
            for (int i = 0; i < targets.size(); i++) {
                visitor.sample(
                        result.workload(), targets.get(i), result.samples().get(i));
            }
        }
    }

    private static double mebibytesPerSecond(BenchWorkload workload, BenchSample sample) {
        return sample.opsPerSecond() * workload.blockBytes() / (1 << 20);
    }
}

package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.frontend.BenchReport;
import io.vhostfs.frontend.BenchRunner;
import io.vhostfs.frontend.BenchWorkload;
import io.vhostfs.reactor.CoreMask;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.Reactors;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code vhostfs bench}: measures one or more vhost-user-fs targets through their sockets. */
@Command(
        name = "bench",
        description = {
            "Measure vhost-user-fs targets, ours or others', through their sockets, as a guest's driver would use them.",
            "With several targets, each repetition measures them in turn, so that ratios hold on a noisy machine."
        })
final class BenchCommand implements Callable<Integer> {
    enum Format {
        TEXT,
        TSV,
        JSON
    }

    @Option(
            names = "--socket",
            required = true,
            paramLabel = "[NAME=]PATH",
            description = "A target's vhost-user socket; may be given several times.")
    private List<String> sockets = new ArrayList<>();

    @Option(
            names = "--pid",
            paramLabel = "PID",
            description = "Whose processor time counts, one for each --socket (default: who listens on the socket).")
    private List<Long> pids = new ArrayList<>();

    @Option(names = "--core", paramLabel = "N", description = "Run the load on this core.")
    private @Nullable Integer core;

    @Option(
            names = "--workload",
            split = ",",
            paramLabel = "NAME",
            description = "Only the workload of this name, or all whose names start so, such as getattr-qd32 or"
                    + " randread-4k (default: all).")
    private List<String> workloads = new ArrayList<>();

    @Option(
            names = "--repetitions",
            defaultValue = "5",
            paramLabel = "N",
            description = "Measurements of each workload (default: ${DEFAULT-VALUE}).")
    private int repetitions = 5;

    @Option(
            names = "--millis",
            defaultValue = "500",
            paramLabel = "MS",
            description = "Length of a measurement (default: ${DEFAULT-VALUE}).")
    private int millis = 500;

    @Option(
            names = "--data",
            defaultValue = "256M",
            paramLabel = "SIZE",
            description = "Size of the file that is read and written (default: ${DEFAULT-VALUE}).")
    private String dataSize = "256M";

    @Option(
            names = "--stop-others",
            description = "Stop the other targets by signal while one is measured, so that they leave its core alone.")
    private boolean stopOthers;

    @Option(
            names = "--format",
            defaultValue = "text",
            paramLabel = "FORMAT",
            description = "text, tsv or json (default: ${DEFAULT-VALUE}).")
    private Format format = Format.TEXT;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        BenchRunner.Options options = new BenchRunner.Options(
                selected(), repetitions, millis, Math.max(50, millis / 5), dataBytes(), stopOthers);
        List<BenchRunner.Target> targets = targets();
        PrintWriter progress = spec.commandLine().getErr();
        BenchRunner runner = new BenchRunner(options, line -> {
            progress.println("bench: " + line);
            progress.flush();
        });
        BenchReport report = core == null ? runner.run(targets) : onCore(core, runner, targets);
        PrintWriter out = spec.commandLine().getOut();
        out.print(
                switch (format) {
                    case TEXT -> report.text();
                    case TSV -> report.tsv();
                    case JSON -> report.json();
                });
        out.flush();
        return ExitCodes.OK;
    }

    private List<BenchWorkload> selected() {
        if (workloads.isEmpty()) {
            return BenchWorkload.all();
        }
        Set<BenchWorkload> chosen = new LinkedHashSet<>();
        for (String name : workloads) {
            chosen.addAll(selected(name));
        }
        return BenchWorkload.all().stream().filter(chosen::contains).toList();
    }

    private static List<BenchWorkload> selected(String name) {
        List<BenchWorkload> all = BenchWorkload.all();
        List<BenchWorkload> exact =
                all.stream().filter(w -> w.id().equals(name)).toList();
        List<BenchWorkload> chosen = exact.isEmpty()
                ? all.stream().filter(w -> w.id().startsWith(name)).toList()
                : exact;
        if (chosen.isEmpty()) {
            String ids = all.stream().map(BenchWorkload::id).collect(Collectors.joining(", "));
            throw new CliException(ExitCodes.USAGE, "no workload " + name + "; there are " + ids);
        }
        return chosen;
    }

    private long dataBytes() {
        try {
            return BlockDeviceSpec.parseSize(dataSize);
        } catch (IllegalArgumentException e) {
            throw new CliException(ExitCodes.USAGE, "--data: " + e.getMessage());
        }
    }

    private List<BenchRunner.Target> targets() {
        if (!pids.isEmpty() && pids.size() != sockets.size()) {
            throw new CliException(ExitCodes.USAGE, "give --pid as often as --socket, or not at all");
        }
        List<BenchRunner.Target> targets = new ArrayList<>();
        for (int i = 0; i < sockets.size(); i++) {
            String text = sockets.get(i);
            int equals = text.indexOf('=');
            String name = equals > 0 ? text.substring(0, equals) : String.format(Locale.ROOT, "target%d", i + 1);
            Path socket = Path.of(text.substring(equals > 0 ? equals + 1 : 0));
            targets.add(new BenchRunner.Target(name, socket, pids.isEmpty() ? 0 : pids.get(i)));
        }
        return targets;
    }

    /** A reactor's thread is a pinned thread: the whole measurement is one message to it. */
    private static BenchReport onCore(int core, BenchRunner runner, List<BenchRunner.Target> targets) throws Exception {
        CoreMask.parse("[" + core + "]").requireAllowed();
        Reactor.Config config = Reactor.Config.named("bench").withCore(core).withIdlePolicy(IdlePolicy.INTERRUPT);
        CompletableFuture<BenchReport> report = new CompletableFuture<>();
        try (Reactors reactors = Reactors.start(List.of(config))) {
            reactors.home().send(() -> {
                try {
                    report.complete(runner.run(targets));
                } catch (IOException | RuntimeException e) {
                    report.completeExceptionally(e);
                }
            });
            return report.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof Exception failed ? failed : e;
        }
    }
}

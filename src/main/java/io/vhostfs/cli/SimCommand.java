package io.vhostfs.cli;

import io.vhostfs.sim.SimOptions;
import io.vhostfs.sim.SimResult;
import io.vhostfs.sim.SimRunner;
import java.io.IOException;
import java.io.PrintWriter;
import java.security.SecureRandom;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code vhostfs sim}: crash safety, shown by simulation, seed by seed. */
@Command(
        name = "sim",
        description = {
            "Simulate guests, the target and a disk that loses power, seed by seed, and check each promise after each"
                    + " crash. A seed always does the same."
        },
        footer = {"", "Exit code 0: every promise was kept; 70: one was not, and how to see it again is printed."})
final class SimCommand implements Callable<Integer> {
    private static final long PROGRESS_NS = TimeUnit.SECONDS.toNanos(10);
    private static final long NS_PER_SECOND = TimeUnit.SECONDS.toNanos(1);

    @Option(
            names = "--seconds",
            paramLabel = "N",
            description = "Start no seed after this time (default: ${DEFAULT-VALUE}).")
    private long seconds = 60;

    @Option(
            names = "--seed",
            paramLabel = "S",
            description = "The first seed; those after it follow. Default: by chance.")
    private Long seed = new SecureRandom().nextLong() >>> 16;

    @Option(
            names = "--seeds",
            paramLabel = "N",
            description = "Run this many seeds; 0: as many as there is time for (default: ${DEFAULT-VALUE}).")
    private long seeds;

    @Option(
            names = {"-j", "--threads"},
            paramLabel = "N",
            description = "Seeds at once; default: one for each processor.")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(
            names = "--steps",
            paramLabel = "N",
            description =
                    "Guest operations of a seed (default: ${DEFAULT-VALUE}); fewer find out where a failure starts.")
    private long steps = SimOptions.DEFAULT.steps();

    @Option(names = "--crashes", paramLabel = "N", description = "Crashes of a seed (default: ${DEFAULT-VALUE}).")
    private int crashes = SimOptions.DEFAULT.crashes();

    @Option(
            names = "--failures",
            paramLabel = "N",
            description = "Go on until so many seeds have failed (default: ${DEFAULT-VALUE}).")
    private int maxFailures = 1;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print failures and the last line only.")
    private boolean quiet;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    private long startNs;
    private long nextProgressNs;

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter out = spec.commandLine().getOut();
        // Mounts by the thousand, and devices that fail on purpose: nothing of it is news.
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.blobstore", "off");
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.memory", "off");
        startNs = System.nanoTime();
        nextProgressNs = startNs + PROGRESS_NS;
        out.printf("seeds from %d on, %d at once%n", seed, threads);
        out.flush();
        SimRunner runner = new SimRunner(new SimOptions(steps, crashes), threads, seed, seeds, maxFailures);
        SimRunner.Totals totals = runner.run(seconds, failed -> print(out, failed), t -> progress(out, t));
        out.println(line(totals));
        out.flush();
        return totals.failures.isEmpty() ? ExitCodes.OK : ExitCodes.SOFTWARE;
    }

    private void progress(PrintWriter out, SimRunner.Totals totals) {
        if (!quiet && System.nanoTime() - nextProgressNs >= 0) {
            nextProgressNs += PROGRESS_NS;
            out.println(line(totals));
            out.flush();
        }
    }

    private String line(SimRunner.Totals t) {
        return String.format(
                Locale.ROOT,
                "%d s: %d seeds, %d operations, %d crashes, %d mounts, %d disk requests, %d faults injected, %d failures",
                (System.nanoTime() - startNs) / NS_PER_SECOND,
                t.seeds,
                t.operations,
                t.crashes,
                t.mounts,
                t.requests,
                t.faults,
                t.failures.size());
    }

    private void print(PrintWriter out, SimResult result) {
        Throwable failure = result.failure();
        if (failure == null) {
            return;
        }
        out.printf("seed %d failed: %s%n", result.seed(), failure.getMessage());
        failure.printStackTrace(out);
        out.println(result.report());
        out.printf("again: vhostfs sim --seed %d --seeds 1 --steps %d --crashes %d%n", result.seed(), steps, crashes);
        out.flush();
    }
}

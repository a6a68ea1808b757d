package io.vhostfs.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A target that runs as a process of its own and serves the shares {@code data} and {@code other}, each from a store
 * of its own in one directory. Starting another one in the same directory goes on with what is stored there.
 */
final class TargetProcess implements AutoCloseable {
    static final List<String> TAGS = List.of("data", "other");

    private static final String SIZE = "4G";
    private static final long START_LIMIT_SECONDS = 120; // the first start after a build trains the AOT cache
    private static final long STOP_LIMIT_SECONDS = 60;
    private static final long FSCK_LIMIT_SECONDS = 300;

    private final Path directory;
    private final Process process;
    private final Path log;

    private TargetProcess(Path directory, Process process, Path log) {
        this.directory = directory;
        this.process = process;
        this.log = log;
    }

    /**
     * Starts a target on the stores in a directory and makes those that are not there; returns when it listens.
     *
     * @param name what its log is called
     * @param modes of the shares, in the order of {@link #TAGS}
     */
    static TargetProcess start(String name, Path directory, String... modes) throws IOException, InterruptedException {
        for (String tag : TAGS) {
            Files.deleteIfExists(socket(directory, tag));
        }
        Path log = Installation.log(name);
        Process process = Installation.builder(command(directory, modes), log).start();
        TargetProcess target = new TargetProcess(directory, process, log);
        target.awaitSockets();
        return target;
    }

    /** The same with shares of one client each. */
    static TargetProcess start(String name, Path directory) throws IOException, InterruptedException {
        return start(name, directory, "exclusive", "exclusive");
    }

    private static List<String> command(Path directory, String... modes) {
        List<String> command =
                new ArrayList<>(List.of(Installation.file("bin/vhostfs").toString(), "serve", "--create"));
        for (String tag : TAGS) {
            command.addAll(List.of("--bdev", tag + "=" + device(directory, tag)));
            String mode = ",mode=" + modes[TAGS.indexOf(tag)];
            command.addAll(
                    List.of("--share", "tag=" + tag + ",bdev=" + tag + ",socket=" + socket(directory, tag) + mode));
        }
        return command;
    }

    private static String device(Path directory, String tag) {
        return "file:" + directory.resolve(tag + ".store") + ",size=" + SIZE;
    }

    private static Path socket(Path directory, String tag) {
        return directory.resolve(tag + ".sock");
    }

    private void awaitSockets() throws IOException, InterruptedException {
        long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_LIMIT_SECONDS);
        while (!TAGS.stream().allMatch(tag -> Files.exists(socket(directory, tag)))) {
            // Waiting for the process to end is the pause between two looks.
            if (process.waitFor(20, TimeUnit.MILLISECONDS) || System.nanoTime() > deadlineNs) {
                close();
                throw new IllegalStateException("the target did not come up:\n" + Files.readString(log));
            }
        }
    }

    /** The options that attach both shares to a guest. */
    List<String> shares() {
        List<String> options = new ArrayList<>();
        for (String tag : TAGS) {
            options.addAll(List.of("--fs", tag + "=" + socket(directory, tag)));
        }
        return options;
    }

    /** Asks the target to stop as a service manager does; its exit code. */
    int stop() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(STOP_LIMIT_SECONDS, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the target does not stop; see " + log);
        }
        return process.exitValue();
    }

    /** Checks the store of a share whose target has stopped. */
    static Installation.Result checkStore(Path directory, String tag) throws IOException, InterruptedException {
        return Installation.run(
                "fsck-" + tag,
                FSCK_LIMIT_SECONDS,
                List.of(Installation.file("bin/vhostfs").toString(), "fsck", device(directory, tag)));
    }

    @Override
    public void close() {
        process.destroyForcibly().onExit().join();
    }
}

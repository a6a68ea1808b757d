package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.cli.Main;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * A target in a process of its own, with mounts on this host.
 *
 * <p>Another process, because one that waits for a page of its own mount may not reach the safepoint for which the
 * reactor that is to bring that page waits.
 */
public final class MountedTarget implements AutoCloseable {
    private static final long LIMIT_SECONDS = 60;

    private final Process process;
    private final Path log;

    private MountedTarget(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /** Starts {@code serve} with some options and returns when its mounts answer. */
    public static MountedTarget start(Path directory, String... options) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "serve",
                "--create"));
        command.addAll(List.of(options));
        Path log = Files.createTempFile(directory, "target", ".log");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        MountedTarget target = new MountedTarget(process, log);
        // What a target says of its shares it says when all are ready.
        target.await(
                "its mounts",
                () -> target.log().contains("\nshare ") || target.log().startsWith("share "));
        return target;
    }

    /** The same for one device and some shares, without more options. */
    static MountedTarget serve(Path directory, String device, String... shares) throws IOException {
        List<String> options = new ArrayList<>(List.of("--bdev", device));
        for (String share : shares) {
            options.addAll(List.of("--share", share));
        }
        return start(directory, options.toArray(new String[0]));
    }

    public String log() {
        try {
            return Files.readString(log);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Waits for what the target does; the pause between two looks is waiting for its end. */
    void await(String what, BooleanSupplier condition) {
        long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        try {
            while (!condition.getAsBoolean()) {
                boolean ended = process.waitFor(5, TimeUnit.MILLISECONDS);
                if ((ended && !condition.getAsBoolean()) || System.nanoTime() > deadlineNs) {
                    fail("the target did not come to: " + what + "\n" + log());
                }
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    long pid() {
        return process.pid();
    }

    /** SIGTERM; its exit code. */
    public int stop() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            fail("the target does not stop:\n" + log());
        }
        return process.exitValue();
    }

    /** SIGKILL. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** Takes away whatever a test has left at a mount point. */
    public static void detach(Path mount) throws IOException, InterruptedException {
        while (MountTable.read().at(mount) != null) {
            run(0, Path.of("/"), "umount", "-l", mount.toString());
        }
    }

    /** Ends it in whatever state it is. */
    @Override
    public void close() {
        process.destroy();
        process.onExit()
                .completeOnTimeout(process, LIMIT_SECONDS, TimeUnit.SECONDS)
                .join();
        process.destroyForcibly().onExit().join();
    }

    /** Checks a store that no target has open. */
    public static void check(Path directory, String device) throws IOException, InterruptedException {
        run(
                0,
                directory,
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "fsck",
                device);
    }

    /** Runs a program to its end; what it said, when its exit code is the one expected. */
    static String run(int exitCode, Path directory, String... command) throws IOException, InterruptedException {
        return run(exitCode, directory, Map.of(), command);
    }

    /** The same with some more variables in its environment. */
    static String run(int exitCode, Path directory, Map<String, String> environment, String... command)
            throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectInput(new java.io.File("/dev/null"));
        builder.environment().putAll(environment);
        Process process = builder.start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(exitCode, process.waitFor(), () -> List.of(command) + ":\n" + said);
        return said;
    }
}

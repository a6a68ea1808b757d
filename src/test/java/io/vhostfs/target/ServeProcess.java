package io.vhostfs.target;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** {@code vhostfs serve} in a process of its own, from this test's class path. Its process does not outlive it. */
final class ServeProcess implements AutoCloseable {
    /** A machine under full load starts a JVM in some seconds. */
    private static final long LIMIT_SECONDS = 60;

    private final Process process;
    private final Path log;

    private ServeProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /** Starts it with the options; returns when all the sockets, which are made anew, are there. */
    static ServeProcess start(Path log, List<Path> sockets, List<String> options)
            throws IOException, InterruptedException {
        for (Path socket : sockets) {
            Files.deleteIfExists(socket);
        }
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-Xmx256m",
                "-XX:-UsePerfData",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                "io.vhostfs.cli.Main",
                "serve"));
        command.addAll(options);
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        ServeProcess serve = new ServeProcess(process, log);
        long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        while (!isUp(sockets, log)) {
            // Waiting for the process to end is the pause between two looks.
            if (process.waitFor(5, TimeUnit.MILLISECONDS) || System.nanoTime() > deadlineNs) {
                serve.close();
                throw new IllegalStateException("the target did not come up:\n" + serve.output());
            }
        }
        return serve;
    }

    /** A socket may be seen before it listens; what attaches the shares is printed when all do. */
    private static boolean isUp(List<Path> sockets, Path log) throws IOException {
        try (Stream<String> lines = Files.lines(log)) {
            return lines.filter(line -> line.contains("mount -t virtiofs")).count() >= sockets.size();
        }
    }

    String output() throws IOException {
        return Files.readString(log);
    }

    long pid() {
        return process.pid();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** SIGKILL; returns when the process is gone. */
    void kill() {
        process.destroyForcibly().onExit().join();
    }

    /** SIGTERM; the exit code. */
    int stop() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the target does not stop; see " + log);
        }
        return process.exitValue();
    }

    @Override
    public void close() {
        kill();
    }
}

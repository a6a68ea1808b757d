package io.vhostfs.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A booted guest that runs one script. No process outlives {@link #close()}. Its output is read as it comes, by a
 * thread of its own, and kept in a log beside the console that QEMU leaves when something went wrong.
 */
final class Guest implements AutoCloseable {
    private static final String MEMORY = "768M";

    private final Process process;
    private final Path console;
    private final Path log;
    private final Thread reader;
    private final List<String> lines = new ArrayList<>(); // guarded by itself, which is told of each line
    private boolean ended; // guarded by lines

    private Guest(Process process, Path console, Path log) {
        this.process = process;
        this.console = console;
        this.log = log;
        this.reader = Thread.ofVirtual().unstarted(this::read);
    }

    /** Makes the guest's kernel and images where that has not been done on this machine yet. */
    static void prepare() throws IOException, InterruptedException {
        Installation.Result packages = Installation.run(
                "packages", 1800, List.of(Installation.file("ci/packages").toString(), "install", "demo"));
        if (packages.exitCode() != 0) {
            throw new IllegalStateException(packages.output());
        }
        Installation.Result made = Installation.run(
                "mkguest", 1800, List.of(Installation.file("ci/guest/mkguest").toString()));
        if (made.exitCode() != 0) {
            throw new IllegalStateException(made.output());
        }
    }

    /**
     * Starts to boot the guest.
     *
     * @param name what the logs are called
     * @param limitSeconds ends a guest that hangs; five to ten times what an idle machine needs
     * @param options further options of runguest, such as {@code --fs}
     * @param script the script to run in the guest, followed by its arguments
     */
    static Guest boot(String name, long limitSeconds, List<String> options, List<String> script) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Installation.file("ci/guest/runguest").toString(),
                "--time",
                Long.toString(limitSeconds),
                "--memory",
                MEMORY));
        command.addAll(options);
        command.addAll(List.of("--script", script.getFirst(), "--"));
        command.addAll(script.subList(1, script.size()));
        Path console = Installation.log(name + "-console");
        Process process =
                new ProcessBuilder(command).redirectError(console.toFile()).start();
        Guest guest = new Guest(process, console, Installation.log(name));
        guest.reader.start();
        return guest;
    }

    private void read() {
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8);
                var copy = Files.newBufferedWriter(log)) {
            for (String line = output.readLine(); line != null; line = output.readLine()) {
                copy.write(line);
                copy.newLine();
                copy.flush();
                synchronized (lines) {
                    lines.add(line);
                    lines.notifyAll();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            synchronized (lines) {
                ended = true;
                lines.notifyAll();
            }
        }
    }

    /** Waits for a line of the script's output; null when the output ends without it. */
    @Nullable
    String awaitLine(String line) throws InterruptedException {
        synchronized (lines) {
            while (!lines.contains(line) && !ended) {
                lines.wait();
            }
            return lines.contains(line) ? line : null;
        }
    }

    /** Ends QEMU as a power cut ends a machine: it cannot say goodbye to the target. Returns when it is gone. */
    void cutPower() throws InterruptedException {
        List<ProcessHandle> machine = process.descendants()
                .filter(child -> child.info().command().orElse("").contains("qemu-system"))
                .toList();
        if (machine.isEmpty()) {
            throw new IllegalStateException("QEMU is not running:\n" + diagnosis());
        }
        machine.forEach(ProcessHandle::destroyForcibly);
        machine.forEach(child -> child.onExit().join());
        waitFor();
    }

    /** The script's exit code, or one of runguest's own (see there), when the guest has ended. */
    int waitFor() throws InterruptedException {
        int code = process.waitFor();
        reader.join();
        return code;
    }

    /** The script's output so far. */
    List<String> output() {
        synchronized (lines) {
            return List.copyOf(lines);
        }
    }

    /** The last of the output and of the console, for a message about a failure. */
    String diagnosis() {
        List<String> output = output();
        String end = String.join("\n", output.subList(Math.max(0, output.size() - 20), output.size()));
        try {
            return end + "\n" + Files.readString(console, StandardCharsets.ISO_8859_1) + "\n(" + log + ", " + console
                    + ")";
        } catch (IOException e) {
            return end + "\n(" + log + "; no console: " + e + ")";
        }
    }

    @Override
    public void close() {
        List<ProcessHandle> children = process.descendants().toList();
        process.destroy();
        process.onExit().completeOnTimeout(process, 10, TimeUnit.SECONDS).join();
        process.destroyForcibly();
        children.forEach(ProcessHandle::destroyForcibly);
        process.onExit().join();
    }
}

package io.vhostfs.guest;

import java.io.IOException;
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
    private final Lines output;

    private Guest(Process process, Path console, Path log) {
        this.process = process;
        this.console = console;
        this.log = log;
        this.output = new Lines(process, log);
    }

    /** Makes the guest's kernel and images where that has not been done on this machine yet. */
    static void prepare() throws IOException, InterruptedException {
        prepare("demo", List.of());
    }

    /** The same for the lab's guest, in which there is a Java runtime, too; its directory. */
    static Path prepareWithJava() throws IOException, InterruptedException {
        return Path.of(prepare("lab", List.of("-q", "-l", "-j")).strip());
    }

    private static String prepare(String purpose, List<String> options) throws IOException, InterruptedException {
        Installation.Result packages = Installation.run(
                "packages", 1800, List.of(Installation.file("ci/packages").toString(), "install", purpose));
        if (packages.exitCode() != 0) {
            throw new IllegalStateException(packages.output());
        }
        List<String> command =
                new ArrayList<>(List.of(Installation.file("ci/guest/mkguest").toString()));
        command.addAll(options);
        Installation.Result made = Installation.run("mkguest", 1800, command);
        if (made.exitCode() != 0) {
            throw new IllegalStateException(made.output());
        }
        return made.output();
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
        return new Guest(process, console, Installation.log(name));
    }

    /** Waits for a line of the script's output; null when the output ends without it. */
    @Nullable
    String awaitLine(String line) throws InterruptedException {
        return output.await(line::equals);
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

    /** Whether it ends, or has ended, within this time. */
    boolean endsWithin(long milliseconds) throws InterruptedException {
        return process.waitFor(milliseconds, TimeUnit.MILLISECONDS);
    }

    /** The script's exit code, or one of runguest's own (see there), when the guest has ended. */
    int waitFor() throws InterruptedException {
        int code = process.waitFor();
        output.join();
        return code;
    }

    /** The script's output so far. */
    List<String> output() {
        return output.all();
    }

    /** The script's output as it comes. */
    Lines lines() {
        return output;
    }

    /** The last of the output and of the console, for a message about a failure. */
    String diagnosis() {
        String end = output.end();
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

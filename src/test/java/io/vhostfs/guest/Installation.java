package io.vhostfs.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The scripts and programs of this source tree, and running one of them to its end. */
final class Installation {
    private static final Path HOME = Path.of("").toAbsolutePath();

    private Installation() {}

    /** A file of the source tree; an error when it is not there, such as when a test runs in another directory. */
    static Path file(String name) {
        Path file = HOME.resolve(name);
        if (!Files.exists(file)) {
            throw new IllegalStateException("no " + file + "; remedy: run the tests in the directory of the project");
        }
        return file;
    }

    /** A file of this build that keeps what a process said, for whoever looks into a failure. */
    static Path log(String name) throws IOException {
        return Files.createDirectories(HOME.resolve("target/guest")).resolve(name + ".log");
    }

    /** How to start a program of this build as it is, with both outputs in one log. */
    static ProcessBuilder builder(List<String> command, Path log) {
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().put("VHOSTFS_NO_BUILD", "1");
        return builder;
    }

    /** What a program that has ended said on both outputs, and its exit code. */
    record Result(int exitCode, String output) {}

    /** Runs a program to its end; past the time limit it is killed, and that is an error. */
    static Result run(String name, long limitSeconds, List<String> command) throws IOException, InterruptedException {
        Path log = log(name);
        Process process = builder(command, log).start();
        try {
            if (!process.waitFor(limitSeconds, TimeUnit.SECONDS)) {
                throw new IllegalStateException(
                        command + " did not end within " + limitSeconds + " s:\n" + Files.readString(log));
            }
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
        }
        return new Result(process.exitValue(), Files.readString(log));
    }
}

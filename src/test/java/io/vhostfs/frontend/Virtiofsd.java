package io.vhostfs.frontend;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** virtiofsd on a directory: the back end that our front end is checked against. It ends with its connection. */
final class Virtiofsd implements AutoCloseable {
    /** QEMU's own until version 7, then the one in Rust. */
    private static final Path QEMU_BINARY = Path.of("/usr/lib/qemu/virtiofsd");

    private static final Path RUST_BINARY = Path.of("/usr/libexec/virtiofsd");

    private final Process process;
    private final Path shared;
    private final Path socket;

    Virtiofsd(Path directory) throws IOException, InterruptedException {
        shared = Files.createDirectory(directory.resolve("shared"));
        socket = directory.resolve("socket");
        process = new ProcessBuilder(command())
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("log").toFile())
                .start();
        while (!Files.exists(socket)) {
            if (process.waitFor(1, TimeUnit.MILLISECONDS)) {
                throw new IOException("virtiofsd ended: " + Files.readString(directory.resolve("log")));
            }
        }
    }

    private List<String> command() throws IOException {
        if (Files.isExecutable(QEMU_BINARY)) {
            return List.of(
                    QEMU_BINARY.toString(),
                    "-f",
                    "--socket-path=" + socket,
                    "-o",
                    "source=" + shared + ",cache=always,no_posix_lock",
                    "--thread-pool-size=0");
        }
        if (Files.isExecutable(RUST_BINARY)) {
            return List.of(
                    RUST_BINARY.toString(),
                    "--socket-path=" + socket,
                    "--shared-dir=" + shared,
                    "--cache=always",
                    "--thread-pool-size=0");
        }
        throw new IOException("virtiofsd is missing; remedy: ci/packages install bench");
    }

    /** The directory on the host. */
    Path shared() {
        return shared;
    }

    Path socket() {
        return socket;
    }

    @Override
    public void close() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
        process.onExit().join();
    }
}

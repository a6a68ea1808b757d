package io.vhostfs.frontend;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** QEMU's virtiofsd on a directory: the back end that our front end is checked against. It ends with its connection. */
final class Virtiofsd implements AutoCloseable {
    private static final Path BINARY = Path.of("/usr/lib/qemu/virtiofsd");

    private final Process process;
    private final Path socket;

    Virtiofsd(Path directory) throws IOException, InterruptedException {
        if (!Files.isExecutable(BINARY)) {
            throw new IOException(BINARY + " is missing; remedy: apt-get install qemu-system-common");
        }
        Path shared = Files.createDirectory(directory.resolve("shared"));
        socket = directory.resolve("socket");
        process = new ProcessBuilder(
                        BINARY.toString(),
                        "-f",
                        "--socket-path=" + socket,
                        "-o",
                        "source=" + shared + ",cache=always,no_posix_lock",
                        "--thread-pool-size=0")
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("log").toFile())
                .start();
        while (!Files.exists(socket)) {
            if (process.waitFor(1, TimeUnit.MILLISECONDS)) {
                throw new IOException("virtiofsd ended: " + Files.readString(directory.resolve("log")));
            }
        }
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

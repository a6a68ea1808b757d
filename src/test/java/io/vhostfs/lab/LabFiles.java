package io.vhostfs.lab;

import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFREG;

import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.FuseClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;

/**
 * Files through a vhost-user socket, as a guest's driver would have them; run in the lab as a program of its own.
 *
 * <p>{@code write} makes files whose content follows from their number, and says of each when it was synced; {@code verify}
 * reads them all.
 */
final class LabFiles {
    private static final int FILE_BYTES = 1 << 20;
    private static final int CHUNK_BYTES = 1 << 17;

    private LabFiles() {}

    private static byte[] content(int number) {
        byte[] bytes = new byte[FILE_BYTES];
        new Random(number).nextBytes(bytes);
        return bytes;
    }

    private static void write(FuseClient fuse, int number) throws IOException {
        byte[] content = content(number);
        FuseClient.Handle file = fuse.create(FuseClient.ROOT, "file-" + number, O_RDWR, S_IFREG | 0644);
        for (int at = 0; at < FILE_BYTES; at += CHUNK_BYTES) {
            fuse.write(file.nodeid(), file.fh(), at, Arrays.copyOfRange(content, at, at + CHUNK_BYTES));
        }
        fuse.fsync(file.nodeid(), file.fh(), false);
        fuse.release(file.nodeid(), file.fh(), O_RDWR);
        System.out.println("synced " + number);
    }

    private static void verify(FuseClient fuse, int number) throws IOException {
        byte[] content = content(number);
        long nodeid = fuse.lookup(FuseClient.ROOT, "file-" + number).nodeid();
        FuseClient.Handle file = fuse.open(nodeid, O_RDWR);
        for (int at = 0; at < FILE_BYTES; at += CHUNK_BYTES) {
            byte[] read = fuse.read(nodeid, file.fh(), at, CHUNK_BYTES);
            if (!Arrays.equals(read, Arrays.copyOfRange(content, at, at + CHUNK_BYTES))) {
                throw new AssertionError("file " + number + " holds something else at " + at);
            }
        }
        fuse.release(nodeid, file.fh(), O_RDWR);
        System.out.println("verified " + number);
    }

    /**
     * Arguments: {@code write} or {@code verify}, the socket, the first file and the one after the last; or {@code content}, a
     * directory and the number of a file to make there.
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments[0].equals("content")) {
            Files.write(Path.of(arguments[1], "file-" + arguments[2]), content(Integer.parseInt(arguments[2])));
            return;
        }
        boolean writes = arguments[0].equals("write");
        try (FrontEnd frontEnd = FrontEnd.connect(Path.of(arguments[1]), FrontEnd.Options.DEFAULT)) {
            FuseClient fuse = new FuseClient(frontEnd);
            fuse.init();
            for (int i = Integer.parseInt(arguments[2]); i < Integer.parseInt(arguments[3]); i++) {
                if (writes) {
                    write(fuse, i);
                } else {
                    verify(fuse, i);
                }
            }
        }
    }
}

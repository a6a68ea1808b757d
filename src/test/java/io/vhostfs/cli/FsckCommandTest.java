package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class FsckCommandTest {
    private static final int BLOCK = 4096;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    private Path directory;

    private String output = "";

    private int run(String... arguments) {
        StringWriter text = new StringWriter();
        CommandLine command = Main.commandLine();
        command.setOut(new PrintWriter(text)).setErr(new PrintWriter(text));
        int code = command.execute(arguments);
        output = text.toString();
        return code;
    }

    private String device() {
        return "file:" + directory.resolve("store");
    }

    private void make() {
        assertEquals(0, run("mkfs", device() + ",size=16M"), () -> output);
    }

    private void zero(long block) throws IOException {
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.seek(block * BLOCK);
            file.write(new byte[BLOCK]);
        }
    }

    @Test
    void aCleanStoreIsCleanAndNotTouched() throws IOException {
        make();
        byte[] before = Files.readAllBytes(directory.resolve("store"));
        assertEquals(0, run("fsck", device()));
        assertEquals(0, run("fsck", "--repair", device()));
        assertTrue(output.contains("clean"), output);
        assertEquals(-1, Arrays.mismatch(before, Files.readAllBytes(directory.resolve("store"))));
    }

    @Test
    void errorsAreFoundThenPutRight() throws IOException {
        make();
        zero(1);
        assertEquals(4, run("fsck", device()));
        assertTrue(output.contains("superblock 1 has no superblock magic"), output);
        assertEquals(1, run("fsck", "--repair", device()));
        assertTrue(output.contains("block 1 was written from block 0"), output);
        assertEquals(0, run("fsck", device()));
    }

    @Test
    void aStoreWithoutRootsIsPutTogetherFromItsLeaves() throws IOException {
        make();
        for (int block = 2; block < 6; block++) {
            zero(block);
        }
        assertEquals(4, run("fsck", device()));
        assertEquals(1, run("fsck", "--repair", "--quiet", device()));
        assertEquals(0, run("fsck", device()), () -> output);
    }

    @Test
    void whatCannotBePutRightIsLeftAlone() throws IOException {
        make();
        zero(0);
        assertEquals(4, run("fsck", device()));
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.seek(BLOCK + 100);
            file.write(77);
        }
        byte[] before = Files.readAllBytes(directory.resolve("store"));
        assertEquals(4, run("fsck", device()));
        assertEquals(8, run("fsck", "--repair", device()));
        assertEquals(-1, Arrays.mismatch(before, Files.readAllBytes(directory.resolve("store"))));
    }
}

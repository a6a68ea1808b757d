package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class TrimCommandTest {
    @TempDir
    Path directory;

    private final StringWriter said = new StringWriter();

    private int run(String... arguments) {
        said.getBuffer().setLength(0);
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(said)).setErr(new PrintWriter(said));
        return commandLine.execute(arguments);
    }

    @Test
    void whatNobodyUsesBecomesAHoleAndTheStoreStaysWhole() throws Exception {
        Path path = directory.resolve("store");
        String store = "file:" + path;
        assertEquals(ExitCodes.OK, run("mkfs", store + ",size=32M"));
        long place = 20 << 20;
        byte[] old = new byte[1 << 20];
        Arrays.fill(old, (byte) 1);
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(old), place);
        }
        assertEquals(ExitCodes.OK, run("trim", store), said::toString);
        assertTrue(said.toString().contains("discarded"), said.toString());
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            ByteBuffer now = ByteBuffer.allocate(old.length);
            file.read(now, place);
            assertEquals(ByteBuffer.allocate(old.length), now.flip(), "a hole");
        }
        assertEquals(32 << 20, Files.size(path));
        assertEquals(ExitCodes.OK, run("fsck", store), said::toString);
        assertEquals(ExitCodes.NO_INPUT, run("trim", store + "x"), said::toString);
        assertEquals(ExitCodes.DATA, run("trim", "file:" + Files.write(directory.resolve("f"), new byte[8 << 20])));
    }
}

package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrimCommandTest {
    @TempDir
    Path directory;

    private final CommandRun command = new CommandRun();

    @Test
    void whatNobodyUsesBecomesAHoleAndTheStoreStaysWhole() throws Exception {
        Path path = directory.resolve("store");
        String store = "file:" + path;
        command.expect(ExitCodes.OK, "mkfs", store + ",size=32M");
        long place = 20 << 20;
        byte[] old = new byte[1 << 20];
        Arrays.fill(old, (byte) 1);
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(old), place);
        }
        command.expect(ExitCodes.OK, "trim", store);
        command.assertSaid("discarded");
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            ByteBuffer now = ByteBuffer.allocate(old.length);
            file.read(now, place);
            assertEquals(ByteBuffer.allocate(old.length), now.flip(), "a hole");
        }
        assertEquals(32 << 20, Files.size(path));
        command.expect(ExitCodes.OK, "fsck", store);
        command.expect(ExitCodes.NO_INPUT, "trim", store + "x");
        command.expect(ExitCodes.DATA, "trim", "file:" + Files.write(directory.resolve("f"), new byte[8 << 20]));
    }
}

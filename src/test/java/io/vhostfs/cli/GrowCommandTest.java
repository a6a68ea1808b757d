package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class GrowCommandTest {
    @TempDir
    Path directory;

    private final StringWriter said = new StringWriter();
    private String store = "";

    @BeforeEach
    void makeAStore() {
        store = "file:" + directory.resolve("store");
        assertEquals(ExitCodes.OK, run("mkfs", store + ",size=8M"));
    }

    private int run(String... arguments) {
        said.getBuffer().setLength(0);
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(said)).setErr(new PrintWriter(said));
        return commandLine.execute(arguments);
    }

    private long storeBlocks() {
        try (BlockDevice look = BlockDevices.openToLook(BlockDeviceSpec.parse(store))) {
            return BlobStore.coveredBlocks(look);
        }
    }

    private void assertSaid(String text) {
        assertTrue(said.toString().contains(text), said.toString());
    }

    @Test
    void enlargesTheFileAndThenTheStore() throws Exception {
        assertEquals(ExitCodes.OK, run("grow", store + ",size=24M"), said::toString);
        assertSaid("grown from 8M to 24M");
        assertEquals(24 << 20, Files.size(directory.resolve("store")));
        assertEquals((24 << 20) / BlobStore.BLOCK_SIZE, storeBlocks());
        assertEquals(ExitCodes.OK, run("fsck", store), said::toString);
    }

    @Test
    void takesAFileThatWasEnlargedBefore() throws Exception {
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.setLength(16 << 20);
        }
        assertEquals(ExitCodes.OK, run("grow", store), said::toString);
        assertEquals((16 << 20) / BlobStore.BLOCK_SIZE, storeBlocks());
    }

    @Test
    void waitsForTheTargetThatServesTheStore() throws Exception {
        TargetConfig config = new TargetConfig(
                "",
                IdlePolicy.ADAPTIVE,
                List.of(DeviceConfig.parse(store)),
                List.of(ShareConfig.parse("tag=t,socket=" + directory.resolve("t.sock"))),
                false);
        try (Target target = Target.start(config)) {
            assertEquals((8 << 20) / BlobStore.BLOCK_SIZE, storeBlocks(), target::toString);
            assertEquals(ExitCodes.OK, run("grow", store + ",size=40M"), said::toString);
            assertSaid("from 8M to 40M by the target that serves it");
            assertEquals((40 << 20) / BlobStore.BLOCK_SIZE, storeBlocks());
            assertEquals(ExitCodes.USAGE, run("grow", store), said::toString);
            assertSaid("the device has no more; enlarge it first");
        }
        assertEquals(ExitCodes.OK, run("fsck", store), said::toString);
    }

    @Test
    void saysWhyAStoreCannotGrow() throws Exception {
        assertEquals(ExitCodes.USAGE, run("grow", store), said::toString);
        assertSaid("enlarge the device first");
        assertEquals(ExitCodes.USAGE, run("grow", store + ",size=4M"), said::toString);
        assertSaid("never made smaller");
        assertEquals(ExitCodes.USAGE, run("grow", "malloc:1G"), said::toString);
        assertEquals(ExitCodes.NO_INPUT, run("grow", store + "x,size=1G"), said::toString);
        assertEquals(8 << 20, Files.size(directory.resolve("store")));
        Path other = Files.write(directory.resolve("other"), new byte[8 << 20]);
        assertEquals(ExitCodes.DATA, run("grow", "file:" + other + ",size=16M"), said::toString);
        assertSaid("holds no store");
        assertEquals(8 << 20, Files.size(other), "what is no store stays as it is");
    }

    @Test
    void aStoreLargerThanItsFileIsRefused() throws Exception {
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.setLength(6 << 20);
        }
        assertEquals(ExitCodes.DATA, run("grow", store), said::toString);
        assertSaid("covers 2048 blocks, but the device has only 1536");
        assertEquals(ExitCodes.DATA, run("info", store), said::toString);
    }
}

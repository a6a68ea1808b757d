package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GrowCommandTest {
    @TempDir
    Path directory;

    private final CommandRun command = new CommandRun();
    private String store = "";

    @BeforeEach
    void makeAStore() {
        store = "file:" + directory.resolve("store");
        command.expect(ExitCodes.OK, "mkfs", store + ",size=8M");
    }

    private long storeBlocks() {
        try (BlockDevice look = BlockDevices.openToLook(BlockDeviceSpec.parse(store))) {
            return BlobStore.coveredBlocks(look);
        }
    }

    @Test
    void enlargesTheFileAndThenTheStore() throws Exception {
        command.expect(ExitCodes.OK, "grow", store + ",size=24M");
        command.assertSaid("grown from 8M to 24M");
        assertEquals(24 << 20, Files.size(directory.resolve("store")));
        assertEquals((24 << 20) / BlobStore.BLOCK_SIZE, storeBlocks());
        command.expect(ExitCodes.OK, "fsck", store);
    }

    @Test
    void takesAFileThatWasEnlargedBefore() throws Exception {
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.setLength(16 << 20);
        }
        command.expect(ExitCodes.OK, "grow", store);
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
            command.expect(ExitCodes.OK, "grow", store + ",size=40M");
            command.assertSaid("from 8M to 40M by the target that serves it");
            assertEquals((40 << 20) / BlobStore.BLOCK_SIZE, storeBlocks());
            command.expect(ExitCodes.USAGE, "grow", store);
            command.assertSaid("the device has no more; enlarge it first");
        }
        command.expect(ExitCodes.OK, "fsck", store);
    }

    @Test
    void saysWhyAStoreCannotGrow() throws Exception {
        command.expect(ExitCodes.USAGE, "grow", store);
        command.assertSaid("enlarge the device first");
        command.expect(ExitCodes.USAGE, "grow", store + ",size=4M");
        command.assertSaid("never made smaller");
        command.expect(ExitCodes.USAGE, "grow", "malloc:1G");
        command.expect(ExitCodes.NO_INPUT, "grow", store + "x,size=1G");
        assertEquals(8 << 20, Files.size(directory.resolve("store")));
        Path other = Files.write(directory.resolve("other"), new byte[8 << 20]);
        command.expect(ExitCodes.DATA, "grow", "file:" + other + ",size=16M");
        command.assertSaid("holds no store");
        assertEquals(8 << 20, Files.size(other), "what is no store stays as it is");
    }

    @Test
    void aStoreLargerThanItsFileIsRefused() throws Exception {
        try (RandomAccessFile file =
                new RandomAccessFile(directory.resolve("store").toFile(), "rw")) {
            file.setLength(6 << 20);
        }
        command.expect(ExitCodes.DATA, "grow", store);
        command.assertSaid("covers 2048 blocks, but the device has only 1536");
        command.expect(ExitCodes.DATA, "info", store);
    }
}

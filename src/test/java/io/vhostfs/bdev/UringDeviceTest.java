package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class UringDeviceTest {
    @TempDir
    Path dir;

    private Path file(String name, long bytes) throws IOException {
        Path path = dir.resolve(name);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(bytes);
        }
        return path;
    }

    private static BlockDevice open(Path path, String options, boolean create) {
        return BlockDevices.open(BlockDeviceSpec.parse("file:" + path + options), create);
    }

    private static BlockDeviceException failure(Kind kind, String remedy, Path path, String options, boolean create) {
        BlockDeviceException e = assertThrows(
                BlockDeviceException.class, () -> open(path, options, create).close());
        assertEquals(kind, e.kind(), e.getMessage());
        assertTrue(e.getMessage().contains(path.toString()), e.getMessage());
        assertTrue(e.getMessage().contains(remedy), e.getMessage());
        return e;
    }

    @Test
    void saysWhatItIs() throws IOException {
        Path path = file("store", 1 << 20);
        try (BlockDevice device = open(path, "", false)) {
            assertEquals("file:" + path, device.name());
            assertEquals(512, device.blockSize());
            assertEquals(1 << 20, device.capacityBytes());
            assertTrue(device.hasVolatileCache());
            assertEquals(512, device.atomicWriteBytes());
            assertEquals(1, device.memoryAlignment());
            assertTrue(device.supportsDiscard());
        }
    }

    @Test
    void openingChangesNothing() throws IOException {
        Path path = dir.resolve("store");
        byte[] content = new byte[10_000];
        new java.util.Random(1).nextBytes(content);
        Files.write(path, content);
        try (BlockDevice device = open(path, ",size=8K", true)) {
            assertEquals(10_000 / 512 * 512, device.capacityBytes());
        }
        org.junit.jupiter.api.Assertions.assertArrayEquals(content, Files.readAllBytes(path));
    }

    @Test
    void seesThatItsFileHasGrownWhenAskedAndNeverShrinks() throws IOException {
        Path path = file("store", 1 << 20);
        try (BlockDevice device = open(path, ",size=1M", false)) {
            file("store", (2 << 20) + 700);
            assertEquals(1 << 20, device.capacityBytes());
            assertEquals((2 << 20) + 512, device.refreshCapacity());
            assertEquals((2 << 20) + 512, device.capacityBytes());
            file("store", 1 << 20);
            assertEquals((2 << 20) + 512, device.refreshCapacity());
        }
    }

    @Test
    void enlargesAFileEvenWhileItIsInUseAndNothingElse() throws IOException {
        Path path = file("store", 1 << 20);
        try (BlockDevice device = open(path, "", false)) {
            BlockDevices.enlarge(BlockDeviceSpec.parse("file:" + path + ",size=3M"));
            assertEquals(3 << 20, device.refreshCapacity());
        }
        BlockDevices.enlarge(BlockDeviceSpec.parse("file:" + path));
        assertEquals(3 << 20, Files.size(path));
        for (String wrong : new String[] {"file:" + path + ",size=2M", "file:" + path + "x,size=4M", "malloc:4M"}) {
            assertThrows(BlockDeviceException.class, () -> BlockDevices.enlarge(BlockDeviceSpec.parse(wrong)), wrong);
        }
        assertEquals(3 << 20, Files.size(path));
        assertFalse(Files.exists(dir.resolve("storex")));
    }

    @Test
    void canBeLookedAtWhileItIsInUse() throws IOException {
        Path path = file("store", 1 << 20);
        try (BlockDevice device = open(path, "", false);
                BlockDevice look = BlockDevices.openToLook(BlockDeviceSpec.parse("file:" + path + ",direct=on"))) {
            assertEquals(device.capacityBytes(), look.capacityBytes());
            assertFalse(look.supportsDiscard());
        }
    }

    @Test
    void usesWholeBlocksOnly() throws IOException {
        try (BlockDevice device = open(file("store", 8192 + 511), "", false)) {
            assertEquals(8192, device.capacityBytes());
        }
    }

    @Test
    void directAsksForTheAlignmentOfTheDisk() throws IOException {
        try (BlockDevice device = open(file("store", 1 << 20), ",direct=on", false)) {
            assertEquals(1, Integer.bitCount(device.blockSize()));
            assertTrue(device.blockSize() >= 512 && device.blockSize() <= 4096);
            assertEquals(1, Integer.bitCount(device.memoryAlignment()));
            assertTrue(device.atomicWriteBytes() >= device.blockSize());
        }
    }

    @Test
    void makesAMissingFileSparse() throws IOException {
        Path path = dir.resolve("store");
        try (BlockDevice device = open(path, ",size=1G", true)) {
            assertEquals(1 << 30, device.capacityBytes());
        }
        assertEquals(1 << 30, Files.size(path));
        assertTrue(((Number) Files.getAttribute(path, "unix:ino")).longValue() != 0);
        assertEquals(
                "rw-------",
                java.nio.file.attribute.PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
    }

    @Test
    void makesAnEmptyFileAsLargeAsSaid() throws IOException {
        try (BlockDevice device = open(file("store", 0), ",size=64K", true)) {
            assertEquals(65536, device.capacityBytes());
        }
    }

    @Test
    void refusesWhatIsMissing() {
        failure(Kind.MISSING, "--create", dir.resolve("store"), ",size=1M", false);
        failure(Kind.MISSING, "size=SIZE", dir.resolve("store"), "", true);
        failure(Kind.MISSING, "check the path", dir.resolve("no/store"), ",size=1M", true);
        assertFalse(Files.exists(dir.resolve("store")));
    }

    @Test
    void leavesNoFileThatCouldNotBeMadeLargeEnough() {
        Path path = dir.resolve("store");
        failure(Kind.IO, "smaller size", path, ",size=4194304T", true);
        assertFalse(Files.exists(path));
    }

    @Test
    void refusesAnEmptyFile() throws IOException {
        Path path = file("store", 0);
        failure(Kind.MISSING, "size=SIZE", path, "", false);
        failure(Kind.MISSING, "--create", path, ",size=1M", false);
    }

    @Test
    void refusesAFileThatIsTooSmall() throws IOException {
        Path path = file("store", 8192);
        failure(Kind.INVALID, "truncate -s", path, ",size=12K", true);
        failure(Kind.INVALID, "truncate -s", file("tiny", 512), "", false);
        assertEquals(8192, Files.size(path));
    }

    @Test
    void refusesADirectoryAndADevicesOfOtherKinds() {
        failure(Kind.INVALID, "name a file in it", dir, "", true);
        failure(Kind.INVALID, "neither a regular file", Path.of("/dev/null"), "", false);
    }

    @Test
    void refusesAFileThatIsOpenAlready() throws IOException {
        Path path = file("store", 8192);
        BlockDevice first = open(path, "", false);
        failure(Kind.BUSY, "fuser -v " + path, path, "", false);
        first.close();
        open(path, "", false).close();
    }

    @Test
    void isFreeAgainWhenItsChannelsAndItselfAreClosed() throws IOException {
        Path path = file("store", 8192);
        for (int i = 0; i < 10; i++) {
            BlockDevice device = open(path, "", false);
            BlockChannel channel = device.openChannel(new Reactor("test"));
            assertThrows(IllegalStateException.class, device::close);
            channel.close();
            channel.close();
            device.close();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "ENOENT, MISSING, --create",
        "ENXIO, MISSING, check the path",
        "EBUSY, BUSY, fuser",
        "ETXTBSY, BUSY, another file",
        "EACCES, NOT_PERMITTED, owner or mode",
        "EPERM, NOT_PERMITTED, owner or mode",
        "EROFS, NOT_PERMITTED, mount that read-write",
        "EISDIR, INVALID, name a file in it",
        "ELOOP, INVALID, ELOOP",
        "EINVAL, UNSUPPORTED, direct=on",
        "EMFILE, UNSUPPORTED, ulimit -n",
        "EIO, IO, dmesg"
    })
    void namesTheThingAndTheRemedy(String errno, Kind kind, String remedy) throws ReflectiveOperationException {
        var spec = new BlockDeviceSpec.FilePath("/srv/store", 0, false);
        BlockDeviceException e =
                UringDevice.openFailure(spec, -Errno.class.getField(errno).getInt(null));
        assertEquals(kind, e.kind());
        assertTrue(e.getMessage().startsWith("file:/srv/store: "), e.getMessage());
        assertTrue(e.getMessage().contains(remedy), e.getMessage());
    }
}

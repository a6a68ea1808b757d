package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BlockingIoTest {
    @TempDir
    Path dir;

    @ParameterizedTest
    @ValueSource(strings = {"malloc:1M", "file:store,size=1M", "file:store,size=1M,direct=on"})
    void returnsWhenItIsDone(String spec) {
        String inDir = spec.replace("store", dir.resolve("store").toString());
        try (BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse(inDir), true);
                BlockingIo io = new BlockingIo(device);
                Arena arena = Arena.ofConfined()) {
            MemorySegment written = arena.allocate(8192, 4096);
            MemorySegment read = arena.allocate(8192, 4096);
            written.fill((byte) 7);
            io.write(4096, written.address(), 4096);
            io.writeDurably(8192, written.address(), 4096);
            io.flush();
            io.read(4096, read.address(), 8192);
            assertEquals(-1, written.mismatch(read));

            io.writeZeroes(4096, 4096);
            io.discard(8192, 4096);
            io.read(4096, read.address(), 4096);
            written.fill((byte) 0);
            assertEquals(-1, written.asSlice(0, 4096).mismatch(read.asSlice(0, 4096)));
        }
    }

    @Test
    void worksOnAVirtualThread() throws InterruptedException {
        Thread thread = Thread.ofVirtual()
                .uncaughtExceptionHandler((t, e) -> {})
                .unstarted(() -> returnsWhenItIsDone("file:store,size=1M"));
        Throwable[] failure = new Throwable[1];
        thread.setUncaughtExceptionHandler((t, e) -> failure[0] = e);
        thread.start();
        thread.join();
        assertEquals(null, failure[0]);
    }

    @Test
    void namesDeviceAndPlaceOfAnError() throws IOException {
        Path path = dir.resolve("store");
        try (BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse("file:" + path + ",size=1M"), true);
                BlockingIo io = new BlockingIo(device);
                Arena arena = Arena.ofConfined()) {
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
                file.setLength(0);
            }
            long buffer = arena.allocate(4096).address();
            BlockDeviceException e = assertThrows(BlockDeviceException.class, () -> io.read(65536, buffer, 4096));
            assertEquals(Kind.IO, e.kind());
            assertTrue(e.getMessage().contains("file:" + path), e.getMessage());
            assertTrue(e.getMessage().contains("a read of 4096 bytes at byte 65536 failed with EIO"), e.getMessage());
            io.write(65536, buffer, 4096);
            io.read(65536, buffer, 4096);
        }
    }
}

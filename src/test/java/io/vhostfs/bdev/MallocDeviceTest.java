package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MallocDeviceTest {
    private static final long CAPACITY = 6L << 20;

    private final Arena arena = Arena.ofConfined();
    private final Reactor reactor = new Reactor("test");
    private final BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse("malloc:6M"), false);
    private final BlockChannel channel = device.openChannel(reactor);

    @AfterEach
    void close() {
        channel.close();
        device.close();
        arena.close();
    }

    private int run(TestIo io) {
        int status = io.run(channel, reactor);
        assertEquals(0, channel.inFlight());
        return status;
    }

    private byte[] read(long offset, int length) {
        TestIo io = TestIo.of(arena, BlockIo.READ, offset, length).buffers(length);
        assertEquals(0, run(io));
        return io.content();
    }

    @Test
    void saysWhatItIs() {
        assertEquals("malloc:6M", device.name());
        assertEquals(512, device.blockSize());
        assertEquals(CAPACITY, device.capacityBytes());
        assertFalse(device.hasVolatileCache());
        assertEquals(4096, device.atomicWriteBytes());
        assertEquals(1, device.memoryAlignment());
    }

    @Test
    void readsZerosWhereNothingWasWritten() {
        assertArrayEquals(new byte[4096], read(CAPACITY - 4096, 4096));
    }

    @Test
    void readsWhatWasWrittenWhateverTheSplit() {
        TestIo write = TestIo.of(arena, BlockIo.WRITE, 512, 8192).buffers(1, 4095, 0, 4096);
        write.filled(1);
        assertEquals(0, run(write));

        TestIo read = TestIo.of(arena, BlockIo.READ, 512, 8192).buffers(8000, 192);
        assertEquals(0, run(read));
        assertArrayEquals(write.content(), read.content());
    }

    @Test
    void writesNothingOutsideTheRange() {
        TestIo ones = TestIo.of(arena, BlockIo.WRITE, 0, 3 * 512).buffers(3 * 512);
        ones.filled(2);
        run(ones);
        run(TestIo.of(arena, BlockIo.WRITE, 512, 512).buffers(512));

        byte[] expected = ones.content();
        java.util.Arrays.fill(expected, 512, 1024, (byte) 0);
        assertArrayEquals(expected, read(0, 3 * 512));
    }

    @Test
    void flushesAtOnce() {
        assertEquals(0, run(TestIo.of(arena, BlockIo.FLUSH, 0, 0)));
    }

    @Test
    void zeroesARange() {
        run(TestIo.of(arena, BlockIo.WRITE, 0, 8192).buffers(8192).filled(3));
        assertEquals(0, run(TestIo.of(arena, BlockIo.WRITE_ZEROES, 0, 8192)));
        assertArrayEquals(new byte[8192], read(0, 8192));
    }

    @Test
    void discardLeavesEverythingOutsideAlone() {
        TestIo before = TestIo.of(arena, BlockIo.WRITE, 0, 512).buffers(512).filled(4);
        TestIo after = TestIo.of(arena, BlockIo.WRITE, CAPACITY - 512, 512)
                .buffers(512)
                .filled(5);
        run(before);
        run(after);
        assertEquals(0, run(TestIo.of(arena, BlockIo.DISCARD, 512, CAPACITY - 1024)));
        assertArrayEquals(before.content(), read(0, 512));
        assertArrayEquals(after.content(), read(CAPACITY - 512, 512));
    }

    @ParameterizedTest
    @CsvSource({
        "1, 512, -22", // offset between blocks
        "0, 511, -22", // length between blocks
        "6291456, 512, -5", // behind the end
        "6290944, 1024, -5", // across the end
        "-512, 512, -5",
        "512, -512, -5",
        "9223372036854775296, 1024, -5" // offset + length wraps
    })
    void refusesRangesOutside(long offset, long length, int status) {
        for (int operation : new int[] {BlockIo.READ, BlockIo.WRITE, BlockIo.DISCARD, BlockIo.WRITE_ZEROES}) {
            TestIo io = TestIo.of(arena, operation, offset, length).buffers(4096);
            assertEquals(status, run(io));
        }
    }

    @Test
    void refusesUnknownOperationsAndBuffersTooShort() {
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, 99, 0, 512).buffers(512)));
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, BlockIo.READ, 0, 1024).buffers(512)));
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, BlockIo.WRITE, 0, 1024).buffers(512)));
    }

    /** Compiled code throws late; so this runs until it is compiled. */
    @Test
    void answersMemoryThatItsOwnerTruncatedWithEfault() {
        int fd = CString.with("truncated", path -> Libc.memfdCreate(path, LibcConstants.MFD_CLOEXEC));
        long length = 1 << 16;
        assertEquals(0, Libc.ftruncate(fd, length));
        long address = Libc.mmap(0, length, LibcConstants.PROT_READ | LibcConstants.PROT_WRITE, 1, fd, 0);
        TestIo io = TestIo.of(arena, BlockIo.WRITE, 0, 4096).buffers(4096);
        Iovecs.set(io.iovecsAddress, 0, address, 4096);
        try {
            for (int i = 0; i < 100_000; i++) {
                io.operation = (i & 1) == 0 ? BlockIo.WRITE : BlockIo.READ;
                assertEquals(0, channel.submit(io));
            }
            assertEquals(0, Libc.ftruncate(fd, 0));
            for (int i = 0; i < 1000; i++) {
                io.operation = (i & 1) == 0 ? BlockIo.WRITE : BlockIo.READ;
                assertEquals(-Errno.EFAULT, channel.submit(io));
            }
        } finally {
            Libc.munmap(address, length);
            Libc.close(fd);
        }
    }

    @Test
    void allocatesNothingPerRequest() {
        TestIo io = TestIo.of(arena, BlockIo.READ, 0, 4096).buffers(4096);
        assertEquals(0, Allocations.leastPerRound(() -> channel.submit(io)));
    }

    @Test
    void refusesToCloseUnderAnOpenChannel() {
        assertThrows(IllegalStateException.class, device::close);
    }

    @Test
    void refusesMoreMemoryThanTheHostCanMap() {
        BlockDeviceException e = assertThrows(
                BlockDeviceException.class, () -> BlockDevices.open(BlockDeviceSpec.parse("malloc:1000000T"), false));
        assertEquals(BlockDeviceException.Kind.UNSUPPORTED, e.kind());
    }
}

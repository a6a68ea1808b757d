package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class Crc32cTest {
    private final Arena arena = Arena.ofConfined();
    private final long address = arena.allocate(64 * 1024, 4096).address();
    private final Crc32c crc = new Crc32c();

    @AfterEach
    void free() {
        arena.close();
    }

    @Test
    void knowsTheVectorsOfRfc3720() {
        Memory.zero(address, 32);
        assertEquals(0x8a9136aa, crc.of(address, 32));
        for (int i = 0; i < 32; i++) {
            Memory.putByte(address + i, (byte) 0xff);
        }
        assertEquals(0x62a8ab43, crc.of(address, 32));
        for (int i = 0; i < 32; i++) {
            Memory.putByte(address + i, (byte) i);
        }
        assertEquals(0x46dd794e, crc.of(address, 32));
        for (int i = 0; i < 32; i++) {
            Memory.putByte(address + i, (byte) (31 - i));
        }
        assertEquals(0x113fdb5c, crc.of(address, 32));
        Memory.copyFromArray("123456789".getBytes(java.nio.charset.StandardCharsets.US_ASCII), 0, address, 9);
        assertEquals(0xe3069283, crc.of(address, 9));
    }

    @Test
    void emptyRangeHasChecksumZero() {
        assertEquals(0, crc.of(address, 0));
        assertEquals(0x1234, crc.update(0x1234, address, 0));
    }

    @Test
    void agreesWithTheLibraryAtEveryLengthAndAlignment() {
        byte[] bytes = fillRandomly(4200);
        for (int start = 0; start < 9; start++) {
            for (int length = 0; length < 4100; length += length < 80 ? 1 : 67) {
                CRC32C expected = new CRC32C();
                expected.update(bytes, start, length);
                assertEquals((int) expected.getValue(), crc.of(address + start, length));
            }
        }
    }

    @Test
    void updateContinuesWhereAnyPieceEnded() {
        fillRandomly(300);
        int whole = crc.of(address, 300);
        for (int cut = 0; cut <= 300; cut++) {
            int first = crc.of(address, cut);
            assertEquals(whole, new Crc32c().update(first, address + cut, 300 - cut), "cut at " + cut);
        }
    }

    @Test
    void updateFromZeroStarts() {
        fillRandomly(100);
        assertEquals(crc.of(address, 100), crc.update(0, address, 100));
    }

    @Test
    void lengthsBeyondTheLimitAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> crc.of((1L << 30) - 1, Integer.MAX_VALUE));
        assertThrows(IllegalArgumentException.class, () -> crc.of(address, -1));
    }

    @Test
    void allocatesNothingInSteadyState() {
        long far = arena.allocate(4096).address();
        int mix = 0;
        for (int i = 0; i < 20_000; i++) {
            mix ^= crc.update(crc.of(address, 4096), far, 64);
        }
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 100_000; i++) {
            mix ^= crc.update(crc.of(address, 4096), far, 64);
        }
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertEquals(0, allocated / 100_000, () -> "bytes allocated: " + allocated);
        assertEquals(0, mix);
    }

    private byte[] fillRandomly(int length) {
        byte[] bytes = new byte[length];
        new Random(7).nextBytes(bytes);
        Memory.copyFromArray(bytes, 0, address, length);
        return bytes;
    }
}

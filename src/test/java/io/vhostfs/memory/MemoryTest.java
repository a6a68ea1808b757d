package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class MemoryTest {
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment segment = arena.allocate(8192, 4096);
    private final long address = segment.address();

    @AfterEach
    void free() {
        arena.close();
    }

    @Test
    void valuesAreLittleEndianAtAnyAlignment() {
        for (int shift = 0; shift < 8; shift++) {
            long at = address + shift;
            Memory.putLong(at, 0x8877_6655_4433_2211L);
            for (int i = 0; i < 8; i++) {
                assertEquals((byte) (0x11 * (i + 1)), Memory.getByte(at + i));
                assertEquals(0x11 * (i + 1), Memory.getUnsignedByte(at + i));
            }
            assertEquals(0x8877, Memory.getUnsignedShort(at + 6));
            assertEquals((short) 0x8877, Memory.getShort(at + 6));
            assertEquals(0x8877_6655, Memory.getInt(at + 4));
            assertEquals(0x8877_6655L, Memory.getUnsignedInt(at + 4));
            assertEquals(0x8877_6655_4433_2211L, Memory.getLong(at));
            Memory.putInt(at, 0x0403_0201);
            Memory.putShort(at + 4, (short) 0x0605);
            Memory.putByte(at + 6, (byte) 7);
            Memory.putByte(at + 7, (byte) 8);
            assertEquals(0x0807_0605_0403_0201L, Memory.getLong(at));
        }
    }

    @Test
    void orderedAccessSeesWhatPlainAccessWrote() {
        Memory.putLong(address, -2);
        assertEquals(-2, Memory.getLongAcquire(address));
        assertEquals(-2, Memory.getIntAcquire(address));
        assertEquals(-2, Memory.getShortAcquire(address));
        Memory.putLongRelease(address, 0x0102_0304_0506_0708L);
        assertEquals(0x0102_0304_0506_0708L, Memory.getLong(address));
        Memory.putIntRelease(address, 0x0a0b_0c0d);
        Memory.putShortRelease(address + 4, (short) 0x1112);
        Memory.putShortVolatile(address + 6, (short) 0x1314);
        assertEquals(0x1314_1112_0a0b_0c0dL, Memory.getLong(address));
    }

    @Test
    void orderedAccessRefusesMisalignedAddresses() {
        assertThrows(IllegalArgumentException.class, () -> Memory.getIntAcquire(address + 1));
        assertThrows(IllegalArgumentException.class, () -> Memory.putShortRelease(address + 1, (short) 0));
    }

    @Test
    void copiesZeroesAndComparesExactlyTheRange() {
        for (int i = 0; i < 300; i++) {
            Memory.putByte(address + i, (byte) i);
        }
        Memory.copy(address, address + 4096, 300);
        assertEquals(-1, Memory.mismatch(address, address + 4096, 300));
        Memory.zero(address + 4096 + 100, 50);
        assertEquals(100, Memory.mismatch(address, address + 4096, 300));
        assertEquals(-1, Memory.mismatch(address, address + 4096, 100));
        assertEquals(-1, Memory.mismatch(address + 150, address + 4096 + 150, 150));
        Memory.zero(address, 0);
        assertEquals(1, Memory.getByte(address + 1));
    }

    @Test
    void overlappingCopyKeepsTheSource() {
        for (int i = 0; i < 100; i++) {
            Memory.putByte(address + i, (byte) i);
        }
        Memory.copy(address, address + 10, 100);
        for (int i = 0; i < 100; i++) {
            assertEquals(i, Memory.getByte(address + 10 + i));
        }
    }

    @Test
    void arraysAreCopiedPartly() {
        byte[] from = {1, 2, 3, 4, 5};
        Memory.copyFromArray(from, 1, address, 3);
        byte[] to = new byte[5];
        Memory.copyToArray(address, to, 2, 3);
        assertArrayEquals(new byte[] {0, 0, 2, 3, 4}, to);
    }

    @Test
    void aSegmentIsBoundsChecked() {
        MemorySegment view = Memory.segment(address, 16);
        view.set(ValueLayout.JAVA_BYTE, 15, (byte) 9);
        assertEquals(9, Memory.getByte(address + 15));
        assertThrows(IndexOutOfBoundsException.class, () -> view.get(ValueLayout.JAVA_BYTE, 16));
    }

    @Test
    void bulkOperationsAllocateNothing() {
        long mix = bulk(20_000);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        mix += bulk(100_000);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertEquals(-120_000, mix);
        assertEquals(0, allocated / 100_000, () -> allocated + " bytes allocated");
    }

    private long bulk(int times) {
        long mix = 0;
        for (int i = 0; i < times; i++) {
            Memory.zero(address, 512 + (i & 7));
            Memory.copy(address, address + 4096, 512);
            mix += Memory.mismatch(address, address + 4096, 500 + (i & 7));
        }
        return mix;
    }
}

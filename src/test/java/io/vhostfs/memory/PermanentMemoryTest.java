package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class PermanentMemoryTest {
    @Test
    void allocationsAreZeroedAlignedAndDisjoint() {
        TreeMap<Long, Integer> allocated = new TreeMap<>();
        for (int i = 0; i < 2000; i++) {
            int length = 1 + i * 37 % 5000;
            int alignment = 64 << (i % 7);
            long address = PermanentMemory.allocate(length, alignment);
            assertEquals(0, address % alignment);
            for (int at = 0; at < length; at++) {
                assertEquals(0, Memory.getByte(address + at));
            }
            Memory.segment(address, length).fill((byte) -1);
            allocated.put(address, length);
        }
        long end = 0;
        for (Map.Entry<Long, Integer> entry : allocated.entrySet()) {
            assertEquals(true, entry.getKey() >= end, "overlap");
            end = (entry.getKey() + entry.getValue() + 63) & -64;
        }
    }

    @Test
    void theLargestAllocationFitsAnywhere() {
        PermanentMemory.allocate(1);
        long address = PermanentMemory.allocate(PermanentMemory.MAX_ALLOCATION_BYTES);
        Memory.putByte(address + PermanentMemory.MAX_ALLOCATION_BYTES - 1, (byte) 1);
    }

    @Test
    void impossibleRequestsAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> PermanentMemory.allocate(0));
        assertThrows(
                IllegalArgumentException.class,
                () -> PermanentMemory.allocate(PermanentMemory.MAX_ALLOCATION_BYTES + 1));
        assertThrows(IllegalArgumentException.class, () -> PermanentMemory.allocate(64, 32));
        assertThrows(IllegalArgumentException.class, () -> PermanentMemory.allocate(64, 96));
    }
}

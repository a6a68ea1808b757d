package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class HugepageMemoryTest {
    @Test
    void isZeroedAlignedAndRoundedUpToHugepages() {
        try (HugepageMemory memory = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE + 1, "test")) {
            assertEquals(2 * HugepageMemory.HUGEPAGE_SIZE, memory.lengthBytes());
            assertEquals(0, memory.address() % HugepageMemory.HUGEPAGE_SIZE);
            for (long at = 0; at < memory.lengthBytes(); at += 8) {
                assertEquals(0, Memory.getLong(memory.address() + at));
            }
            Memory.putLong(memory.address() + memory.lengthBytes() - 8, -1);
        }
    }

    @Test
    void reservedMemoryIsUsableOverItsWholeLength() {
        try (HugepageMemory memory = HugepageMemory.reserve(1L << 30, "test")) {
            Memory.putLong(memory.address() + memory.lengthBytes() - 8, 42);
            assertEquals(42, Memory.getLong(memory.address() + memory.lengthBytes() - 8));
            assertEquals(0, Memory.getLong(memory.address() + (512 << 20)));
        }
    }

    @Test
    void statisticsCountWhatIsHeldOnceUntilItIsClosed() {
        HugepageMemory.Statistics before = HugepageMemory.statistics();
        HugepageMemory memory = HugepageMemory.allocate(3 * HugepageMemory.HUGEPAGE_SIZE, "test");
        HugepageMemory.Statistics held = HugepageMemory.statistics();
        memory.close();
        memory.close();
        HugepageMemory.Statistics after = HugepageMemory.statistics();
        long hugepages = held.hugepageBytes() - before.hugepageBytes();
        long fallback = held.fallbackBytes() - before.fallbackBytes();
        assertEquals(memory.isHugepages() ? memory.lengthBytes() : 0, hugepages);
        assertEquals(memory.isHugepages() ? 0 : memory.lengthBytes(), fallback);
        assertEquals(before, after);
    }

    @Test
    void impossibleLengthsAreRefusedByName() {
        assertThrows(IllegalArgumentException.class, () -> HugepageMemory.allocate(0, "nothing"));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> HugepageMemory.allocate(Long.MAX_VALUE, "the store"));
        assertTrue(e.toString().contains("the store"), e.toString());
    }

    @Test
    void lackOfMemoryIsATypedErrorThatNamesThePurpose() {
        OutOfNativeMemoryException e = assertThrows(
                OutOfNativeMemoryException.class,
                () -> HugepageMemory.reserve(HugepageMemory.MAX_LENGTH_BYTES, "the store"));
        assertTrue(e.toString().contains("the store"), e.toString());
    }
}

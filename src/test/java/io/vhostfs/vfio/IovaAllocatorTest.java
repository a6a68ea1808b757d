package io.vhostfs.vfio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.vfio.IovaAllocator.Range;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class IovaAllocatorTest {
    /** QEMU's IOMMU: 39 bits, with a hole for interrupt messages. */
    private static final List<Range> THIRTY_NINE_BITS =
            List.of(new Range(0, 0xfedf_ffffL), new Range(0xfef0_0000L, (1L << 39) - 1));

    private static final long MIB = 1L << 20;

    private record Taken(long start, long length) {}

    private static void expectInside(List<Range> ranges, long start, long length) {
        assertTrue(
                ranges.stream().anyMatch(r -> start >= r.start() && start + length - 1 <= r.last()),
                "0x" + Long.toHexString(start) + " + " + length);
    }

    @Test
    void staysInTheRangesAndNeverOverlaps() {
        IovaAllocator iovas = new IovaAllocator(THIRTY_NINE_BITS);
        Random random = new Random(1);
        List<Taken> taken = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            if (taken.size() > 100 || (!taken.isEmpty() && random.nextInt(3) == 0)) {
                iovas.free(taken.remove(random.nextInt(taken.size())).start);
                continue;
            }
            long length = (1 + random.nextInt(1000)) * 4L * MIB / (random.nextBoolean() ? 1 : 1024);
            long at = iovas.allocate(length);
            assertTrue(at > 0);
            expectInside(THIRTY_NINE_BITS, at, length);
            for (Taken other : taken) {
                assertTrue(at >= other.start + other.length || other.start >= at + length, "overlap");
            }
            taken.add(new Taken(at, length));
        }
    }

    @Test
    void leavesTheInterruptMessagesOut() {
        IovaAllocator iovas = new IovaAllocator(THIRTY_NINE_BITS);
        assertEquals(0x20_0000, iovas.allocate(0xfea0_0000L));
        long second = iovas.allocate(64 * MIB);
        assertTrue(second >= 0xfef0_0000L, Long.toHexString(second));
    }

    @Test
    void saysWhenThereIsNoRoom() {
        IovaAllocator iovas = new IovaAllocator(List.of(new Range(0, 64 * MIB - 1)));
        assertEquals(-1, iovas.allocate(64 * MIB));
        long at = iovas.allocate(62 * MIB);
        assertEquals(2 * MIB, at);
        assertEquals(-1, iovas.allocate(4096));
        iovas.free(at);
        assertThrows(IllegalArgumentException.class, () -> iovas.free(at));
        assertEquals(2 * MIB, iovas.allocate(4096));
    }

    @Test
    void takesHalfOfSixtyFourBits() {
        IovaAllocator iovas = new IovaAllocator(List.of(new Range(0, -1)));
        assertTrue(iovas.allocate(1L << 45) > 0);
        assertEquals(-1, iovas.allocate(Long.MAX_VALUE));
    }

    @Test
    void aKernelThatNamesNoRangesGetsTheNarrowestIommu() {
        IovaAllocator iovas = new IovaAllocator(List.of());
        expectInside(THIRTY_NINE_BITS, iovas.allocate(1L << 32), 1L << 32);
    }

    @Test
    void readsTheKernelsRangesAmongOtherCapabilities() {
        try (Arena arena = Arena.ofConfined()) {
            long info = arena.allocate(4096, 8).address();
            Memory.putInt(info + 4, 3);
            Memory.putInt(info + 16, 64);
            // What migration can do (2), then the ranges (1) behind it.
            Memory.putShort(info + 64, (short) 2);
            Memory.putInt(info + 68, 96);
            Memory.putShort(info + 96, (short) 1);
            Memory.putInt(info + 104, 2);
            Memory.putLong(info + 112, 0);
            Memory.putLong(info + 120, 0xfedf_ffffL);
            Memory.putLong(info + 128, 0xfef0_0000L);
            Memory.putLong(info + 136, (1L << 39) - 1);
            assertEquals(THIRTY_NINE_BITS, ContainerDomain.readRanges(info));
            Memory.putInt(info + 104, Integer.MAX_VALUE);
            assertTrue(ContainerDomain.readRanges(info).size() < 4096 / 16, "read beyond the end");
            Memory.putInt(info + 4, 1);
            assertEquals(List.of(), ContainerDomain.readRanges(info));
        }
    }
}

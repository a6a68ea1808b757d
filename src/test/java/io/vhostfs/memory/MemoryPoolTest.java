package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class MemoryPoolTest {
    @Test
    void handsOutEachBufferOnceAndThenZero() {
        try (MemoryPool pool = MemoryPool.allocate("test", 20_000, 100)) {
            Set<Long> seen = new HashSet<>();
            for (int i = 0; i < 100; i++) {
                long buffer = pool.acquire();
                assertEquals(0, buffer % MemoryPool.PAGE_SIZE);
                assertTrue(pool.contains(buffer, 20_000));
                assertTrue(seen.add(buffer));
                Memory.zero(buffer, 20_000);
            }
            assertEquals(0, pool.acquire());
            assertEquals(0, pool.available());
        }
    }

    @Test
    void theLastGivenBackIsTheFirstHandedOut() {
        try (MemoryPool pool = MemoryPool.allocate("test", 4096, 10)) {
            long a = pool.acquire();
            long b = pool.acquire();
            pool.release(a);
            pool.release(b);
            assertEquals(b, pool.acquire());
            assertEquals(a, pool.acquire());
        }
    }

    @Test
    void buffersNeverOverlapAndFreeOnesAreCounted() {
        Random random = new Random(3);
        try (MemoryPool pool = MemoryPool.allocate("test", 96, 130)) {
            Set<Long> held = new HashSet<>();
            for (int step = 0; step < 10_000; step++) {
                if (random.nextBoolean()) {
                    long buffer = pool.acquire();
                    assertEquals(held.size() == 130, buffer == 0);
                    if (buffer != 0) {
                        assertTrue(held.add(buffer));
                        assertEquals(buffer, pool.addressOf(pool.indexOf(buffer)));
                    }
                } else if (!held.isEmpty()) {
                    long buffer = held.iterator().next();
                    held.remove(buffer);
                    pool.release(buffer);
                }
                assertEquals(130 - held.size(), pool.available());
            }
            assertEquals(128 * 130, pool.regionBytes());
        }
    }

    @Test
    void givingBackWhatIsNotHeldThrows() {
        try (MemoryPool pool = MemoryPool.allocate("test", 12_288, 4)) {
            long buffer = pool.acquire();
            assertThrows(IllegalStateException.class, () -> pool.release(buffer + 1));
            assertThrows(IllegalStateException.class, () -> pool.release(buffer - 12_288));
            assertThrows(IllegalStateException.class, () -> pool.release(pool.regionAddress() + pool.regionBytes()));
            pool.release(buffer);
            assertThrows(IllegalStateException.class, () -> pool.release(buffer));
        }
    }

    @Test
    void containsOnlyRangesThatLieWhollyInside() {
        try (MemoryPool pool = MemoryPool.allocate("test", 4096, 2)) {
            long start = pool.regionAddress();
            assertTrue(pool.contains(start, 8192));
            assertTrue(pool.contains(start + 8192, 0));
            assertFalse(pool.contains(start, 8193));
            assertFalse(pool.contains(start - 1, 2));
            assertFalse(pool.contains(start + 4096, Long.MAX_VALUE));
            assertFalse(pool.contains(start, -1));
        }
    }

    @Test
    void aRegionOfTheCallerMustFit() {
        try (HugepageMemory memory = HugepageMemory.allocate(1, "test")) {
            long address = memory.address();
            assertEquals(address, MemoryPool.of("test", address, 8192, 4096, 2).acquire());
            assertThrows(IllegalArgumentException.class, () -> MemoryPool.of("test", address, 8191, 4096, 2));
            assertThrows(IllegalArgumentException.class, () -> MemoryPool.of("test", address + 64, 9000, 4096, 2));
            assertThrows(IllegalArgumentException.class, () -> MemoryPool.of("test", address, 8192, 0, 2));
            assertThrows(IllegalArgumentException.class, () -> MemoryPool.of("test", address, 8192, 4096, 0));
        }
    }
}

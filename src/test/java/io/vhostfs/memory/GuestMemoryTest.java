package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.vhostfs.memory.GuestMemory.Region;
import java.util.Random;
import org.junit.jupiter.api.Test;

class GuestMemoryTest {
    private static final long MIB = 1 << 20;

    /** As QEMU lays out a guest: low memory, a DIMM right behind it, and the rest above 4 GiB. */
    private static final Region LOW = new Region(0, 0x7f00_0000_0000L, 16 * MIB, 0x1000_0000L);

    private static final Region DIMM = new Region(16 * MIB, 0x7f10_0000_0000L, 4 * MIB, 0x1100_0000L);
    private static final Region HIGH = new Region(4096 * MIB, 0x7f20_0000_0000L, 64 * MIB, 0x2000_0000L);
    private final GuestMemory memory = new GuestMemory(new Region[] {HIGH, LOW, DIMM});

    @Test
    void translatesWithinEachRegionUpToItsExactEnd() {
        for (Region region : new Region[] {LOW, DIMM, HIGH}) {
            long start = region.guestAddress();
            long length = region.lengthBytes();
            assertEquals(region.address(), memory.translate(start, 1));
            assertEquals(region.address(), memory.translate(start, length));
            assertEquals(region.address() + length - 1, memory.translate(start + length - 1, 1));
            assertEquals(region.address() + 4097, memory.translate(start + 4097, length - 4097));
            assertEquals(0, memory.translate(start, length + 1));
            assertEquals(0, memory.translate(start + 4097, length - 4096));
        }
    }

    @Test
    void aRangeAcrossAdjacentRegionsIsRefusedAndCanBeSplit() {
        long guestAddress = 16 * MIB - 100;
        assertEquals(0, memory.translate(guestAddress, 101));
        assertEquals(100, memory.bytesToRegionEnd(guestAddress));
        assertEquals(LOW.address() + 16 * MIB - 100, memory.translate(guestAddress, 100));
        assertEquals(DIMM.address(), memory.translate(guestAddress + 100, 1));
        assertEquals(4 * MIB, memory.bytesToRegionEnd(16 * MIB));
        assertEquals(0, memory.bytesToRegionEnd(20 * MIB));
    }

    @Test
    void holesAndTheEndOfTheAddressSpaceAreRefused() {
        assertEquals(0, memory.translate(20 * MIB, 1));
        assertEquals(0, memory.translate(4096 * MIB - 1, 1));
        assertEquals(0, memory.translate(4096 * MIB - 1, 2));
        assertEquals(0, memory.translate(4160 * MIB, 1));
        assertEquals(0, memory.translate(-1, 1));
        assertEquals(0, memory.translate(-1, 2));
        assertEquals(0, memory.translate(Long.MIN_VALUE, 1));
    }

    @Test
    void lengthsThatWrapAreRefused() {
        assertEquals(0, memory.translate(0, -1));
        assertEquals(0, memory.translate(4096, -4096));
        assertEquals(0, memory.translate(4097 * MIB, -4097 * MIB));
        assertEquals(0, memory.translate(4096 * MIB, Long.MAX_VALUE));
        assertEquals(0, memory.translate(4096 * MIB, Long.MIN_VALUE));
    }

    @Test
    void anEmptyRangeNeedsARegionAroundItsAddress() {
        assertEquals(LOW.address() + 5, memory.translate(5, 0));
        assertEquals(DIMM.address(), memory.translate(16 * MIB, 0));
        assertEquals(0, memory.translate(20 * MIB, 0));
        assertEquals(0, memory.translate(4160 * MIB, 0));
    }

    @Test
    void userAddressesAreTranslatedByTheSameRules() {
        assertEquals(HIGH.address() + 10, memory.translateUser(HIGH.userAddress() + 10, 64 * MIB - 10));
        assertEquals(0, memory.translateUser(HIGH.userAddress() + 10, 64 * MIB - 9));
        assertEquals(0, memory.translateUser(HIGH.userAddress() + 64 * MIB, 0));
        assertEquals(0, memory.translateUser(HIGH.userAddress() - 1, 2));
        assertEquals(0, memory.translateUser(HIGH.userAddress(), -1));
        assertEquals(0, memory.translateUser(0, 1));
    }

    @Test
    void anEmptyTableTranslatesNothing() {
        assertEquals(0, GuestMemory.EMPTY.translate(0, 0));
        assertEquals(0, GuestMemory.EMPTY.translate(0, 1));
        assertEquals(0, GuestMemory.EMPTY.translateUser(0, 1));
        assertEquals(0, GuestMemory.EMPTY.bytesToRegionEnd(0));
    }

    @Test
    void regionsAtTheTopOfTheAddressSpaceWork() {
        Region top = new Region(-4096, -8192, 4096, 0x1000_0000L);
        GuestMemory atTop = new GuestMemory(new Region[] {LOW, top});
        assertEquals(top.address() + 4095, atTop.translate(-1, 1));
        assertEquals(0, atTop.translate(-1, 2));
        assertEquals(top.address() + 1, atTop.translateUser(-8191, 4095));
        assertEquals(LOW.address(), atTop.translate(0, 1));
    }

    @Test
    void tablesThatBreakTheInvariantAreRefused() {
        assertRefused(new Region(0, 0, 0, 0x1000));
        assertRefused(new Region(0, 0, -1, 0x1000));
        assertRefused(new Region(-4096, 0, 8192, 0x1000));
        assertRefused(new Region(0, -4096, 8192, 0x1000));
        assertRefused(new Region(0, 0, 4096, 0));
        assertRefused(new Region(0, 0, 4096, Long.MAX_VALUE - 4094));
        assertRefused(new Region(0, 0, 4096, 0x1000), new Region(4095, 8192, 4096, 0x10000));
        assertRefused(new Region(4095, 0, 4096, 0x1000), new Region(0, 8192, 4096, 0x10000));
        assertRefused(new Region(0, 8192, 4096, 0x1000), new Region(4096, 8192 + 4095, 4096, 0x10000));
        Region[] tooMany = new Region[GuestMemory.MAX_REGIONS + 1];
        for (int i = 0; i < tooMany.length; i++) {
            tooMany[i] = new Region(i * 4096L, i * 4096L, 4096, 4096);
        }
        assertRefused(tooMany);
    }

    @Test
    void agreesWithALinearSearchOverManyRegions() {
        Random random = new Random(11);
        Region[] regions = new Region[GuestMemory.MAX_REGIONS];
        long next = 0;
        for (int i = 0; i < regions.length; i++) {
            next += random.nextInt(3) * 4096L;
            long length = (1 + random.nextInt(4)) * 4096L;
            regions[i] = new Region(next, next + (1L << 40), length, (1L << 44) + 2 * next);
            next += length;
        }
        java.util.Collections.shuffle(java.util.Arrays.asList(regions), random);
        GuestMemory many = new GuestMemory(regions);
        for (int i = 0; i < 100_000; i++) {
            long guestAddress = random.nextLong(next + 4096);
            long length = random.nextInt(12_000);
            long expected = 0;
            for (Region region : regions) {
                if (guestAddress >= region.guestAddress()
                        && guestAddress < region.guestAddress() + region.lengthBytes()
                        && guestAddress + length <= region.guestAddress() + region.lengthBytes()) {
                    expected = region.address() + guestAddress - region.guestAddress();
                }
            }
            assertEquals(expected, many.translate(guestAddress, length));
            assertEquals(expected, many.translateUser(guestAddress + (1L << 40), length));
        }
    }

    private static void assertRefused(Region... regions) {
        assertThrows(IllegalArgumentException.class, () -> new GuestMemory(regions));
    }
}

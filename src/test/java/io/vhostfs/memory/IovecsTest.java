package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class IovecsTest {
    private static final int[] LENGTHS = {0, 1, 7, 0, 100, 64, 3, 0};
    private static final int TOTAL = Arrays.stream(LENGTHS).sum();

    private final Arena arena = Arena.ofConfined();
    private final long iovecs =
            arena.allocate((long) LENGTHS.length * Iovecs.IOVEC_SIZE, 8).address();
    private final long sliced =
            arena.allocate((long) LENGTHS.length * Iovecs.IOVEC_SIZE, 8).address();
    private final long data = arena.allocate(1024).address();
    private final long flat = arena.allocate(1024).address();

    /** The address of each byte that the iovecs cover, in order. */
    private final long[] covered = new long[TOTAL];

    @BeforeEach
    void layOut() {
        int at = 0;
        for (int i = 0; i < LENGTHS.length; i++) {
            // Backwards and apart, so that a byte too many is seen.
            long base = data + 1000 - 130L * i;
            Iovecs.set(iovecs, i, base, LENGTHS[i]);
            for (int j = 0; j < LENGTHS[i]; j++) {
                covered[at++] = base + j;
            }
        }
        byte[] random = new byte[1024];
        new Random(1).nextBytes(random);
        Memory.copyFromArray(random, 0, data, 1024);
    }

    @AfterEach
    void free() {
        arena.close();
    }

    @Test
    void anEntryIsBaseThenLength() {
        Iovecs.set(iovecs, 2, 0x1234, 0x5678);
        assertEquals(0x1234, Memory.getLong(iovecs + 32 + Iovecs.IOVEC_IOV_BASE_OFFSET));
        assertEquals(0x5678, Memory.getLong(iovecs + 32 + Iovecs.IOVEC_IOV_LEN_OFFSET));
        assertEquals(0x1234, Iovecs.base(iovecs, 2));
        assertEquals(0x5678, Iovecs.length(iovecs, 2));
    }

    @Test
    void totalLengthCountsTheFirstEntries() {
        assertEquals(TOTAL, Iovecs.totalLength(iovecs, LENGTHS.length));
        assertEquals(8, Iovecs.totalLength(iovecs, 4));
        assertEquals(0, Iovecs.totalLength(iovecs, 0));
    }

    @Test
    void gatherTakesEveryPossibleRange() {
        forEveryRange((skip, length) -> {
            fill(flat, 0x55, 1024);
            long expected = Math.min(length, TOTAL - skip);
            assertEquals(expected, Iovecs.gather(iovecs, LENGTHS.length, skip, flat, length));
            for (int i = 0; i < expected; i++) {
                assertEquals(Memory.getByte(covered[skip + i]), Memory.getByte(flat + i));
            }
            assertEquals(0x55, Memory.getByte(flat + expected));
        });
    }

    @Test
    void scatterFillsEveryPossibleRangeAndNoByteMore() {
        fill(flat, 0x77, 1024);
        forEveryRange((skip, length) -> {
            fill(data, 0, 1024);
            assertEquals(Math.min(length, TOTAL - skip), Iovecs.scatter(flat, length, iovecs, LENGTHS.length, skip));
            assertOnlyRangeIs(skip, length, 0x77, 0);
        });
    }

    @Test
    void zeroClearsEveryPossibleRangeAndNoByteMore() {
        forEveryRange((skip, length) -> {
            fill(data, 0x66, 1024);
            assertEquals(Math.min(length, TOTAL - skip), Iovecs.zeroShared(iovecs, LENGTHS.length, skip, length));
            assertOnlyRangeIs(skip, length, 0, 0x66);
        });
    }

    @Test
    void sliceCoversEveryPossibleRangeWithoutEmptyEntries() {
        forEveryRange((skip, length) -> {
            int count = Iovecs.slice(iovecs, LENGTHS.length, skip, length, sliced);
            int at = skip;
            for (int i = 0; i < count; i++) {
                long entryLength = Iovecs.length(sliced, i);
                assertEquals(true, entryLength > 0);
                for (int j = 0; j < entryLength; j++) {
                    assertEquals(covered[at++], Iovecs.base(sliced, i) + j);
                }
            }
            assertEquals(Math.min(skip + length, TOTAL), at);
        });
    }

    private interface RangeCheck {
        void check(int skip, int length);
    }

    private static void forEveryRange(RangeCheck check) {
        for (int skip = 0; skip <= TOTAL; skip++) {
            for (int length = 0; length <= TOTAL - skip + 1; length += length < 12 ? 1 : 13) {
                check.check(skip, length);
            }
        }
    }

    private void assertOnlyRangeIs(int skip, int length, int inside, int outside) {
        int changed = 0;
        for (int i = 0; i < 1024; i++) {
            changed += Memory.getByte(data + i) == outside ? 0 : 1;
        }
        assertEquals(Math.min(length, TOTAL - skip), changed);
        for (int i = skip; i < Math.min(skip + length, TOTAL); i++) {
            assertEquals(inside, Memory.getByte(covered[i]));
        }
    }

    private static void fill(long address, int value, int length) {
        Memory.segment(address, length).fill((byte) value);
    }
}

package io.vhostfs.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Raw access to process memory by address; nothing is checked here.
 *
 * <p>Every address must come from a pool or from a bounds-checked translation. Values are little-endian, as virtio 1.x,
 * FUSE on the machines we run on, NVMe and our disk format are. Plain accesses may be unaligned; the ordered ones
 * (acquire, release, volatile) must be aligned. One constant segment over the whole address space compiles to a bare load
 * or store. Access to a page that its owner truncated throws {@link InternalError}, but late: {@link #deliverFault}.
 */
public final class Memory {
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final VarHandle ORDERED_SHORT =
            ValueLayout.JAVA_SHORT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle ORDERED_INT =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle ORDERED_LONG =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    /** What is copied to zero memory: filling would need a slice, an object wherever it is not optimised away. */
    private static final int ZEROES_BYTES = 4096;

    private static final MemorySegment ZEROES = Arena.global().allocate(ZEROES_BYTES, 64);

    /** A chain of indices, each behind the next: a loop along it is one that no compiler can count or unroll away. */
    private static final int[] CHAIN = {0, 0, 1, 2, 3};

    private Memory() {}

    public static byte getByte(long address) {
        return ALL.get(BYTE, address);
    }

    public static void putByte(long address, byte value) {
        ALL.set(BYTE, address, value);
    }

    /** 0 to 255. */
    public static int getUnsignedByte(long address) {
        return ALL.get(BYTE, address) & 0xff;
    }

    public static short getShort(long address) {
        return ALL.get(SHORT, address);
    }

    /** 0 to 65,535. */
    public static int getUnsignedShort(long address) {
        return ALL.get(SHORT, address) & 0xffff;
    }

    public static void putShort(long address, short value) {
        ALL.set(SHORT, address, value);
    }

    public static int getInt(long address) {
        return ALL.get(INT, address);
    }

    /** 0 to 2^32 - 1. */
    public static long getUnsignedInt(long address) {
        return ALL.get(INT, address) & 0xffff_ffffL;
    }

    public static void putInt(long address, int value) {
        ALL.set(INT, address, value);
    }

    public static long getLong(long address) {
        return ALL.get(LONG, address);
    }

    public static void putLong(long address, long value) {
        ALL.set(LONG, address, value);
    }

    public static short getShortAcquire(long address) {
        return (short) ORDERED_SHORT.getAcquire(ALL, address);
    }

    public static void putShortRelease(long address, short value) {
        ORDERED_SHORT.setRelease(ALL, address, value);
    }

    /** A store that no later load overtakes. */
    public static void putShortVolatile(long address, short value) {
        ORDERED_SHORT.setVolatile(ALL, address, value);
    }

    public static int getIntAcquire(long address) {
        return (int) ORDERED_INT.getAcquire(ALL, address);
    }

    public static void putIntRelease(long address, int value) {
        ORDERED_INT.setRelease(ALL, address, value);
    }

    public static long getLongAcquire(long address) {
        return (long) ORDERED_LONG.getAcquire(ALL, address);
    }

    public static void putLongRelease(long address, long value) {
        ORDERED_LONG.setRelease(ALL, address, value);
    }

    /** Ranges may overlap. */
    public static void copy(long fromAddress, long toAddress, long lengthBytes) {
        MemorySegment.copy(ALL, fromAddress, ALL, toAddress, lengthBytes);
    }

    public static void copyToArray(long fromAddress, byte[] to, int toIndex, int lengthBytes) {
        MemorySegment.copy(ALL, BYTE, fromAddress, to, toIndex, lengthBytes);
    }

    public static void copyFromArray(byte[] from, int fromIndex, long toAddress, int lengthBytes) {
        MemorySegment.copy(from, fromIndex, ALL, BYTE, toAddress, lengthBytes);
    }

    public static void zero(long address, long lengthBytes) {
        assert lengthBytes >= 0 : lengthBytes;
        long done = 0;
        while (done < lengthBytes) {
            long piece = Math.min(lengthBytes - done, ZEROES_BYTES);
            MemorySegment.copy(ZEROES, 0, ALL, address + done, piece);
            done += piece;
        }
    }

    /** The index of the first byte that differs, or -1 when the ranges are equal. */
    public static long mismatch(long a, long b, long lengthBytes) {
        return MemorySegment.mismatch(ALL, a, a + lengthBytes, ALL, b, b + lengthBytes);
    }

    /** A bounds-checked view for control paths. */
    public static MemorySegment segment(long address, long lengthBytes) {
        return ALL.asSlice(address, lengthBytes);
    }

    /**
     * Throws now what an access to a truncated page before has to throw.
     *
     * <p>HotSpot throws that {@link InternalError} at the next safepoint poll. After inlining, the next poll may lie behind
     * the {@code try} block around the access, or in code that must not be left half-way. So end every {@code try} block that
     * catches such an error with this call. It costs about a nanosecond: a poll is compiled into the back edge of every loop
     * that is not counted.
     */
    public static void deliverFault() {
        int at = CHAIN.length - 1;
        do {
            at = CHAIN[at];
        } while (at != 0);
    }
}

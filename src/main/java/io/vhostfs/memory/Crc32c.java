package io.vhostfs.memory;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4) of raw memory, with the processor's instruction.
 *
 * <p>Private memory only: a guest that truncates shared memory would end the process, for the checksum code does not turn
 * the fault into an exception. Invariant: after the first touch of a part of the address space nothing is allocated. One
 * instance per thread; it keeps buffer views of the gigabytes that it met.
 */
public final class Crc32c {
    /** What a view covers from anywhere in its first gigabyte. */
    public static final int MAX_LENGTH_BYTES = 1 << 29;

    /** Views start at whole gigabytes; a buffer is limited to a little less than two. */
    private static final int WINDOW_SHIFT = 30;

    private static final int WINDOW_BYTES = (1 << WINDOW_SHIFT) + MAX_LENGTH_BYTES;
    private static final int WINDOWS = 16;

    private final CRC32C crc = new CRC32C();
    private final @Nullable ByteBuffer[] windows = new @Nullable ByteBuffer[WINDOWS];
    private final long[] windowNumbers = new long[WINDOWS];
    private final ByteBuffer rewind = ByteBuffer.allocateDirect(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);

    /** Checksum of {@code lengthBytes} bytes at {@code address}. */
    public int of(long address, int lengthBytes) {
        crc.reset();
        add(address, lengthBytes);
        return (int) crc.getValue();
    }

    /**
     * Continues a checksum: {@code update(of(a, n), a + n, m)} equals {@code of(a, n + m)}, and 0 starts one.
     *
     * @param checksum of what comes before
     */
    public int update(int checksum, long address, int lengthBytes) {
        crc.reset();
        if (checksum != 0) {
            rewind.putInt(0, Castagnoli.prefixFor(checksum));
            crc.update(rewind.rewind());
        }
        add(address, lengthBytes);
        return (int) crc.getValue();
    }

    private void add(long address, int lengthBytes) {
        long number = address >>> WINDOW_SHIFT;
        int slot = (int) number & (WINDOWS - 1);
        ByteBuffer window = windows[slot];
        if (window == null || windowNumbers[slot] != number) {
            window = openWindow(slot, number);
        }
        int start = (int) (address - (number << WINDOW_SHIFT));
        window.limit(start + lengthBytes);
        window.position(start);
        crc.update(window);
    }

    private ByteBuffer openWindow(int slot, long number) {
        ByteBuffer window = Memory.segment(number << WINDOW_SHIFT, WINDOW_BYTES).asByteBuffer();
        windows[slot] = window;
        windowNumbers[slot] = number;
        return window;
    }

    /** The polynomial's arithmetic, backwards: the library's class can only start anew. */
    private static final class Castagnoli {
        private static final int REVERSED_POLYNOMIAL = 0x82f63b78;

        /** The table entry whose highest byte is the index. */
        private static final int[] ENTRY_BY_HIGH_BYTE = new int[256];

        private static final int[] LOW_BYTE_BY_HIGH_BYTE = new int[256];

        static {
            for (int low = 0; low < 256; low++) {
                int entry = low;
                for (int bit = 0; bit < 8; bit++) {
                    entry = (entry >>> 1) ^ ((entry & 1) == 0 ? 0 : REVERSED_POLYNOMIAL);
                }
                ENTRY_BY_HIGH_BYTE[entry >>> 24] = entry;
                LOW_BYTE_BY_HIGH_BYTE[entry >>> 24] = low;
            }
        }

        /** The four bytes, little-endian, whose checksum is {@code checksum}. */
        static int prefixFor(int checksum) {
            int state = ~checksum;
            for (int i = 0; i < Integer.BYTES; i++) {
                int high = state >>> 24;
                state = ((state ^ ENTRY_BY_HIGH_BYTE[high]) << 8) | LOW_BYTE_BY_HIGH_BYTE[high];
            }
            return ~state;
        }
    }
}

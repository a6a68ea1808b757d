package io.vhostfs.memory;

/**
 * An array of {@code struct iovec} in raw memory: pairs of address (8 bytes) and length (8 bytes), as readv(2) and
 * io_uring take them.
 *
 * <p>The caller owns the array; nothing is bounds-checked. Any thread.
 */
public final class Iovecs {
    public static final int IOVEC_SIZE = 16;
    public static final int IOVEC_IOV_BASE_OFFSET = 0;
    public static final int IOVEC_IOV_LEN_OFFSET = 8;

    private Iovecs() {}

    public static long base(long iovecsAddress, int index) {
        return Memory.getLong(iovecsAddress + (long) index * IOVEC_SIZE);
    }

    public static long length(long iovecsAddress, int index) {
        return Memory.getLong(iovecsAddress + (long) index * IOVEC_SIZE + IOVEC_IOV_LEN_OFFSET);
    }

    public static void set(long iovecsAddress, int index, long base, long lengthBytes) {
        long at = iovecsAddress + (long) index * IOVEC_SIZE;
        Memory.putLong(at, base);
        Memory.putLong(at + IOVEC_IOV_LEN_OFFSET, lengthBytes);
    }

    /** Sum of the lengths of {@code count} iovecs. */
    public static long totalLength(long iovecsAddress, int count) {
        long total = 0;
        for (int i = 0; i < count; i++) {
            total += length(iovecsAddress, i);
        }
        return total;
    }

    /** Copies at most {@code lengthBytes} out of the iovecs, from {@code skipBytes} on; returns the bytes copied. */
    public static long gather(long iovecsAddress, int count, long skipBytes, long toAddress, long lengthBytes) {
        long skip = skipBytes;
        long copied = 0;
        for (int i = 0; i < count && copied < lengthBytes; i++) {
            long length = length(iovecsAddress, i);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long piece = Math.min(length - skip, lengthBytes - copied);
            Memory.copy(base(iovecsAddress, i) + skip, toAddress + copied, piece);
            copied += piece;
            skip = 0;
        }
        return copied;
    }

    /** Copies at most {@code lengthBytes} into the iovecs, from {@code skipBytes} on; returns the bytes copied. */
    public static long scatter(long fromAddress, long lengthBytes, long iovecsAddress, int count, long skipBytes) {
        long skip = skipBytes;
        long copied = 0;
        for (int i = 0; i < count && copied < lengthBytes; i++) {
            long length = length(iovecsAddress, i);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long piece = Math.min(length - skip, lengthBytes - copied);
            Memory.copy(fromAddress + copied, base(iovecsAddress, i) + skip, piece);
            copied += piece;
            skip = 0;
        }
        return copied;
    }

    /** Zeroes at most {@code lengthBytes} of the iovecs' memory, from {@code skipBytes} on; returns the bytes zeroed. */
    public static long zero(long iovecsAddress, int count, long skipBytes, long lengthBytes) {
        long skip = skipBytes;
        long done = 0;
        for (int i = 0; i < count && done < lengthBytes; i++) {
            long length = length(iovecsAddress, i);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long piece = Math.min(length - skip, lengthBytes - done);
            Memory.zero(base(iovecsAddress, i) + skip, piece);
            done += piece;
            skip = 0;
        }
        return done;
    }

    /**
     * Writes the part of an iovec array that covers {@code [skipBytes, skipBytes + lengthBytes)} to {@code toAddress};
     * returns the number of iovecs written, at most {@code count}.
     */
    public static int slice(long iovecsAddress, int count, long skipBytes, long lengthBytes, long toAddress) {
        long skip = skipBytes;
        long left = lengthBytes;
        int written = 0;
        for (int i = 0; i < count && left > 0; i++) {
            long length = length(iovecsAddress, i);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long piece = Math.min(length - skip, left);
            set(toAddress, written++, base(iovecsAddress, i) + skip, piece);
            left -= piece;
            skip = 0;
        }
        return written;
    }
}

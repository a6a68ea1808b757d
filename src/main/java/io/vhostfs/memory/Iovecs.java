package io.vhostfs.memory;

import io.vhostfs.os.Errno;

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

    private static final int GATHER = 0;
    private static final int SCATTER = 1;
    private static final int ZERO = 2;

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
        return transfer(GATHER, iovecsAddress, count, skipBytes, toAddress, lengthBytes);
    }

    /** Copies at most {@code lengthBytes} into the iovecs, from {@code skipBytes} on; returns the bytes copied. */
    public static long scatter(long fromAddress, long lengthBytes, long iovecsAddress, int count, long skipBytes) {
        return transfer(SCATTER, iovecsAddress, count, skipBytes, fromAddress, lengthBytes);
    }

    /** {@link #gather} from memory that others share: {@code -EFAULT} when its owner has truncated it. */
    public static long gatherShared(long iovecsAddress, int count, long skipBytes, long toAddress, long lengthBytes) {
        return transferShared(GATHER, iovecsAddress, count, skipBytes, toAddress, lengthBytes);
    }

    /** {@link #scatter} to memory that others share: {@code -EFAULT} when its owner has truncated it. */
    public static long scatterShared(
            long fromAddress, long lengthBytes, long iovecsAddress, int count, long skipBytes) {
        return transferShared(SCATTER, iovecsAddress, count, skipBytes, fromAddress, lengthBytes);
    }

    /**
     * Zeroes at most {@code lengthBytes} of memory that others share, from {@code skipBytes} on.
     *
     * @return the bytes zeroed, or {@code -EFAULT} when the memory's owner has truncated it
     */
    public static long zeroShared(long iovecsAddress, int count, long skipBytes, long lengthBytes) {
        return transferShared(ZERO, iovecsAddress, count, skipBytes, 0, lengthBytes);
    }

    private static long transferShared(
            int kind, long iovecsAddress, int count, long skipBytes, long bufferAddress, long lengthBytes) {
        try {
            long done = transfer(kind, iovecsAddress, count, skipBytes, bufferAddress, lengthBytes);
            Memory.deliverFault();
            return done;
        } catch (InternalError truncated) {
            return -Errno.EFAULT;
        }
    }

    private static long transfer(
            int kind, long iovecsAddress, int count, long skipBytes, long bufferAddress, long lengthBytes) {
        long skip = skipBytes;
        long done = 0;
        for (int i = 0; i < count && done < lengthBytes; i++) {
            long length = length(iovecsAddress, i);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long piece = Math.min(length - skip, lengthBytes - done);
            long at = base(iovecsAddress, i) + skip;
            switch (kind) {
                case GATHER -> Memory.copy(at, bufferAddress + done, piece);
                case SCATTER -> Memory.copy(bufferAddress + done, at, piece);
                default -> Memory.zero(at, piece);
            }
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

package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.DmaSpace;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;

/**
 * Describes memory to a controller: by physical region pages (base 4.1.1), or by a scatter-gather list (4.1.2) where that
 * covers more and the controller takes it.
 *
 * <p>Invariant: every byte that a command then reaches was translated by the {@link DmaSpace}, with its whole iovec. A list
 * fills one page at most. Any thread; it has no state of its own.
 */
final class DataPointer {
    /** A page of PRP entries describes twice this much, a page of SGL descriptors 256 pieces. */
    static final int MAX_TRANSFER_BYTES = 1 << 20;

    static final int MAX_SGL_DESCRIPTORS = NVME_PAGE_BYTES / NVME_SGL_DESCRIPTOR_BYTES;

    private static final int PAGE_MASK = NVME_PAGE_BYTES - 1;
    private static final int DWORD_MASK = 3;

    private final DmaSpace dma;
    private final boolean sgls;

    DataPointer(DmaSpace dma, boolean sgls) {
        this.dma = dma;
        this.sgls = sgls;
    }

    /** See {@link QueuePair#pointTo}. */
    long describe(
            long command,
            long list,
            long listIova,
            long iovecs,
            int count,
            long skipBytes,
            long lengthBytes,
            int blockBytes) {
        int first = 0;
        long skip = skipBytes;
        while (first < count && skip >= Iovecs.length(iovecs, first)) {
            skip -= Iovecs.length(iovecs, first++);
        }
        long wanted = Math.min(lengthBytes, MAX_TRANSFER_BYTES);
        long covered = byPages(command, list, listIova, iovecs, count, first, skip, wanted) & -(long) blockBytes;
        if (covered == wanted) {
            return covered;
        }
        if (sgls) {
            long bySgl = bySegments(command, list, listIova, iovecs, count, first, skip, wanted) & -(long) blockBytes;
            if (bySgl > covered) {
                return trimSegments(command, list, bySgl);
            }
            covered = byPages(command, list, listIova, iovecs, count, first, skip, wanted) & -(long) blockBytes;
        }
        if (covered > 0) {
            finishPages(command, list, listIova, covered);
        }
        return covered;
    }

    /** All pages but the first start at their beginning, all but the last end at their end. Returns bytes described. */
    private long byPages(
            long command, long list, long listIova, long iovecs, int count, int first, long skipBytes, long wanted) {
        long done = 0;
        int entries = 0;
        long skip = skipBytes;
        for (int i = first; i < count && done < wanted; i++) {
            long base = Iovecs.base(iovecs, i) + skip;
            long length = Math.min(Iovecs.length(iovecs, i) - skip, wanted - done);
            skip = 0;
            if (length == 0) {
                continue;
            }
            boolean fits = entries == 0 ? (base & DWORD_MASK) == 0 : (base & PAGE_MASK) == 0;
            long iova = fits ? dma.translate(base, length) : DmaSpace.NOT_MAPPED;
            if (iova == DmaSpace.NOT_MAPPED) {
                break;
            }
            long end = iova + length;
            for (long at = iova; at < end; at = (at & ~(long) PAGE_MASK) + NVME_PAGE_BYTES) {
                putPage(command, list, entries++, at);
            }
            done += length;
            if ((end & PAGE_MASK) != 0) {
                break;
            }
        }
        if (done > 0) {
            finishPages(command, list, listIova, done);
        }
        return done;
    }

    private static void putPage(long command, long list, int index, long iova) {
        if (index == 0) {
            Memory.putLong(command + NVME_SQE_PRP1, iova);
        } else {
            Memory.putLong(list + (index - 1L) * Long.BYTES, iova);
        }
    }

    /** Sets the second pointer for the first {@code lengthBytes} bytes of the pages that were put down. */
    private static void finishPages(long command, long list, long listIova, long lengthBytes) {
        long offset = Memory.getLong(command + NVME_SQE_PRP1) & PAGE_MASK;
        long pages = (offset + lengthBytes + PAGE_MASK) / NVME_PAGE_BYTES;
        long second = pages == 1 ? 0 : pages == 2 ? Memory.getLong(list) : listIova;
        Memory.putLong(command + NVME_SQE_PRP2, second);
        Memory.putByte(command + NVME_SQE_FLAGS, (byte) 0);
    }

    /** {@code lengthBytes} bytes in one piece from a page's start on. */
    void describePages(long command, long list, long listIova, long iova, int lengthBytes) {
        int entries = 0;
        for (long at = iova; at < iova + lengthBytes; at += NVME_PAGE_BYTES) {
            putPage(command, list, entries++, at);
        }
        finishPages(command, list, listIova, lengthBytes);
    }

    /** One descriptor for each piece, aligned to double words. Returns bytes described. */
    private long bySegments(
            long command, long list, long listIova, long iovecs, int count, int first, long skipBytes, long wanted) {
        long done = 0;
        int descriptors = 0;
        long skip = skipBytes;
        for (int i = first; i < count && done < wanted && descriptors < MAX_SGL_DESCRIPTORS; i++) {
            long base = Iovecs.base(iovecs, i) + skip;
            long length = Math.min(Iovecs.length(iovecs, i) - skip, wanted - done);
            skip = 0;
            if (length == 0) {
                continue;
            }
            boolean fits = ((base | length) & DWORD_MASK) == 0;
            long iova = fits ? dma.translate(base, length) : DmaSpace.NOT_MAPPED;
            if (iova == DmaSpace.NOT_MAPPED) {
                break;
            }
            putDescriptor(list + (long) descriptors++ * NVME_SGL_DESCRIPTOR_BYTES, iova, length, NVME_SGL_DATA_BLOCK);
            done += length;
        }
        putDescriptor(
                command + NVME_SQE_PRP1,
                listIova,
                (long) descriptors * NVME_SGL_DESCRIPTOR_BYTES,
                NVME_SGL_LAST_SEGMENT);
        Memory.putByte(command + NVME_SQE_FLAGS, (byte) NVME_SQE_FLAGS_SGL);
        return done;
    }

    /** Shortens the list to {@code lengthBytes}: it has to describe the command's data exactly. */
    private static long trimSegments(long command, long list, long lengthBytes) {
        long left = lengthBytes;
        int descriptors = 0;
        while (left > 0) {
            long at = list + (long) descriptors++ * NVME_SGL_DESCRIPTOR_BYTES;
            long length = Math.min(left, Memory.getUnsignedInt(at + 8));
            Memory.putInt(at + 8, (int) length);
            left -= length;
        }
        Memory.putInt(command + NVME_SQE_PRP1 + 8, descriptors * NVME_SGL_DESCRIPTOR_BYTES);
        return lengthBytes;
    }

    private static void putDescriptor(long at, long iova, long lengthBytes, int type) {
        Memory.putLong(at, iova);
        Memory.putLong(at + 8, lengthBytes | (long) type << 56);
    }
}

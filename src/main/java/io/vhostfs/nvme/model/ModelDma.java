package io.vhostfs.nvme.model;

import io.vhostfs.memory.DmaMapper;
import io.vhostfs.os.Errno;

/**
 * An IOMMU: IOVAs that are no addresses of this process, and a translation that finds every access beyond what is mapped.
 *
 * <p>Invariant: an IOVA is used once only, so that a late access meets nothing. Mapped and unmapped by any thread, translated
 * by the model's.
 */
public final class ModelDma implements DmaMapper {
    private static final int MAX_MAPPINGS = 256;

    /** Without an IOMMU nothing is limited: enough for each hugepage of what tests have in memory at once. */
    private static final int MAX_UNLIMITED_MAPPINGS = 16_384;

    private static final long FIRST_IOVA = 0x10_0000_0000L;
    private static final long GAP_BYTES = 1L << 21;

    private final long[] iovas;
    private final long[] addresses;
    private final long[] lengths;
    private volatile int count;
    private final long maxMapBytes;
    private long next = FIRST_IOVA;
    private long faults;
    private boolean full;

    /** @param maxMapBytes what lies in larger ranges is not side by side */
    ModelDma(long maxMapBytes) {
        this.maxMapBytes = maxMapBytes;
        int maxMappings = maxMapBytes == ANY_LENGTH ? MAX_MAPPINGS : MAX_UNLIMITED_MAPPINGS;
        iovas = new long[maxMappings];
        addresses = new long[maxMappings];
        lengths = new long[maxMappings];
    }

    @Override
    public long maxMapBytes() {
        return maxMapBytes;
    }

    @Override
    public synchronized long map(long address, long lengthBytes) {
        int slot = 0;
        while (slot < count && lengths[slot] != 0) {
            slot++;
        }
        if (full || slot == iovas.length) {
            return -Errno.ENOSPC;
        }
        iovas[slot] = next;
        addresses[slot] = address;
        lengths[slot] = lengthBytes;
        count = Math.max(count, slot + 1);
        next += (lengthBytes + GAP_BYTES) & -GAP_BYTES;
        return iovas[slot];
    }

    @Override
    public synchronized void unmap(long iova, long lengthBytes) {
        for (int i = 0; i < count; i++) {
            if (iovas[i] == iova && lengths[i] == lengthBytes) {
                lengths[i] = 0;
                iovas[i] = 0;
                return;
            }
        }
        throw new IllegalArgumentException("nothing is mapped at 0x" + Long.toHexString(iova));
    }

    @Override
    public String remedy(int negativeErrno) {
        return "a model with more mappings";
    }

    /** Refuses to map from here on, as a kernel whose limit is reached. */
    public synchronized void refuse() {
        full = true;
    }

    public synchronized int mappings() {
        int live = 0;
        for (int i = 0; i < count; i++) {
            live += lengths[i] != 0 ? 1 : 0;
        }
        return live;
    }

    /** Accesses outside what is mapped. */
    public long faults() {
        return faults;
    }

    /** The address of a range, or 0 and one more fault. */
    long translate(long iova, long lengthBytes) {
        int n = count;
        for (int i = 0; i < n; i++) {
            long offset = iova - iovas[i];
            if (offset >= 0 && offset < lengths[i] && lengthBytes <= lengths[i] - offset) {
                return addresses[i] + offset;
            }
        }
        faults++;
        return 0;
    }
}

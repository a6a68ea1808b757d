package io.vhostfs.memory;

import io.vhostfs.os.Errno;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one IOMMU domain reaches of the {@link DmaRegions}, and at which addresses.
 *
 * <p>Invariant: an IOVA that {@link #translate} returns lies, with the whole length asked for, inside one mapped region. A
 * region that cannot be mapped is left out, with a warning; what lies in it has to be copied. Regions come and go on any
 * thread, translation happens on reactors: each change makes a new table, and a region is unmapped only when nobody uses it.
 */
public final class DmaSpace implements DmaRegions.Listener, AutoCloseable {
    public static final long NOT_MAPPED = -1;

    private static final Logger LOG = LoggerFactory.getLogger(DmaSpace.class);

    private record Mapping(long address, long lengthBytes, long iova) {}

    /** Ordered by address; the largest region, which holds most buffers, comes before the search. */
    private static final class Table {
        final long largestStart;
        final long largestLength;
        final long largestIova;
        final long[] starts;
        final long[] lengths;
        final long[] iovas;

        Table(List<Mapping> mappings) {
            List<Mapping> ordered = new ArrayList<>(mappings);
            ordered.sort(Comparator.comparingLong(Mapping::address));
            starts = ordered.stream().mapToLong(Mapping::address).toArray();
            lengths = ordered.stream().mapToLong(Mapping::lengthBytes).toArray();
            iovas = ordered.stream().mapToLong(Mapping::iova).toArray();
            Mapping largest = ordered.stream()
                    .max(Comparator.comparingLong(Mapping::lengthBytes))
                    .orElse(new Mapping(0, 0, 0));
            largestStart = largest.address;
            largestLength = largest.lengthBytes;
            largestIova = largest.iova;
        }
    }

    private volatile Table table = new Table(List.of());
    private final String name;
    private final DmaMapper mapper;
    private final List<Mapping> mappings = new ArrayList<>();
    private final List<Mapping> retired = new ArrayList<>();
    private volatile int retirements;
    private volatile long unmappedBytes;
    private volatile int lastErrno;

    /** @param name what warnings call it */
    public DmaSpace(String name, DmaMapper mapper) {
        this.name = name;
        this.mapper = mapper;
        DmaRegions.listen(this);
    }

    /** Where a device finds the range, or {@link #NOT_MAPPED} when no region holds all of it. */
    public long translate(long address, long lengthBytes) {
        Table t = table;
        long offset = address - t.largestStart;
        // Unsigned: an address below the start wraps to a huge offset, a negative length is a huge one.
        if (Long.compareUnsigned(offset, t.largestLength) < 0
                && Long.compareUnsigned(lengthBytes, t.largestLength - offset) <= 0) {
            return t.largestIova + offset;
        }
        return translateSlowPath(t, address, lengthBytes);
    }

    private static long translateSlowPath(Table t, long address, long lengthBytes) {
        int low = 0;
        int high = t.starts.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            long offset = address - t.starts[middle];
            if (offset < 0) {
                high = middle - 1;
            } else if (offset >= t.lengths[middle]) {
                low = middle + 1;
            } else {
                boolean inside = Long.compareUnsigned(lengthBytes, t.lengths[middle] - offset) <= 0;
                return inside ? t.iovas[middle] + offset : NOT_MAPPED;
            }
        }
        return NOT_MAPPED;
    }

    /** Bytes of regions that could not be mapped. */
    public long unmappedBytes() {
        return unmappedBytes;
    }

    public synchronized long mappedBytes() {
        return mappings.stream().mapToLong(Mapping::lengthBytes).sum();
    }

    /** What helps against the last failure to map; empty when there was none. */
    public String remedy() {
        return lastErrno == 0 ? "" : Errno.name(lastErrno) + "; " + mapper.remedy(lastErrno);
    }

    @Override
    public synchronized void onRegionAdded(long address, long lengthBytes) {
        int result = map(address, lengthBytes);
        if (result < 0) {
            lastErrno = result;
            unmappedBytes += lengthBytes;
            LOG.warn(
                    "{}: {} MiB of memory cannot be mapped for DMA ({}): data there is copied through bounce buffers."
                            + " Remedy: {}",
                    name,
                    lengthBytes >> 20,
                    Errno.name(lastErrno),
                    mapper.remedy(lastErrno));
            return;
        }
        table = new Table(mappings);
    }

    /** All of a region or nothing; 0 or a negative errno. */
    private int map(long address, long lengthBytes) {
        long end = address + lengthBytes;
        long pieceBytes = mapper.maxMapBytes();
        long at = address;
        while (at < end) {
            long length = Math.min(end - at, pieceBytes - (at & pieceBytes - 1));
            long iova = mapper.map(at, length);
            if (iova < 0) {
                takeOut(address, at - address).forEach(piece -> mapper.unmap(piece.iova, piece.lengthBytes));
                return (int) iova;
            }
            mappings.add(new Mapping(at, length, iova));
            at += length;
        }
        return 0;
    }

    /** The mappings of a region leave the list; they stay mapped. */
    private List<Mapping> takeOut(long address, long lengthBytes) {
        List<Mapping> pieces = mappings.stream()
                .filter(mapping -> mapping.address >= address && mapping.address - address < lengthBytes)
                .toList();
        mappings.removeAll(pieces);
        return pieces;
    }

    @Override
    public synchronized void onRegionRemoved(long address, long lengthBytes) {
        List<Mapping> pieces = takeOut(address, lengthBytes);
        if (pieces.isEmpty()) {
            unmappedBytes -= lengthBytes;
            return;
        }
        table = new Table(mappings);
        pieces.forEach(piece -> mapper.unmap(piece.iova, piece.lengthBytes));
    }

    @Override
    public synchronized void onRegionRetired(long address, long lengthBytes) {
        List<Mapping> pieces = takeOut(address, lengthBytes);
        if (pieces.isEmpty()) {
            unmappedBytes -= lengthBytes;
            return;
        }
        retired.addAll(pieces);
        table = new Table(mappings);
        retirements++;
    }

    /** Regions retired so far; those of them that are still mapped wait for {@link #releaseRetired}. */
    public int retirements() {
        return retirements;
    }

    /** Unmaps what was retired, if that were {@code known} regions: all transfers that began before have ended. */
    public synchronized void releaseRetired(int known) {
        if (known == retirements) {
            retired.forEach(mapping -> mapper.unmap(mapping.iova, mapping.lengthBytes));
            retired.clear();
        }
    }

    /** Unmaps all; no device may use it any more. */
    @Override
    public void close() {
        DmaRegions.unlisten(this);
        synchronized (this) {
            table = new Table(List.of());
            mappings.addAll(retired);
            retired.clear();
            mappings.forEach(mapping -> mapper.unmap(mapping.iova, mapping.lengthBytes));
            mappings.clear();
        }
    }
}

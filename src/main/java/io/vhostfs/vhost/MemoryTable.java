package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.F_ADD_SEALS;
import static io.vhostfs.os.LibcConstants.F_SEAL_SHRINK;
import static io.vhostfs.os.LibcConstants.MADV_DONTDUMP;
import static io.vhostfs.os.LibcConstants.MAP_ANONYMOUS;
import static io.vhostfs.os.LibcConstants.MAP_FIXED;
import static io.vhostfs.os.LibcConstants.MAP_NORESERVE;
import static io.vhostfs.os.LibcConstants.MAP_PRIVATE;
import static io.vhostfs.os.LibcConstants.MAP_SHARED;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;
import static io.vhostfs.os.LibcConstants.S_IFREG;

import io.vhostfs.memory.DmaRegions;
import io.vhostfs.memory.GuestMemory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.FileStatus;
import io.vhostfs.os.Libc;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * The guest regions that one front end shares, mapped here.
 *
 * <p>Invariant: regions are not empty, do not wrap and do not overlap, neither as guest nor as user addresses, and each
 * lay inside its file when it was mapped. The server's thread changes the table, and removes a region only while no ring
 * runs. Faults may be told by any reactor.
 */
final class MemoryTable {
    private static final long PAGE_BYTES = 4096;

    /** A page size of the file beyond this is no page size: 1 GiB is the largest hugepage. */
    private static final long MAX_PAGE_BYTES = 1L << 30;

    /** User address spaces are smaller than this; sums of two such numbers cannot overflow. */
    private static final long MAX_ADDRESS = 1L << 62;

    /** Memory faults arrive without an address, so that every table in the process has to be looked at. */
    private static final CopyOnWriteArrayList<MemoryTable> LIVE = new CopyOnWriteArrayList<>();

    private record Mapping(GuestMemory.Region region, long mapAddress, long mapBytes, int fd, long neededBytes) {}

    private final Runnable onFault;
    private final List<Mapping> mappings = new ArrayList<>();
    private boolean faulted;

    /** @param onFault told once when a fault has made the memory worthless; runs on any reactor */
    MemoryTable(Runnable onFault) {
        this.onFault = onFault;
        LIVE.add(this);
    }

    /**
     * An access to this table's memory failed: it is worthless from now on. Its regions become private zeroes, so that
     * whatever is still under way meets memory that can be accessed.
     */
    void onMemoryFault() {
        endTruncated();
        replaceByZeroes();
    }

    /** An access failed somewhere: ends the tables whose files no longer hold what they share; whether this is one. */
    boolean isEndedByFault() {
        endTruncated();
        synchronized (this) {
            return faulted;
        }
    }

    synchronized GuestMemory snapshot() {
        return new GuestMemory(mappings.stream().map(Mapping::region).toArray(GuestMemory.Region[]::new));
    }

    synchronized int size() {
        return mappings.size();
    }

    /**
     * Maps a region; {@code fd} belongs to the table when this returns, and to the caller when it throws.
     *
     * @param offset where the region starts in the file
     */
    synchronized void add(long guestAddress, long lengthBytes, long userAddress, long offset, int fd)
            throws VhostUserException {
        String region = "memory region " + hex(guestAddress) + " of " + Long.toUnsignedString(lengthBytes) + " bytes";
        checkRange(region + ": guest address", guestAddress, lengthBytes);
        checkRange(region + ": user address", userAddress, lengthBytes);
        checkRange(region + ": mmap offset", offset, lengthBytes);
        if (mappings.size() == GuestMemory.MAX_REGIONS) {
            throw VhostUserException.refused(region + ": the table holds " + GuestMemory.MAX_REGIONS + " already");
        }
        for (Mapping other : mappings) {
            if (overlaps(guestAddress, other.region.guestAddress(), lengthBytes, other.region.lengthBytes())
                    || overlaps(userAddress, other.region.userAddress(), lengthBytes, other.region.lengthBytes())) {
                throw VhostUserException.refused(region + " overlaps the one at " + hex(other.region.guestAddress()));
            }
        }
        mappings.add(map(region, guestAddress, lengthBytes, userAddress, offset, fd));
    }

    /** Unmaps a region; false when there is none with these three values. */
    synchronized boolean remove(long guestAddress, long lengthBytes, long userAddress) {
        for (int i = 0; i < mappings.size(); i++) {
            GuestMemory.Region region = mappings.get(i).region;
            if (region.guestAddress() == guestAddress
                    && region.lengthBytes() == lengthBytes
                    && region.userAddress() == userAddress) {
                unmap(mappings.remove(i));
                return true;
            }
        }
        return false;
    }

    /** Unmaps all. */
    synchronized void clear() {
        mappings.forEach(MemoryTable::unmap);
        mappings.clear();
    }

    /**
     * Ends the table's life. Where somebody may still use its regions, zeroes stay mapped for ever in their place; a device
     * keeps the pages that it had until its transfers have ended.
     */
    synchronized void close(boolean mayBeInUse) {
        LIVE.remove(this);
        if (mayBeInUse) {
            for (Mapping mapping : mappings) {
                DmaRegions.retire(mapping.mapAddress, mapping.mapBytes);
                mapZeroes(mapping);
                Libc.close(mapping.fd);
            }
            mappings.clear();
        } else {
            clear();
        }
    }

    private static Mapping map(
            String region, long guestAddress, long lengthBytes, long userAddress, long offset, int fd)
            throws VhostUserException {
        FileStatus file = FileStatus.ofFd(fd);
        if (file.errno() < 0) {
            throw VhostUserException.refused(region + ": statx of its file: " + Errno.name(file.errno()));
        }
        boolean regular = file.isType(S_IFREG);
        if (regular && file.sizeBytes() < offset + lengthBytes) {
            throw VhostUserException.refused(
                    region + " at offset " + offset + " does not fit into its file of " + file.sizeBytes() + " bytes");
        }
        // Kept from shrinking where the file allows that: then no access can fault.
        Libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
        long page = pageBytes(file.blockBytes());
        long mapOffset = offset & -page;
        long mapBytes = ((offset + lengthBytes + page - 1) & -page) - mapOffset;
        long address = Libc.mmap(0, mapBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, mapOffset);
        if (address < 0) {
            throw VhostUserException.refused(region + ": mmap: " + Errno.name((int) address)
                    + "; the front end has to share its memory (QEMU: memory-backend-memfd,share=on)");
        }
        Libc.madvise(address, mapBytes, MADV_DONTDUMP);
        DmaRegions.add(address, mapBytes);
        return new Mapping(
                new GuestMemory.Region(guestAddress, userAddress, lengthBytes, address + (offset - mapOffset)),
                address,
                mapBytes,
                fd,
                regular ? offset + lengthBytes : 0);
    }

    /** hugetlbfs maps in multiples of its page size only, and tells it as block size. */
    private static long pageBytes(long blockBytes) {
        boolean isPageSize = Long.bitCount(blockBytes) == 1 && blockBytes > PAGE_BYTES && blockBytes <= MAX_PAGE_BYTES;
        return isPageSize ? blockBytes : PAGE_BYTES;
    }

    private synchronized boolean isTruncated() {
        for (Mapping mapping : mappings) {
            // An error shows as size 0: what cannot be checked cannot be trusted either.
            if (FileStatus.ofFd(mapping.fd).sizeBytes() < mapping.neededBytes) {
                return true;
            }
        }
        return false;
    }

    private static void endTruncated() {
        for (MemoryTable table : LIVE) {
            if (table.isTruncated()) {
                table.replaceByZeroes();
            }
        }
    }

    private synchronized void replaceByZeroes() {
        if (faulted) {
            return;
        }
        faulted = true;
        for (Mapping mapping : mappings) {
            // What is transferred from now on goes through the zeroes.
            DmaRegions.retire(mapping.mapAddress, mapping.mapBytes);
            mapZeroes(mapping);
        }
        onFault.run();
    }

    private static void mapZeroes(Mapping mapping) {
        Libc.mmap(
                mapping.mapAddress,
                mapping.mapBytes,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                -1,
                0);
    }

    private static void unmap(Mapping mapping) {
        DmaRegions.remove(mapping.mapAddress, mapping.mapBytes);
        Libc.munmap(mapping.mapAddress, mapping.mapBytes);
        Libc.close(mapping.fd);
    }

    private static void checkRange(String what, long start, long lengthBytes) throws VhostUserException {
        if (start < 0 || lengthBytes <= 0 || start >= MAX_ADDRESS || lengthBytes >= MAX_ADDRESS) {
            throw VhostUserException.refused(what + " " + hex(start) + " is out of range");
        }
    }

    private static boolean overlaps(long a, long b, long aBytes, long bBytes) {
        return a < b + bBytes && b < a + aBytes;
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}

package io.vhostfs.memory;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A private, zeroed memory mapping of 2 MiB hugepages, or of normal pages when the kernel has no hugepages free.
 *
 * <p>Invariant: from {@link #address} on, {@link #lengthBytes} bytes are readable and writable until {@link #close}, and
 * the address is aligned to 2 MiB. Hugepages are reserved by the mapping, so a later touch cannot fault. The fallback
 * asks for transparent hugepages and warns once per process. Memory is among the {@link DmaRegions}
 * unless it was asked for otherwise. Allocation and close from any thread, on control paths.
 */
public final class HugepageMemory implements AutoCloseable {
    public static final int HUGEPAGE_SIZE = 2 << 20;

    /** Half of x86-64's user address space: a larger request is a mistake in a size, not a lack of memory. */
    public static final long MAX_LENGTH_BYTES = 1L << 46;

    private static final Logger LOG = LoggerFactory.getLogger(HugepageMemory.class);
    private static final AtomicLong HUGEPAGE_BYTES = new AtomicLong();
    private static final AtomicLong FALLBACK_BYTES = new AtomicLong();
    private static final AtomicBoolean WARNED = new AtomicBoolean();

    /**
     * What the process holds now.
     *
     * @param hugepageBytes bytes backed by reserved hugepages
     * @param fallbackBytes bytes backed by normal pages for want of hugepages
     */
    public record Statistics(long hugepageBytes, long fallbackBytes) {}

    private final long address;
    private final long lengthBytes;
    private final boolean hugepages;
    private final boolean reachable;
    private final AtomicBoolean closed = new AtomicBoolean();

    private HugepageMemory(long address, long lengthBytes, boolean hugepages, boolean reachable) {
        this.address = address;
        this.lengthBytes = lengthBytes;
        this.hugepages = hugepages;
        this.reachable = reachable;
        counter().addAndGet(lengthBytes);
        if (reachable) {
            DmaRegions.add(address, lengthBytes);
        }
    }

    /**
     * Memory of at least {@code lengthBytes}, rounded up to whole hugepages, every page present.
     *
     * @param purpose what it is for, named in the warning and in errors
     * @throws OutOfNativeMemoryException when not even normal pages are to be had
     */
    public static HugepageMemory allocate(long lengthBytes, String purpose) {
        return map(lengthBytes, purpose, true, true, true);
    }

    /**
     * The same, but pages appear at their first touch: a large store starts at once. Normal pages may then turn out to be
     * missing when they are touched, which ends the process, unless the kernel does not overcommit.
     */
    public static HugepageMemory reserve(long lengthBytes, String purpose) {
        return map(lengthBytes, purpose, false, true, true);
    }

    /**
     * As {@link #reserve}, for data that no device transfers from or to: a device that maps what it reaches would make every
     * page present.
     */
    public static HugepageMemory reserveForProcessor(long lengthBytes, String purpose) {
        return map(lengthBytes, purpose, false, true, false);
    }

    /** As {@link #allocate}, for what is too small to be worth a warning. */
    static HugepageMemory allocateSmall(long lengthBytes, String purpose) {
        return map(lengthBytes, purpose, true, false, true);
    }

    public static Statistics statistics() {
        return new Statistics(HUGEPAGE_BYTES.get(), FALLBACK_BYTES.get());
    }

    public long address() {
        return address;
    }

    public long lengthBytes() {
        return lengthBytes;
    }

    /** False when normal pages had to do. */
    public boolean isHugepages() {
        return hugepages;
    }

    /** Unmaps; whoever holds an address of it must be gone. Again: no effect. */
    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            counter().addAndGet(-lengthBytes);
            if (reachable) {
                DmaRegions.remove(address, lengthBytes);
            }
            unmap(address, lengthBytes);
        }
    }

    private AtomicLong counter() {
        return hugepages ? HUGEPAGE_BYTES : FALLBACK_BYTES;
    }

    private static HugepageMemory map(
            long lengthBytes, String purpose, boolean populate, boolean warn, boolean reachable) {
        if (lengthBytes <= 0 || lengthBytes > MAX_LENGTH_BYTES) {
            throw new IllegalArgumentException(purpose + ": " + lengthBytes + " bytes of memory asked for, 1 to "
                    + MAX_LENGTH_BYTES + " are possible");
        }
        long rounded = (lengthBytes + HUGEPAGE_SIZE - 1) & -HUGEPAGE_SIZE;
        long address = mapHugepages(rounded, populate);
        if (address > 0) {
            return new HugepageMemory(address, rounded, true, reachable);
        }
        if (warn) {
            warnOfFallback(rounded, purpose, (int) address);
        }
        return new HugepageMemory(mapNormalPages(rounded, purpose, populate), rounded, false, reachable);
    }

    private static long mapHugepages(long length, boolean populate) {
        long address = mapAnonymous(length, LibcConstants.MAP_HUGETLB | LibcConstants.MAP_HUGE_2MB);
        if (address > 0 && populate) {
            // Rather than MAP_POPULATE, which does not say when it failed: a touch would then be a SIGBUS.
            int result = Libc.madvise(address, length, LibcConstants.MADV_POPULATE_WRITE);
            if (result < 0) {
                unmap(address, length);
                return result;
            }
        }
        return address;
    }

    private static long mapNormalPages(long length, String purpose, boolean populate) {
        long mapped = mapAnonymous(length + HUGEPAGE_SIZE, 0);
        if (mapped < 0) {
            throw new OutOfNativeMemoryException(purpose, length, (int) mapped);
        }
        long address = (mapped + HUGEPAGE_SIZE - 1) & -HUGEPAGE_SIZE;
        unmapIfAny(mapped, address - mapped);
        unmapIfAny(address + length, mapped + HUGEPAGE_SIZE - address);
        // Advice only: a kernel without transparent hugepages refuses it, and the pages stay small.
        Libc.madvise(address, length, LibcConstants.MADV_HUGEPAGE);
        if (populate) {
            int result = Libc.madvise(address, length, LibcConstants.MADV_POPULATE_WRITE);
            if (result < 0) {
                unmap(address, length);
                throw new OutOfNativeMemoryException(purpose, length, result);
            }
        }
        return address;
    }

    private static long mapAnonymous(long length, int flags) {
        return Libc.mmap(
                0,
                length,
                LibcConstants.PROT_READ | LibcConstants.PROT_WRITE,
                LibcConstants.MAP_PRIVATE | LibcConstants.MAP_ANONYMOUS | flags,
                -1,
                0);
    }

    private static void unmapIfAny(long address, long length) {
        if (length > 0) {
            unmap(address, length);
        }
    }

    private static void unmap(long address, long length) {
        int result = Libc.munmap(address, length);
        if (result < 0) {
            throw new AssertionError(
                    "munmap of " + length + " bytes at 0x" + Long.toHexString(address) + ": " + Errno.name(result));
        }
    }

    private static void warnOfFallback(long length, String purpose, int errno) {
        if (WARNED.compareAndSet(false, true)) {
            LOG.warn(
                    "No hugepages for {} ({} MiB wanted, {}): normal pages instead, which cost TLB misses on every random"
                            + " access, 512 times the page table entries, and may be moved or swapped by the kernel."
                            + " Remedy: sysctl -w vm.nr_hugepages=N with N at least {} more than are in use.",
                    purpose,
                    length >> 20,
                    Errno.name(errno),
                    length / HUGEPAGE_SIZE);
        }
    }
}

package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.MemoryPool;
import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.lang.foreign.Arena;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A device without an IOMMU: it is given physical addresses, and nothing keeps it from others.
 *
 * <p>Invariant: what is mapped lies in hugepages that are present and locked, which the kernel neither swaps nor moves of its
 * own accord; other memory is refused. That a VMM takes such pages away while the device transfers, or that this process is
 * killed then, is what nobody guards against here: hence the mode's name.
 */
final class NoIommuDomain extends DmaDomain {
    static final String PAGEMAP = "/proc/self/pagemap";
    static final String KPAGEFLAGS = "/proc/kpageflags";

    /** An entry of {@link #PAGEMAP} (Documentation/admin-guide/mm/pagemap.rst). */
    static final long PAGEMAP_PRESENT = 1L << 63;

    static final long PAGEMAP_PFN_MASK = (1L << 55) - 1;

    /** A flag of {@link #KPAGEFLAGS} (linux/kernel-page-flags.h): a page of hugetlb. */
    static final long KPF_HUGE = 1L << 17;

    private static final int PAGE_SHIFT = 12;
    private static final int MAX_PAGES = HugepageMemory.HUGEPAGE_SIZE / MemoryPool.PAGE_SIZE;
    private static final Logger LOG = LoggerFactory.getLogger(NoIommuDomain.class);

    private final VfioGroup group;
    private int pagemapFd = -1;
    private int kpageflagsFd = -1;

    private NoIommuDomain(String name, Kernel kernel, VfioGroup group) {
        super(name, kernel, group.deviceFd());
        this.group = group;
    }

    static NoIommuDomain open(PciDevice pci, Kernel kernel) throws VfioException {
        VfioGroup group = VfioGroup.open(pci, kernel, "noiommu-" + pci.iommuGroup(), VFIO_NOIOMMU_IOMMU);
        LOG.warn(
                "{}: UNSAFE: it is driven without an IOMMU, as unsafe-noiommu=on asks: it can write to all memory of this"
                        + " host, also to what the target or a guest has freed when either is killed",
                pci.address());
        return new NoIommuDomain(pci.address(), kernel, group);
    }

    /** Physical addresses are shown to those only that may administer the system. */
    @Override
    void prepare() throws VfioException {
        pagemapFd = openForReading(PAGEMAP);
        kpageflagsFd = openForReading(KPAGEFLAGS);
        try (Arena arena = Arena.ofConfined()) {
            long page =
                    arena.allocate(MemoryPool.PAGE_SIZE, MemoryPool.PAGE_SIZE).address();
            Memory.putLong(page, 1); // before it is written to, there is no page
            long entry = arena.allocate(Long.BYTES, Long.BYTES).address();
            int result = readPagemap(page, 1, entry);
            if (result < 0 || (Memory.getLong(entry) & PAGEMAP_PFN_MASK) == 0) {
                throw notPermitted(PAGEMAP + " shows no page frame numbers");
            }
        }
    }

    private int openForReading(String path) throws VfioException {
        int fd = kernel.openReadOnly(path);
        if (fd < 0) {
            throw notPermitted("cannot open " + path + " (" + Errno.name(fd) + ")");
        }
        return fd;
    }

    private VfioException notPermitted(String what) {
        return new VfioException(
                Kind.NOT_PERMITTED,
                name + ": " + what
                        + "; without an IOMMU the target needs CAP_SYS_ADMIN and CAP_SYS_RAWIO: run as root");
    }

    private int readPagemap(long address, int pages, long entries) {
        return readAll(pagemapFd, entries, (long) pages * Long.BYTES, (address >>> PAGE_SHIFT) * Long.BYTES);
    }

    private int readAll(int fd, long to, long lengthBytes, long offset) {
        long done = kernel.pread(fd, to, lengthBytes, offset);
        return done == lengthBytes ? 0 : done < 0 ? (int) done : -Errno.EFAULT;
    }

    /** Within one hugepage, and so in one piece. */
    @Override
    long maxMapBytes() {
        return HugepageMemory.HUGEPAGE_SIZE;
    }

    @Override
    long map(long address, long lengthBytes) {
        int result = kernel.mlock(address, lengthBytes);
        if (result < 0) {
            return result;
        }
        int pages = (int) (lengthBytes >>> PAGE_SHIFT);
        try (Arena arena = Arena.ofConfined()) {
            long entries =
                    arena.allocate((long) MAX_PAGES * Long.BYTES, Long.BYTES).address();
            result = readPagemap(address, pages, entries);
            return result < 0 ? result : physicalAddress(entries, pages);
        }
    }

    private long physicalAddress(long entries, int pages) {
        long first = Memory.getLong(entries) & PAGEMAP_PFN_MASK;
        for (int i = 0; i < pages; i++) {
            long entry = Memory.getLong(entries + (long) i * Long.BYTES);
            if ((entry & PAGEMAP_PRESENT) == 0) {
                return -Errno.EFAULT;
            }
            if ((entry & PAGEMAP_PFN_MASK) != first + i) {
                return -Errno.EOPNOTSUPP;
            }
        }
        int result = readAll(kpageflagsFd, entries, Long.BYTES, first * Long.BYTES);
        if (result < 0) {
            return result;
        }
        return (Memory.getLong(entries) & KPF_HUGE) == 0 ? -Errno.EOPNOTSUPP : first << PAGE_SHIFT;
    }

    /** Nothing was set up; pages stay locked until they are unmapped from this process. */
    @Override
    int unmap(long iova, long lengthBytes) {
        return 0;
    }

    @Override
    String remedy(int negativeErrno) {
        return switch (-negativeErrno) {
            case Errno.ENOMEM, Errno.EPERM, Errno.EAGAIN ->
                "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit)";
            default ->
                "without an IOMMU only hugepages can be reached: vhostfs setup --hugepages N for the target, and"
                        + " memory-backend-memfd,hugetlb=on,hugetlbsize=2M,share=on for guests";
        };
    }

    @Override
    void close() {
        group.close();
        pagemapFd = kernel.closed(pagemapFd);
        kpageflagsFd = kernel.closed(kpageflagsFd);
    }

    @Override
    String way() {
        return "no-iommu";
    }
}

package io.vhostfs.vfio;

import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.util.List;

/**
 * A device that was taken from the kernel, and the IOMMU domain of its own that it transfers through.
 *
 * <p>The kernel offers two ways to one: the device's own file with an I/O address space of {@code /dev/iommu}, and, in every
 * kernel, group and container. Any thread, one at a time.
 */
abstract sealed class DmaDomain permits IommufdDomain, ContainerDomain {
    final String name;
    final Kernel kernel;
    int deviceFd = -1;

    DmaDomain(String name, Kernel kernel) {
        this.name = name;
        this.kernel = kernel;
    }

    /**
     * Takes the device the newer way where that exists and may be used, else the older.
     *
     * @throws VfioException when it cannot be had
     */
    static DmaDomain open(PciDevice pci, Kernel kernel) throws VfioException {
        DmaDomain newer = IommufdDomain.tryOpen(pci, kernel);
        return newer != null ? newer : ContainerDomain.open(pci, kernel);
    }

    /** What the IOMMU can address for this device; empty when the kernel does not say. */
    abstract List<IovaAllocator.Range> readRanges() throws VfioException;

    /** Lets the device read and write a range of this process; 0 or a negative errno. */
    abstract int map(long address, long lengthBytes, long iova);

    /** Ends that for a range that was mapped, whole; 0 or a negative errno. */
    abstract int unmap(long iova, long lengthBytes);

    /** Gives the device back. Again: no effect. */
    abstract void close();

    /** For messages: which of the ways it is. */
    abstract String way();

    final int check(int result, String what) throws VfioException {
        if (result < 0) {
            throw new VfioException(
                    result == -Errno.EBUSY ? Kind.BUSY : Kind.FAILED,
                    name + ": VFIO refuses " + what + " (" + Errno.name(result) + "); the end of dmesg may say why");
        }
        return result;
    }

    final int closed(int fd) {
        if (fd >= 0) {
            kernel.close(fd);
        }
        return -1;
    }
}

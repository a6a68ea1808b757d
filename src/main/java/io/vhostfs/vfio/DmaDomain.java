package io.vhostfs.vfio;

import io.vhostfs.vfio.VfioException.Kind;

/**
 * A device that was taken from the kernel, and how it reaches memory.
 *
 * <p>With an IOMMU the kernel offers two ways to one: the device's own file with an I/O address space of {@code /dev/iommu},
 * and, in every kernel, group and container. Without one there is the group alone, in VFIO's unsafe mode, which has to be
 * asked for. Any thread, one at a time.
 */
abstract sealed class DmaDomain permits IommuDomain, NoIommuDomain {
    final String name;
    final Kernel kernel;
    final int deviceFd;

    DmaDomain(String name, Kernel kernel, int deviceFd) {
        this.name = name;
        this.kernel = kernel;
        this.deviceFd = deviceFd;
    }

    /**
     * Takes the device; with an IOMMU the newer way where that exists and may be used, else the older.
     *
     * @param unsafeNoIommu whether to take it when there is no IOMMU
     * @throws VfioException when it cannot be had
     */
    static DmaDomain open(PciDevice pci, Kernel kernel, boolean unsafeNoIommu) throws VfioException {
        if (pci.isWithoutIommu()) {
            if (unsafeNoIommu) {
                return NoIommuDomain.open(pci, kernel);
            }
            throw withoutIommu(
                    pci,
                    ", only VFIO's unsafe mode without one",
                    "; or, where nothing else on this host matters, add unsafe-noiommu=on");
        }
        if (pci.iommuGroup().isEmpty()) {
            throw withoutIommu(pci, "", "");
        }
        DmaDomain newer = IommufdDomain.tryOpen(pci, kernel);
        return newer != null ? newer : ContainerDomain.open(pci, kernel);
    }

    private static VfioException withoutIommu(PciDevice pci, String instead, String orElse) {
        return new VfioException(
                Kind.UNSUPPORTED,
                pci + ": there is no IOMMU" + instead
                        + ": the drive could write anywhere; enable VT-d or AMD-Vi in the firmware, and boot with"
                        + " intel_iommu=on" + orElse);
    }

    /** Finds out how memory can be mapped; once, before any is. */
    abstract void prepare() throws VfioException;

    /** See {@link io.vhostfs.memory.DmaMapper#map}. */
    abstract long map(long address, long lengthBytes);

    /** Ends that for a range that was mapped, whole; 0 or a negative errno. */
    abstract int unmap(long iova, long lengthBytes);

    /** See {@link io.vhostfs.memory.DmaMapper#maxMapBytes}. */
    abstract long maxMapBytes();

    /** See {@link io.vhostfs.memory.DmaMapper#remedy}. */
    abstract String remedy(int negativeErrno);

    /** Gives the device back. Again: no effect. */
    abstract void close();

    /** For messages: which of the ways it is. */
    abstract String way();

    final int check(int result, String what) throws VfioException {
        return VfioException.check(name, result, what);
    }
}

package io.vhostfs.vfio;

import io.vhostfs.memory.DmaMapper;
import io.vhostfs.os.Errno;
import java.util.List;

/**
 * An IOMMU domain of the device's own.
 *
 * <p>Invariant: what is mapped lies where the IOMMU can address it, each range at an address of its own.
 */
abstract sealed class IommuDomain extends DmaDomain permits IommufdDomain, ContainerDomain {
    private IovaAllocator iovas = new IovaAllocator(List.of());

    IommuDomain(String name, Kernel kernel, int deviceFd) {
        super(name, kernel, deviceFd);
    }

    /** What the IOMMU can address for this device; empty when the kernel does not say. */
    abstract List<IovaAllocator.Range> readRanges() throws VfioException;

    /** Lets the device read and write a range of this process; 0 or a negative errno. */
    abstract int mapAt(long address, long lengthBytes, long iova);

    /** Ends that for a range that was mapped, whole; 0 or a negative errno. */
    abstract int unmapAt(long iova, long lengthBytes);

    @Override
    final void prepare() throws VfioException {
        iovas = new IovaAllocator(readRanges());
    }

    @Override
    final long map(long address, long lengthBytes) {
        long iova = iovas.allocate(lengthBytes);
        if (iova < 0) {
            return -Errno.ENOSPC;
        }
        int result = mapAt(address, lengthBytes, iova);
        if (result < 0) {
            iovas.free(iova);
            return result;
        }
        return iova;
    }

    @Override
    final int unmap(long iova, long lengthBytes) {
        int result = unmapAt(iova, lengthBytes);
        if (result >= 0) {
            iovas.free(iova);
        }
        return result;
    }

    @Override
    final long maxMapBytes() {
        return DmaMapper.ANY_LENGTH;
    }

    @Override
    final String remedy(int negativeErrno) {
        return switch (-negativeErrno) {
            case Errno.ENOMEM ->
                "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit): VFIO locks what it maps";
            case Errno.ENOSPC ->
                "more mappings than vfio_iommu_type1 allows: raise its parameter dma_entry_limit, or have guests share"
                        + " fewer, larger regions";
            case Errno.EFAULT -> "memory that can be pinned: no file of a file system on persistent memory, say";
            default -> "the end of dmesg may say why";
        };
    }
}

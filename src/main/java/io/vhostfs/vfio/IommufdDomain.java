package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A device by its own file ({@code /dev/vfio/devices}), in an I/O address space of {@code /dev/iommu} (Linux 6.6). */
final class IommufdDomain extends IommuDomain {
    private static final String IOMMU = "/dev/iommu";
    private static final String DEVICES = "/dev/vfio/devices/";

    /** More ranges than any machine has. */
    private static final int MAX_RANGES = 256;

    private int openDeviceFd;
    private int iommuFd;
    private int addressSpace;

    private IommufdDomain(String name, Kernel kernel, int deviceFd, int iommuFd) {
        super(name, kernel, deviceFd);
        openDeviceFd = deviceFd;
        this.iommuFd = iommuFd;
    }

    /**
     * Null when this kernel has no such files, or this user may not open them: the other way is then to be tried.
     *
     * @throws VfioException when the device is in use, or the kernel refuses it
     */
    static @Nullable IommufdDomain tryOpen(PciDevice pci, Kernel kernel) throws VfioException {
        String file = pci.vfioDevice();
        int iommuFd = file.isEmpty() ? -Errno.ENOENT : kernel.open(IOMMU);
        if (iommuFd < 0) {
            return null;
        }
        int deviceFd = kernel.open(DEVICES + file);
        if (deviceFd == -Errno.EBUSY) {
            kernel.close(iommuFd);
            throw new VfioException(
                    Kind.BUSY,
                    pci.address() + ": " + DEVICES + file + " is in use; fuser -v " + DEVICES + file
                            + " shows by whom");
        }
        if (deviceFd < 0) {
            kernel.close(iommuFd);
            return null;
        }
        IommufdDomain domain = new IommufdDomain(pci.address(), kernel, deviceFd, iommuFd);
        try {
            domain.attach();
            return domain;
        } catch (VfioException e) {
            domain.close();
            throw e;
        }
    }

    private void attach() throws VfioException {
        try (Arena arena = Arena.ofConfined()) {
            long bind = arena.allocate(VFIO_DEVICE_BIND_IOMMUFD_SIZE, 8).address();
            Memory.putInt(bind, VFIO_DEVICE_BIND_IOMMUFD_SIZE);
            Memory.putInt(bind + VFIO_DEVICE_BIND_IOMMUFD_IOMMUFD_OFFSET, iommuFd);
            check(kernel.ioctl(deviceFd, VFIO_DEVICE_BIND_IOMMUFD, bind), "to bind it to " + IOMMU);
            long make = arena.allocate(IOMMU_IOAS_ALLOC_SIZE, 8).address();
            Memory.putInt(make, IOMMU_IOAS_ALLOC_SIZE);
            check(kernel.ioctl(iommuFd, IOMMU_IOAS_ALLOC, make), "an I/O address space");
            addressSpace = Memory.getInt(make + IOMMU_IOAS_ALLOC_OUT_IOAS_ID_OFFSET);
            long attach = arena.allocate(VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE, 8).address();
            Memory.putInt(attach, VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE);
            Memory.putInt(attach + VFIO_DEVICE_ATTACH_IOMMUFD_PT_PT_ID_OFFSET, addressSpace);
            check(kernel.ioctl(deviceFd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach), "its I/O address space");
        }
    }

    @Override
    List<IovaAllocator.Range> readRanges() throws VfioException {
        try (Arena arena = Arena.ofConfined()) {
            long query = arena.allocate(IOMMU_IOAS_IOVA_RANGES_SIZE, 8).address();
            long array =
                    arena.allocate((long) MAX_RANGES * IOMMU_IOVA_RANGE_SIZE, 8).address();
            Memory.putInt(query, IOMMU_IOAS_IOVA_RANGES_SIZE);
            Memory.putInt(query + IOMMU_IOAS_IOVA_RANGES_IOAS_ID_OFFSET, addressSpace);
            Memory.putInt(query + IOMMU_IOAS_IOVA_RANGES_NUM_IOVAS_OFFSET, MAX_RANGES);
            Memory.putLong(query + IOMMU_IOAS_IOVA_RANGES_ALLOWED_IOVAS_OFFSET, array);
            check(kernel.ioctl(iommuFd, IOMMU_IOAS_IOVA_RANGES, query), "what its IOMMU can address");
            int count = Math.clamp(Memory.getInt(query + IOMMU_IOAS_IOVA_RANGES_NUM_IOVAS_OFFSET), 0, MAX_RANGES);
            List<IovaAllocator.Range> ranges = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                long at = array + (long) i * IOMMU_IOVA_RANGE_SIZE;
                ranges.add(
                        new IovaAllocator.Range(Memory.getLong(at), Memory.getLong(at + IOMMU_IOVA_RANGE_LAST_OFFSET)));
            }
            return ranges;
        }
    }

    @Override
    int mapAt(long address, long lengthBytes, long iova) {
        try (Arena arena = Arena.ofConfined()) {
            long map = arena.allocate(IOMMU_IOAS_MAP_SIZE, 8).address();
            Memory.putInt(map, IOMMU_IOAS_MAP_SIZE);
            Memory.putInt(
                    map + IOMMU_IOAS_MAP_FLAGS_OFFSET,
                    IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
            Memory.putInt(map + IOMMU_IOAS_MAP_IOAS_ID_OFFSET, addressSpace);
            Memory.putLong(map + IOMMU_IOAS_MAP_USER_VA_OFFSET, address);
            Memory.putLong(map + IOMMU_IOAS_MAP_LENGTH_OFFSET, lengthBytes);
            Memory.putLong(map + IOMMU_IOAS_MAP_IOVA_OFFSET, iova);
            return kernel.ioctl(iommuFd, IOMMU_IOAS_MAP, map);
        }
    }

    @Override
    int unmapAt(long iova, long lengthBytes) {
        try (Arena arena = Arena.ofConfined()) {
            long unmap = arena.allocate(IOMMU_IOAS_UNMAP_SIZE, 8).address();
            Memory.putInt(unmap, IOMMU_IOAS_UNMAP_SIZE);
            Memory.putInt(unmap + IOMMU_IOAS_UNMAP_IOAS_ID_OFFSET, addressSpace);
            Memory.putLong(unmap + IOMMU_IOAS_UNMAP_IOVA_OFFSET, iova);
            Memory.putLong(unmap + IOMMU_IOAS_UNMAP_LENGTH_OFFSET, lengthBytes);
            return kernel.ioctl(iommuFd, IOMMU_IOAS_UNMAP, unmap);
        }
    }

    /** The address space goes with its file. */
    @Override
    void close() {
        openDeviceFd = kernel.closed(openDeviceFd);
        iommuFd = kernel.closed(iommuFd);
    }

    @Override
    String way() {
        return "iommufd";
    }
}

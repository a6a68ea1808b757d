package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** A device by its IOMMU group, in a container of its own with the type 1 (v2) IOMMU. */
final class ContainerDomain extends DmaDomain {
    /** Room for the capabilities of the IOMMU: more ranges than any machine has. */
    private static final int IOMMU_INFO_BYTES = 4096;

    private static final int MAX_CAPABILITIES = 16;

    private int containerFd = -1;
    private int groupFd = -1;

    private ContainerDomain(String name, Kernel kernel) {
        super(name, kernel);
    }

    static ContainerDomain open(PciDevice pci, Kernel kernel) throws VfioException {
        ContainerDomain domain = new ContainerDomain(pci.address(), kernel);
        try {
            domain.openGroup(pci.iommuGroup());
            return domain;
        } catch (VfioException e) {
            domain.close();
            throw e;
        }
    }

    private void openGroup(String group) throws VfioException {
        containerFd = openFile("/dev/vfio/vfio", "remedy, as root: modprobe vfio-pci");
        if (kernel.ioctl(containerFd, VFIO_GET_API_VERSION, 0) != VFIO_API_VERSION
                || kernel.ioctl(containerFd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
            throw new VfioException(
                    Kind.UNSUPPORTED, name + ": this kernel's VFIO has no type 1 IOMMU; modprobe vfio_iommu_type1");
        }
        groupFd = openFile(
                "/dev/vfio/" + group, "end who uses it, or give it to this user: chown USER /dev/vfio/" + group);
        try (Arena arena = Arena.ofConfined()) {
            long status = arena.allocate(VFIO_GROUP_STATUS_SIZE, 8).address();
            Memory.putInt(status, VFIO_GROUP_STATUS_SIZE);
            check(kernel.ioctl(groupFd, VFIO_GROUP_GET_STATUS, status), "the status of its IOMMU group");
            if ((Memory.getInt(status + VFIO_GROUP_STATUS_FLAGS_OFFSET) & VFIO_GROUP_FLAGS_VIABLE) == 0) {
                throw new VfioException(
                        Kind.BUSY,
                        name + ": another device of its IOMMU group " + group
                                + " has a driver of the kernel; bind all of" + " /sys/kernel/iommu_groups/" + group
                                + "/devices to vfio-pci");
            }
            long container = arena.allocate(Integer.BYTES, 8).address();
            Memory.putInt(container, containerFd);
            check(kernel.ioctl(groupFd, VFIO_GROUP_SET_CONTAINER, container), "to join its container");
            check(kernel.ioctl(containerFd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "its IOMMU");
        }
        deviceFd =
                check(CString.with(name, text -> kernel.ioctl(groupFd, VFIO_GROUP_GET_DEVICE_FD, text)), "the device");
    }

    private int openFile(String path, String remedy) throws VfioException {
        int fd = kernel.open(path);
        if (fd >= 0) {
            return fd;
        }
        Kind kind =
                switch (-fd) {
                    case Errno.ENOENT, Errno.ENODEV -> Kind.UNSUPPORTED;
                    case Errno.EBUSY -> Kind.BUSY;
                    default -> Kind.NOT_PERMITTED;
                };
        throw new VfioException(kind, name + ": cannot open " + path + " (" + Errno.name(fd) + "); " + remedy);
    }

    @Override
    List<IovaAllocator.Range> readRanges() throws VfioException {
        try (Arena arena = Arena.ofConfined()) {
            long info = arena.allocate(IOMMU_INFO_BYTES, 8).address();
            Memory.putInt(info, IOMMU_INFO_BYTES);
            check(kernel.ioctl(containerFd, VFIO_IOMMU_GET_INFO, info), "what its IOMMU is");
            return readRanges(info);
        }
    }

    static List<IovaAllocator.Range> readRanges(long info) {
        List<IovaAllocator.Range> ranges = new ArrayList<>();
        boolean hasCapabilities =
                (Memory.getInt(info + VFIO_IOMMU_TYPE1_INFO_FLAGS_OFFSET) & VFIO_IOMMU_INFO_CAPS) != 0;
        long next = hasCapabilities ? Memory.getUnsignedInt(info + VFIO_IOMMU_TYPE1_INFO_CAP_OFFSET_OFFSET) : 0;
        for (int i = 0; i < MAX_CAPABILITIES && next != 0 && next < IOMMU_INFO_BYTES; i++) {
            long at = info + next;
            int id = Memory.getUnsignedShort(at + VFIO_INFO_CAP_HEADER_ID_OFFSET);
            if (id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
                int count = Memory.getInt(at + VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE_NR_IOVAS_OFFSET);
                long range = at + VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE_IOVA_RANGES_OFFSET;
                long end = info + IOMMU_INFO_BYTES;
                for (int j = 0; j < count && range + VFIO_IOVA_RANGE_SIZE <= end; j++) {
                    ranges.add(new IovaAllocator.Range(
                            Memory.getLong(range), Memory.getLong(range + VFIO_IOVA_RANGE_END_OFFSET)));
                    range += VFIO_IOVA_RANGE_SIZE;
                }
            }
            next = Memory.getUnsignedInt(at + VFIO_INFO_CAP_HEADER_NEXT_OFFSET);
        }
        return ranges;
    }

    @Override
    int map(long address, long lengthBytes, long iova) {
        try (Arena arena = Arena.ofConfined()) {
            long map = arena.allocate(VFIO_IOMMU_TYPE1_DMA_MAP_SIZE, 8).address();
            Memory.putInt(map, VFIO_IOMMU_TYPE1_DMA_MAP_SIZE);
            Memory.putInt(
                    map + VFIO_IOMMU_TYPE1_DMA_MAP_FLAGS_OFFSET, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_VADDR_OFFSET, address);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_IOVA_OFFSET, iova);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_SIZE_OFFSET, lengthBytes);
            return kernel.ioctl(containerFd, VFIO_IOMMU_MAP_DMA, map);
        }
    }

    @Override
    int unmap(long iova, long lengthBytes) {
        try (Arena arena = Arena.ofConfined()) {
            long unmap = arena.allocate(VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE, 8).address();
            Memory.putInt(unmap, VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE);
            Memory.putLong(unmap + VFIO_IOMMU_TYPE1_DMA_UNMAP_IOVA_OFFSET, iova);
            Memory.putLong(unmap + VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE_OFFSET, lengthBytes);
            return kernel.ioctl(containerFd, VFIO_IOMMU_UNMAP_DMA, unmap);
        }
    }

    @Override
    void close() {
        deviceFd = closed(deviceFd);
        groupFd = closed(groupFd);
        containerFd = closed(containerFd);
    }

    @Override
    String way() {
        return "container";
    }
}

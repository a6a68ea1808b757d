package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** A device by its IOMMU group, in a container of its own with the type 1 (v2) IOMMU. */
final class ContainerDomain extends IommuDomain {
    /** Room for the capabilities of the IOMMU: more ranges than any machine has. */
    private static final int IOMMU_INFO_BYTES = 4096;

    private static final int MAX_CAPABILITIES = 16;

    private final VfioGroup group;

    private ContainerDomain(String name, Kernel kernel, VfioGroup group) {
        super(name, kernel, group.deviceFd());
        this.group = group;
    }

    static ContainerDomain open(PciDevice pci, Kernel kernel) throws VfioException {
        VfioGroup group = VfioGroup.open(pci, kernel, pci.iommuGroup(), VFIO_TYPE1v2_IOMMU);
        return new ContainerDomain(pci.address(), kernel, group);
    }

    @Override
    List<IovaAllocator.Range> readRanges() throws VfioException {
        try (Arena arena = Arena.ofConfined()) {
            long info = arena.allocate(IOMMU_INFO_BYTES, 8).address();
            Memory.putInt(info, IOMMU_INFO_BYTES);
            check(kernel.ioctl(group.containerFd(), VFIO_IOMMU_GET_INFO, info), "what its IOMMU is");
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
    int mapAt(long address, long lengthBytes, long iova) {
        try (Arena arena = Arena.ofConfined()) {
            long map = arena.allocate(VFIO_IOMMU_TYPE1_DMA_MAP_SIZE, 8).address();
            Memory.putInt(map, VFIO_IOMMU_TYPE1_DMA_MAP_SIZE);
            Memory.putInt(
                    map + VFIO_IOMMU_TYPE1_DMA_MAP_FLAGS_OFFSET, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_VADDR_OFFSET, address);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_IOVA_OFFSET, iova);
            Memory.putLong(map + VFIO_IOMMU_TYPE1_DMA_MAP_SIZE_OFFSET, lengthBytes);
            return kernel.ioctl(group.containerFd(), VFIO_IOMMU_MAP_DMA, map);
        }
    }

    @Override
    int unmapAt(long iova, long lengthBytes) {
        try (Arena arena = Arena.ofConfined()) {
            long unmap = arena.allocate(VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE, 8).address();
            Memory.putInt(unmap, VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE);
            Memory.putLong(unmap + VFIO_IOMMU_TYPE1_DMA_UNMAP_IOVA_OFFSET, iova);
            Memory.putLong(unmap + VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE_OFFSET, lengthBytes);
            return kernel.ioctl(group.containerFd(), VFIO_IOMMU_UNMAP_DMA, unmap);
        }
    }

    @Override
    void close() {
        group.close();
    }

    @Override
    String way() {
        return "container";
    }
}

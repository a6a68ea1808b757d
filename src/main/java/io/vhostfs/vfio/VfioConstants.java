package io.vhostfs.vfio;

/** Constants and layouts of linux/vfio.h, linux/iommufd.h and linux/pci_regs.h, under their C names. */
final class VfioConstants {
    static final int VFIO_GET_API_VERSION = 0x3b64;
    static final int VFIO_CHECK_EXTENSION = 0x3b65;
    static final int VFIO_SET_IOMMU = 0x3b66;
    static final int VFIO_GROUP_GET_STATUS = 0x3b67;
    static final int VFIO_GROUP_SET_CONTAINER = 0x3b68;
    static final int VFIO_GROUP_GET_DEVICE_FD = 0x3b6a;
    static final int VFIO_DEVICE_GET_REGION_INFO = 0x3b6c;
    static final int VFIO_DEVICE_GET_IRQ_INFO = 0x3b6d;
    static final int VFIO_DEVICE_SET_IRQS = 0x3b6e;
    static final int VFIO_DEVICE_RESET = 0x3b6f;
    static final int VFIO_IOMMU_GET_INFO = 0x3b70;
    static final int VFIO_IOMMU_MAP_DMA = 0x3b71;
    static final int VFIO_IOMMU_UNMAP_DMA = 0x3b72;

    static final int VFIO_DEVICE_BIND_IOMMUFD = 0x3b76;
    static final int VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77;
    static final int IOMMU_IOAS_ALLOC = 0x3b81;
    static final int IOMMU_IOAS_IOVA_RANGES = 0x3b84;
    static final int IOMMU_IOAS_MAP = 0x3b85;
    static final int IOMMU_IOAS_UNMAP = 0x3b86;

    static final int IOMMU_IOAS_MAP_FIXED_IOVA = 1;
    static final int IOMMU_IOAS_MAP_WRITEABLE = 2;
    static final int IOMMU_IOAS_MAP_READABLE = 4;

    static final int VFIO_API_VERSION = 0;
    static final int VFIO_TYPE1v2_IOMMU = 3;
    static final int VFIO_NOIOMMU_IOMMU = 8;
    static final int VFIO_GROUP_FLAGS_VIABLE = 1;
    static final int VFIO_REGION_INFO_FLAG_MMAP = 4;
    static final int VFIO_IOMMU_INFO_CAPS = 2;
    static final int VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
    static final int VFIO_DMA_MAP_FLAG_READ = 1;
    static final int VFIO_DMA_MAP_FLAG_WRITE = 2;
    static final int VFIO_PCI_BAR0_REGION_INDEX = 0;
    static final int VFIO_PCI_CONFIG_REGION_INDEX = 7;
    static final int VFIO_PCI_MSIX_IRQ_INDEX = 2;
    static final int VFIO_PCI_REQ_IRQ_INDEX = 4;
    static final int VFIO_IRQ_SET_DATA_EVENTFD = 4;
    static final int VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;

    static final int PCI_COMMAND = 4;
    static final int PCI_COMMAND_MEMORY = 2;
    static final int PCI_COMMAND_MASTER = 4;

    static final int VFIO_GROUP_STATUS_SIZE = 8;
    static final int VFIO_GROUP_STATUS_FLAGS_OFFSET = 4;

    static final int VFIO_REGION_INFO_SIZE = 32;
    static final int VFIO_REGION_INFO_FLAGS_OFFSET = 4;
    static final int VFIO_REGION_INFO_INDEX_OFFSET = 8;
    static final int VFIO_REGION_INFO_SIZE_OFFSET = 16;
    static final int VFIO_REGION_INFO_OFFSET_OFFSET = 24;

    static final int VFIO_IRQ_INFO_SIZE = 16;
    static final int VFIO_IRQ_INFO_INDEX_OFFSET = 8;
    static final int VFIO_IRQ_INFO_COUNT_OFFSET = 12;

    static final int VFIO_IRQ_SET_FLAGS_OFFSET = 4;
    static final int VFIO_IRQ_SET_INDEX_OFFSET = 8;
    static final int VFIO_IRQ_SET_START_OFFSET = 12;
    static final int VFIO_IRQ_SET_COUNT_OFFSET = 16;
    static final int VFIO_IRQ_SET_DATA_OFFSET = 20;

    static final int VFIO_IOMMU_TYPE1_INFO_FLAGS_OFFSET = 4;
    static final int VFIO_IOMMU_TYPE1_INFO_CAP_OFFSET_OFFSET = 16;

    static final int VFIO_INFO_CAP_HEADER_ID_OFFSET = 0;
    static final int VFIO_INFO_CAP_HEADER_NEXT_OFFSET = 4;
    static final int VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE_NR_IOVAS_OFFSET = 8;
    static final int VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE_IOVA_RANGES_OFFSET = 16;
    static final int VFIO_IOVA_RANGE_SIZE = 16;
    static final int VFIO_IOVA_RANGE_END_OFFSET = 8;

    static final int VFIO_IOMMU_TYPE1_DMA_MAP_SIZE = 32;
    static final int VFIO_IOMMU_TYPE1_DMA_MAP_FLAGS_OFFSET = 4;
    static final int VFIO_IOMMU_TYPE1_DMA_MAP_VADDR_OFFSET = 8;
    static final int VFIO_IOMMU_TYPE1_DMA_MAP_IOVA_OFFSET = 16;
    static final int VFIO_IOMMU_TYPE1_DMA_MAP_SIZE_OFFSET = 24;

    static final int VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE = 24;
    static final int VFIO_IOMMU_TYPE1_DMA_UNMAP_IOVA_OFFSET = 8;
    static final int VFIO_IOMMU_TYPE1_DMA_UNMAP_SIZE_OFFSET = 16;

    static final int VFIO_DEVICE_BIND_IOMMUFD_SIZE = 16;
    static final int VFIO_DEVICE_BIND_IOMMUFD_IOMMUFD_OFFSET = 8;

    static final int VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE = 12;
    static final int VFIO_DEVICE_ATTACH_IOMMUFD_PT_PT_ID_OFFSET = 8;

    static final int IOMMU_IOAS_ALLOC_SIZE = 12;
    static final int IOMMU_IOAS_ALLOC_OUT_IOAS_ID_OFFSET = 8;

    static final int IOMMU_IOVA_RANGE_SIZE = 16;
    static final int IOMMU_IOVA_RANGE_LAST_OFFSET = 8;

    static final int IOMMU_IOAS_IOVA_RANGES_SIZE = 32;
    static final int IOMMU_IOAS_IOVA_RANGES_IOAS_ID_OFFSET = 4;
    static final int IOMMU_IOAS_IOVA_RANGES_NUM_IOVAS_OFFSET = 8;
    static final int IOMMU_IOAS_IOVA_RANGES_ALLOWED_IOVAS_OFFSET = 16;

    static final int IOMMU_IOAS_MAP_SIZE = 40;
    static final int IOMMU_IOAS_MAP_FLAGS_OFFSET = 4;
    static final int IOMMU_IOAS_MAP_IOAS_ID_OFFSET = 8;
    static final int IOMMU_IOAS_MAP_USER_VA_OFFSET = 16;
    static final int IOMMU_IOAS_MAP_LENGTH_OFFSET = 24;
    static final int IOMMU_IOAS_MAP_IOVA_OFFSET = 32;

    static final int IOMMU_IOAS_UNMAP_SIZE = 24;
    static final int IOMMU_IOAS_UNMAP_IOAS_ID_OFFSET = 4;
    static final int IOMMU_IOAS_UNMAP_IOVA_OFFSET = 8;
    static final int IOMMU_IOAS_UNMAP_LENGTH_OFFSET = 16;

    private VfioConstants() {}
}

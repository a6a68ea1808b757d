package io.vhostfs.virtio;

/** Constants and layouts of virtio 1.2 (linux/virtio_config.h, linux/virtio_ring.h, linux/virtio_fs.h), under their C names. */
public final class VirtioConstants {
    // Feature bit numbers.
    public static final int VIRTIO_RING_F_INDIRECT_DESC = 28;
    public static final int VIRTIO_RING_F_EVENT_IDX = 29;
    public static final int VIRTIO_F_VERSION_1 = 32;

    // Device status.
    public static final int VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
    public static final int VIRTIO_CONFIG_S_DRIVER = 2;
    public static final int VIRTIO_CONFIG_S_DRIVER_OK = 4;
    public static final int VIRTIO_CONFIG_S_FEATURES_OK = 8;
    public static final int VIRTIO_CONFIG_S_NEEDS_RESET = 0x40;
    public static final int VIRTIO_CONFIG_S_FAILED = 0x80;

    // Split virtqueues.
    public static final int VRING_DESC_F_NEXT = 1;
    public static final int VRING_DESC_F_WRITE = 2;
    public static final int VRING_DESC_F_INDIRECT = 4;
    public static final int VRING_AVAIL_F_NO_INTERRUPT = 1;
    public static final int VRING_USED_F_NO_NOTIFY = 1;
    public static final int VRING_DESC_ALIGN_SIZE = 16;
    public static final int VRING_AVAIL_ALIGN_SIZE = 2;
    public static final int VRING_USED_ALIGN_SIZE = 4;

    public static final int VRING_DESC_SIZE = 16;
    public static final int VRING_DESC_ADDR_OFFSET = 0;
    public static final int VRING_DESC_LEN_OFFSET = 8;
    public static final int VRING_DESC_FLAGS_OFFSET = 12;
    public static final int VRING_DESC_NEXT_OFFSET = 14;

    public static final int VRING_AVAIL_FLAGS_OFFSET = 0;
    public static final int VRING_AVAIL_IDX_OFFSET = 2;
    public static final int VRING_AVAIL_RING_OFFSET = 4;

    public static final int VRING_USED_FLAGS_OFFSET = 0;
    public static final int VRING_USED_IDX_OFFSET = 2;
    public static final int VRING_USED_RING_OFFSET = 4;

    public static final int VRING_USED_ELEM_SIZE = 8;
    public static final int VRING_USED_ELEM_ID_OFFSET = 0;
    public static final int VRING_USED_ELEM_LEN_OFFSET = 4;

    // The file system device.
    public static final int VIRTIO_ID_FS = 26;
    public static final int VIRTIO_FS_CONFIG_SIZE = 40;
    public static final int VIRTIO_FS_CONFIG_TAG_OFFSET = 0;
    public static final int VIRTIO_FS_CONFIG_NUM_REQUEST_QUEUES_OFFSET = 36;

    private VirtioConstants() {}
}

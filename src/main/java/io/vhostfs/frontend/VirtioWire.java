package io.vhostfs.frontend;

/** Constants and layouts of split virtqueues (virtio 1.2, section 2.7), under their C names. */
final class VirtioWire {
    static final int VIRTIO_RING_F_INDIRECT_DESC = 28;
    static final int VIRTIO_RING_F_EVENT_IDX = 29;
    static final int VIRTIO_F_VERSION_1 = 32;

    static final int VRING_DESC_SIZE = 16;
    static final int VRING_DESC_ADDR_OFFSET = 0;
    static final int VRING_DESC_LEN_OFFSET = 8;
    static final int VRING_DESC_FLAGS_OFFSET = 12;
    static final int VRING_DESC_NEXT_OFFSET = 14;
    static final int VRING_DESC_F_NEXT = 1;
    static final int VRING_DESC_F_WRITE = 2;
    static final int VRING_DESC_F_INDIRECT = 4;

    static final int VRING_AVAIL_F_NO_INTERRUPT = 1;
    static final int VRING_AVAIL_IDX_OFFSET = 2;
    static final int VRING_AVAIL_RING_OFFSET = 4;

    static final int VRING_USED_F_NO_NOTIFY = 1;
    static final int VRING_USED_IDX_OFFSET = 2;
    static final int VRING_USED_RING_OFFSET = 4;
    static final int VRING_USED_ELEM_SIZE = 8;
    static final int VRING_USED_ELEM_LEN_OFFSET = 4;

    static final int VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
    static final int VIRTIO_CONFIG_S_DRIVER = 2;
    static final int VIRTIO_CONFIG_S_DRIVER_OK = 4;
    static final int VIRTIO_CONFIG_S_FEATURES_OK = 8;

    private VirtioWire() {}
}

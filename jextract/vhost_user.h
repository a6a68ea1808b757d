/*
 * The vhost-user protocol. No system header has it, so it is written down here from the specification,
 * https://www.qemu.org/docs/master/interop/vhost-user.html. All numbers are in the byte order of the machine.
 */
#ifndef VHOSTFS_VHOST_USER_H
#define VHOSTFS_VHOST_USER_H

#include <stdint.h>
#include <linux/vhost_types.h>

/* The virtio feature bit that says: the back end knows protocol features. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* "Protocol features": bit numbers of GET_PROTOCOL_FEATURES and SET_PROTOCOL_FEATURES. */
enum vhost_user_protocol_feature {
    VHOST_USER_PROTOCOL_F_MQ = 0,
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
    VHOST_USER_PROTOCOL_F_RARP = 2,
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
    VHOST_USER_PROTOCOL_F_MTU = 4,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
    VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
    VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
    VHOST_USER_PROTOCOL_F_CONFIG = 9,
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
    VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VHOST_USER_PROTOCOL_F_STATUS = 16,
    VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
    VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
    VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
};

/* "Front-end message types". */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SEND_RARP = 19,
    VHOST_USER_NET_SET_MTU = 20,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_IOTLB_MSG = 22,
    VHOST_USER_SET_VRING_ENDIAN = 23,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_CREATE_CRYPTO_SESSION = 26,
    VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
    VHOST_USER_POSTCOPY_ADVISE = 28,
    VHOST_USER_POSTCOPY_LISTEN = 29,
    VHOST_USER_POSTCOPY_END = 30,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_GPU_SET_SOCKET = 33,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_VRING_KICK = 35,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
    VHOST_USER_GET_SHARED_OBJECT = 41,
    VHOST_USER_SET_DEVICE_STATE_FD = 42,
    VHOST_USER_CHECK_DEVICE_STATE = 43,
};

/* "Back-end message types". */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_IOTLB_MSG = 1,
    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
    VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
    VHOST_USER_BACKEND_VRING_CALL = 4,
    VHOST_USER_BACKEND_VRING_ERR = 5,
    VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,
    VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
    VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
};

/* "Header". The payload follows in the stream; it is `size` bytes long. */
struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
};

#define VHOST_USER_VERSION 1
#define VHOST_USER_VERSION_MASK 3
#define VHOST_USER_REPLY (1 << 2)
#define VHOST_USER_NEED_REPLY (1 << 3)

/* SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR: the u64 holds a ring index and a flag for "no descriptor is attached". */
#define VHOST_USER_VRING_INDEX_MASK 0xff
#define VHOST_USER_VRING_NOFD (1 << 8)

/* "Memory region description" */
struct vhost_user_memory_region {
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t mmap_offset;
};

/* "Multiple memory regions description": what SET_MEM_TABLE can hold */
#define VHOST_USER_MAX_REGIONS 8

struct vhost_user_memory {
    uint32_t nregions;
    uint32_t padding;
    struct vhost_user_memory_region regions[VHOST_USER_MAX_REGIONS];
};

/* "Single memory region description": ADD_MEM_REG and REM_MEM_REG */
struct vhost_user_single_memory_region {
    uint64_t padding;
    struct vhost_user_memory_region region;
};

/* "Log description" */
#define VHOST_USER_LOG_PAGE 0x1000

struct vhost_user_log {
    uint64_t mmap_size;
    uint64_t mmap_offset;
};

/* "Virtio device config space". `size` bytes follow. */
#define VHOST_USER_MAX_CONFIG_SIZE 256
#define VHOST_USER_CONFIG_FLAG_WRITABLE 0
#define VHOST_USER_CONFIG_FLAG_MIGRATION 1

struct vhost_user_config {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
};

/* "Vring area description" */
struct vhost_user_vring_area {
    uint64_t index_and_flags;
    uint64_t size;
    uint64_t offset;
};

/* "Inflight description" */
struct vhost_user_inflight {
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t num_queues;
    uint16_t queue_size;
};

/* "Device state transfer parameters" */
#define VHOST_USER_TRANSFER_STATE_SAVE 0
#define VHOST_USER_TRANSFER_STATE_LOAD 1
#define VHOST_USER_TRANSFER_STATE_PHASE_STOPPED 0

struct vhost_user_transfer_device_state {
    uint32_t direction;
    uint32_t phase;
};

/* "Inflight I/O tracking", split virtqueues: one region per queue, desc_num entries behind the header. */
#define VHOST_USER_INFLIGHT_VERSION 1

struct vhost_user_desc_state_split {
    uint8_t inflight;
    uint8_t padding[5];
    uint16_t next;
    uint64_t counter;
};

struct vhost_user_queue_region_split {
    uint64_t features;
    uint16_t version;
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct vhost_user_desc_state_split desc[];
};

#endif

package io.vhostfs.vhost;

/** Constants and layouts of the vhost-user protocol, under the names of QEMU and linux/vhost_types.h. */
public final class VhostUserConstants {
    public static final int VHOST_USER_F_PROTOCOL_FEATURES = 30;

    // Protocol feature bit numbers.
    public static final int VHOST_USER_PROTOCOL_F_MQ = 0;
    public static final int VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1;
    public static final int VHOST_USER_PROTOCOL_F_RARP = 2;
    public static final int VHOST_USER_PROTOCOL_F_REPLY_ACK = 3;
    public static final int VHOST_USER_PROTOCOL_F_MTU = 4;
    public static final int VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5;
    public static final int VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6;
    public static final int VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7;
    public static final int VHOST_USER_PROTOCOL_F_PAGEFAULT = 8;
    public static final int VHOST_USER_PROTOCOL_F_CONFIG = 9;
    public static final int VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10;
    public static final int VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11;
    public static final int VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12;
    public static final int VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13;
    public static final int VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14;
    public static final int VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15;
    public static final int VHOST_USER_PROTOCOL_F_STATUS = 16;
    public static final int VHOST_USER_PROTOCOL_F_XEN_MMAP = 17;
    public static final int VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18;
    public static final int VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19;

    // Requests of the front end.
    public static final int VHOST_USER_GET_FEATURES = 1;
    public static final int VHOST_USER_SET_FEATURES = 2;
    public static final int VHOST_USER_SET_OWNER = 3;
    public static final int VHOST_USER_RESET_OWNER = 4;
    public static final int VHOST_USER_SET_MEM_TABLE = 5;
    public static final int VHOST_USER_SET_LOG_BASE = 6;
    public static final int VHOST_USER_SET_LOG_FD = 7;
    public static final int VHOST_USER_SET_VRING_NUM = 8;
    public static final int VHOST_USER_SET_VRING_ADDR = 9;
    public static final int VHOST_USER_SET_VRING_BASE = 10;
    public static final int VHOST_USER_GET_VRING_BASE = 11;
    public static final int VHOST_USER_SET_VRING_KICK = 12;
    public static final int VHOST_USER_SET_VRING_CALL = 13;
    public static final int VHOST_USER_SET_VRING_ERR = 14;
    public static final int VHOST_USER_GET_PROTOCOL_FEATURES = 15;
    public static final int VHOST_USER_SET_PROTOCOL_FEATURES = 16;
    public static final int VHOST_USER_GET_QUEUE_NUM = 17;
    public static final int VHOST_USER_SET_VRING_ENABLE = 18;
    public static final int VHOST_USER_SEND_RARP = 19;
    public static final int VHOST_USER_NET_SET_MTU = 20;
    public static final int VHOST_USER_SET_BACKEND_REQ_FD = 21;
    public static final int VHOST_USER_IOTLB_MSG = 22;
    public static final int VHOST_USER_SET_VRING_ENDIAN = 23;
    public static final int VHOST_USER_GET_CONFIG = 24;
    public static final int VHOST_USER_SET_CONFIG = 25;
    public static final int VHOST_USER_CREATE_CRYPTO_SESSION = 26;
    public static final int VHOST_USER_CLOSE_CRYPTO_SESSION = 27;
    public static final int VHOST_USER_POSTCOPY_ADVISE = 28;
    public static final int VHOST_USER_POSTCOPY_LISTEN = 29;
    public static final int VHOST_USER_POSTCOPY_END = 30;
    public static final int VHOST_USER_GET_INFLIGHT_FD = 31;
    public static final int VHOST_USER_SET_INFLIGHT_FD = 32;
    public static final int VHOST_USER_GPU_SET_SOCKET = 33;
    public static final int VHOST_USER_RESET_DEVICE = 34;
    public static final int VHOST_USER_VRING_KICK = 35;
    public static final int VHOST_USER_GET_MAX_MEM_SLOTS = 36;
    public static final int VHOST_USER_ADD_MEM_REG = 37;
    public static final int VHOST_USER_REM_MEM_REG = 38;
    public static final int VHOST_USER_SET_STATUS = 39;
    public static final int VHOST_USER_GET_STATUS = 40;
    public static final int VHOST_USER_GET_SHARED_OBJECT = 41;
    public static final int VHOST_USER_SET_DEVICE_STATE_FD = 42;
    public static final int VHOST_USER_CHECK_DEVICE_STATE = 43;

    // Header.
    public static final int VHOST_USER_HEADER_SIZE = 12;
    public static final int VHOST_USER_HEADER_REQUEST_OFFSET = 0;
    public static final int VHOST_USER_HEADER_FLAGS_OFFSET = 4;
    public static final int VHOST_USER_HEADER_SIZE_OFFSET = 8;
    public static final int VHOST_USER_VERSION = 1;
    public static final int VHOST_USER_VERSION_MASK = 3;
    public static final int VHOST_USER_REPLY = 1 << 2;
    public static final int VHOST_USER_NEED_REPLY = 1 << 3;

    public static final int VHOST_USER_VRING_INDEX_MASK = 0xff;
    public static final int VHOST_USER_VRING_NOFD = 1 << 8;

    public static final int VHOST_VRING_STATE_SIZE = 8;
    public static final int VHOST_VRING_STATE_INDEX_OFFSET = 0;
    public static final int VHOST_VRING_STATE_NUM_OFFSET = 4;

    public static final int VHOST_VRING_ADDR_SIZE = 40;
    public static final int VHOST_VRING_ADDR_INDEX_OFFSET = 0;
    public static final int VHOST_VRING_ADDR_FLAGS_OFFSET = 4;
    public static final int VHOST_VRING_ADDR_DESC_USER_ADDR_OFFSET = 8;
    public static final int VHOST_VRING_ADDR_USED_USER_ADDR_OFFSET = 16;
    public static final int VHOST_VRING_ADDR_AVAIL_USER_ADDR_OFFSET = 24;
    public static final int VHOST_VRING_ADDR_LOG_GUEST_ADDR_OFFSET = 32;

    public static final int VHOST_USER_MAX_REGIONS = 8;
    public static final int VHOST_USER_MEMORY_NREGIONS_OFFSET = 0;
    public static final int VHOST_USER_MEMORY_REGIONS_OFFSET = 8;
    public static final int VHOST_USER_MEMORY_REGION_SIZE = 32;
    public static final int VHOST_USER_MEMORY_REGION_GUEST_PHYS_ADDR_OFFSET = 0;
    public static final int VHOST_USER_MEMORY_REGION_MEMORY_SIZE_OFFSET = 8;
    public static final int VHOST_USER_MEMORY_REGION_USERSPACE_ADDR_OFFSET = 16;
    public static final int VHOST_USER_MEMORY_REGION_MMAP_OFFSET_OFFSET = 24;
    public static final int VHOST_USER_SINGLE_MEMORY_REGION_SIZE = 40;
    public static final int VHOST_USER_SINGLE_MEMORY_REGION_REGION_OFFSET = 8;

    public static final int VHOST_USER_MAX_CONFIG_SIZE = 256;
    public static final int VHOST_USER_CONFIG_SIZE = 12;
    public static final int VHOST_USER_CONFIG_OFFSET_OFFSET = 0;
    public static final int VHOST_USER_CONFIG_SIZE_OFFSET = 4;
    public static final int VHOST_USER_CONFIG_FLAGS_OFFSET = 8;
    public static final int VHOST_USER_CONFIG_FLAG_WRITABLE = 0;
    public static final int VHOST_USER_CONFIG_FLAG_MIGRATION = 1;

    private VhostUserConstants() {}

    /** The name of a request of the front end, for messages. */
    static String requestName(int request) {
        return switch (request) {
            case VHOST_USER_GET_FEATURES -> "GET_FEATURES";
            case VHOST_USER_SET_FEATURES -> "SET_FEATURES";
            case VHOST_USER_SET_OWNER -> "SET_OWNER";
            case VHOST_USER_RESET_OWNER -> "RESET_OWNER";
            case VHOST_USER_SET_MEM_TABLE -> "SET_MEM_TABLE";
            case VHOST_USER_SET_LOG_BASE -> "SET_LOG_BASE";
            case VHOST_USER_SET_LOG_FD -> "SET_LOG_FD";
            case VHOST_USER_SET_VRING_NUM -> "SET_VRING_NUM";
            case VHOST_USER_SET_VRING_ADDR -> "SET_VRING_ADDR";
            case VHOST_USER_SET_VRING_BASE -> "SET_VRING_BASE";
            case VHOST_USER_GET_VRING_BASE -> "GET_VRING_BASE";
            case VHOST_USER_SET_VRING_KICK -> "SET_VRING_KICK";
            case VHOST_USER_SET_VRING_CALL -> "SET_VRING_CALL";
            case VHOST_USER_SET_VRING_ERR -> "SET_VRING_ERR";
            case VHOST_USER_GET_PROTOCOL_FEATURES -> "GET_PROTOCOL_FEATURES";
            case VHOST_USER_SET_PROTOCOL_FEATURES -> "SET_PROTOCOL_FEATURES";
            case VHOST_USER_GET_QUEUE_NUM -> "GET_QUEUE_NUM";
            case VHOST_USER_SET_VRING_ENABLE -> "SET_VRING_ENABLE";
            case VHOST_USER_SEND_RARP -> "SEND_RARP";
            case VHOST_USER_NET_SET_MTU -> "NET_SET_MTU";
            case VHOST_USER_SET_BACKEND_REQ_FD -> "SET_BACKEND_REQ_FD";
            case VHOST_USER_IOTLB_MSG -> "IOTLB_MSG";
            case VHOST_USER_SET_VRING_ENDIAN -> "SET_VRING_ENDIAN";
            case VHOST_USER_GET_CONFIG -> "GET_CONFIG";
            case VHOST_USER_SET_CONFIG -> "SET_CONFIG";
            case VHOST_USER_CREATE_CRYPTO_SESSION -> "CREATE_CRYPTO_SESSION";
            case VHOST_USER_CLOSE_CRYPTO_SESSION -> "CLOSE_CRYPTO_SESSION";
            case VHOST_USER_POSTCOPY_ADVISE -> "POSTCOPY_ADVISE";
            case VHOST_USER_POSTCOPY_LISTEN -> "POSTCOPY_LISTEN";
            case VHOST_USER_POSTCOPY_END -> "POSTCOPY_END";
            case VHOST_USER_GET_INFLIGHT_FD -> "GET_INFLIGHT_FD";
            case VHOST_USER_SET_INFLIGHT_FD -> "SET_INFLIGHT_FD";
            case VHOST_USER_GPU_SET_SOCKET -> "GPU_SET_SOCKET";
            case VHOST_USER_RESET_DEVICE -> "RESET_DEVICE";
            case VHOST_USER_VRING_KICK -> "VRING_KICK";
            case VHOST_USER_GET_MAX_MEM_SLOTS -> "GET_MAX_MEM_SLOTS";
            case VHOST_USER_ADD_MEM_REG -> "ADD_MEM_REG";
            case VHOST_USER_REM_MEM_REG -> "REM_MEM_REG";
            case VHOST_USER_SET_STATUS -> "SET_STATUS";
            case VHOST_USER_GET_STATUS -> "GET_STATUS";
            case VHOST_USER_GET_SHARED_OBJECT -> "GET_SHARED_OBJECT";
            case VHOST_USER_SET_DEVICE_STATE_FD -> "SET_DEVICE_STATE_FD";
            case VHOST_USER_CHECK_DEVICE_STATE -> "CHECK_DEVICE_STATE";
            default -> "request " + Integer.toUnsignedString(request);
        };
    }
}

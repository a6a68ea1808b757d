package io.vhostfs.frontend;

/** Constants and layouts of the vhost-user protocol, under their C names. */
final class VhostUserWire {
    static final int VHOST_USER_F_PROTOCOL_FEATURES = 30;

    static final int VHOST_USER_PROTOCOL_F_MQ = 0;
    static final int VHOST_USER_PROTOCOL_F_REPLY_ACK = 3;
    static final int VHOST_USER_PROTOCOL_F_CONFIG = 9;
    static final int VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13;
    static final int VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15;
    static final int VHOST_USER_PROTOCOL_F_STATUS = 16;

    static final int VHOST_USER_GET_FEATURES = 1;
    static final int VHOST_USER_SET_FEATURES = 2;
    static final int VHOST_USER_SET_OWNER = 3;
    static final int VHOST_USER_SET_MEM_TABLE = 5;
    static final int VHOST_USER_SET_VRING_NUM = 8;
    static final int VHOST_USER_SET_VRING_ADDR = 9;
    static final int VHOST_USER_SET_VRING_BASE = 10;
    static final int VHOST_USER_GET_VRING_BASE = 11;
    static final int VHOST_USER_SET_VRING_KICK = 12;
    static final int VHOST_USER_SET_VRING_CALL = 13;
    static final int VHOST_USER_GET_PROTOCOL_FEATURES = 15;
    static final int VHOST_USER_SET_PROTOCOL_FEATURES = 16;
    static final int VHOST_USER_GET_QUEUE_NUM = 17;
    static final int VHOST_USER_SET_VRING_ENABLE = 18;
    static final int VHOST_USER_GET_CONFIG = 24;
    static final int VHOST_USER_RESET_DEVICE = 34;
    static final int VHOST_USER_GET_MAX_MEM_SLOTS = 36;
    static final int VHOST_USER_ADD_MEM_REG = 37;
    static final int VHOST_USER_SET_STATUS = 39;
    static final int VHOST_USER_GET_STATUS = 40;

    static final int VHOST_USER_HEADER_SIZE = 12;
    static final int VHOST_USER_HEADER_FLAGS_OFFSET = 4;
    static final int VHOST_USER_HEADER_SIZE_OFFSET = 8;
    static final int VHOST_USER_VERSION = 1;
    static final int VHOST_USER_REPLY = 1 << 2;
    static final int VHOST_USER_NEED_REPLY = 1 << 3;

    private VhostUserWire() {}
}

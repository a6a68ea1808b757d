package io.vhostfs.uring;

/** Constants and struct layouts of linux/io_uring.h, under their C names. */
public final class UringConstants {
    public static final int IORING_SETUP_SUBMIT_ALL = 1 << 7;
    public static final int IORING_SETUP_COOP_TASKRUN = 1 << 8;
    public static final int IORING_SETUP_TASKRUN_FLAG = 1 << 9;
    public static final int IORING_SETUP_SQE128 = 1 << 10;
    public static final int IORING_SETUP_SINGLE_ISSUER = 1 << 12;
    public static final int IORING_SETUP_DEFER_TASKRUN = 1 << 13;
    public static final int IORING_FEAT_SINGLE_MMAP = 1 << 0;
    public static final int IORING_FEAT_NODROP = 1 << 1;
    public static final int IORING_FEAT_RW_CUR_POS = 1 << 3;
    public static final int IORING_OFF_SQ_RING = 0;
    public static final int IORING_OFF_SQES = 0x10000000;
    public static final int IORING_ENTER_GETEVENTS = 1 << 0;
    public static final int IORING_SQ_CQ_OVERFLOW = 1 << 1;
    public static final int IORING_SQ_TASKRUN = 1 << 2;
    public static final int IORING_CQ_EVENTFD_DISABLED = 1 << 0;
    public static final int IORING_REGISTER_FILES = 2;
    public static final int IORING_UNREGISTER_FILES = 3;
    public static final int IORING_REGISTER_EVENTFD = 4;
    public static final int IORING_OP_NOP = 0;
    public static final int IORING_OP_READV = 1;
    public static final int IORING_OP_WRITEV = 2;
    public static final int IORING_OP_FSYNC = 3;
    public static final int IORING_OP_FALLOCATE = 17;
    public static final int IORING_OP_READ = 22;
    public static final int IORING_OP_WRITE = 23;
    public static final int IORING_OP_URING_CMD = 46;
    public static final int IORING_FSYNC_DATASYNC = 1 << 0;
    public static final int IOSQE_FIXED_FILE = 1 << 0;

    public static final int IO_URING_PARAMS_SIZE = 120;
    public static final int IO_URING_PARAMS_SQ_ENTRIES_OFFSET = 0;
    public static final int IO_URING_PARAMS_CQ_ENTRIES_OFFSET = 4;
    public static final int IO_URING_PARAMS_FLAGS_OFFSET = 8;
    public static final int IO_URING_PARAMS_FEATURES_OFFSET = 20;
    public static final int IO_URING_PARAMS_SQ_OFF_OFFSET = 40;
    public static final int IO_URING_PARAMS_CQ_OFF_OFFSET = 80;

    public static final int IO_SQRING_OFFSETS_HEAD_OFFSET = 0;
    public static final int IO_SQRING_OFFSETS_TAIL_OFFSET = 4;
    public static final int IO_SQRING_OFFSETS_FLAGS_OFFSET = 16;
    public static final int IO_SQRING_OFFSETS_ARRAY_OFFSET = 24;

    public static final int IO_CQRING_OFFSETS_HEAD_OFFSET = 0;
    public static final int IO_CQRING_OFFSETS_TAIL_OFFSET = 4;
    public static final int IO_CQRING_OFFSETS_CQES_OFFSET = 20;
    public static final int IO_CQRING_OFFSETS_FLAGS_OFFSET = 24;

    public static final int IO_URING_SQE_SIZE = 64;
    public static final int IO_URING_SQE_OPCODE_OFFSET = 0;
    public static final int IO_URING_SQE_FLAGS_OFFSET = 1;
    public static final int IO_URING_SQE_FD_OFFSET = 4;
    public static final int IO_URING_SQE_OFF_OFFSET = 8;
    public static final int IO_URING_SQE_CMD_OP_OFFSET = 8;
    public static final int IO_URING_SQE_ADDR_OFFSET = 16;
    public static final int IO_URING_SQE_LEN_OFFSET = 24;
    public static final int IO_URING_SQE_RW_FLAGS_OFFSET = 28;
    public static final int IO_URING_SQE_FSYNC_FLAGS_OFFSET = 28;
    public static final int IO_URING_SQE_USER_DATA_OFFSET = 32;
    public static final int IO_URING_SQE_CMD_OFFSET = 48;

    public static final int IO_URING_CQE_SIZE = 16;
    public static final int IO_URING_CQE_USER_DATA_OFFSET = 0;
    public static final int IO_URING_CQE_RES_OFFSET = 8;

    private UringConstants() {}
}

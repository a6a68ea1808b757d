package io.vhostfs.nvme;

/** Registers, opcodes and offsets of the NVM Express base and NVM command set specifications, revision 2.0. */
public final class NvmeConstants {
    /** Controller registers (base 3.1.3). */
    public static final int NVME_REG_CAP = 0x00;

    public static final int NVME_REG_VS = 0x08;
    public static final int NVME_REG_INTMS = 0x0c;
    public static final int NVME_REG_CC = 0x14;
    public static final int NVME_REG_CSTS = 0x1c;
    public static final int NVME_REG_AQA = 0x24;
    public static final int NVME_REG_ASQ = 0x28;
    public static final int NVME_REG_ACQ = 0x30;
    /** The first doorbell; the others follow at CAP.DSTRD's distance. */
    public static final int NVME_REG_DOORBELLS = 0x1000;

    public static final int NVME_CAP_CQR_SHIFT = 16;
    public static final int NVME_CAP_TO_SHIFT = 24;
    public static final int NVME_CAP_DSTRD_SHIFT = 32;
    public static final int NVME_CAP_CSS_SHIFT = 37;
    public static final int NVME_CAP_MPSMIN_SHIFT = 48;
    public static final int NVME_CAP_MPSMAX_SHIFT = 52;
    /** CAP.TO counts these. */
    public static final int NVME_CAP_TO_UNIT_MS = 500;

    public static final int NVME_CC_EN = 1;
    public static final int NVME_CC_SHN_MASK = 3 << 14;
    public static final int NVME_CC_SHN_NORMAL = 1 << 14;
    public static final int NVME_CC_IOSQES_SHIFT = 16;
    public static final int NVME_CC_IOCQES_SHIFT = 20;

    public static final int NVME_CSTS_RDY = 1;
    public static final int NVME_CSTS_CFS = 2;
    public static final int NVME_CSTS_SHST_MASK = 3 << 2;
    public static final int NVME_CSTS_SHST_COMPLETE = 2 << 2;

    /** What a register reads as when nothing answers on the bus any more. */
    public static final int NVME_GONE = -1;

    /** Memory page size 4 KiB (CC.MPS 0), the only one that we use. */
    public static final int NVME_PAGE_BYTES = 4096;

    /** Submission queue entry. */
    public static final int NVME_SQE_BYTES = 64;

    public static final int NVME_SQE_BYTES_LOG2 = 6;
    public static final int NVME_SQE_OPCODE = 0;
    public static final int NVME_SQE_FLAGS = 1;
    public static final int NVME_SQE_CID = 2;
    public static final int NVME_SQE_NSID = 4;
    public static final int NVME_SQE_PRP1 = 24;
    public static final int NVME_SQE_PRP2 = 32;
    public static final int NVME_SQE_CDW10 = 40;
    public static final int NVME_SQE_CDW11 = 44;
    public static final int NVME_SQE_CDW12 = 48;
    public static final int NVME_SQE_CDW13 = 52;

    /** PSDT: the data pointer is an SGL, metadata is none. */
    public static final int NVME_SQE_FLAGS_SGL = 1 << 6;

    /** Completion queue entry. */
    public static final int NVME_CQE_BYTES = 16;

    public static final int NVME_CQE_BYTES_LOG2 = 4;
    public static final int NVME_CQE_DW0 = 0;
    public static final int NVME_CQE_SQHD = 8;
    public static final int NVME_CQE_SQID = 10;
    /** The last double word: command identifier, phase tag, status. */
    public static final int NVME_CQE_DW3 = 12;

    public static final int NVME_SGL_DATA_BLOCK = 0x00;
    public static final int NVME_SGL_LAST_SEGMENT = 0x30;
    public static final int NVME_SGL_DESCRIPTOR_BYTES = 16;

    public static final int NVME_ADMIN_DELETE_SQ = 0x00;
    public static final int NVME_ADMIN_CREATE_SQ = 0x01;
    public static final int NVME_ADMIN_GET_LOG_PAGE = 0x02;
    public static final int NVME_ADMIN_DELETE_CQ = 0x04;
    public static final int NVME_ADMIN_CREATE_CQ = 0x05;
    public static final int NVME_ADMIN_IDENTIFY = 0x06;
    public static final int NVME_ADMIN_ABORT = 0x08;
    public static final int NVME_ADMIN_SET_FEATURES = 0x09;
    public static final int NVME_ADMIN_GET_FEATURES = 0x0a;
    public static final int NVME_ADMIN_ASYNC_EVENT = 0x0c;
    public static final int NVME_ADMIN_DBBUF_CONFIG = 0x7c;

    public static final int NVME_CMD_FLUSH = 0x00;
    public static final int NVME_CMD_WRITE = 0x01;
    public static final int NVME_CMD_READ = 0x02;
    public static final int NVME_CMD_WRITE_ZEROES = 0x08;
    public static final int NVME_CMD_DATASET_MANAGEMENT = 0x09;

    /** Command dword 12 of a write: force unit access. */
    public static final int NVME_RW_FUA = 1 << 30;
    /** Command dword 11 of dataset management: deallocate. */
    public static final int NVME_DSM_DEALLOCATE = 1 << 2;

    public static final int NVME_DSM_RANGE_BYTES = 16;

    public static final int NVME_FEATURE_VOLATILE_WRITE_CACHE = 0x06;
    public static final int NVME_QUEUE_CONTIGUOUS = 1;
    public static final int NVME_CQ_INTERRUPTS = 2;
    public static final int NVME_FEATURE_NUMBER_OF_QUEUES = 0x07;
    public static final int NVME_FEATURE_ASYNC_EVENTS = 0x0b;

    /** Async event configuration: SMART warnings (spare, temperature, reliability, read-only, backup) and namespaces. */
    public static final int NVME_ASYNC_SMART = 0x1f;

    public static final int NVME_ASYNC_NAMESPACE = 1 << 8;

    public static final int NVME_CNS_NAMESPACE = 0;
    public static final int NVME_CNS_CONTROLLER = 1;
    public static final int NVME_CNS_ACTIVE_NAMESPACES = 2;
    public static final int NVME_IDENTIFY_BYTES = 4096;

    public static final int NVME_LOG_ERRORS = 1;
    public static final int NVME_LOG_SMART = 2;
    public static final int NVME_LOG_CHANGED_NAMESPACES = 4;

    /** What completes a command that was told to the other side of the broadcast namespace. */
    public static final int NVME_NSID_ALL = -1;

    public static final int NVME_OACS_DBBUF = 1 << 8;
    public static final int NVME_ONCS_DATASET_MANAGEMENT = 1 << 2;
    public static final int NVME_ONCS_WRITE_ZEROES = 1 << 3;

    private NvmeConstants() {}
}

package io.vhostfs.nvme;

import io.vhostfs.os.Errno;

/**
 * Completion statuses: bits 15:1 of the last half word of a completion entry (base 3.3.3.2), as {@code status >>> 1}.
 *
 * <p>Bits 0 to 7 are the code, 8 to 10 its type, 11 and 12 the retry delay, 13 "more", 14 "do not retry".
 */
public final class NvmeStatus {
    public static final int SUCCESS = 0;
    public static final int INVALID_OPCODE = 0x01;
    public static final int INVALID_FIELD = 0x02;
    public static final int DATA_TRANSFER_ERROR = 0x04;
    public static final int INTERNAL_ERROR = 0x06;
    public static final int ABORT_REQUESTED = 0x07;
    public static final int ABORTED_SQ_DELETED = 0x08;
    public static final int INVALID_NAMESPACE = 0x0b;
    public static final int SGL_INVALID = 0x0f;
    public static final int LBA_OUT_OF_RANGE = 0x80;
    public static final int CAPACITY_EXCEEDED = 0x81;
    public static final int NAMESPACE_NOT_READY = 0x82;
    public static final int INVALID_QUEUE_ID = 0x101;
    public static final int WRITE_FAULT = 0x280;
    public static final int UNRECOVERED_READ = 0x281;
    public static final int DO_NOT_RETRY = 1 << 14;

    private static final int CODE_MASK = 0x7ff;

    private NvmeStatus() {}

    /** Code and type alone. */
    public static int code(int status) {
        return status & CODE_MASK;
    }

    /** Whether the same command may succeed when it is sent again. A medium's error will not: the drive has retried. */
    public static boolean isTransient(int status) {
        if ((status & DO_NOT_RETRY) != 0) {
            return false;
        }
        return switch (code(status)) {
            case DATA_TRANSFER_ERROR, INTERNAL_ERROR, ABORT_REQUESTED, ABORTED_SQ_DELETED, NAMESPACE_NOT_READY -> true;
            default -> false;
        };
    }

    /** 0 or a negative errno. */
    public static int toErrno(int status) {
        return switch (code(status)) {
            case SUCCESS -> 0;
            case CAPACITY_EXCEEDED -> -Errno.ENOSPC;
            case INVALID_OPCODE -> -Errno.EOPNOTSUPP;
            default -> -Errno.EIO;
        };
    }

    /** For messages. */
    public static String describe(int status) {
        String type =
                switch (code(status) >> 8) {
                    case 0 -> "generic";
                    case 1 -> "command specific";
                    case 2 -> "media";
                    case 3 -> "path";
                    default -> "vendor specific";
                };
        return "%s status 0x%02x".formatted(type, status & 0xff);
    }
}

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;

/**
 * ioctl(2): flags and project of an inode, as chattr(1), lsattr(1) and xfs_io(8) ask for them, and its generation.
 *
 * <p>Invariant: a command of which the caller gives or takes another number of bytes than it has is refused, and one that
 * is not known gets ENOTTY. What OPEN enforces cannot be set where there is none. The caller's rights were checked by its
 * kernel ({@code fileattr_set_prepare}). On the request's origin.
 */
final class FuseIoctl {
    /** For callers of 32 bits, whose long is as long as an int. */
    private static final int FS_IOC32_GETVERSION = 0x80047601;

    /** The commands speak of a long, but are about an int; the kernel itself asks for one of these. */
    private static final int INT_BYTES = 4;

    private static final int LONG_BYTES = 8;

    private static final int[] FLAGS = {
        FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL, FS_PROJINHERIT_FL
    };
    private static final int[] XFLAGS = {
        FS_XFLAG_IMMUTABLE, FS_XFLAG_APPEND, FS_XFLAG_NODUMP, FS_XFLAG_NOATIME, FS_XFLAG_SYNC, FS_XFLAG_PROJINHERIT
    };
    private static final int KNOWN_FLAGS = FS_IMMUTABLE_FL
            | FS_APPEND_FL
            | FS_NODUMP_FL
            | FS_NOATIME_FL
            | FS_SYNC_FL
            | FS_DIRSYNC_FL
            | FS_PROJINHERIT_FL;

    private FuseIoctl() {}

    /** {@link FuseDecoder#SUBMIT} or a negative errno. */
    static int decode(FuseRequest r) {
        long in = r.argumentUnsignedInt(FUSE_IOCTL_IN_IN_SIZE_OFFSET);
        long out = r.argumentUnsignedInt(FUSE_IOCTL_IN_OUT_SIZE_OFFSET);
        return switch (command(r)) {
            case FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC32_GETVERSION -> get(r, isLong(out), out);
            case FS_IOC_FSGETXATTR -> get(r, out == FSXATTR_SIZE, out);
            case FS_IOC_SETFLAGS -> set(r, isLong(in), in);
            case FS_IOC_FSSETXATTR -> set(r, in == FSXATTR_SIZE, in);
            default -> -Errno.ENOTTY;
        };
    }

    private static int command(FuseRequest r) {
        return r.argumentInt(FUSE_IOCTL_IN_CMD_OFFSET);
    }

    private static boolean isLong(long bytes) {
        return bytes == INT_BYTES || bytes == LONG_BYTES;
    }

    private static int get(FuseRequest r, boolean isWellFormed, long out) {
        if (!isWellFormed) {
            return -Errno.EINVAL;
        }
        r.operation = FsOp.GETATTR;
        return r.hasRoom(FUSE_IOCTL_OUT_SIZE + out) ? FuseDecoder.SUBMIT : -Errno.EIO;
    }

    private static int set(FuseRequest r, boolean isWellFormed, long in) {
        if (!isWellFormed || r.takeRest(FUSE_IOCTL_IN_SIZE, (int) in) != in) {
            return -Errno.EINVAL;
        }
        FsAttributes a = r.newAttributes;
        int given = r.argumentInt(FUSE_IOCTL_IN_SIZE);
        r.operation = FsOp.SETATTR;
        r.valid = FsRequest.SET_FLAGS;
        int fixed = r.state.noOpen ? FS_IMMUTABLE_FL | FS_APPEND_FL : 0;
        if (command(r) == FS_IOC_SETFLAGS) {
            a.flags = given;
            return (given & (~KNOWN_FLAGS | fixed)) != 0 ? -Errno.EOPNOTSUPP : FuseDecoder.SUBMIT;
        }
        a.flags = convert(given, XFLAGS, FLAGS);
        a.project = r.argumentInt(FUSE_IOCTL_IN_SIZE + FSXATTR_FSX_PROJID_OFFSET);
        // This struct's flags have no word for DIRSYNC.
        r.valid |= FsRequest.SET_PROJECT | FsRequest.KEEP_DIR_SYNC;
        boolean known = convert(a.flags, FLAGS, XFLAGS) == (given & ~FS_XFLAG_HASATTR);
        return known && (a.flags & fixed) == 0 ? FuseDecoder.SUBMIT : -Errno.EOPNOTSUPP;
    }

    private static int convert(int flags, int[] from, int[] to) {
        int result = 0;
        for (int i = 0; i < from.length; i++) {
            result |= (flags & from[i]) != 0 ? to[i] : 0;
        }
        return result;
    }

    /** Returns the bytes of the reply. */
    static int reply(FuseRequest r) {
        int command = command(r);
        int out = r.operation == FsOp.SETATTR ? 0 : r.argumentInt(FUSE_IOCTL_IN_OUT_SIZE_OFFSET);
        int size = FUSE_IOCTL_OUT_SIZE + out;
        FsAttributes a = r.attributes;
        long body = r.body(size);
        Memory.zero(body, size);
        long at = body + FUSE_IOCTL_OUT_SIZE;
        if (out == FSXATTR_SIZE) {
            int xflags = convert(a.flags, FLAGS, XFLAGS) | (a.hasXattrs ? FS_XFLAG_HASATTR : 0);
            Memory.putInt(at + FSXATTR_FSX_XFLAGS_OFFSET, xflags);
            Memory.putInt(at + FSXATTR_FSX_PROJID_OFFSET, a.project);
        } else if (out != 0) {
            Memory.putInt(at, command == FS_IOC_GETFLAGS ? a.flags : (int) a.generation);
        }
        return r.replyBody(size);
    }
}

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsStatistics;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/**
 * Writes the reply of a request that the file system has completed.
 *
 * <p>Invariant: every byte of a reply is written, reserved fields as 0. On the request's origin, except {@link #entry}
 * and {@link #attributes}, which touch nothing but the memory they are given.
 */
final class FuseEncoder {
    private static final long NANOSECONDS = 1_000_000_000L;

    /** These have the values of {@code FS_*_FL}. */
    private static final int STATX_ATTRIBUTES =
            LibcConstants.STATX_ATTR_IMMUTABLE | LibcConstants.STATX_ATTR_APPEND | LibcConstants.STATX_ATTR_NODUMP;

    private FuseEncoder() {}

    /** Returns the bytes of the reply; 0 when none is due. */
    static int reply(FuseRequest request, int status) {
        request.release();
        if (status < 0) {
            return replyError(request, status);
        }
        return switch (request.opcode) {
            case FUSE_READ, FUSE_READLINK -> request.replyHeader((int) request.count, 0);
            case FUSE_WRITE, FUSE_COPY_FILE_RANGE, FUSE_COPY_FILE_RANGE_64 -> replyWrite(request);
            case FUSE_GETATTR, FUSE_SETATTR -> replyAttributes(request);
            case FUSE_LOOKUP, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_LINK -> replyEntry(request);
            case FUSE_OPEN -> replyOpen(request, request.state.openFlags);
            case FUSE_OPENDIR -> replyOpen(request, request.state.openDirectoryFlags);
            case FUSE_CREATE, FUSE_TMPFILE -> replyCreate(request);
            case FUSE_READDIR, FUSE_READDIRPLUS -> replyListing(request);
            case FUSE_GETXATTR, FUSE_LISTXATTR -> replyExtendedAttribute(request);
            case FUSE_STATX -> replyStatx(request);
            case FUSE_IOCTL -> FuseIoctl.reply(request);
            case FUSE_STATFS -> replyStatistics(request);
            case FUSE_LSEEK -> replyLseek(request);
            case FUSE_ACCESS -> request.replyStatus(FuseAccess.check(request));
            case FUSE_GETLK -> replyLock(request);
            case FUSE_FORGET, FUSE_INTERRUPT -> 0;
            default -> request.replyStatus(0);
        };
    }

    private static int replyError(FuseRequest request, int status) {
        int opcode = request.opcode;
        if (opcode == FUSE_LOOKUP && status == -Errno.ENOENT && request.state.cachesNegatives) {
            return replyNegativeEntry(request);
        }
        boolean listing = opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS;
        if (listing && request.packer.usedBytes() > 0) {
            // What was listed has been counted as referenced; the error comes again when reading goes on behind it.
            return replyListing(request);
        }
        return opcode == FUSE_FORGET ? 0 : request.replyStatus(status);
    }

    /** An entry with nodeid 0 says ENOENT and how long that holds. */
    private static int replyNegativeEntry(FuseRequest request) {
        long body = request.body(FUSE_ENTRY_OUT_SIZE);
        FuseState state = request.state;
        for (int i = 0; i < FUSE_ENTRY_OUT_SIZE; i += 8) {
            Memory.putLong(body + i, 0);
        }
        Memory.putLong(body + FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET, state.negativeSeconds);
        Memory.putInt(body + FUSE_ENTRY_OUT_ENTRY_VALID_NSEC_OFFSET, state.negativeNanoseconds);
        return request.replyBody(FUSE_ENTRY_OUT_SIZE);
    }

    private static int replyEntry(FuseRequest request) {
        entry(request.body(FUSE_ENTRY_OUT_SIZE), request.state, request.attributes);
        return request.replyBody(FUSE_ENTRY_OUT_SIZE);
    }

    private static int replyAttributes(FuseRequest request) {
        long body = request.body(FUSE_ATTR_OUT_SIZE);
        FuseState state = request.state;
        boolean caches = state.cachesAttributes(request.attributes.mode);
        Memory.putLong(body + FUSE_ATTR_OUT_ATTR_VALID_OFFSET, caches ? state.attributeSeconds : 0);
        // The nanoseconds, and the reserved field behind them.
        Memory.putLong(body + FUSE_ATTR_OUT_ATTR_VALID_NSEC_OFFSET, caches ? state.attributeNanoseconds : 0);
        attributes(body + FUSE_ATTR_OUT_ATTR_OFFSET, request.attributes);
        return request.replyBody(FUSE_ATTR_OUT_SIZE);
    }

    private static int replyWrite(FuseRequest request) {
        long body = request.body(FUSE_WRITE_OUT_SIZE);
        Memory.putLong(body + FUSE_WRITE_OUT_SIZE_OFFSET, request.count);
        return request.replyBody(FUSE_WRITE_OUT_SIZE);
    }

    private static int replyOpen(FuseRequest request, int openFlags) {
        open(request.body(FUSE_OPEN_OUT_SIZE), request.handle, openFlags);
        return request.replyBody(FUSE_OPEN_OUT_SIZE);
    }

    private static int replyCreate(FuseRequest request) {
        long body = request.body(FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
        entry(body, request.state, request.attributes);
        open(body + FUSE_ENTRY_OUT_SIZE, request.handle, request.state.openFlags);
        return request.replyBody(FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
    }

    private static void open(long at, long handle, int openFlags) {
        Memory.putLong(at + FUSE_OPEN_OUT_FH_OFFSET, handle);
        // The flags, and the reserved field behind them.
        Memory.putLong(at + FUSE_OPEN_OUT_OPEN_FLAGS_OFFSET, openFlags);
    }

    private static int replyLock(FuseRequest request) {
        long body = request.body(FUSE_LK_OUT_SIZE);
        Memory.putLong(body + FUSE_FILE_LOCK_START_OFFSET, request.offset);
        Memory.putLong(body + FUSE_FILE_LOCK_END_OFFSET, request.lockEnd);
        Memory.putInt(body + FUSE_FILE_LOCK_TYPE_OFFSET, request.lockType);
        Memory.putInt(body + FUSE_FILE_LOCK_PID_OFFSET, request.pid);
        return request.replyBody(FUSE_LK_OUT_SIZE);
    }

    private static int replyListing(FuseRequest request) {
        DirectoryPacker packer = request.packer;
        return packer.isTooSmall()
                ? request.replyStatus(-Errno.EINVAL)
                : request.replyCopy(packer.address(), packer.usedBytes());
    }

    private static int replyExtendedAttribute(FuseRequest request) {
        if (request.length != 0) {
            return request.replyHeader((int) request.count, 0);
        }
        long body = request.body(FUSE_GETXATTR_OUT_SIZE);
        Memory.putLong(body + FUSE_GETXATTR_OUT_SIZE_OFFSET, request.count);
        return request.replyBody(FUSE_GETXATTR_OUT_SIZE);
    }

    private static int replyLseek(FuseRequest request) {
        long body = request.body(FUSE_LSEEK_OUT_SIZE);
        Memory.putLong(body + FUSE_LSEEK_OUT_OFFSET_OFFSET, request.count);
        return request.replyBody(FUSE_LSEEK_OUT_SIZE);
    }

    private static int replyStatistics(FuseRequest request) {
        long body = request.body(FUSE_STATFS_OUT_SIZE);
        FsStatistics s = request.statistics;
        Memory.zero(body, FUSE_STATFS_OUT_SIZE);
        Memory.putLong(body + FUSE_KSTATFS_BLOCKS_OFFSET, s.blocks);
        Memory.putLong(body + FUSE_KSTATFS_BFREE_OFFSET, s.freeBlocks);
        Memory.putLong(body + FUSE_KSTATFS_BAVAIL_OFFSET, s.availableBlocks);
        Memory.putLong(body + FUSE_KSTATFS_FILES_OFFSET, s.files);
        Memory.putLong(body + FUSE_KSTATFS_FFREE_OFFSET, s.freeFiles);
        Memory.putInt(body + FUSE_KSTATFS_BSIZE_OFFSET, s.blockSize);
        Memory.putInt(body + FUSE_KSTATFS_NAMELEN_OFFSET, s.maxNameLength);
        Memory.putInt(body + FUSE_KSTATFS_FRSIZE_OFFSET, s.blockSize);
        return request.replyBody(FUSE_STATFS_OUT_SIZE);
    }

    private static int replyStatx(FuseRequest request) {
        long body = request.body(FUSE_STATX_OUT_SIZE);
        FsAttributes a = request.attributes;
        Memory.zero(body, FUSE_STATX_OUT_SIZE);
        FuseState state = request.state;
        boolean caches = state.cachesAttributes(a.mode);
        Memory.putLong(body + FUSE_STATX_OUT_ATTR_VALID_OFFSET, caches ? state.attributeSeconds : 0);
        Memory.putInt(body + FUSE_STATX_OUT_ATTR_VALID_NSEC_OFFSET, caches ? state.attributeNanoseconds : 0);
        long at = body + FUSE_STATX_OUT_STAT_OFFSET;
        Memory.putInt(at + FUSE_STATX_MASK_OFFSET, LibcConstants.STATX_BASIC_STATS | LibcConstants.STATX_BTIME);
        Memory.putInt(at + FUSE_STATX_BLKSIZE_OFFSET, a.blockSize);
        Memory.putLong(at + FUSE_STATX_ATTRIBUTES_OFFSET, a.flags & STATX_ATTRIBUTES);
        Memory.putLong(at + FUSE_STATX_ATTRIBUTES_MASK_OFFSET, STATX_ATTRIBUTES);
        Memory.putInt(at + FUSE_STATX_NLINK_OFFSET, a.linkCount);
        Memory.putInt(at + FUSE_STATX_UID_OFFSET, a.uid);
        Memory.putInt(at + FUSE_STATX_GID_OFFSET, a.gid);
        Memory.putShort(at + FUSE_STATX_MODE_OFFSET, (short) a.mode);
        Memory.putLong(at + FUSE_STATX_INO_OFFSET, a.inode);
        Memory.putLong(at + FUSE_STATX_SIZE_OFFSET, a.sizeBytes);
        Memory.putLong(at + FUSE_STATX_BLOCKS_OFFSET, a.blocks);
        statxTime(at + FUSE_STATX_ATIME_OFFSET, a.accessTimeNs);
        statxTime(at + FUSE_STATX_BTIME_OFFSET, a.birthTimeNs);
        statxTime(at + FUSE_STATX_CTIME_OFFSET, a.changeTimeNs);
        statxTime(at + FUSE_STATX_MTIME_OFFSET, a.modifyTimeNs);
        // The encoding of new_encode_dev: minor 7..0, major 19..8, minor 31..20 from its bit 8 on.
        int device = a.deviceNumber;
        Memory.putInt(at + FUSE_STATX_RDEV_MAJOR_OFFSET, (device >>> 8) & 0xfff);
        Memory.putInt(at + FUSE_STATX_RDEV_MINOR_OFFSET, (device & 0xff) | ((device >>> 12) & 0xfff00));
        return request.replyBody(FUSE_STATX_OUT_SIZE);
    }

    private static void statxTime(long at, long timeNs) {
        long seconds = Math.floorDiv(timeNs, NANOSECONDS);
        Memory.putLong(at + FUSE_SX_TIME_TV_SEC_OFFSET, seconds);
        Memory.putInt(at + FUSE_SX_TIME_TV_NSEC_OFFSET, (int) (timeNs - seconds * NANOSECONDS));
    }

    /** A fuse_entry_out. */
    static void entry(long at, FuseState state, FsAttributes a) {
        long nodeid = state.nodeidOf(a.inode);
        Memory.putLong(at + FUSE_ENTRY_OUT_NODEID_OFFSET, nodeid);
        // The kernel made its root with generation 0 and takes another one for another file.
        Memory.putLong(at + FUSE_ENTRY_OUT_GENERATION_OFFSET, nodeid == FUSE_ROOT_ID ? 0 : a.generation);
        Memory.putLong(at + FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET, state.entrySeconds);
        boolean caches = state.cachesAttributes(a.mode);
        Memory.putLong(at + FUSE_ENTRY_OUT_ATTR_VALID_OFFSET, caches ? state.attributeSeconds : 0);
        Memory.putInt(at + FUSE_ENTRY_OUT_ENTRY_VALID_NSEC_OFFSET, state.entryNanoseconds);
        Memory.putInt(at + FUSE_ENTRY_OUT_ATTR_VALID_NSEC_OFFSET, caches ? state.attributeNanoseconds : 0);
        attributes(at + FUSE_ENTRY_OUT_ATTR_OFFSET, a);
    }

    /** A fuse_attr. */
    static void attributes(long at, FsAttributes a) {
        long accessSeconds = Math.floorDiv(a.accessTimeNs, NANOSECONDS);
        long modifySeconds = Math.floorDiv(a.modifyTimeNs, NANOSECONDS);
        long changeSeconds = Math.floorDiv(a.changeTimeNs, NANOSECONDS);
        Memory.putLong(at + FUSE_ATTR_INO_OFFSET, a.inode);
        Memory.putLong(at + FUSE_ATTR_SIZE_OFFSET, a.sizeBytes);
        Memory.putLong(at + FUSE_ATTR_BLOCKS_OFFSET, a.blocks);
        Memory.putLong(at + FUSE_ATTR_ATIME_OFFSET, accessSeconds);
        Memory.putLong(at + FUSE_ATTR_MTIME_OFFSET, modifySeconds);
        Memory.putLong(at + FUSE_ATTR_CTIME_OFFSET, changeSeconds);
        Memory.putInt(at + FUSE_ATTR_ATIMENSEC_OFFSET, (int) (a.accessTimeNs - accessSeconds * NANOSECONDS));
        Memory.putInt(at + FUSE_ATTR_MTIMENSEC_OFFSET, (int) (a.modifyTimeNs - modifySeconds * NANOSECONDS));
        Memory.putInt(at + FUSE_ATTR_CTIMENSEC_OFFSET, (int) (a.changeTimeNs - changeSeconds * NANOSECONDS));
        Memory.putInt(at + FUSE_ATTR_MODE_OFFSET, a.mode);
        Memory.putInt(at + FUSE_ATTR_NLINK_OFFSET, a.linkCount);
        Memory.putInt(at + FUSE_ATTR_UID_OFFSET, a.uid);
        Memory.putInt(at + FUSE_ATTR_GID_OFFSET, a.gid);
        Memory.putInt(at + FUSE_ATTR_RDEV_OFFSET, a.deviceNumber);
        Memory.putInt(at + FUSE_ATTR_BLKSIZE_OFFSET, a.blockSize);
        Memory.putInt(at + FUSE_ATTR_FLAGS_OFFSET, 0);
    }
}

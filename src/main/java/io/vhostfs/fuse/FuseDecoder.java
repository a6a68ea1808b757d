package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.Arrays;

/**
 * Turns a message whose header was copied into the fields of a file system request.
 *
 * <p>Invariant: what is submitted was checked. Arguments are whole, names are not empty, at most 255 bytes long and free of
 * slashes, offsets and sizes are not negative and do not overflow, data lies inside the message or the reply's room, and
 * the reply has room for its body. On the request's origin; nothing is kept here.
 */
final class FuseDecoder {
    /** The request is ready for the file system. */
    static final int SUBMIT = 0;

    /** The request is the session's own business. */
    static final int CONTROL = 1;

    /** Largest READ: max_pages (256) of the largest page that Linux has on virtio machines (64 KiB). */
    static final int MAX_READ_BYTES = 256 * 65536;

    /** {@code fuse_setattr_in.valid} bits that a file system request has under the same value. */
    private static final int SETATTR_BITS = FATTR_MODE
            | FATTR_UID
            | FATTR_GID
            | FATTR_SIZE
            | FATTR_ATIME
            | FATTR_MTIME
            | FATTR_FH
            | FATTR_ATIME_NOW
            | FATTR_MTIME_NOW
            | FATTR_CTIME
            | FATTR_KILL_SUIDGID;

    private static final int PERMISSION_BITS = 07777;
    private static final long NANOSECONDS = 1_000_000_000L;

    /** Times outside of what nanoseconds in a long reach become the nearest that they do (years 1677 and 2262). */
    private static final long MAX_SECONDS = Long.MAX_VALUE / NANOSECONDS - 1;

    /** "system.posix_acl_": the start of both names under which access control lists go. */
    private static final long ACL_NAME_0 = 0x702e6d6574737973L; // "system.p"

    private static final long ACL_NAME_8 = 0x6c63615f7869736fL; // "osix_acl"

    /** Bytes of arguments in front of names and data, by opcode; -1: not built. */
    private static final int[] ARGUMENT_BYTES = new int[FUSE_COPY_FILE_RANGE_64 + 1];

    /** Bytes behind the reply's header, by opcode; data not counted. */
    private static final int[] BODY_BYTES = new int[FUSE_COPY_FILE_RANGE_64 + 1];

    private static final int NO_REPLY = -FUSE_OUT_HEADER_SIZE;

    static {
        Arrays.fill(ARGUMENT_BYTES, -1);
        operation(FUSE_LOOKUP, 0, FUSE_ENTRY_OUT_SIZE);
        operation(FUSE_FORGET, FUSE_FORGET_IN_SIZE, NO_REPLY);
        operation(FUSE_GETATTR, FUSE_GETATTR_IN_SIZE, FUSE_ATTR_OUT_SIZE);
        operation(FUSE_SETATTR, FUSE_SETATTR_IN_SIZE, FUSE_ATTR_OUT_SIZE);
        operation(FUSE_READLINK, 0, 0);
        operation(FUSE_SYMLINK, 0, FUSE_ENTRY_OUT_SIZE);
        operation(FUSE_MKNOD, FUSE_MKNOD_IN_SIZE, FUSE_ENTRY_OUT_SIZE);
        operation(FUSE_MKDIR, FUSE_MKDIR_IN_SIZE, FUSE_ENTRY_OUT_SIZE);
        operation(FUSE_UNLINK, 0, 0);
        operation(FUSE_RMDIR, 0, 0);
        operation(FUSE_RENAME, FUSE_RENAME_IN_SIZE, 0);
        operation(FUSE_LINK, FUSE_LINK_IN_SIZE, FUSE_ENTRY_OUT_SIZE);
        operation(FUSE_OPEN, FUSE_OPEN_IN_SIZE, FUSE_OPEN_OUT_SIZE);
        operation(FUSE_READ, FUSE_READ_IN_SIZE, 0);
        operation(FUSE_WRITE, FUSE_WRITE_IN_SIZE, FUSE_WRITE_OUT_SIZE);
        operation(FUSE_STATFS, 0, FUSE_STATFS_OUT_SIZE);
        operation(FUSE_RELEASE, FUSE_RELEASE_IN_SIZE, 0);
        operation(FUSE_FSYNC, FUSE_FSYNC_IN_SIZE, 0);
        operation(FUSE_SETXATTR, FUSE_COMPAT_SETXATTR_IN_SIZE, 0);
        operation(FUSE_GETXATTR, FUSE_GETXATTR_IN_SIZE, 0);
        operation(FUSE_LISTXATTR, FUSE_GETXATTR_IN_SIZE, 0);
        operation(FUSE_REMOVEXATTR, 0, 0);
        operation(FUSE_FLUSH, FUSE_FLUSH_IN_SIZE, 0);
        operation(FUSE_INIT, FuseInit.SHORT_SIZE, FUSE_INIT_OUT_SIZE);
        operation(FUSE_OPENDIR, FUSE_OPEN_IN_SIZE, FUSE_OPEN_OUT_SIZE);
        operation(FUSE_READDIR, FUSE_READ_IN_SIZE, 0);
        operation(FUSE_RELEASEDIR, FUSE_RELEASE_IN_SIZE, 0);
        operation(FUSE_FSYNCDIR, FUSE_FSYNC_IN_SIZE, 0);
        operation(FUSE_ACCESS, FUSE_ACCESS_IN_SIZE, 0);
        operation(FUSE_CREATE, FUSE_CREATE_IN_SIZE, FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
        operation(FUSE_DESTROY, 0, 0);
        operation(FUSE_NOTIFY_REPLY, 0, NO_REPLY);
        operation(FUSE_BATCH_FORGET, FUSE_BATCH_FORGET_IN_SIZE, NO_REPLY);
        operation(FUSE_IOCTL, FUSE_IOCTL_IN_SIZE, FUSE_IOCTL_OUT_SIZE);
        operation(FUSE_FALLOCATE, FUSE_FALLOCATE_IN_SIZE, 0);
        operation(FUSE_READDIRPLUS, FUSE_READ_IN_SIZE, 0);
        operation(FUSE_RENAME2, FUSE_RENAME2_IN_SIZE, 0);
        operation(FUSE_LSEEK, FUSE_LSEEK_IN_SIZE, FUSE_LSEEK_OUT_SIZE);
        operation(FUSE_COPY_FILE_RANGE, FUSE_COPY_FILE_RANGE_IN_SIZE, FUSE_WRITE_OUT_SIZE);
        operation(FUSE_COPY_FILE_RANGE_64, FUSE_COPY_FILE_RANGE_IN_SIZE, FUSE_COPY_FILE_RANGE_OUT_SIZE);
        operation(FUSE_GETLK, FUSE_LK_IN_SIZE, FUSE_LK_OUT_SIZE);
        operation(FUSE_SETLK, FUSE_LK_IN_SIZE, 0);
        operation(FUSE_SETLKW, FUSE_LK_IN_SIZE, 0);
        operation(FUSE_INTERRUPT, FUSE_INTERRUPT_IN_SIZE, 0);
        operation(FUSE_TMPFILE, FUSE_CREATE_IN_SIZE, FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
        operation(FUSE_SYNCFS, FUSE_SYNCFS_IN_SIZE, 0);
        operation(FUSE_STATX, FUSE_STATX_IN_SIZE, FUSE_STATX_OUT_SIZE);
    }

    private FuseDecoder() {}

    private static void operation(int opcode, int argumentBytes, int bodyBytes) {
        ARGUMENT_BYTES[opcode] = argumentBytes;
        BODY_BYTES[opcode] = bodyBytes;
    }

    /** {@link #SUBMIT}, {@link #CONTROL}, or the negative errno to answer. */
    static int decode(FuseRequest r, FuseState s, FuseSession session) {
        int opcode = r.opcode;
        boolean known = opcode >= 0 && opcode < ARGUMENT_BYTES.length && ARGUMENT_BYTES[opcode] >= 0;
        if (!known) {
            return -Errno.ENOSYS;
        }
        if (!r.hasRoom(BODY_BYTES[opcode])) {
            return -Errno.EIO;
        }
        if (!r.takeArguments(ARGUMENT_BYTES[opcode])) {
            return -Errno.EINVAL;
        }
        r.inode = s.inodeOf(r.nodeid);
        return switch (opcode) {
            case FUSE_READ -> read(r);
            case FUSE_WRITE -> write(r, s);
            case FUSE_GETATTR, FUSE_STATX -> submit(r, FsOp.GETATTR);
            case FUSE_LOOKUP -> lookup(r, s);
            case FUSE_READDIRPLUS -> readDirectory(r, s, session, true);
            case FUSE_READDIR -> readDirectory(r, s, session, false);
            case FUSE_OPEN -> open(r, s);
            case FUSE_RELEASE -> release(r);
            case FUSE_CREATE -> create(r, s, session);
            case FUSE_FORGET -> forget(r, s);
            default -> decodeRare(r, s, session);
        };
    }

    private static int decodeRare(FuseRequest r, FuseState s, FuseSession session) {
        return switch (r.opcode) {
            case FUSE_SETATTR -> setAttributes(r, s);
            case FUSE_ACCESS -> access(r);
            case FUSE_READLINK -> readLink(r);
            case FUSE_SYMLINK -> symlink(r, s, session);
            case FUSE_MKNOD -> makeNode(r, s, session);
            case FUSE_MKDIR -> makeDirectory(r, s, session);
            case FUSE_UNLINK -> removeName(r, FsOp.UNLINK);
            case FUSE_RMDIR -> removeName(r, FsOp.RMDIR);
            case FUSE_RENAME -> rename(r, s, FUSE_RENAME_IN_SIZE, 0);
            case FUSE_RENAME2 -> rename2(r, s);
            case FUSE_LINK -> link(r, s);
            case FUSE_STATFS -> submit(r, FsOp.STATFS);
            case FUSE_FSYNC, FUSE_FSYNCDIR -> fsync(r);
            case FUSE_FLUSH -> flush(r, s);
            case FUSE_SETXATTR -> setExtendedAttribute(r, s, session);
            case FUSE_GETXATTR -> getExtendedAttribute(r);
            case FUSE_LISTXATTR -> readExtendedAttribute(r, FsOp.LISTXATTR);
            case FUSE_REMOVEXATTR -> removeExtendedAttribute(r);
            case FUSE_OPENDIR -> s.noOpen ? -Errno.ENOSYS : submit(r, FsOp.OPENDIR);
            case FUSE_RELEASEDIR -> withHandle(r, FsOp.RELEASEDIR);
            case FUSE_FALLOCATE -> allocate(r, s);
            case FUSE_LSEEK -> seek(r, s);
            case FUSE_IOCTL -> FuseIoctl.decode(r);
            case FUSE_TMPFILE -> createNameless(r, s, session);
            case FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW -> lock(r, s);
            case FUSE_INTERRUPT -> interrupt(r, s);
            case FUSE_SYNCFS -> submit(r, FsOp.SYNCFS);
            default -> CONTROL;
        };
    }

    private static int submit(FuseRequest r, int operation) {
        r.operation = operation;
        return SUBMIT;
    }

    /** fh comes first in every struct that has it. */
    private static int withHandle(FuseRequest r, int operation) {
        r.handle = r.argumentLong(0);
        return submit(r, operation);
    }

    // --- data

    private static int read(FuseRequest r) {
        long size = r.argumentUnsignedInt(FUSE_READ_IN_SIZE_OFFSET);
        r.offset = r.argumentLong(FUSE_READ_IN_OFFSET_OFFSET);
        if (size > MAX_READ_BYTES || r.offset < 0 || r.offset > Long.MAX_VALUE - size) {
            return -Errno.EINVAL;
        }
        if (!r.hasRoom(size)) {
            return -Errno.EIO;
        }
        r.length = size;
        r.borrowReply(size);
        return withHandle(r, FsOp.READ);
    }

    private static int write(FuseRequest r, FuseState s) {
        long size = r.argumentUnsignedInt(FUSE_WRITE_IN_SIZE_OFFSET);
        long dataStart = FUSE_IN_HEADER_SIZE + FUSE_WRITE_IN_SIZE;
        r.offset = r.argumentLong(FUSE_WRITE_IN_OFFSET_OFFSET);
        boolean fits = size <= s.maxWriteBytes && size <= r.messageEnd - dataStart;
        if (!fits || r.offset < 0 || r.offset > Long.MAX_VALUE - size) {
            return -Errno.EINVAL;
        }
        int writeFlags = r.argumentInt(FUSE_WRITE_IN_WRITE_FLAGS_OFFSET);
        boolean fromCache = (writeFlags & FUSE_WRITE_CACHE) != 0;
        boolean placedByKernel = s.writebackCache || fromCache;
        r.flags = r.argumentInt(FUSE_WRITE_IN_FLAGS_OFFSET) & (placedByKernel ? ~O_APPEND : ~0);
        r.killPrivileges = (writeFlags & FUSE_WRITE_KILL_SUIDGID) != 0;
        r.keepsTimes = s.writebackCache && fromCache;
        r.isCopy = false;
        r.length = size;
        r.borrowMessage(dataStart, size);
        return withHandle(r, FsOp.WRITE);
    }

    private static int allocate(FuseRequest r, FuseState s) {
        r.offset = r.argumentLong(FUSE_FALLOCATE_IN_OFFSET_OFFSET);
        r.length = r.argumentLong(FUSE_FALLOCATE_IN_LENGTH_OFFSET);
        r.mode = r.argumentInt(FUSE_FALLOCATE_IN_MODE_OFFSET);
        r.killPrivileges = killsWithoutBeingTold(r, s);
        if (r.offset < 0 || r.length <= 0) {
            return -Errno.EINVAL;
        }
        return r.offset > Long.MAX_VALUE - r.length ? -Errno.EFBIG : withHandle(r, FsOp.FALLOCATE);
    }

    /**
     * With FUSE_HANDLE_KILLPRIV_V2 no flag says whether fallocate(2) or copy_file_range(2) is to clear the set-ID bits: who
     * has CAP_FSETID keeps them, and that is root for us.
     */
    static boolean killsWithoutBeingTold(FuseRequest r, FuseState s) {
        return s.killPrivileges && r.uid != 0;
    }

    /**
     * The kernel asks without having written back what it caches. It writes that back at each close; while the file is open
     * for writing the answer is ENOSYS: then the kernel asks no more, and takes all of every file for data.
     */
    private static int seek(FuseRequest r, FuseState s) {
        r.clientHoldsData = s.writebackCache;
        if (s.writebackCache && s.noOpen) {
            // Any file may have data in its kernel.
            return -Errno.ENOSYS;
        }
        r.offset = r.argumentLong(FUSE_LSEEK_IN_OFFSET_OFFSET);
        r.flags = r.argumentInt(FUSE_LSEEK_IN_WHENCE_OFFSET);
        if (r.flags != SEEK_DATA && r.flags != SEEK_HOLE) {
            return -Errno.EINVAL;
        }
        return r.offset < 0 ? -Errno.ENXIO : withHandle(r, FsOp.LSEEK);
    }

    private static int flush(FuseRequest r, FuseState s) {
        r.lockOwner = r.argumentLong(FUSE_FLUSH_IN_LOCK_OWNER_OFFSET);
        return s.answerFlush ? withHandle(r, FsOp.FLUSH) : -Errno.ENOSYS;
    }

    private static int release(FuseRequest r) {
        r.isFlock = (r.argumentInt(FUSE_RELEASE_IN_RELEASE_FLAGS_OFFSET) & FUSE_RELEASE_FLOCK_UNLOCK) != 0;
        r.lockOwner = r.argumentLong(FUSE_RELEASE_IN_LOCK_OWNER_OFFSET);
        return withHandle(r, FsOp.RELEASE);
    }

    private static int lock(FuseRequest r, FuseState s) {
        if (!s.sharesLocks) {
            return -Errno.ENOSYS;
        }
        int lock = FUSE_LK_IN_LK_OFFSET;
        r.lockOwner = r.argumentLong(FUSE_LK_IN_OWNER_OFFSET);
        r.offset = r.argumentLong(lock + FUSE_FILE_LOCK_START_OFFSET);
        r.lockEnd = r.argumentLong(lock + FUSE_FILE_LOCK_END_OFFSET);
        r.lockType = r.argumentInt(lock + FUSE_FILE_LOCK_TYPE_OFFSET);
        r.pid = r.argumentInt(lock + FUSE_FILE_LOCK_PID_OFFSET);
        r.isFlock = (r.argumentInt(FUSE_LK_IN_LK_FLAGS_OFFSET) & FUSE_LK_FLOCK) != 0;
        r.mayWait = r.opcode == FUSE_SETLKW;
        r.key = r.unique;
        boolean known = r.lockType == F_RDLCK || r.lockType == F_WRLCK || r.lockType == F_UNLCK;
        if (!known || r.offset < 0 || r.lockEnd < r.offset || r.argumentLong(FUSE_LK_IN_FH_OFFSET) == 0) {
            return -Errno.EINVAL;
        }
        if (r.isFlock) {
            r.offset = 0;
            r.lockEnd = Long.MAX_VALUE;
        }
        return withHandle(r, r.opcode == FUSE_GETLK ? FsOp.GETLK : FsOp.SETLK);
    }

    /** Nothing but a request for a lock waits for long. */
    private static int interrupt(FuseRequest r, FuseState s) {
        r.key = r.argumentLong(FUSE_INTERRUPT_IN_UNIQUE_OFFSET);
        return s.sharesLocks ? submit(r, FsOp.INTERRUPT) : -Errno.ENOSYS;
    }

    private static int fsync(FuseRequest r) {
        r.dataOnly = (r.argumentInt(FUSE_FSYNC_IN_FSYNC_FLAGS_OFFSET) & FUSE_FSYNC_FDATASYNC) != 0;
        return withHandle(r, FsOp.FSYNC);
    }

    private static int open(FuseRequest r, FuseState s) {
        if (s.noOpen) {
            return -Errno.ENOSYS;
        }
        r.flags = openFlags(r.argumentInt(FUSE_OPEN_IN_FLAGS_OFFSET), s);
        r.killPrivileges = (r.argumentInt(FUSE_OPEN_IN_OPEN_FLAGS_OFFSET) & FUSE_OPEN_KILL_SUIDGID) != 0;
        return submit(r, FsOp.OPEN);
    }

    /**
     * With a write-back cache the kernel reads through handles that were opened for writing, to fill pages. It places
     * appended data itself; that a file is opened for that only still matters to one that may only grow.
     */
    private static int openFlags(int flags, FuseState s) {
        if (!s.writebackCache) {
            return flags;
        }
        int access = flags & O_ACCMODE;
        return (flags & ~O_ACCMODE) | (access == O_WRONLY ? O_RDWR : access);
    }

    // --- names

    private static int lookup(FuseRequest r, FuseState s) {
        int status = takeName(r, 0);
        if (status == -Errno.EINVAL && isSlash(r)) {
            // A dentry made from a file handle has no name but this and is its own parent: where it is revalidated, as
            // overlayfs does with the origins of what it copied up, the kernel looks it up so (fuse_dentry_revalidate).
            Memory.putByte(r.nameAddress, (byte) '.');
            r.nameLength = 1;
        } else if (status != 0) {
            return status;
        }
        boolean parent = r.nameLength == 2 && isDots(r.nameAddress, 2);
        if (parent && r.nodeid == FUSE_ROOT_ID) {
            r.nameLength = 1;
        } else if (parent && !s.seesEverything()) {
            // A directory may have been moved out of the client's tree by another client.
            return -Errno.ESTALE;
        }
        return submit(r, FsOp.LOOKUP);
    }

    private static int forget(FuseRequest r, FuseState s) {
        r.count = r.argumentLong(FUSE_FORGET_IN_NLOOKUP_OFFSET);
        // The root's reference lasts as long as the client.
        return r.nodeid == FUSE_ROOT_ID || !s.initialised ? CONTROL : submit(r, FsOp.FORGET);
    }

    /** A kernel that does without OPEN sends MKNOD instead when this is not known: CREATE would give it a handle. */
    private static int create(FuseRequest r, FuseState s, FuseSession session) {
        if (s.noOpen) {
            return -Errno.ENOSYS;
        }
        r.flags = openFlags(r.argumentInt(FUSE_CREATE_IN_FLAGS_OFFSET), s);
        r.mode = S_IFREG | (r.argumentInt(FUSE_CREATE_IN_MODE_OFFSET) & PERMISSION_BITS);
        r.umask = r.argumentInt(FUSE_CREATE_IN_UMASK_OFFSET);
        r.killPrivileges = (r.argumentInt(FUSE_CREATE_IN_OPEN_FLAGS_OFFSET) & FUSE_OPEN_KILL_SUIDGID) != 0;
        int status = takeNewName(r, FUSE_CREATE_IN_SIZE);
        return status != 0 ? status : submitNew(r, s, session, FsOp.CREATE);
    }

    /** The name in the message stands for none. */
    private static int createNameless(FuseRequest r, FuseState s, FuseSession session) {
        r.flags = openFlags(r.argumentInt(FUSE_CREATE_IN_FLAGS_OFFSET), s);
        r.mode = S_IFREG | (r.argumentInt(FUSE_CREATE_IN_MODE_OFFSET) & PERMISSION_BITS);
        r.umask = r.argumentInt(FUSE_CREATE_IN_UMASK_OFFSET);
        r.withoutHandle = s.noOpen;
        return submitLabelled(r, s, session, FsOp.TMPFILE, r.scratch + FUSE_IN_HEADER_SIZE + FUSE_CREATE_IN_SIZE);
    }

    private static int makeNode(FuseRequest r, FuseState s, FuseSession session) {
        int mode = r.argumentInt(FUSE_MKNOD_IN_MODE_OFFSET);
        r.umask = r.argumentInt(FUSE_MKNOD_IN_UMASK_OFFSET);
        int type = mode & S_IFMT;
        switch (type) {
            case S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK -> r.mode = type | (mode & PERMISSION_BITS);
            case 0 -> r.mode = S_IFREG | (mode & PERMISSION_BITS);
            case S_IFDIR -> {
                return -Errno.EPERM;
            }
            default -> {
                return -Errno.EINVAL;
            }
        }
        boolean device = type == S_IFCHR || type == S_IFBLK;
        r.deviceNumber = device ? r.argumentInt(FUSE_MKNOD_IN_RDEV_OFFSET) : 0;
        int status = takeNewName(r, FUSE_MKNOD_IN_SIZE);
        return status != 0 ? status : submitNew(r, s, session, FsOp.MKNOD);
    }

    private static int makeDirectory(FuseRequest r, FuseState s, FuseSession session) {
        r.mode = S_IFDIR | (r.argumentInt(FUSE_MKDIR_IN_MODE_OFFSET) & PERMISSION_BITS);
        r.umask = r.argumentInt(FUSE_MKDIR_IN_UMASK_OFFSET);
        int status = takeNewName(r, FUSE_MKDIR_IN_SIZE);
        return status != 0 ? status : submitNew(r, s, session, FsOp.MKDIR);
    }

    private static int removeName(FuseRequest r, int operation) {
        int status = takeNewName(r, 0);
        return status != 0 ? status : submit(r, operation);
    }

    private static int link(FuseRequest r, FuseState s) {
        r.inode2 = s.inodeOf(r.argumentLong(FUSE_LINK_IN_OLDNODEID_OFFSET));
        int status = takeNewName(r, FUSE_LINK_IN_SIZE);
        return status != 0 ? status : submit(r, FsOp.LINK);
    }

    private static int rename2(FuseRequest r, FuseState s) {
        int flags = r.argumentInt(FUSE_RENAME2_IN_FLAGS_OFFSET);
        boolean unknown = (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0;
        boolean contradictory = (flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0;
        return unknown || contradictory ? -Errno.EINVAL : rename(r, s, FUSE_RENAME2_IN_SIZE, flags);
    }

    private static int rename(FuseRequest r, FuseState s, int argumentBytes, int flags) {
        r.inode2 = s.inodeOf(r.argumentLong(FUSE_RENAME_IN_NEWDIR_OFFSET));
        r.flags = flags;
        int rest = r.takeRest(argumentBytes, 2 * (NAME_MAX + 1));
        long at = r.scratch + FUSE_IN_HEADER_SIZE + argumentBytes;
        int length = FuseNames.fileName(at, rest);
        if (length < 0) {
            return length;
        }
        int length2 = FuseNames.fileName(at + length + 1, rest - length - 1);
        if (length2 < 0) {
            return length2;
        }
        r.nameAddress = at;
        r.nameLength = length;
        r.name2Address = at + length + 1;
        r.name2Length = length2;
        boolean dots = isDots(at, length) || isDots(r.name2Address, length2);
        return dots ? -Errno.EINVAL : submit(r, FsOp.RENAME);
    }

    private static int symlink(FuseRequest r, FuseState s, FuseSession session) {
        int rest = r.takeRest(0, NAME_MAX + 1 + PATH_MAX);
        long at = r.scratch + FUSE_IN_HEADER_SIZE;
        int length = FuseNames.fileName(at, rest);
        if (length < 0) {
            return length;
        }
        r.nameAddress = at;
        r.nameLength = length;
        r.name2Address = at + length + 1;
        r.name2Length = FuseNames.linkTarget(r.name2Address, rest - length - 1);
        if (r.name2Length < 0) {
            return r.name2Length;
        }
        long namesEnd = r.name2Address + r.name2Length + 1;
        return isDots(at, length) ? -Errno.EINVAL : submitLabelled(r, s, session, FsOp.SYMLINK, namesEnd);
    }

    private static int submitNew(FuseRequest r, FuseState s, FuseSession session, int operation) {
        return submitLabelled(r, s, session, operation, r.nameAddress + r.nameLength + 1);
    }

    /** Submits what makes an inode, with its security label if it has one. */
    private static int submitLabelled(FuseRequest r, FuseState s, FuseSession session, int operation, long namesEnd) {
        int status = FuseLabel.take(r, s, session, namesEnd);
        return status != 0 ? status : submit(r, operation);
    }

    private static int takeName(FuseRequest r, int argumentBytes) {
        int rest = r.takeRest(argumentBytes, NAME_MAX + 1);
        long at = r.scratch + FUSE_IN_HEADER_SIZE + argumentBytes;
        int length = FuseNames.fileName(at, rest);
        r.nameAddress = at;
        r.nameLength = length;
        return Math.min(length, 0);
    }

    /** A name that is made or removed: not "." or "..", which no kernel sends. */
    private static int takeNewName(FuseRequest r, int argumentBytes) {
        int status = takeName(r, argumentBytes);
        return status == 0 && isDots(r.nameAddress, r.nameLength) ? -Errno.EINVAL : status;
    }

    private static boolean isDots(long address, int length) {
        return length <= 2 && Memory.getByte(address) == '.' && (length == 1 || Memory.getByte(address + 1) == '.');
    }

    private static boolean isSlash(FuseRequest r) {
        return r.messageEnd >= FUSE_IN_HEADER_SIZE + 2 && Memory.getUnsignedShort(r.nameAddress) == '/';
    }

    private static int readLink(FuseRequest r) {
        r.length = Math.min(r.replyCapacityBytes - FUSE_OUT_HEADER_SIZE, PATH_MAX);
        r.borrowReply(r.length);
        return submit(r, FsOp.READLINK);
    }

    // --- attributes

    private static int access(FuseRequest r) {
        r.accessMask = r.argumentInt(FUSE_ACCESS_IN_MASK_OFFSET);
        return (r.accessMask & ~(R_OK | W_OK | X_OK)) != 0 ? -Errno.EINVAL : submit(r, FsOp.GETATTR);
    }

    private static int setAttributes(FuseRequest r, FuseState s) {
        int valid = r.argumentInt(FUSE_SETATTR_IN_VALID_OFFSET) & SETATTR_BITS;
        if (!s.writebackCache) {
            // Only then does the kernel own the change time.
            valid &= ~FATTR_CTIME;
        }
        boolean owner = (valid & (FATTR_UID | FATTR_GID)) != 0;
        if (s.killPrivileges && owner && (valid & FATTR_MODE) == 0) {
            // FUSE_HANDLE_KILLPRIV_V2: a change of owner clears these bits without being told.
            valid |= FsRequest.SET_KILL_PRIVILEGES;
        }
        FsAttributes a = r.newAttributes;
        a.mode = r.argumentInt(FUSE_SETATTR_IN_MODE_OFFSET) & PERMISSION_BITS;
        a.uid = r.argumentInt(FUSE_SETATTR_IN_UID_OFFSET);
        a.gid = r.argumentInt(FUSE_SETATTR_IN_GID_OFFSET);
        a.sizeBytes = r.argumentLong(FUSE_SETATTR_IN_SIZE_OFFSET);
        a.accessTimeNs = time(r, FUSE_SETATTR_IN_ATIME_OFFSET, FUSE_SETATTR_IN_ATIMENSEC_OFFSET);
        a.modifyTimeNs = time(r, FUSE_SETATTR_IN_MTIME_OFFSET, FUSE_SETATTR_IN_MTIMENSEC_OFFSET);
        a.changeTimeNs = time(r, FUSE_SETATTR_IN_CTIME_OFFSET, FUSE_SETATTR_IN_CTIMENSEC_OFFSET);
        boolean badSize = (valid & FATTR_SIZE) != 0 && a.sizeBytes < 0;
        boolean badTime = isBad(a.accessTimeNs, valid, FATTR_ATIME, FATTR_ATIME_NOW)
                || isBad(a.modifyTimeNs, valid, FATTR_MTIME, FATTR_MTIME_NOW)
                || isBad(a.changeTimeNs, valid, FATTR_CTIME, 0);
        if (badSize || badTime) {
            return -Errno.EINVAL;
        }
        r.valid = valid;
        r.handle = r.argumentLong(FUSE_SETATTR_IN_FH_OFFSET);
        return submit(r, FsOp.SETATTR);
    }

    private static boolean isBad(long timeNs, int valid, int given, int now) {
        return timeNs == Long.MIN_VALUE && (valid & given) != 0 && (valid & now) == 0;
    }

    /** Nanoseconds since 1970; {@code Long.MIN_VALUE}, which no time becomes, when the nanoseconds are not ones. */
    private static long time(FuseRequest r, int secondsOffset, int nanosecondsOffset) {
        long nanoseconds = r.argumentUnsignedInt(nanosecondsOffset);
        if (nanoseconds >= NANOSECONDS) {
            return Long.MIN_VALUE;
        }
        long seconds = Math.clamp(r.argumentLong(secondsOffset), -MAX_SECONDS, MAX_SECONDS);
        return seconds * NANOSECONDS + nanoseconds;
    }

    // --- directories

    /** A listing may be shorter than asked for: one page, or a large buffer when there is one. */
    private static int readDirectory(FuseRequest r, FuseState s, FuseSession session, boolean plus) {
        long size =
                Math.min(r.argumentUnsignedInt(FUSE_READ_IN_SIZE_OFFSET), r.replyCapacityBytes - FUSE_OUT_HEADER_SIZE);
        long buffer = r.scratch + FuseRequest.BODY_OFFSET;
        int capacity = FuseRequest.BODY_CAPACITY;
        if (size > capacity) {
            LargeBuffer large = session.borrowLarge();
            if (large != null) {
                r.large = large;
                buffer = large.address;
                capacity = LargeBuffer.CAPACITY;
            }
        }
        r.packer.start(buffer, (int) Math.min(size, capacity), plus, r.nodeid == FUSE_ROOT_ID, s);
        r.filler = r.packer;
        r.wantAttributes = plus;
        r.offset = r.argumentLong(FUSE_READ_IN_OFFSET_OFFSET);
        return withHandle(r, FsOp.READDIR);
    }

    // --- extended attributes

    private static int setExtendedAttribute(FuseRequest r, FuseState s, FuseSession session) {
        long size = r.argumentUnsignedInt(FUSE_SETXATTR_IN_SIZE_OFFSET);
        r.flags = r.argumentInt(FUSE_SETXATTR_IN_FLAGS_OFFSET);
        int argumentBytes = s.extendedSetxattr ? FUSE_SETXATTR_IN_SIZE : FUSE_COMPAT_SETXATTR_IN_SIZE;
        if (!r.takeArguments(argumentBytes)) {
            return -Errno.EINVAL;
        }
        r.killPrivileges = s.extendedSetxattr
                && (r.argumentInt(FUSE_SETXATTR_IN_SETXATTR_FLAGS_OFFSET) & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
        int start = FUSE_IN_HEADER_SIZE + argumentBytes;
        int rest = r.takeRest(argumentBytes, FuseRequest.SCRATCH_SIZE - start);
        int status = attributeName(r, argumentBytes, rest);
        if (status != 0) {
            return status;
        }
        int valueStart = r.nameLength + 1;
        if (size > XATTR_SIZE_MAX) {
            return -Errno.E2BIG;
        }
        if (size > r.messageEnd - start - valueStart || (r.flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) {
            return -Errno.EINVAL;
        }
        r.name2Length = (int) size;
        r.name2Address = r.nameAddress + valueStart;
        if (size > rest - valueStart) {
            LargeBuffer large = session.borrowLarge();
            if (large == null) {
                return -Errno.ENOMEM;
            }
            r.large = large;
            r.name2Address = large.address;
            Iovecs.gather(r.messageIovecs, r.messageIovecCount, start + valueStart, large.address, size);
        }
        return submit(r, FsOp.SETXATTR);
    }

    private static int getExtendedAttribute(FuseRequest r) {
        int status = takeAttributeName(r, FUSE_GETXATTR_IN_SIZE);
        return status != 0 ? status : readExtendedAttribute(r, FsOp.GETXATTR);
    }

    private static int readExtendedAttribute(FuseRequest r, int operation) {
        long size = r.argumentUnsignedInt(FUSE_GETXATTR_IN_SIZE_OFFSET);
        r.length = Math.min(size, XATTR_SIZE_MAX);
        r.dataIovecCount = 0;
        if (!r.hasRoom(size == 0 ? FUSE_GETXATTR_OUT_SIZE : r.length)) {
            return -Errno.EIO;
        }
        r.borrowReply(r.length);
        return submit(r, operation);
    }

    private static int removeExtendedAttribute(FuseRequest r) {
        int status = takeAttributeName(r, 0);
        return status != 0 ? status : submit(r, FsOp.REMOVEXATTR);
    }

    private static int takeAttributeName(FuseRequest r, int argumentBytes) {
        return attributeName(r, argumentBytes, r.takeRest(argumentBytes, XATTR_NAME_MAX + 1));
    }

    private static int attributeName(FuseRequest r, int argumentBytes, int rest) {
        long at = r.scratch + FUSE_IN_HEADER_SIZE + argumentBytes;
        int length = FuseNames.attributeName(at, rest);
        if (length < 0) {
            return length;
        }
        r.nameAddress = at;
        r.nameLength = length;
        boolean acl = length > 16 && Memory.getLong(at) == ACL_NAME_0 && Memory.getLong(at + 8) == ACL_NAME_8;
        // A list that the client's kernel does not obey is better not there.
        return acl && !r.state.accessLists ? -Errno.EOPNOTSUPP : 0;
    }
}

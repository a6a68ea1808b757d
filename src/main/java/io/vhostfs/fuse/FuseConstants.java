package io.vhostfs.fuse;

/** The FUSE protocol's operations and flags (linux/fuse.h up to minor version 45), under their C names. */
public final class FuseConstants {
    // --- Protocol version

    public static final int FUSE_KERNEL_VERSION = 7;

    /** The newest minor version whose changes we know (Linux 6.18); older kernels answer with theirs. */
    public static final int FUSE_KERNEL_MINOR_VERSION = 45;

    public static final int FUSE_ROOT_ID = 1;

    // --- Operations (fuse_in_header.opcode)

    public static final int FUSE_LOOKUP = 1;
    public static final int FUSE_FORGET = 2;
    public static final int FUSE_GETATTR = 3;
    public static final int FUSE_SETATTR = 4;
    public static final int FUSE_READLINK = 5;
    public static final int FUSE_SYMLINK = 6;
    public static final int FUSE_MKNOD = 8;
    public static final int FUSE_MKDIR = 9;
    public static final int FUSE_UNLINK = 10;
    public static final int FUSE_RMDIR = 11;
    public static final int FUSE_RENAME = 12;
    public static final int FUSE_LINK = 13;
    public static final int FUSE_OPEN = 14;
    public static final int FUSE_READ = 15;
    public static final int FUSE_WRITE = 16;
    public static final int FUSE_STATFS = 17;
    public static final int FUSE_RELEASE = 18;
    public static final int FUSE_FSYNC = 20;
    public static final int FUSE_SETXATTR = 21;
    public static final int FUSE_GETXATTR = 22;
    public static final int FUSE_LISTXATTR = 23;
    public static final int FUSE_REMOVEXATTR = 24;
    public static final int FUSE_FLUSH = 25;
    public static final int FUSE_INIT = 26;
    public static final int FUSE_OPENDIR = 27;
    public static final int FUSE_READDIR = 28;
    public static final int FUSE_RELEASEDIR = 29;
    public static final int FUSE_FSYNCDIR = 30;
    public static final int FUSE_GETLK = 31;
    public static final int FUSE_SETLK = 32;
    public static final int FUSE_SETLKW = 33;
    public static final int FUSE_ACCESS = 34;
    public static final int FUSE_CREATE = 35;
    public static final int FUSE_INTERRUPT = 36;
    public static final int FUSE_BMAP = 37;
    public static final int FUSE_DESTROY = 38;
    public static final int FUSE_IOCTL = 39;
    public static final int FUSE_POLL = 40;
    public static final int FUSE_NOTIFY_REPLY = 41;
    public static final int FUSE_BATCH_FORGET = 42;
    public static final int FUSE_FALLOCATE = 43;
    public static final int FUSE_READDIRPLUS = 44;
    public static final int FUSE_RENAME2 = 45;
    public static final int FUSE_LSEEK = 46;
    public static final int FUSE_COPY_FILE_RANGE = 47;
    public static final int FUSE_SETUPMAPPING = 48;
    public static final int FUSE_REMOVEMAPPING = 49;
    public static final int FUSE_SYNCFS = 50;
    public static final int FUSE_TMPFILE = 51;
    public static final int FUSE_STATX = 52;
    public static final int FUSE_COPY_FILE_RANGE_64 = 53;
    public static final int CUSE_INIT = 4096;

    // --- INIT flags; bits 32 and up travel in flags2

    public static final int FUSE_ASYNC_READ = 0x1;
    public static final int FUSE_POSIX_LOCKS = 0x2;
    public static final int FUSE_FILE_OPS = 0x4;
    public static final int FUSE_ATOMIC_O_TRUNC = 0x8;
    public static final int FUSE_EXPORT_SUPPORT = 0x10;
    public static final int FUSE_BIG_WRITES = 0x20;
    public static final int FUSE_DONT_MASK = 0x40;
    public static final int FUSE_SPLICE_WRITE = 0x80;
    public static final int FUSE_SPLICE_MOVE = 0x100;
    public static final int FUSE_SPLICE_READ = 0x200;
    public static final int FUSE_FLOCK_LOCKS = 0x400;
    public static final int FUSE_HAS_IOCTL_DIR = 0x800;
    public static final int FUSE_AUTO_INVAL_DATA = 0x1000;
    public static final int FUSE_DO_READDIRPLUS = 0x2000;
    public static final int FUSE_READDIRPLUS_AUTO = 0x4000;
    public static final int FUSE_ASYNC_DIO = 0x8000;
    public static final int FUSE_WRITEBACK_CACHE = 0x10000;
    public static final int FUSE_NO_OPEN_SUPPORT = 0x20000;
    public static final int FUSE_PARALLEL_DIROPS = 0x40000;
    public static final int FUSE_HANDLE_KILLPRIV = 0x80000;
    public static final int FUSE_POSIX_ACL = 0x100000;
    public static final int FUSE_ABORT_ERROR = 0x200000;
    public static final int FUSE_MAX_PAGES = 0x400000;
    public static final int FUSE_CACHE_SYMLINKS = 0x800000;
    public static final int FUSE_NO_OPENDIR_SUPPORT = 0x1000000;
    public static final int FUSE_EXPLICIT_INVAL_DATA = 0x2000000;
    public static final int FUSE_MAP_ALIGNMENT = 0x4000000;
    public static final int FUSE_SUBMOUNTS = 0x8000000;
    public static final int FUSE_HANDLE_KILLPRIV_V2 = 0x10000000;
    public static final int FUSE_SETXATTR_EXT = 0x20000000;
    public static final int FUSE_INIT_EXT = 0x40000000;

    public static final long FUSE_SECURITY_CTX = 0x100000000L;
    public static final long FUSE_HAS_INODE_DAX = 0x200000000L;
    public static final long FUSE_CREATE_SUPP_GROUP = 0x400000000L;
    public static final long FUSE_HAS_EXPIRE_ONLY = 0x800000000L;
    public static final long FUSE_DIRECT_IO_ALLOW_MMAP = 0x1000000000L;
    public static final long FUSE_PASSTHROUGH = 0x2000000000L;
    public static final long FUSE_NO_EXPORT_SUPPORT = 0x4000000000L;
    public static final long FUSE_HAS_RESEND = 0x8000000000L;
    public static final long FUSE_ALLOW_IDMAP = 0x10000000000L;
    public static final long FUSE_OVER_IO_URING = 0x20000000000L;
    public static final long FUSE_REQUEST_TIMEOUT = 0x40000000000L;

    // --- fuse_setattr_in.valid

    public static final int FATTR_MODE = 0x1;
    public static final int FATTR_UID = 0x2;
    public static final int FATTR_GID = 0x4;
    public static final int FATTR_SIZE = 0x8;
    public static final int FATTR_ATIME = 0x10;
    public static final int FATTR_MTIME = 0x20;
    public static final int FATTR_FH = 0x40;
    public static final int FATTR_ATIME_NOW = 0x80;
    public static final int FATTR_MTIME_NOW = 0x100;
    public static final int FATTR_LOCKOWNER = 0x200;
    public static final int FATTR_CTIME = 0x400;
    public static final int FATTR_KILL_SUIDGID = 0x800;

    // --- fuse_open_out.open_flags

    public static final int FOPEN_DIRECT_IO = 0x1;
    public static final int FOPEN_KEEP_CACHE = 0x2;
    public static final int FOPEN_NONSEEKABLE = 0x4;
    public static final int FOPEN_CACHE_DIR = 0x8;
    public static final int FOPEN_STREAM = 0x10;
    public static final int FOPEN_NOFLUSH = 0x20;
    public static final int FOPEN_PARALLEL_DIRECT_WRITES = 0x40;
    public static final int FOPEN_PASSTHROUGH = 0x80;

    // --- Commands of FUSE_OVER_IO_URING

    public static final int FUSE_IO_URING_CMD_REGISTER = 1;
    public static final int FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2;

    // --- Notifications: fuse_out_header.error of a message whose unique is 0

    public static final int FUSE_NOTIFY_INVAL_INODE = 2;
    public static final int FUSE_NOTIFY_INVAL_ENTRY = 3;
    public static final int FUSE_NOTIFY_INC_EPOCH = 8;

    // --- Flags of single operations

    public static final int FUSE_OPEN_KILL_SUIDGID = 0x1;
    public static final int FUSE_WRITE_CACHE = 0x1;
    public static final int FUSE_WRITE_KILL_SUIDGID = 0x4;
    public static final int FUSE_IOCTL_UNRESTRICTED = 0x2;
    public static final int FUSE_SETXATTR_ACL_KILL_SGID = 0x1;
    public static final int FUSE_RELEASE_FLOCK_UNLOCK = 0x2;
    public static final int FUSE_LK_FLOCK = 0x1;
    public static final int FUSE_FSYNC_FDATASYNC = 0x1;
    public static final int FUSE_GETATTR_FH = 0x1;

    // --- Extensions

    public static final int FUSE_MAX_NR_SECCTX = 31;

    // --- Sizes of older forms of a struct

    public static final int FUSE_COMPAT_SETXATTR_IN_SIZE = 8;

    private FuseConstants() {}
}

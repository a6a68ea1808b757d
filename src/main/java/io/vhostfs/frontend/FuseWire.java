package io.vhostfs.frontend;

/** Constants and layouts of the FUSE protocol (linux/fuse.h), under their C names. */
final class FuseWire {
    static final int FUSE_KERNEL_VERSION = 7;
    static final int FUSE_KERNEL_MINOR_VERSION = 38;

    static final int FUSE_LOOKUP = 1;
    static final int FUSE_FORGET = 2;
    static final int FUSE_GETATTR = 3;
    static final int FUSE_SETATTR = 4;
    static final int FUSE_READLINK = 5;
    static final int FUSE_SYMLINK = 6;
    static final int FUSE_MKDIR = 9;
    static final int FUSE_UNLINK = 10;
    static final int FUSE_RMDIR = 11;
    static final int FUSE_LINK = 13;
    static final int FUSE_OPEN = 14;
    static final int FUSE_READ = 15;
    static final int FUSE_WRITE = 16;
    static final int FUSE_STATFS = 17;
    static final int FUSE_RELEASE = 18;
    static final int FUSE_FSYNC = 20;
    static final int FUSE_SETXATTR = 21;
    static final int FUSE_GETXATTR = 22;
    static final int FUSE_LISTXATTR = 23;
    static final int FUSE_REMOVEXATTR = 24;
    static final int FUSE_FLUSH = 25;
    static final int FUSE_INIT = 26;
    static final int FUSE_OPENDIR = 27;
    static final int FUSE_READDIR = 28;
    static final int FUSE_RELEASEDIR = 29;
    static final int FUSE_FSYNCDIR = 30;
    static final int FUSE_ACCESS = 34;
    static final int FUSE_CREATE = 35;
    static final int FUSE_DESTROY = 38;
    static final int FUSE_FALLOCATE = 43;
    static final int FUSE_READDIRPLUS = 44;
    static final int FUSE_RENAME2 = 45;
    static final int FUSE_LSEEK = 46;
    static final int FUSE_SYNCFS = 50;

    static final int FUSE_ASYNC_READ = 1;
    static final int FUSE_POSIX_LOCKS = 1 << 1;
    static final int FUSE_ATOMIC_O_TRUNC = 1 << 3;
    static final int FUSE_EXPORT_SUPPORT = 1 << 4;
    static final int FUSE_BIG_WRITES = 1 << 5;
    static final int FUSE_AUTO_INVAL_DATA = 1 << 12;
    static final int FUSE_DO_READDIRPLUS = 1 << 13;
    static final int FUSE_READDIRPLUS_AUTO = 1 << 14;
    static final int FUSE_ASYNC_DIO = 1 << 15;
    static final int FUSE_PARALLEL_DIROPS = 1 << 18;
    static final int FUSE_MAX_PAGES = 1 << 22;
    static final int FUSE_CACHE_SYMLINKS = 1 << 23;

    static final int FATTR_MODE = 1;
    static final int FATTR_SIZE = 1 << 3;

    static final int FUSE_IN_HEADER_SIZE = 40;
    static final int FUSE_IN_HEADER_LEN_OFFSET = 0;
    static final int FUSE_IN_HEADER_OPCODE_OFFSET = 4;
    static final int FUSE_IN_HEADER_UNIQUE_OFFSET = 8;
    static final int FUSE_IN_HEADER_NODEID_OFFSET = 16;
    static final int FUSE_IN_HEADER_UID_OFFSET = 24;
    static final int FUSE_IN_HEADER_GID_OFFSET = 28;
    static final int FUSE_IN_HEADER_PID_OFFSET = 32;

    static final int FUSE_OUT_HEADER_SIZE = 16;
    static final int FUSE_OUT_HEADER_LEN_OFFSET = 0;
    static final int FUSE_OUT_HEADER_ERROR_OFFSET = 4;
    static final int FUSE_OUT_HEADER_UNIQUE_OFFSET = 8;

    static final int FUSE_ATTR_SIZE = 88;
    static final int FUSE_ATTR_INO_OFFSET = 0;
    static final int FUSE_ATTR_SIZE_OFFSET = 8;
    static final int FUSE_ATTR_BLOCKS_OFFSET = 16;
    static final int FUSE_ATTR_MODE_OFFSET = 60;
    static final int FUSE_ATTR_NLINK_OFFSET = 64;
    static final int FUSE_ATTR_UID_OFFSET = 68;
    static final int FUSE_ATTR_GID_OFFSET = 72;

    static final int FUSE_ENTRY_OUT_SIZE = 128;
    static final int FUSE_ENTRY_OUT_NODEID_OFFSET = 0;
    static final int FUSE_ENTRY_OUT_GENERATION_OFFSET = 8;
    static final int FUSE_ENTRY_OUT_ATTR_OFFSET = 40;

    static final int FUSE_ATTR_OUT_SIZE = 104;
    static final int FUSE_ATTR_OUT_ATTR_OFFSET = 16;

    static final int FUSE_GETATTR_IN_SIZE = 16;

    static final int FUSE_SETATTR_IN_SIZE = 88;
    static final int FUSE_SETATTR_IN_VALID_OFFSET = 0;
    static final int FUSE_SETATTR_IN_SIZE_OFFSET = 16;
    static final int FUSE_SETATTR_IN_MODE_OFFSET = 68;

    static final int FUSE_OPEN_IN_SIZE = 8;
    static final int FUSE_OPEN_OUT_SIZE = 16;

    static final int FUSE_CREATE_IN_SIZE = 16;
    static final int FUSE_CREATE_IN_FLAGS_OFFSET = 0;
    static final int FUSE_CREATE_IN_MODE_OFFSET = 4;

    static final int FUSE_MKDIR_IN_SIZE = 8;

    static final int FUSE_RENAME2_IN_SIZE = 16;
    static final int FUSE_RENAME2_IN_NEWDIR_OFFSET = 0;
    static final int FUSE_RENAME2_IN_FLAGS_OFFSET = 8;

    static final int FUSE_RELEASE_IN_SIZE = 24;
    static final int FUSE_RELEASE_IN_FLAGS_OFFSET = 8;

    static final int FUSE_FLUSH_IN_SIZE = 24;

    static final int FUSE_READ_IN_SIZE = 40;
    static final int FUSE_READ_IN_FH_OFFSET = 0;
    static final int FUSE_READ_IN_OFFSET_OFFSET = 8;
    static final int FUSE_READ_IN_SIZE_OFFSET = 16;
    static final int FUSE_READ_IN_FLAGS_OFFSET = 32;

    static final int FUSE_WRITE_IN_SIZE = 40;
    static final int FUSE_WRITE_OUT_SIZE = 8;

    static final int FUSE_FSYNC_IN_SIZE = 16;
    static final int FUSE_FSYNC_IN_FSYNC_FLAGS_OFFSET = 8;

    static final int FUSE_STATFS_OUT_SIZE = 80;

    static final int FUSE_FORGET_IN_SIZE = 8;

    static final int FUSE_FALLOCATE_IN_SIZE = 32;
    static final int FUSE_LSEEK_IN_SIZE = 24;
    static final int FUSE_LSEEK_OUT_SIZE = 8;
    static final int FUSE_COMPAT_SETXATTR_IN_SIZE = 8;
    static final int FUSE_GETXATTR_IN_SIZE = 8;
    static final int FUSE_GETXATTR_OUT_SIZE = 8;
    static final int FUSE_ACCESS_IN_SIZE = 8;
    static final int FUSE_SYNCFS_IN_SIZE = 8;

    static final int FUSE_DIRENT_SIZE = 24;
    static final int FUSE_DIRENT_INO_OFFSET = 0;
    static final int FUSE_DIRENT_OFF_OFFSET = 8;
    static final int FUSE_DIRENT_NAMELEN_OFFSET = 16;
    static final int FUSE_DIRENT_TYPE_OFFSET = 20;

    static final int FUSE_INIT_IN_SIZE = 64;
    static final int FUSE_INIT_OUT_SIZE = 64;

    private FuseWire() {}
}

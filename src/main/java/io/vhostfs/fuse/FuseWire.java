package io.vhostfs.fuse;

/** Layouts of the FUSE protocol's structs (linux/fuse.h): byte offsets of fields and sizes, under their C names. */
public final class FuseWire {
    public static final int FUSE_IN_HEADER_LEN_OFFSET = 0;
    public static final int FUSE_IN_HEADER_OPCODE_OFFSET = 4;
    public static final int FUSE_IN_HEADER_UNIQUE_OFFSET = 8;
    public static final int FUSE_IN_HEADER_NODEID_OFFSET = 16;
    public static final int FUSE_IN_HEADER_UID_OFFSET = 24;
    public static final int FUSE_IN_HEADER_GID_OFFSET = 28;
    public static final int FUSE_IN_HEADER_PID_OFFSET = 32;
    public static final int FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET = 36;
    public static final int FUSE_IN_HEADER_SIZE = 40;

    public static final int FUSE_OUT_HEADER_LEN_OFFSET = 0;
    public static final int FUSE_OUT_HEADER_ERROR_OFFSET = 4;
    public static final int FUSE_OUT_HEADER_UNIQUE_OFFSET = 8;
    public static final int FUSE_OUT_HEADER_SIZE = 16;

    public static final int FUSE_EXT_HEADER_SIZE_OFFSET = 0;
    public static final int FUSE_EXT_HEADER_TYPE_OFFSET = 4;
    public static final int FUSE_EXT_HEADER_SIZE = 8;

    public static final int FUSE_SECCTX_HEADER_SIZE = 8;

    public static final int FUSE_SECCTX_SIZE_OFFSET = 0;
    public static final int FUSE_SECCTX_SIZE = 8;

    public static final int FUSE_ATTR_INO_OFFSET = 0;
    public static final int FUSE_ATTR_SIZE_OFFSET = 8;
    public static final int FUSE_ATTR_BLOCKS_OFFSET = 16;
    public static final int FUSE_ATTR_ATIME_OFFSET = 24;
    public static final int FUSE_ATTR_MTIME_OFFSET = 32;
    public static final int FUSE_ATTR_CTIME_OFFSET = 40;
    public static final int FUSE_ATTR_ATIMENSEC_OFFSET = 48;
    public static final int FUSE_ATTR_MTIMENSEC_OFFSET = 52;
    public static final int FUSE_ATTR_CTIMENSEC_OFFSET = 56;
    public static final int FUSE_ATTR_MODE_OFFSET = 60;
    public static final int FUSE_ATTR_NLINK_OFFSET = 64;
    public static final int FUSE_ATTR_UID_OFFSET = 68;
    public static final int FUSE_ATTR_GID_OFFSET = 72;
    public static final int FUSE_ATTR_RDEV_OFFSET = 76;
    public static final int FUSE_ATTR_BLKSIZE_OFFSET = 80;
    public static final int FUSE_ATTR_FLAGS_OFFSET = 84;
    public static final int FUSE_ATTR_SIZE = 88;

    public static final int FUSE_ENTRY_OUT_NODEID_OFFSET = 0;
    public static final int FUSE_ENTRY_OUT_GENERATION_OFFSET = 8;
    public static final int FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET = 16;
    public static final int FUSE_ENTRY_OUT_ATTR_VALID_OFFSET = 24;
    public static final int FUSE_ENTRY_OUT_ENTRY_VALID_NSEC_OFFSET = 32;
    public static final int FUSE_ENTRY_OUT_ATTR_VALID_NSEC_OFFSET = 36;
    public static final int FUSE_ENTRY_OUT_ATTR_OFFSET = 40;
    public static final int FUSE_ENTRY_OUT_SIZE = 128;

    public static final int FUSE_ATTR_OUT_ATTR_VALID_OFFSET = 0;
    public static final int FUSE_ATTR_OUT_ATTR_VALID_NSEC_OFFSET = 8;
    public static final int FUSE_ATTR_OUT_ATTR_OFFSET = 16;
    public static final int FUSE_ATTR_OUT_SIZE = 104;

    public static final int FUSE_INIT_IN_MAJOR_OFFSET = 0;
    public static final int FUSE_INIT_IN_MINOR_OFFSET = 4;
    public static final int FUSE_INIT_IN_MAX_READAHEAD_OFFSET = 8;
    public static final int FUSE_INIT_IN_FLAGS_OFFSET = 12;
    public static final int FUSE_INIT_IN_FLAGS2_OFFSET = 16;
    public static final int FUSE_INIT_IN_SIZE = 64;

    public static final int FUSE_INIT_OUT_MAJOR_OFFSET = 0;
    public static final int FUSE_INIT_OUT_MINOR_OFFSET = 4;
    public static final int FUSE_INIT_OUT_MAX_READAHEAD_OFFSET = 8;
    public static final int FUSE_INIT_OUT_FLAGS_OFFSET = 12;
    public static final int FUSE_INIT_OUT_MAX_BACKGROUND_OFFSET = 16;
    public static final int FUSE_INIT_OUT_CONGESTION_THRESHOLD_OFFSET = 18;
    public static final int FUSE_INIT_OUT_MAX_WRITE_OFFSET = 20;
    public static final int FUSE_INIT_OUT_TIME_GRAN_OFFSET = 24;
    public static final int FUSE_INIT_OUT_MAX_PAGES_OFFSET = 28;
    public static final int FUSE_INIT_OUT_MAP_ALIGNMENT_OFFSET = 30;
    public static final int FUSE_INIT_OUT_FLAGS2_OFFSET = 32;
    public static final int FUSE_INIT_OUT_SIZE = 64;

    public static final int FUSE_FORGET_IN_NLOOKUP_OFFSET = 0;
    public static final int FUSE_FORGET_IN_SIZE = 8;

    public static final int FUSE_BATCH_FORGET_IN_COUNT_OFFSET = 0;
    public static final int FUSE_BATCH_FORGET_IN_SIZE = 8;

    public static final int FUSE_FORGET_ONE_NODEID_OFFSET = 0;
    public static final int FUSE_FORGET_ONE_NLOOKUP_OFFSET = 8;
    public static final int FUSE_FORGET_ONE_SIZE = 16;

    public static final int FUSE_GETATTR_IN_GETATTR_FLAGS_OFFSET = 0;
    public static final int FUSE_GETATTR_IN_FH_OFFSET = 8;
    public static final int FUSE_GETATTR_IN_SIZE = 16;

    public static final int FUSE_SETATTR_IN_VALID_OFFSET = 0;
    public static final int FUSE_SETATTR_IN_FH_OFFSET = 8;
    public static final int FUSE_SETATTR_IN_SIZE_OFFSET = 16;
    public static final int FUSE_SETATTR_IN_LOCK_OWNER_OFFSET = 24;
    public static final int FUSE_SETATTR_IN_ATIME_OFFSET = 32;
    public static final int FUSE_SETATTR_IN_MTIME_OFFSET = 40;
    public static final int FUSE_SETATTR_IN_CTIME_OFFSET = 48;
    public static final int FUSE_SETATTR_IN_ATIMENSEC_OFFSET = 56;
    public static final int FUSE_SETATTR_IN_MTIMENSEC_OFFSET = 60;
    public static final int FUSE_SETATTR_IN_CTIMENSEC_OFFSET = 64;
    public static final int FUSE_SETATTR_IN_MODE_OFFSET = 68;
    public static final int FUSE_SETATTR_IN_UID_OFFSET = 76;
    public static final int FUSE_SETATTR_IN_GID_OFFSET = 80;
    public static final int FUSE_SETATTR_IN_SIZE = 88;

    public static final int FUSE_MKNOD_IN_MODE_OFFSET = 0;
    public static final int FUSE_MKNOD_IN_RDEV_OFFSET = 4;
    public static final int FUSE_MKNOD_IN_UMASK_OFFSET = 8;
    public static final int FUSE_MKNOD_IN_SIZE = 16;

    public static final int FUSE_MKDIR_IN_MODE_OFFSET = 0;
    public static final int FUSE_MKDIR_IN_UMASK_OFFSET = 4;
    public static final int FUSE_MKDIR_IN_SIZE = 8;

    public static final int FUSE_RENAME_IN_NEWDIR_OFFSET = 0;
    public static final int FUSE_RENAME_IN_SIZE = 8;

    public static final int FUSE_RENAME2_IN_NEWDIR_OFFSET = 0;
    public static final int FUSE_RENAME2_IN_FLAGS_OFFSET = 8;
    public static final int FUSE_RENAME2_IN_SIZE = 16;

    public static final int FUSE_LINK_IN_OLDNODEID_OFFSET = 0;
    public static final int FUSE_LINK_IN_SIZE = 8;

    public static final int FUSE_OPEN_IN_FLAGS_OFFSET = 0;
    public static final int FUSE_OPEN_IN_OPEN_FLAGS_OFFSET = 4;
    public static final int FUSE_OPEN_IN_SIZE = 8;

    public static final int FUSE_OPEN_OUT_FH_OFFSET = 0;
    public static final int FUSE_OPEN_OUT_OPEN_FLAGS_OFFSET = 8;
    public static final int FUSE_OPEN_OUT_SIZE = 16;

    public static final int FUSE_CREATE_IN_FLAGS_OFFSET = 0;
    public static final int FUSE_CREATE_IN_MODE_OFFSET = 4;
    public static final int FUSE_CREATE_IN_UMASK_OFFSET = 8;
    public static final int FUSE_CREATE_IN_OPEN_FLAGS_OFFSET = 12;
    public static final int FUSE_CREATE_IN_SIZE = 16;

    public static final int FUSE_READ_IN_FH_OFFSET = 0;
    public static final int FUSE_READ_IN_OFFSET_OFFSET = 8;
    public static final int FUSE_READ_IN_SIZE_OFFSET = 16;
    public static final int FUSE_READ_IN_READ_FLAGS_OFFSET = 20;
    public static final int FUSE_READ_IN_LOCK_OWNER_OFFSET = 24;
    public static final int FUSE_READ_IN_FLAGS_OFFSET = 32;
    public static final int FUSE_READ_IN_SIZE = 40;

    public static final int FUSE_WRITE_IN_FH_OFFSET = 0;
    public static final int FUSE_WRITE_IN_OFFSET_OFFSET = 8;
    public static final int FUSE_WRITE_IN_SIZE_OFFSET = 16;
    public static final int FUSE_WRITE_IN_WRITE_FLAGS_OFFSET = 20;
    public static final int FUSE_WRITE_IN_LOCK_OWNER_OFFSET = 24;
    public static final int FUSE_WRITE_IN_FLAGS_OFFSET = 32;
    public static final int FUSE_WRITE_IN_SIZE = 40;

    public static final int FUSE_WRITE_OUT_SIZE_OFFSET = 0;
    public static final int FUSE_WRITE_OUT_SIZE = 8;

    public static final int FUSE_STATFS_OUT_ST_OFFSET = 0;
    public static final int FUSE_STATFS_OUT_SIZE = 80;

    public static final int FUSE_RELEASE_IN_FH_OFFSET = 0;
    public static final int FUSE_RELEASE_IN_FLAGS_OFFSET = 8;
    public static final int FUSE_RELEASE_IN_RELEASE_FLAGS_OFFSET = 12;
    public static final int FUSE_RELEASE_IN_LOCK_OWNER_OFFSET = 16;
    public static final int FUSE_RELEASE_IN_SIZE = 24;

    public static final int FUSE_FSYNC_IN_FH_OFFSET = 0;
    public static final int FUSE_FSYNC_IN_FSYNC_FLAGS_OFFSET = 8;
    public static final int FUSE_FSYNC_IN_SIZE = 16;

    public static final int FUSE_SETXATTR_IN_SIZE_OFFSET = 0;
    public static final int FUSE_SETXATTR_IN_FLAGS_OFFSET = 4;
    public static final int FUSE_SETXATTR_IN_SETXATTR_FLAGS_OFFSET = 8;
    public static final int FUSE_SETXATTR_IN_SIZE = 16;

    public static final int FUSE_GETXATTR_IN_SIZE_OFFSET = 0;
    public static final int FUSE_GETXATTR_IN_SIZE = 8;

    public static final int FUSE_GETXATTR_OUT_SIZE_OFFSET = 0;
    public static final int FUSE_GETXATTR_OUT_SIZE = 8;

    public static final int FUSE_FLUSH_IN_FH_OFFSET = 0;
    public static final int FUSE_FLUSH_IN_LOCK_OWNER_OFFSET = 16;
    public static final int FUSE_FLUSH_IN_SIZE = 24;

    public static final int FUSE_ACCESS_IN_MASK_OFFSET = 0;
    public static final int FUSE_ACCESS_IN_SIZE = 8;

    public static final int FUSE_FALLOCATE_IN_FH_OFFSET = 0;
    public static final int FUSE_FALLOCATE_IN_OFFSET_OFFSET = 8;
    public static final int FUSE_FALLOCATE_IN_LENGTH_OFFSET = 16;
    public static final int FUSE_FALLOCATE_IN_MODE_OFFSET = 24;
    public static final int FUSE_FALLOCATE_IN_SIZE = 32;

    public static final int FUSE_LSEEK_IN_FH_OFFSET = 0;
    public static final int FUSE_LSEEK_IN_OFFSET_OFFSET = 8;
    public static final int FUSE_LSEEK_IN_WHENCE_OFFSET = 16;
    public static final int FUSE_LSEEK_IN_SIZE = 24;

    public static final int FUSE_LSEEK_OUT_OFFSET_OFFSET = 0;
    public static final int FUSE_LSEEK_OUT_SIZE = 8;

    public static final int FUSE_SYNCFS_IN_SIZE = 8;

    public static final int FUSE_INTERRUPT_IN_UNIQUE_OFFSET = 0;
    public static final int FUSE_INTERRUPT_IN_SIZE = 8;

    public static final int FUSE_IOCTL_IN_FH_OFFSET = 0;
    public static final int FUSE_IOCTL_IN_FLAGS_OFFSET = 8;
    public static final int FUSE_IOCTL_IN_CMD_OFFSET = 12;
    public static final int FUSE_IOCTL_IN_IN_SIZE_OFFSET = 24;
    public static final int FUSE_IOCTL_IN_OUT_SIZE_OFFSET = 28;
    public static final int FUSE_IOCTL_IN_SIZE = 32;

    public static final int FUSE_IOCTL_OUT_SIZE = 16;

    public static final int FUSE_STATX_IN_GETATTR_FLAGS_OFFSET = 0;
    public static final int FUSE_STATX_IN_FH_OFFSET = 8;
    public static final int FUSE_STATX_IN_SX_FLAGS_OFFSET = 16;
    public static final int FUSE_STATX_IN_SX_MASK_OFFSET = 20;
    public static final int FUSE_STATX_IN_SIZE = 24;

    public static final int FUSE_STATX_OUT_ATTR_VALID_OFFSET = 0;
    public static final int FUSE_STATX_OUT_ATTR_VALID_NSEC_OFFSET = 8;
    public static final int FUSE_STATX_OUT_FLAGS_OFFSET = 12;
    public static final int FUSE_STATX_OUT_STAT_OFFSET = 32;
    public static final int FUSE_STATX_OUT_SIZE = 288;

    public static final int FUSE_STATX_MASK_OFFSET = 0;
    public static final int FUSE_STATX_BLKSIZE_OFFSET = 4;
    public static final int FUSE_STATX_ATTRIBUTES_OFFSET = 8;
    public static final int FUSE_STATX_NLINK_OFFSET = 16;
    public static final int FUSE_STATX_UID_OFFSET = 20;
    public static final int FUSE_STATX_GID_OFFSET = 24;
    public static final int FUSE_STATX_MODE_OFFSET = 28;
    public static final int FUSE_STATX_INO_OFFSET = 32;
    public static final int FUSE_STATX_SIZE_OFFSET = 40;
    public static final int FUSE_STATX_BLOCKS_OFFSET = 48;
    public static final int FUSE_STATX_ATTRIBUTES_MASK_OFFSET = 56;
    public static final int FUSE_STATX_ATIME_OFFSET = 64;
    public static final int FUSE_STATX_BTIME_OFFSET = 80;
    public static final int FUSE_STATX_CTIME_OFFSET = 96;
    public static final int FUSE_STATX_MTIME_OFFSET = 112;
    public static final int FUSE_STATX_RDEV_MAJOR_OFFSET = 128;
    public static final int FUSE_STATX_RDEV_MINOR_OFFSET = 132;
    public static final int FUSE_STATX_DEV_MAJOR_OFFSET = 136;
    public static final int FUSE_STATX_DEV_MINOR_OFFSET = 140;
    public static final int FUSE_STATX_SIZE = 256;

    public static final int FUSE_SX_TIME_TV_SEC_OFFSET = 0;
    public static final int FUSE_SX_TIME_TV_NSEC_OFFSET = 8;
    public static final int FUSE_SX_TIME_SIZE = 16;

    public static final int FUSE_KSTATFS_BLOCKS_OFFSET = 0;
    public static final int FUSE_KSTATFS_BFREE_OFFSET = 8;
    public static final int FUSE_KSTATFS_BAVAIL_OFFSET = 16;
    public static final int FUSE_KSTATFS_FILES_OFFSET = 24;
    public static final int FUSE_KSTATFS_FFREE_OFFSET = 32;
    public static final int FUSE_KSTATFS_BSIZE_OFFSET = 40;
    public static final int FUSE_KSTATFS_NAMELEN_OFFSET = 44;
    public static final int FUSE_KSTATFS_FRSIZE_OFFSET = 48;
    public static final int FUSE_KSTATFS_SIZE = 80;

    public static final int FUSE_DIRENT_INO_OFFSET = 0;
    public static final int FUSE_DIRENT_OFF_OFFSET = 8;
    public static final int FUSE_DIRENT_NAMELEN_OFFSET = 16;
    public static final int FUSE_DIRENT_TYPE_OFFSET = 20;
    public static final int FUSE_DIRENT_NAME_OFFSET = 24;
    public static final int FUSE_DIRENT_SIZE = 24;

    public static final int FUSE_DIRENTPLUS_ENTRY_OUT_OFFSET = 0;
    public static final int FUSE_DIRENTPLUS_DIRENT_OFFSET = 128;
    public static final int FUSE_DIRENTPLUS_SIZE = 152;

    public static final int FUSE_NOTIFY_INVAL_INODE_OUT_SIZE = 24;
    public static final int FUSE_NOTIFY_INVAL_INODE_OUT_INO_OFFSET = 0;
    public static final int FUSE_NOTIFY_INVAL_INODE_OUT_OFF_OFFSET = 8;
    public static final int FUSE_NOTIFY_INVAL_INODE_OUT_LEN_OFFSET = 16;
    public static final int FUSE_NOTIFY_INVAL_ENTRY_OUT_SIZE = 16;
    public static final int FUSE_NOTIFY_INVAL_ENTRY_OUT_PARENT_OFFSET = 0;
    public static final int FUSE_NOTIFY_INVAL_ENTRY_OUT_NAMELEN_OFFSET = 8;
    public static final int FUSE_NOTIFY_INVAL_ENTRY_OUT_FLAGS_OFFSET = 12;

    public static final int FUSE_COPY_FILE_RANGE_IN_SIZE = 56;
    public static final int FUSE_COPY_FILE_RANGE_IN_FH_IN_OFFSET = 0;
    public static final int FUSE_COPY_FILE_RANGE_IN_OFF_IN_OFFSET = 8;
    public static final int FUSE_COPY_FILE_RANGE_IN_NODEID_OUT_OFFSET = 16;
    public static final int FUSE_COPY_FILE_RANGE_IN_FH_OUT_OFFSET = 24;
    public static final int FUSE_COPY_FILE_RANGE_IN_OFF_OUT_OFFSET = 32;
    public static final int FUSE_COPY_FILE_RANGE_IN_LEN_OFFSET = 40;
    public static final int FUSE_COPY_FILE_RANGE_IN_FLAGS_OFFSET = 48;
    public static final int FUSE_COPY_FILE_RANGE_OUT_SIZE = 8;

    public static final int FUSE_LK_IN_SIZE = 48;
    public static final int FUSE_LK_IN_FH_OFFSET = 0;
    public static final int FUSE_LK_IN_OWNER_OFFSET = 8;
    public static final int FUSE_LK_IN_LK_OFFSET = 16;
    public static final int FUSE_LK_IN_LK_FLAGS_OFFSET = 40;
    public static final int FUSE_LK_OUT_SIZE = 24;
    public static final int FUSE_FILE_LOCK_START_OFFSET = 0;
    public static final int FUSE_FILE_LOCK_END_OFFSET = 8;
    public static final int FUSE_FILE_LOCK_TYPE_OFFSET = 16;
    public static final int FUSE_FILE_LOCK_PID_OFFSET = 20;

    public static final int FUSE_URING_REQ_HEADER_SIZE = 288;
    public static final int FUSE_URING_REQ_HEADER_IN_OUT_OFFSET = 0;
    public static final int FUSE_URING_REQ_HEADER_OP_IN_OFFSET = 128;
    public static final int FUSE_URING_REQ_HEADER_RING_ENT_IN_OUT_OFFSET = 256;
    public static final int FUSE_URING_ENT_IN_OUT_COMMIT_ID_OFFSET = 8;
    public static final int FUSE_URING_ENT_IN_OUT_PAYLOAD_SZ_OFFSET = 16;
    public static final int FUSE_URING_CMD_REQ_COMMIT_ID_OFFSET = 8;
    public static final int FUSE_URING_CMD_REQ_QID_OFFSET = 16;

    private FuseWire() {}
}

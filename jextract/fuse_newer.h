/*
 * What the FUSE protocol has added since minor version 38, the one that Debian 12's <linux/fuse.h> describes, up to 45 (Linux
 * 6.18). Nothing here changes an existing field: later minor versions give a meaning to what was reserved before, which is
 * why fuse_init_out and fuse_open_out stand here again under names of their own.
 */
#ifndef VHOSTFS_FUSE_NEWER_H
#define VHOSTFS_FUSE_NEWER_H

#include <stdint.h>

/* INIT flags. Bits 32 and up travel in flags2. */
#define FUSE_CREATE_SUPP_GROUP (1ULL << 34)
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define FUSE_PASSTHROUGH (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT (1ULL << 38)
#define FUSE_HAS_RESEND (1ULL << 39)
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#define FUSE_OVER_IO_URING (1ULL << 41)
#define FUSE_REQUEST_TIMEOUT (1ULL << 42)

/* fuse_open_out.open_flags */
#define FOPEN_PASSTHROUGH (1 << 7)

/* The extension that carries supplementary groups, after FUSE_CREATE_SUPP_GROUP was agreed on */
#define FUSE_EXT_GROUPS 32

struct fuse_supp_groups {
    uint32_t nr_groups;
    uint32_t groups[];
};

/* Operations */
#define FUSE_STATX 52
#define FUSE_COPY_FILE_RANGE_64 53

/* Notifications */
#define FUSE_NOTIFY_RESEND 7
#define FUSE_NOTIFY_INC_EPOCH 8
#define FUSE_NOTIFY_PRUNE 9

/* The bit of fuse_in_header.unique that marks a request sent again after FUSE_NOTIFY_RESEND */
#define FUSE_UNIQUE_RESEND (1ULL << 63)

/* fuse_in_header.uid and gid of a request on an idmapped mount whose operation carries no owner */
#define FUSE_INVALID_UIDGID ((uint32_t)(-1))

struct fuse_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t reserved;
};

struct fuse_statx {
    uint32_t mask;
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t spare0;
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct fuse_sx_time atime;
    struct fuse_sx_time btime;
    struct fuse_sx_time ctime;
    struct fuse_sx_time mtime;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint64_t spare2[14];
};

struct fuse_statx_in {
    uint32_t getattr_flags;
    uint32_t reserved;
    uint64_t fh;
    uint32_t sx_flags;
    uint32_t sx_mask;
};

struct fuse_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t flags;
    uint64_t spare[2];
    struct fuse_statx stat;
};

struct fuse_copy_file_range_out {
    uint64_t bytes_copied;
};

struct fuse_notify_prune_out {
    uint32_t count;
    uint32_t padding;
    uint64_t spare;
};

/* fuse_init_out of minor version 43: max_stack_depth came with 40, request_timeout (in seconds) with 43 */
struct fuse_init_out_43 {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background;
    uint16_t congestion_threshold;
    uint32_t max_write;
    uint32_t time_gran;
    uint16_t max_pages;
    uint16_t map_alignment;
    uint32_t flags2;
    uint32_t max_stack_depth;
    uint16_t request_timeout;
    uint16_t unused[11];
};

/* fuse_open_out of minor version 40 */
struct fuse_open_out_40 {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

/* Requests through io_uring (minor version 42): the buffer header of an entry and the command in the submission entry */
#define FUSE_URING_IN_OUT_HEADER_SZ 128
#define FUSE_URING_OP_IN_OUT_SZ 128

#define FUSE_IO_URING_CMD_REGISTER 1
#define FUSE_IO_URING_CMD_COMMIT_AND_FETCH 2

struct fuse_uring_ent_in_out {
    uint64_t flags;
    uint64_t commit_id;
    uint32_t payload_sz;
    uint32_t padding;
    uint64_t reserved;
};

struct fuse_uring_req_header {
    char in_out[FUSE_URING_IN_OUT_HEADER_SZ];
    char op_in[FUSE_URING_OP_IN_OUT_SZ];
    struct fuse_uring_ent_in_out ring_ent_in_out;
};

struct fuse_uring_cmd_req {
    uint64_t flags;
    uint64_t commit_id;
    uint16_t qid;
    uint8_t padding[6];
};

#endif

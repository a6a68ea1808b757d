/*
 * io_uring constants that are newer than the Linux 6.1 header of Debian 12. All are optional: a kernel that does not know
 * them answers EINVAL at set-up or registration, or does not report the feature bit.
 */
#ifndef VHOSTFS_IO_URING_NEWER_H
#define VHOSTFS_IO_URING_NEWER_H

/* io_uring_setup flags: 6.5, 6.5, 6.6, 6.13 */
#define IORING_SETUP_NO_MMAP (1U << 14)
#define IORING_SETUP_REGISTERED_FD_ONLY (1U << 15)
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#define IORING_SETUP_HYBRID_IOPOLL (1U << 17)

/* Features that io_uring_setup reports: 6.3, 6.10, 6.12, 6.14, 6.15 */
#define IORING_FEAT_REG_REG_RING (1U << 13)
#define IORING_FEAT_RECVSEND_BUNDLE (1U << 14)
#define IORING_FEAT_MIN_TIMEOUT (1U << 15)
#define IORING_FEAT_RW_ATTR (1U << 16)
#define IORING_FEAT_NO_IOWAIT (1U << 17)

/* Flags of io_uring_enter: 6.12, 6.13, 6.15 */
#define IORING_ENTER_ABS_TIMER (1U << 5)
#define IORING_ENTER_EXT_ARG_REG (1U << 6)
#define IORING_ENTER_NO_IOWAIT (1U << 7)

/* io_uring_register operations: 6.10, 6.12, 6.13 */
#define IORING_REGISTER_CLOCK 29
#define IORING_REGISTER_CLONE_BUFFERS 30
#define IORING_REGISTER_RESIZE_RINGS 33
#define IORING_REGISTER_MEM_REGION 34
#define IORING_REGISTER_USE_REGISTERED_RING (1U << 31)

/* Operations: 6.7 and on */
#define IORING_OP_READ_MULTISHOT 49
#define IORING_OP_WAITID 50
#define IORING_OP_FUTEX_WAIT 51
#define IORING_OP_FUTEX_WAKE 52
#define IORING_OP_FUTEX_WAITV 53
#define IORING_OP_FIXED_FD_INSTALL 54
#define IORING_OP_FTRUNCATE 55
#define IORING_OP_BIND 56
#define IORING_OP_LISTEN 57
#define IORING_OP_RECV_ZC 58
#define IORING_OP_EPOLL_WAIT 59
#define IORING_OP_READV_FIXED 60
#define IORING_OP_WRITEV_FIXED 61

#endif

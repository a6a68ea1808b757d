/*
 * The part of the C library and of the kernel's general interface that vhostfs calls.
 *
 * Two kinds of declarations of the system headers cannot be used from Java as they stand. The headers are read with those
 * names hidden, and the functions are declared again at the end of this file, as what they are at the level of the ABI.
 *
 * - ioctl, fcntl, open, openat, prctl and syscall are variadic. For such a function jextract writes an invoker class instead
 *   of a method, and the linker wants the variadic types at each call site. The Linux ABIs of x86-64 and aarch64 pass integer
 *   and pointer arguments of a variadic function exactly as those of a fixed one, which makes both declarations the same call.
 * - The socket calls take their address as a "transparent union" of pointers, which is passed as its first member but looks
 *   to jextract like a union passed by value.
 */
#define _GNU_SOURCE

#define ioctl vhostfs_hidden_ioctl
#define fcntl vhostfs_hidden_fcntl
#define open vhostfs_hidden_open
#define openat vhostfs_hidden_openat
#define prctl vhostfs_hidden_prctl
#define syscall vhostfs_hidden_syscall
#define accept4 vhostfs_hidden_accept4
#define bind vhostfs_hidden_bind
#define connect vhostfs_hidden_connect
#define getpeername vhostfs_hidden_getpeername
#define getsockname vhostfs_hidden_getsockname

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#include <linux/blkzoned.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>

#undef ioctl
#undef fcntl
#undef open
#undef openat
#undef prctl
#undef syscall
#undef accept4
#undef bind
#undef connect
#undef getpeername
#undef getsockname

int ioctl(int fd, unsigned long request, long arg);
int fcntl(int fd, int cmd, long arg);
int open(const char *path, int flags, mode_t mode);
int openat(int dirfd, const char *path, int flags, mode_t mode);
int prctl(int option, unsigned long arg2, unsigned long arg3, unsigned long arg4, unsigned long arg5);
long syscall(long number, long arg0, long arg1, long arg2, long arg3, long arg4, long arg5);

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int bind(int fd, const struct sockaddr *address, socklen_t length);
int connect(int fd, const struct sockaddr *address, socklen_t length);
int getpeername(int fd, struct sockaddr *address, socklen_t *length);
int getsockname(int fd, struct sockaddr *address, socklen_t *length);

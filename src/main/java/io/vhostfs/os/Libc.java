package io.vhostfs.os;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * System calls as the C library offers them: each returns its result, or the negative errno when the call failed.
 *
 * <p>Pointers are raw addresses. Nothing is retried: {@code -EINTR} reaches the caller. Any thread.
 */
public final class Libc {
    private static final MethodHandle OPEN =
            Native.variadicWithErrno("open", 2, FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT));
    private static final MethodHandle CLOSE = Native.withErrno("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle READ =
            Native.withErrno("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle WRITE =
            Native.withErrno("write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle WRITEV =
            Native.withErrno("writev", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle PREAD =
            Native.withErrno("pread", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle PWRITE =
            Native.withErrno("pwrite", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle MMAP = Native.withErrno(
            "mmap", FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MUNMAP =
            Native.withErrno("munmap", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle MADVISE =
            Native.withErrno("madvise", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    private static final MethodHandle MLOCK =
            Native.withErrno("mlock", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle FTRUNCATE =
            Native.withErrno("ftruncate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle FALLOCATE =
            Native.withErrno("fallocate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle FDATASYNC =
            Native.withErrno("fdatasync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle FLOCK =
            Native.withErrno("flock", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle STATX = Native.withErrno(
            "statx", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MEMFD_CREATE =
            Native.withErrno("memfd_create", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle EVENTFD =
            Native.withErrno("eventfd", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle EPOLL_CREATE1 =
            Native.withErrno("epoll_create1", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle EPOLL_CTL =
            Native.withErrno("epoll_ctl", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle EPOLL_WAIT =
            Native.withErrno("epoll_wait", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT));
    private static final MethodHandle POLL =
            Native.withErrno("poll", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    private static final MethodHandle SOCKET =
            Native.withErrno("socket", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SOCKETPAIR =
            Native.withErrno("socketpair", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle BIND =
            Native.withErrno("bind", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle LISTEN =
            Native.withErrno("listen", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle ACCEPT4 =
            Native.withErrno("accept4", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    private static final MethodHandle CONNECT =
            Native.withErrno("connect", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle GETSOCKOPT = Native.withErrno(
            "getsockopt", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle SENDMSG =
            Native.withErrno("sendmsg", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle RECVMSG =
            Native.withErrno("recvmsg", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle SHUTDOWN =
            Native.withErrno("shutdown", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle FCNTL =
            Native.variadicWithErrno("fcntl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle IOCTL =
            Native.variadicWithErrno("ioctl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle CLOCK_GETTIME =
            Native.critical("clock_gettime", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle UNLINK = Native.withErrno("unlink", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
    private static final MethodHandle MOUNT = Native.withErrno(
            "mount", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle UMOUNT2 =
            Native.withErrno("umount2", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle SYNCFS = Native.withErrno("syncfs", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle UNSHARE = Native.withErrno("unshare", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle KILL =
            Native.withErrno("kill", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SCHED_SETAFFINITY =
            Native.withErrno("sched_setaffinity", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle SCHED_GETAFFINITY =
            Native.withErrno("sched_getaffinity", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle GETRLIMIT =
            Native.withErrno("getrlimit", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle SETRLIMIT =
            Native.withErrno("setrlimit", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle SYSCALL = Native.variadicWithErrno(
            "syscall",
            1,
            FunctionDescriptor.of(
                    JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));

    /** The same on every architecture; the C library's own wrapper is younger than the call. */
    private static final long SYS_EPOLL_PWAIT2 = 441;

    private Libc() {}

    /** open(2). */
    public static int open(long pathAddress, int flags, int mode) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) OPEN.invokeExact(state, pathAddress, flags, mode);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** close(2). */
    public static int close(int fd) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) CLOSE.invokeExact(state, fd);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** read(2). */
    public static long read(int fd, long address, long length) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) READ.invokeExact(state, fd, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** write(2). */
    public static long write(int fd, long address, long length) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) WRITE.invokeExact(state, fd, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** writev(2). */
    public static long writev(int fd, long iovecsAddress, int count) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) WRITEV.invokeExact(state, fd, iovecsAddress, count);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** pread(2). */
    public static long pread(int fd, long address, long length, long offset) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) PREAD.invokeExact(state, fd, address, length, offset);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** pwrite(2). */
    public static long pwrite(int fd, long address, long length, long offset) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) PWRITE.invokeExact(state, fd, address, length, offset);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** mmap(2). */
    public static long mmap(long address, long length, int prot, int flags, int fd, long offset) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) MMAP.invokeExact(state, address, length, prot, flags, fd, offset);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** munmap(2). */
    public static int munmap(long address, long length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) MUNMAP.invokeExact(state, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** madvise(2). */
    public static int madvise(long address, long length, int advice) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) MADVISE.invokeExact(state, address, length, advice);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** mlock(2). */
    public static int mlock(long address, long length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) MLOCK.invokeExact(state, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** ftruncate(2). */
    public static int ftruncate(int fd, long length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) FTRUNCATE.invokeExact(state, fd, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** fallocate(2). */
    public static int fallocate(int fd, int mode, long offset, long length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) FALLOCATE.invokeExact(state, fd, mode, offset, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** fdatasync(2). */
    public static int fdatasync(int fd) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) FDATASYNC.invokeExact(state, fd);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** flock(2). */
    public static int flock(int fd, int operation) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) FLOCK.invokeExact(state, fd, operation);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** statx(2). */
    public static int statx(int directoryFd, long pathAddress, int flags, int mask, long statxAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) STATX.invokeExact(state, directoryFd, pathAddress, flags, mask, statxAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** memfd_create(2). */
    public static int memfdCreate(long nameAddress, int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) MEMFD_CREATE.invokeExact(state, nameAddress, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** eventfd(2). */
    public static int eventfd(int initial, int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) EVENTFD.invokeExact(state, initial, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** epoll_create1(2). */
    public static int epollCreate1(int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) EPOLL_CREATE1.invokeExact(state, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** epoll_ctl(2). */
    public static int epollCtl(int epollFd, int operation, int fd, long eventAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) EPOLL_CTL.invokeExact(state, epollFd, operation, fd, eventAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** epoll_wait(2). */
    public static int epollWait(int epollFd, long eventsAddress, int maxEvents, int timeoutMs) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) EPOLL_WAIT.invokeExact(state, epollFd, eventsAddress, maxEvents, timeoutMs);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** epoll_pwait2(2) without a signal mask: a timeout in nanoseconds, or none when {@code timespecAddress} is 0. */
    public static int epollPwait2(int epollFd, long eventsAddress, int maxEvents, long timespecAddress) {
        return (int) syscall(SYS_EPOLL_PWAIT2, epollFd, eventsAddress, maxEvents, timespecAddress, 0, 0);
    }

    /** poll(2). */
    public static int poll(long pollfdsAddress, long count, int timeoutMs) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) POLL.invokeExact(state, pollfdsAddress, count, timeoutMs);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** socket(2). */
    public static int socket(int domain, int type, int protocol) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SOCKET.invokeExact(state, domain, type, protocol);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** socketpair(2). */
    public static int socketpair(int domain, int type, int protocol, long fdsAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SOCKETPAIR.invokeExact(state, domain, type, protocol, fdsAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** bind(2). */
    public static int bind(int fd, long address, int length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) BIND.invokeExact(state, fd, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** listen(2). */
    public static int listen(int fd, int backlog) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) LISTEN.invokeExact(state, fd, backlog);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** accept4(2). */
    public static int accept4(int fd, long address, long lengthAddress, int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) ACCEPT4.invokeExact(state, fd, address, lengthAddress, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** connect(2). */
    public static int connect(int fd, long address, int length) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) CONNECT.invokeExact(state, fd, address, length);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** getsockopt(2). */
    public static int getsockopt(int fd, int level, int option, long valueAddress, long lengthAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) GETSOCKOPT.invokeExact(state, fd, level, option, valueAddress, lengthAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** sendmsg(2). */
    public static long sendmsg(int fd, long msghdrAddress, int flags) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) SENDMSG.invokeExact(state, fd, msghdrAddress, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** recvmsg(2). */
    public static long recvmsg(int fd, long msghdrAddress, int flags) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) RECVMSG.invokeExact(state, fd, msghdrAddress, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** shutdown(2). */
    public static int shutdown(int fd, int how) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SHUTDOWN.invokeExact(state, fd, how);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** fcntl(2). */
    public static int fcntl(int fd, int command, long argument) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) FCNTL.invokeExact(state, fd, command, argument);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** ioctl(2). */
    public static int ioctl(int fd, long request, long argument) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) IOCTL.invokeExact(state, fd, request, argument);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** clock_gettime(2): 0, or -1 for a clock that does not exist. Through the vDSO: no system call on usual clocks. */
    public static int clockGettime(int clock, long timespecAddress) {
        try {
            return (int) CLOCK_GETTIME.invokeExact(clock, timespecAddress);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** unlink(2). */
    public static int unlink(long pathAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) UNLINK.invokeExact(state, pathAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** mount(2). */
    public static int mount(long source, long directory, long type, long flags, long options) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) MOUNT.invokeExact(state, source, directory, type, flags, options);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** umount2(2). */
    public static int umount2(long directory, int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) UMOUNT2.invokeExact(state, directory, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** syncfs(2). */
    public static int syncfs(int fd) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SYNCFS.invokeExact(state, fd);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** unshare(2), of the calling thread. */
    public static int unshare(int flags) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) UNSHARE.invokeExact(state, flags);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** kill(2). */
    public static int kill(int pid, int signal) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) KILL.invokeExact(state, pid, signal);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** sched_setaffinity(2). */
    public static int schedSetaffinity(int pid, long maskBytes, long maskAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SCHED_SETAFFINITY.invokeExact(state, pid, maskBytes, maskAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** sched_getaffinity(2), without the C library's return of the mask's size: 0 when it worked. */
    public static int schedGetaffinity(int pid, long maskBytes, long maskAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SCHED_GETAFFINITY.invokeExact(state, pid, maskBytes, maskAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** getrlimit(2). */
    public static int getrlimit(int resource, long rlimitAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) GETRLIMIT.invokeExact(state, resource, rlimitAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** setrlimit(2). */
    public static int setrlimit(int resource, long rlimitAddress) {
        try {
            MemorySegment state = Native.callState();
            int result = (int) SETRLIMIT.invokeExact(state, resource, rlimitAddress);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** io_uring_setup(2). */
    public static int ioUringSetup(int entries, long paramsAddress) {
        return (int) syscall(LibcConstants.SYS_io_uring_setup, entries, paramsAddress, 0, 0, 0, 0);
    }

    /** io_uring_enter(2), without a signal mask or a time limit. */
    public static int ioUringEnter(int fd, int toSubmit, int minComplete, int flags) {
        return (int) syscall(LibcConstants.SYS_io_uring_enter, fd, toSubmit, minComplete, flags, 0, 0);
    }

    /** io_uring_register(2). */
    public static int ioUringRegister(int fd, int opcode, long argumentAddress, int count) {
        return (int) syscall(LibcConstants.SYS_io_uring_register, fd, opcode, argumentAddress, count, 0, 0);
    }

    /** syscall(2). */
    public static long syscall(long number, long a, long b, long c, long d, long e, long f) {
        try {
            MemorySegment state = Native.callState();
            long result = (long) SYSCALL.invokeExact(state, number, a, b, c, d, e, f);
            return result == -1 ? Native.negativeErrno(state) : result;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}

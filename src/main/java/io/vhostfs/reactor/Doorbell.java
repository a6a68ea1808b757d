package io.vhostfs.reactor;

import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Where a reactor sleeps and what wakes it: an epoll set with an eventfd of its own and other file descriptors.
 *
 * <p>Invariant: a ring that follows a publication (a message in the mailbox, say) is not lost. The sleeper announces
 * itself and looks at the publications afterwards; a ringer publishes and looks for a sleeper afterwards. Both orders are
 * volatile, so at least one sees the other. Of all ringers of one sleep a single one pays for the system call.
 *
 * <p>Everything is edge-triggered: no file descriptor has to be read after a wake-up, and one that was left readable
 * does not wake again until more arrives. {@link #ring} runs on any thread, the rest on the reactor's.
 */
class Doorbell {
    private static final VarHandle ASLEEP;

    /** What is not taken at once is taken at the next sleep, which it then cuts short. */
    private static final int MAX_EVENTS = 64;

    private static final long NS_PER_SECOND = 1_000_000_000L;
    private static final int CLOSED = -1;

    /** The constant 1 that is added to the eventfd's counter. */
    private static final long ONE = PermanentMemory.allocate(Long.BYTES);

    static {
        try {
            ASLEEP = MethodHandles.lookup().findVarHandle(Doorbell.class, "asleep", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
        Memory.putLong(ONE, 1);
    }

    private volatile boolean asleep;

    private int epollFd = CLOSED;
    private int eventFd = CLOSED;
    private long eventsAddress;
    private long timespecAddress;

    /** Rings that found us asleep; each writes, or has written, 1 to the eventfd. */
    private long ringsOwed;

    /** Before the reactor's thread starts. */
    void open(String reactorName) {
        eventsAddress = PermanentMemory.allocate(MAX_EVENTS * LibcConstants.EPOLL_EVENT_SIZE);
        timespecAddress = PermanentMemory.allocate(LibcConstants.TIMESPEC_SIZE);
        epollFd = check(reactorName, "epoll_create1", Libc.epollCreate1(LibcConstants.EPOLL_CLOEXEC));
        eventFd =
                check(reactorName, "eventfd", Libc.eventfd(0, LibcConstants.EFD_CLOEXEC | LibcConstants.EFD_NONBLOCK));
        add(eventFd);
        check(reactorName, "epoll_pwait2, which Linux has from 5.11 on", await(0));
    }

    /**
     * Closes both file descriptors, after the last ringer has finished its write: a late one would hit whatever file the
     * number then stands for.
     */
    void close() {
        long rings = 0;
        while (rings < ringsOwed) {
            if (Libc.read(eventFd, eventsAddress, Long.BYTES) == Long.BYTES) {
                rings += Memory.getLong(eventsAddress);
            } else {
                Thread.onSpinWait();
            }
        }
        eventFd = closeIfOpen(eventFd);
        epollFd = closeIfOpen(epollFd);
    }

    void add(int fd) {
        Memory.putInt(
                eventsAddress + LibcConstants.EPOLL_EVENT_EVENTS_OFFSET, LibcConstants.EPOLLIN | LibcConstants.EPOLLET);
        Memory.putLong(eventsAddress + LibcConstants.EPOLL_EVENT_DATA_OFFSET, fd);
        int result = Libc.epollCtl(epollFd, LibcConstants.EPOLL_CTL_ADD, fd, eventsAddress);
        if (result < 0) {
            throw new ReactorException("file descriptor " + fd + " cannot wake a reactor: " + Errno.name(result));
        }
    }

    /** No error when the file is closed already: the kernel has taken it out of the set then. */
    void remove(int fd) {
        int result = Libc.epollCtl(epollFd, LibcConstants.EPOLL_CTL_DEL, fd, eventsAddress);
        if (result < 0 && result != -Errno.ENOENT && result != -Errno.EBADF) {
            throw new ReactorException("file descriptor " + fd + " cannot be taken back: " + Errno.name(result));
        }
    }

    /** Wakes the sleeper, if there is one; call after what is to be seen was published by a volatile store. */
    void ring() {
        if (asleep && ASLEEP.compareAndSet(this, true, false)) {
            writeEventFd();
        }
    }

    /** From here on ringers write; look at all publications after this and before {@link #await}. */
    void announceSleep() {
        asleep = true;
    }

    /**
     * Sleeps until something rings, for {@code timeoutNs} at most; negative: no limit. May end early.
     *
     * @return file descriptors that rang, or a negative errno
     */
    int await(long timeoutNs) {
        long timeout = 0;
        if (timeoutNs >= 0) {
            Memory.putLong(timespecAddress + LibcConstants.TIMESPEC_TV_SEC_OFFSET, timeoutNs / NS_PER_SECOND);
            Memory.putLong(timespecAddress + LibcConstants.TIMESPEC_TV_NSEC_OFFSET, timeoutNs % NS_PER_SECOND);
            timeout = timespecAddress;
        }
        return Libc.epollPwait2(epollFd, eventsAddress, MAX_EVENTS, timeout);
    }

    void withdrawSleep() {
        if (!ASLEEP.compareAndSet(this, true, false)) {
            ringsOwed++;
        }
    }

    /** The ringer's system call; any thread. */
    void writeEventFd() {
        long written = Libc.write(eventFd, ONE, Long.BYTES);
        if (written != Long.BYTES) {
            throw new AssertionError("write to eventfd " + eventFd + ": " + written);
        }
    }

    private static int closeIfOpen(int fd) {
        if (fd != CLOSED) {
            Libc.close(fd);
        }
        return CLOSED;
    }

    private static int check(String reactorName, String call, int result) {
        if (result < 0) {
            throw new ReactorException("reactor " + reactorName + ": " + call + ": " + Errno.name(result));
        }
        return result;
    }
}

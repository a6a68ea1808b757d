package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.EFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.EFD_NONBLOCK;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** An eventfd(2) with which reactors and other threads wake a server's thread. Any thread, until it is closed. */
final class EventFd implements AutoCloseable {
    private static final MemorySegment ONE = Arena.global().allocateFrom(ValueLayout.JAVA_LONG, 1);
    private static final MemorySegment SINK = Arena.global().allocate(ValueLayout.JAVA_LONG);

    private final int fd;

    EventFd() {
        fd = Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            throw new IllegalStateException("eventfd: " + Errno.name(fd) + "; remedy: raise the limit of open files");
        }
    }

    int fd() {
        return fd;
    }

    void signal() {
        signal(fd);
    }

    /** Signals somebody's eventfd; a failure is that one's loss. */
    static void signal(int eventFd) {
        Libc.write(eventFd, ONE.address(), Long.BYTES);
    }

    /** Makes it unreadable again. */
    void drain() {
        Libc.read(fd, SINK.address(), Long.BYTES);
    }

    @Override
    public void close() {
        Libc.close(fd);
    }
}

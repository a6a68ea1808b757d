package io.vhostfs.hostmount;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;

/** Opens files of {@code /dev/fuse}. None of them is left to a child process. Control paths only. */
final class FuseDevice {
    private static final String PATH = "/dev/fuse";
    private static final long FUSE_DEV_IOC_CLONE = 0x8004e500L;

    private FuseDevice() {}

    /** A new file descriptor that does not block, of no mount yet. */
    static int open() throws HostMountException {
        int flags = LibcConstants.O_RDWR | LibcConstants.O_CLOEXEC | LibcConstants.O_NONBLOCK;
        int fd = CString.with(PATH, p -> Libc.open(p, flags, 0));
        if (fd < 0) {
            boolean missing = fd == -Errno.ENOENT || fd == -Errno.ENODEV || fd == -Errno.ENXIO;
            throw new HostMountException(
                    PATH + ": " + Errno.name(fd) + "; remedy: " + (missing ? "modprobe fuse" : "run as root"));
        }
        return fd;
    }

    /** Another channel of the mount whose channel is {@code fd}: requests that are read from it are answered on it. */
    static int cloneOf(int fd) throws HostMountException {
        int clone = open();
        try (Arena arena = Arena.ofConfined()) {
            long argument = arena.allocate(Integer.BYTES).address();
            Memory.putInt(argument, fd);
            int status = Libc.ioctl(clone, FUSE_DEV_IOC_CLONE, argument);
            if (status < 0) {
                Libc.close(clone);
                throw new HostMountException("FUSE_DEV_IOC_CLONE: " + Errno.name(status));
            }
        }
        return clone;
    }
}

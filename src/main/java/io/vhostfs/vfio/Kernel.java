package io.vhostfs.vfio;

import static io.vhostfs.os.LibcConstants.O_CLOEXEC;
import static io.vhostfs.os.LibcConstants.O_RDWR;

import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;

/** The system calls that set a device up; a test answers them itself. Results are those of the call, or a negative errno. */
interface Kernel {
    Kernel LINUX = new Kernel() {
        @Override
        public int open(String path) {
            return CString.with(path, text -> Libc.open(text, O_RDWR | O_CLOEXEC, 0));
        }

        @Override
        public int ioctl(int fd, int request, long argument) {
            return Libc.ioctl(fd, request, argument);
        }

        @Override
        public void close(int fd) {
            Libc.close(fd);
        }
    };

    /** Opens a device file for reading and writing. */
    int open(String path);

    /** Calls the driver of a file. */
    int ioctl(int fd, int request, long argument);

    void close(int fd);
}

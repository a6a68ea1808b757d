package io.vhostfs.vfio;

import static io.vhostfs.os.LibcConstants.O_CLOEXEC;
import static io.vhostfs.os.LibcConstants.O_RDONLY;
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
        public int openReadOnly(String path) {
            return CString.with(path, text -> Libc.open(text, O_RDONLY | O_CLOEXEC, 0));
        }

        @Override
        public long pread(int fd, long address, long lengthBytes, long offset) {
            return Libc.pread(fd, address, lengthBytes, offset);
        }

        @Override
        public int mlock(long address, long lengthBytes) {
            return Libc.mlock(address, lengthBytes);
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

    /** Opens a file for reading. */
    int openReadOnly(String path);

    /** Reads so many bytes at an offset; the bytes read. */
    long pread(int fd, long address, long lengthBytes, long offset);

    /** Makes the pages of a range present, and keeps them. */
    int mlock(long address, long lengthBytes);

    /** Calls the driver of a file. */
    int ioctl(int fd, int request, long argument);

    void close(int fd);

    /** Closes what may be open; what to call the file from then on: -1. */
    default int closed(int fd) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
}

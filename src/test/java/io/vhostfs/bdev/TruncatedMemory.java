package io.vhostfs.bdev;

import static io.vhostfs.os.LibcConstants.MAP_SHARED;
import static io.vhostfs.os.LibcConstants.MFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;

import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;

/** A page that is mapped but no longer in its file: touching it is a fault. */
final class TruncatedMemory implements AutoCloseable {
    private static final int PAGE_BYTES = 4096;

    private final int fd = CString.with("truncated", name -> Libc.memfdCreate(name, MFD_CLOEXEC));
    private final long address;

    TruncatedMemory() {
        Libc.ftruncate(fd, PAGE_BYTES);
        address = Libc.mmap(0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        Libc.ftruncate(fd, 0);
    }

    long address() {
        return address;
    }

    @Override
    public void close() {
        Libc.munmap(address, PAGE_BYTES);
        Libc.close(fd);
    }
}

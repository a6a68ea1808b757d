package io.vhostfs.virtio;

import static io.vhostfs.os.LibcConstants.MAP_SHARED;
import static io.vhostfs.os.LibcConstants.MFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;

import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;

/** A guest's memory for tests: a memfd mapped here, which cannot be sealed unless asked for. */
public final class GuestRam implements AutoCloseable {
    private final int fd;
    private final long address;
    private final long lengthBytes;

    public GuestRam(long lengthBytes) {
        this(lengthBytes, 0);
    }

    public GuestRam(long lengthBytes, int memfdFlags) {
        this.lengthBytes = lengthBytes;
        fd = CString.with("guest", name -> Libc.memfdCreate(name, MFD_CLOEXEC | memfdFlags));
        Libc.ftruncate(fd, lengthBytes);
        address = Libc.mmap(0, lengthBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || address < 0) {
            throw new IllegalStateException("no memory for a guest");
        }
    }

    public int fd() {
        return fd;
    }

    public long address() {
        return address;
    }

    public long lengthBytes() {
        return lengthBytes;
    }

    /** Takes the pages away from everybody who has them mapped; 0 when that worked. */
    public int truncate() {
        return Libc.ftruncate(fd, 0);
    }

    @Override
    public void close() {
        Libc.munmap(address, lengthBytes);
        Libc.close(fd);
    }
}

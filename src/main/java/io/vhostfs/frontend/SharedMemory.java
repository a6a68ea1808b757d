package io.vhostfs.frontend;

import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;

/**
 * The "guest's" memory: one memfd, mapped here and handed to the back end, with a bump allocator.
 *
 * <p>What {@link #allocate} returns is zeroed, lies in the mapping and overlaps nothing allocated before, until
 * {@link #release} takes it back. One thread at a time.
 */
public final class SharedMemory implements AutoCloseable {
    /** Where the memory starts for the guest: neither 0 nor the address here, so that a mix-up shows. */
    public static final long GUEST_BASE = 0x1_4000_0000L;

    private static final int HUGEPAGE_BYTES = 2 << 20;

    private final int fd;
    private final long address;
    private final long sizeBytes;
    private final boolean hugepages;
    private long usedBytes;
    private boolean closed;

    /** Rounds the size up to whole hugepages; takes hugepages when the host has that many free. */
    public SharedMemory(long bytes) throws IOException {
        sizeBytes = (bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
        int huge = tryMemfd(MFD_HUGETLB);
        long mapped = huge < 0 ? -1 : map(huge);
        if (mapped < 0 && huge >= 0) {
            Libc.close(huge);
        }
        hugepages = mapped >= 0;
        if (hugepages) {
            fd = huge;
            address = mapped;
            return;
        }
        fd = tryMemfd(0);
        if (fd < 0) {
            throw new FrontEndException("memfd of " + sizeBytes + " bytes: " + Errno.name(fd));
        }
        address = map(fd);
        if (address < 0) {
            Libc.close(fd);
            throw new FrontEndException("mmap of " + sizeBytes + " bytes: " + Errno.name((int) address));
        }
    }

    public int fd() {
        return fd;
    }

    /** Where it is mapped in this process: the "userspace address" of vhost-user. */
    public long address() {
        return address;
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    public boolean hugepages() {
        return hugepages;
    }

    /** Zeroed memory; {@code alignment} is a power of two of at most a page. */
    public long allocate(long bytes, int alignment) {
        long start = (usedBytes + alignment - 1) & -(long) alignment;
        if (bytes < 0 || start + bytes > sizeBytes) {
            throw new IllegalStateException("guest memory of " + sizeBytes + " bytes is full; asked for " + bytes);
        }
        usedBytes = start + bytes;
        Memory.zero(address + start, bytes);
        return address + start;
    }

    /** A point to come back to with {@link #release}. */
    public long mark() {
        return usedBytes;
    }

    /** Takes back all that was allocated since the mark. */
    public void release(long mark) {
        usedBytes = mark;
    }

    /** The guest physical address of an address in this memory. */
    public long guestAddress(long localAddress) {
        return localAddress - address + GUEST_BASE;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            Libc.munmap(address, sizeBytes);
            Libc.close(fd);
        }
    }

    private int tryMemfd(int flags) {
        int memfd =
                CString.with("vhostfs-guest", name -> Libc.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
        if (memfd < 0) {
            return memfd;
        }
        int result = Libc.ftruncate(memfd, sizeBytes);
        if (result < 0) {
            Libc.close(memfd);
            return result;
        }
        return memfd;
    }

    private long map(int memfd) {
        return Libc.mmap(0, sizeBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);
    }
}

package io.vhostfs.os;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What statx(2) says about a file. Immutable; any thread; control paths only.
 *
 * @param errno 0, or the negative errno of the call, and then everything else is 0
 * @param mode type and permissions, {@link LibcConstants#S_IFMT} and below
 * @param sizeBytes size of a regular file
 * @param blockBytes size that suits I/O best; of a file in hugetlbfs the size of its pages
 * @param deviceMajor of a device file
 * @param deviceMinor of a device file
 * @param directMemoryAlignment what O_DIRECT asks of buffers' addresses; 0 when the kernel does not say
 * @param directOffsetAlignment what O_DIRECT asks of offsets and lengths; 0 when the kernel does not say or the file
 *     cannot be opened with O_DIRECT
 * @param saysDirect whether the kernel said anything about O_DIRECT (Linux 6.1, and the file system knows)
 */
public record FileStatus(
        int errno,
        int mode,
        long sizeBytes,
        int blockBytes,
        int deviceMajor,
        int deviceMinor,
        int directMemoryAlignment,
        int directOffsetAlignment,
        boolean saysDirect) {
    static final int STATX_SIZE = 256;
    static final int STATX_STX_MASK_OFFSET = 0;
    static final int STATX_STX_BLKSIZE_OFFSET = 4;
    static final int STATX_STX_MODE_OFFSET = 28;
    static final int STATX_STX_SIZE_OFFSET = 40;
    static final int STATX_STX_RDEV_MAJOR_OFFSET = 128;
    static final int STATX_STX_RDEV_MINOR_OFFSET = 132;
    static final int STATX_STX_DIO_MEM_ALIGN_OFFSET = 152;
    static final int STATX_STX_DIO_OFFSET_ALIGN_OFFSET = 156;

    /** Of the file that {@code path} leads to, symbolic links followed. */
    public static FileStatus ofPath(String path) {
        return of(LibcConstants.AT_FDCWD, path, 0);
    }

    /** As {@link #ofPath}, but asked of the file system itself, whatever the kernel remembers of an earlier answer. */
    public static FileStatus ofPathNow(String path) {
        return of(LibcConstants.AT_FDCWD, path, LibcConstants.AT_STATX_FORCE_SYNC);
    }

    /** Of an open file. */
    public static FileStatus ofFd(int fd) {
        return of(fd, "", LibcConstants.AT_EMPTY_PATH);
    }

    public boolean isType(int type) {
        return (mode & LibcConstants.S_IFMT) == type;
    }

    private static FileStatus of(int directoryFd, String path, int flags) {
        int mask = LibcConstants.STATX_BASIC_STATS | LibcConstants.STATX_DIOALIGN;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment statx = arena.allocate(STATX_SIZE, 8);
            int errno = CString.with(path, p -> Libc.statx(directoryFd, p, flags, mask, statx.address()));
            if (errno < 0) {
                return new FileStatus(errno, 0, 0, 0, 0, 0, 0, 0, false);
            }
            boolean saysDirect =
                    (statx.get(ValueLayout.JAVA_INT, STATX_STX_MASK_OFFSET) & LibcConstants.STATX_DIOALIGN) != 0;
            return new FileStatus(
                    0,
                    statx.get(ValueLayout.JAVA_SHORT, STATX_STX_MODE_OFFSET) & 0xffff,
                    statx.get(ValueLayout.JAVA_LONG, STATX_STX_SIZE_OFFSET),
                    statx.get(ValueLayout.JAVA_INT, STATX_STX_BLKSIZE_OFFSET),
                    statx.get(ValueLayout.JAVA_INT, STATX_STX_RDEV_MAJOR_OFFSET),
                    statx.get(ValueLayout.JAVA_INT, STATX_STX_RDEV_MINOR_OFFSET),
                    saysDirect ? statx.get(ValueLayout.JAVA_INT, STATX_STX_DIO_MEM_ALIGN_OFFSET) : 0,
                    saysDirect ? statx.get(ValueLayout.JAVA_INT, STATX_STX_DIO_OFFSET_ALIGN_OFFSET) : 0,
                    saysDirect);
        }
    }
}

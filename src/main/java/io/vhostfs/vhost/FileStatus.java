package io.vhostfs.vhost;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What fstat(2) says of a descriptor that a front end sent.
 *
 * @param mode st_mode
 * @param sizeBytes st_size
 * @param blockBytes st_blksize
 */
record FileStatus(int mode, long sizeBytes, long blockBytes) {
    private static final int STAT_SIZE = 144;
    private static final int STAT_ST_MODE_OFFSET = 24;
    private static final int STAT_ST_SIZE_OFFSET = 48;
    private static final int STAT_ST_BLKSIZE_OFFSET = 56;

    static FileStatus of(int fd) throws VhostUserException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment stat = arena.allocate(STAT_SIZE, Long.BYTES);
            int result = Libc.fstat(fd, stat.address());
            if (result < 0) {
                throw VhostUserException.refused("fstat of a file descriptor: " + Errno.name(result));
            }
            return new FileStatus(
                    stat.get(ValueLayout.JAVA_INT, STAT_ST_MODE_OFFSET),
                    stat.get(ValueLayout.JAVA_LONG, STAT_ST_SIZE_OFFSET),
                    stat.get(ValueLayout.JAVA_LONG, STAT_ST_BLKSIZE_OFFSET));
        }
    }
}

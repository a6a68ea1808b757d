package io.vhostfs.fuse;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/**
 * Finds the ends of NUL-terminated names in private memory, eight bytes at a time; memory may be read up to seven bytes
 * past {@code available}. Each method returns the length without the NUL, or a negative errno. Any thread.
 */
final class FuseNames {
    private static final long LOW_BITS = 0x0101010101010101L;
    private static final long HIGH_BITS = 0x8080808080808080L;
    private static final long SLASHES = LOW_BITS * '/';

    private FuseNames() {}

    /** One component of a path. No kernel sends an empty one or one with a slash: -EINVAL. */
    static int fileName(long address, int available) {
        for (int i = 0; i < available; i += 8) {
            long word = Memory.getLong(address + i);
            long hits = zeroBytes(word) | zeroBytes(word ^ SLASHES);
            if (hits != 0) {
                int length = i + (Long.numberOfTrailingZeros(hits) >>> 3);
                if (length < available) {
                    return checkedFileName(address, length);
                }
                break;
            }
        }
        return available > LibcConstants.NAME_MAX ? -Errno.ENAMETOOLONG : -Errno.EINVAL;
    }

    private static int checkedFileName(long address, int length) {
        if (length > LibcConstants.NAME_MAX) {
            return -Errno.ENAMETOOLONG;
        }
        return length == 0 || Memory.getByte(address + length) != 0 ? -Errno.EINVAL : length;
    }

    /** What symlink(2) takes as a target: at most 4095 bytes, of any kind. */
    static int linkTarget(long address, int available) {
        int length = length(address, available);
        if (length < 0) {
            return available >= LibcConstants.PATH_MAX ? -Errno.ENAMETOOLONG : -Errno.EINVAL;
        }
        if (length >= LibcConstants.PATH_MAX) {
            return -Errno.ENAMETOOLONG;
        }
        return length == 0 ? -Errno.ENOENT : length;
    }

    /** What setxattr(2) takes as a name: 1 to 255 bytes, otherwise -ERANGE. */
    static int attributeName(long address, int available) {
        int length = length(address, Math.min(available, LibcConstants.XATTR_NAME_MAX + 1));
        if (length < 0) {
            return available > LibcConstants.XATTR_NAME_MAX ? -Errno.ERANGE : -Errno.EINVAL;
        }
        return length == 0 ? -Errno.ERANGE : length;
    }

    private static int length(long address, int available) {
        for (int i = 0; i < available; i += 8) {
            long hits = zeroBytes(Memory.getLong(address + i));
            if (hits != 0) {
                int length = i + (Long.numberOfTrailingZeros(hits) >>> 3);
                return length < available ? length : -1;
            }
        }
        return -1;
    }

    /** Bit 7 of each byte that is zero; bits above the lowest one may be wrong. */
    private static long zeroBytes(long word) {
        return (word - LOW_BITS) & ~word & HIGH_BITS;
    }
}

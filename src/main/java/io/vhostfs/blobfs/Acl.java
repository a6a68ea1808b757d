package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;

/**
 * Access control lists (POSIX.1e draft 17) in the form that {@code system.posix_acl_*} attributes have on Linux
 * ({@code linux/posix_acl_xattr.h}): a version, then entries of tag, permissions and id.
 *
 * <p>Invariant: a list that {@link #check} found good has one entry each for owner, owning group and others, its entries
 * in the order of their tags, and a mask when a user or group is named. Any thread; no state.
 */
final class Acl {
    /** What Linux reads of FUSE at once, and stores of ext4: 511 entries. */
    static final int MAX_BYTES = 4096;

    private static final int VERSION = 2;
    private static final int HEADER_SIZE = 4;
    private static final int ENTRY_SIZE = 8;
    private static final int PERMISSIONS_OFFSET = 2;
    private static final int ID_OFFSET = 4;
    /** Owner, owning group, others: what mode bits say as well. */
    private static final int MINIMAL_BYTES = HEADER_SIZE + 3 * ENTRY_SIZE;

    private static final int USER_OBJ = 0x1;
    private static final int USER = 0x2;
    private static final int GROUP_OBJ = 0x4;
    private static final int GROUP = 0x8;
    private static final int MASK = 0x10;
    private static final int OTHER = 0x20;

    private static final int RWX = 7;
    private static final int OWNER_SHIFT = 6;
    private static final int GROUP_SHIFT = 3;
    private static final int NO_ID = -1;

    private Acl() {}

    private static int tag(long entry) {
        return Memory.getUnsignedShort(entry);
    }

    private static int permissions(long entry) {
        return Memory.getUnsignedShort(entry + PERMISSIONS_OFFSET);
    }

    private static void setPermissions(long entry, int permissions) {
        Memory.putShort(entry + PERMISSIONS_OFFSET, (short) permissions);
    }

    /** 0, or the errno that Linux gives for such a value. */
    static int check(long list, int length) {
        if (length > MAX_BYTES) {
            return -Errno.E2BIG;
        }
        if (length < MINIMAL_BYTES || (length - HEADER_SIZE) % ENTRY_SIZE != 0) {
            return -Errno.EINVAL;
        }
        if (Memory.getInt(list) != VERSION) {
            return -Errno.EOPNOTSUPP;
        }
        int before = 0;
        boolean named = false;
        for (long entry = list + HEADER_SIZE; entry < list + length; entry += ENTRY_SIZE) {
            int tag = tag(entry);
            boolean namesOne = tag == USER || tag == GROUP;
            if ((permissions(entry) & ~RWX) != 0
                    || !mayFollow(before, tag, named)
                    || (namesOne && Memory.getInt(entry + ID_OFFSET) == NO_ID)) {
                return -Errno.EINVAL;
            }
            named |= namesOne;
            before = tag;
        }
        return before == OTHER ? 0 : -Errno.EINVAL;
    }

    private static boolean mayFollow(int before, int tag, boolean named) {
        return switch (tag) {
            case USER_OBJ -> before == 0;
            case USER, GROUP_OBJ -> before == USER_OBJ || before == USER;
            case GROUP, MASK -> before == GROUP_OBJ || before == GROUP;
            case OTHER -> before == MASK || (!named && before == GROUP_OBJ);
            default -> false;
        };
    }

    /** Whether mode bits say the same. */
    static boolean isMinimal(int length) {
        return length == MINIMAL_BYTES;
    }

    /** The permission bits of a mode that stand for the list: its mask, where it has one, for the group. */
    static int permissionBits(long list, int length) {
        int bits = 0;
        for (long entry = list + HEADER_SIZE; entry < list + length; entry += ENTRY_SIZE) {
            int permissions = permissions(entry);
            switch (tag(entry)) {
                case USER_OBJ -> bits |= permissions << OWNER_SHIFT;
                case GROUP_OBJ -> bits |= permissions << GROUP_SHIFT;
                case MASK -> bits = (bits & ~(RWX << GROUP_SHIFT)) | (permissions << GROUP_SHIFT);
                case OTHER -> bits |= permissions;
                default -> {}
            }
        }
        return bits;
    }

    /** What chmod(2) makes of the list: {@link #permissionBits} are those of {@code mode} from now on. */
    static void setPermissionBits(long list, int length, int mode) {
        long group = 0;
        for (long entry = list + HEADER_SIZE; entry < list + length; entry += ENTRY_SIZE) {
            switch (tag(entry)) {
                case USER_OBJ -> setPermissions(entry, (mode >>> OWNER_SHIFT) & RWX);
                case GROUP_OBJ, MASK -> group = entry;
                case OTHER -> setPermissions(entry, mode & RWX);
                default -> {}
            }
        }
        setPermissions(group, (mode >>> GROUP_SHIFT) & RWX);
    }

    /** A default list becomes the access list of a file that is made with {@code mode}: both lose what the other has not. */
    static int restrict(long list, int length, int mode) {
        int bits = permissionBits(list, length) & mode;
        setPermissionBits(list, length, bits);
        return (mode & ~0777) | bits;
    }
}

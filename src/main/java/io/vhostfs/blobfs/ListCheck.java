package io.vhostfs.blobfs;

import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Looks at one extended attribute after the other, piece by piece, for what an access control list must be.
 *
 * <p>Invariant: attributes that are none, and lists whose pieces are not all there, are in order here. Checking or
 * repairing thread.
 */
final class ListCheck {
    private final MemorySegment owner = Arena.ofAuto().allocate(Acl.MAX_BYTES);
    private final long list = owner.address();
    private boolean isList;
    private boolean isAccess;
    private boolean isKnown;
    private int length;
    private int collected;

    /** The first piece of another attribute. */
    void begin(long name, int nameLength, int valueLength) {
        isList = Acls.isName(name, nameLength);
        isAccess = Acls.isAccessName(name, nameLength);
        isKnown = isAccess || Acls.isDefaultName(name, nameLength);
        length = valueLength;
        collected = 0;
    }

    /** No attribute is being looked at. */
    void end() {
        isList = false;
    }

    /** The next piece of the value. */
    void add(long data, int bytes) {
        if (isList && length <= Acl.MAX_BYTES && collected + bytes <= length) {
            Memory.copy(data, list + collected, bytes);
        }
        collected += bytes;
    }

    boolean isAccessList() {
        return isList && isAccess;
    }

    /** Whether it is a list that an inode of {@code mode} never has. */
    boolean isMalformed(int mode) {
        if (!isList || collected != length) {
            return false;
        }
        int type = mode & Modes.S_IFMT;
        boolean misplaced = type == Modes.S_IFLNK || (!isAccess && type != Modes.S_IFDIR);
        return !isKnown || misplaced || Acl.check(list, length) != 0;
    }

    /** What the mode of the list's inode must be; for one that is not malformed. */
    int rightMode(int mode) {
        boolean decides = isList && isAccess && collected == length;
        return decides ? (mode & ~0777) | Acl.permissionBits(list, length) : mode;
    }
}

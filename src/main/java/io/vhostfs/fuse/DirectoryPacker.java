package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.DirectoryFiller;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.memory.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Packs the entries of one READDIR or READDIRPLUS into private memory, each on an 8-byte boundary.
 *
 * <p>Invariant: an entry is either whole in the buffer or was refused. Private memory, since it runs on the file system's
 * home reactor, where a page that a front end took away must not be touched. Belongs to one request.
 */
final class DirectoryPacker implements DirectoryFiller {
    private static final int DOTDOT = '.' | ('.' << 8);

    private long buffer;
    private int capacity;
    private int used;
    private boolean withAttributes;
    private boolean refused;
    private boolean listsRoot;
    private @Nullable FuseState state;

    void start(long address, int capacityBytes, boolean plus, boolean root, FuseState sessionState) {
        buffer = address;
        capacity = capacityBytes;
        used = 0;
        withAttributes = plus;
        refused = false;
        listsRoot = root;
        state = sessionState;
    }

    long address() {
        return buffer;
    }

    int usedBytes() {
        return used;
    }

    /** Whether not even the first entry had room. */
    boolean isTooSmall() {
        return refused && used == 0;
    }

    @Override
    public boolean add(
            long inode,
            long nameAddress,
            int nameLength,
            int type,
            long nextCookie,
            @Nullable FsAttributes attributes) {
        int entryBytes = withAttributes ? FUSE_DIRENTPLUS_DIRENT_OFFSET : 0;
        int size = entryBytes + ((FUSE_DIRENT_NAME_OFFSET + nameLength + 7) & ~7);
        if (size > capacity - used) {
            refused = true;
            return false;
        }
        long at = buffer + used;
        if (entryBytes != 0) {
            entry(at, attributes);
        }
        long dirent = at + entryBytes;
        Memory.putLong(at + size - 8, 0);
        Memory.putLong(dirent + FUSE_DIRENT_INO_OFFSET, shownInode(inode, nameAddress, nameLength));
        Memory.putLong(dirent + FUSE_DIRENT_OFF_OFFSET, nextCookie);
        Memory.putInt(dirent + FUSE_DIRENT_NAMELEN_OFFSET, nameLength);
        Memory.putInt(dirent + FUSE_DIRENT_TYPE_OFFSET, type);
        Memory.copy(nameAddress, dirent + FUSE_DIRENT_NAME_OFFSET, nameLength);
        used += size;
        return true;
    }

    /** A nodeid of 0 says that the entry brings no attributes and counts as no reference. */
    private void entry(long at, @Nullable FsAttributes attributes) {
        FuseState rules = state;
        if (attributes == null || rules == null) {
            for (int i = 0; i < FUSE_ENTRY_OUT_SIZE; i += 8) {
                Memory.putLong(at + i, 0);
            }
        } else {
            FuseEncoder.entry(at, rules, attributes);
        }
    }

    /** The parent of a client's root lies outside of what it may see. */
    private long shownInode(long inode, long nameAddress, int nameLength) {
        if (listsRoot && nameLength == 2 && Memory.getUnsignedShort(nameAddress) == DOTDOT && state != null) {
            return state.rootInode;
        }
        return inode;
    }
}

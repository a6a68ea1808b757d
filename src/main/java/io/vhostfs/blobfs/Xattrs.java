package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Extended attributes: an item with the name and the value's start, more items for the rest of a long value.
 *
 * <p>Invariant: the pieces of one attribute are there all or none, and {@link Items#FLAG_XATTRS} is set on an inode that
 * has any. Home reactor.
 */
final class Xattrs {
    private static final int COLLISION_SHIFT = 8;
    private static final int HASH_SHIFT = 16;
    private static final long PIECE_MASK = (1 << COLLISION_SHIFT) - 1;

    private static final byte[][] PREFIXES = {
        ascii("user."), ascii("trusted."), ascii("security."), ascii("system.posix_acl_")
    };

    private final Volume volume;
    private final BlobStore store;

    // --- result of the last find

    /** Key of the first piece, or where one of that name would go (0: nowhere). */
    private long foundKey;

    private int foundLength;

    /** Of what the last {@link #prepareValue} prepared. */
    int preparedLogBytes;

    private final Acls acls;

    Xattrs(Volume volume) {
        this.volume = volume;
        this.store = volume.store;
        acls = new Acls(this);
    }

    Acls acls() {
        return acls;
    }

    long foundKey() {
        return foundKey;
    }

    int foundLength() {
        return foundLength;
    }

    private static byte[] ascii(String s) {
        return s.getBytes(StandardCharsets.US_ASCII);
    }

    private static int checkName(long name, int length) {
        if (length <= 0 || length > Limits.MAX_XATTR_NAME_BYTES) {
            return -Errno.ERANGE;
        }
        for (byte[] prefix : PREFIXES) {
            int i = 0;
            while (i < prefix.length && i < length && Memory.getByte(name + i) == prefix[i]) {
                i++;
            }
            if (i == prefix.length && length > i) {
                return BlobStore.OK;
            }
        }
        return -Errno.EOPNOTSUPP;
    }

    /** The key that a name has unless others have taken it. */
    long firstKey(long name, int length) {
        return Items.key(Items.TYPE_XATTR, volume.hash.hash40(name, length) << HASH_SHIFT);
    }

    static long nextCollision(long key) {
        return key + PIECE_MASK + 1;
    }

    /** Looks a name up: OK, NOT_FOUND, NOT_RESIDENT or a negative errno. */
    int find(long inode, long name, int length) {
        long first = firstKey(name, length);
        long last = first | (1L << HASH_SHIFT) - 1;
        long free = first;
        long key = first;
        while (true) {
            int r = store.ceiling(inode, key);
            if (r == BlobStore.NOT_FOUND || (r == BlobStore.OK && (store.foundK0 != inode || store.foundK1 > last))) {
                foundKey = free > last ? 0 : free;
                return BlobStore.NOT_FOUND;
            }
            if (r != BlobStore.OK) {
                return r;
            }
            if (!isFirstPiece(store.foundK1)) {
                return -Errno.EIO;
            }
            if (Memory.getUnsignedByte(store.valueAddress + Items.XATTR_NAME_LENGTH_OFFSET) == length
                    && Memory.mismatch(name, store.valueAddress + Items.XATTR_DATA_OFFSET, length) < 0) {
                foundKey = store.foundK1;
                foundLength = Memory.getInt(store.valueAddress + Items.XATTR_VALUE_LENGTH_OFFSET);
                return BlobStore.OK;
            }
            if (store.foundK1 == free) {
                free += PIECE_MASK + 1;
            }
            key = (store.foundK1 | PIECE_MASK) + 1;
        }
    }

    /** Whether the item found is a sound first piece. */
    private boolean isFirstPiece(long key) {
        if ((key & PIECE_MASK) != 0 || store.valueLength < Items.XATTR_DATA_OFFSET) {
            return false;
        }
        int nameLength = Memory.getUnsignedByte(store.valueAddress + Items.XATTR_NAME_LENGTH_OFFSET);
        int length = Memory.getInt(store.valueAddress + Items.XATTR_VALUE_LENGTH_OFFSET);
        return length >= 0
                && length <= Limits.MAX_XATTR_BYTES
                && store.valueLength
                        == Items.XATTR_DATA_OFFSET + nameLength + Math.min(length, Items.XATTR_PIECE_BYTES);
    }

    static int pieces(int valueLength) {
        return Math.max(1, (valueLength + Items.XATTR_PIECE_BYTES - 1) / Items.XATTR_PIECE_BYTES);
    }

    static int pieceBytes(int valueLength, int piece) {
        return Math.min(Items.XATTR_PIECE_BYTES, valueLength - piece * Items.XATTR_PIECE_BYTES);
    }

    /** What an attribute takes of a quota. */
    static int usedBytes(int nameLength, int valueLength) {
        int bytes = 0;
        for (int p = 0; p < pieces(valueLength); p++) {
            int item = Items.XATTR_DATA_OFFSET + (p == 0 ? nameLength : 0) + pieceBytes(valueLength, p);
            bytes += Quotas.bytesOf(item);
        }
        return bytes;
    }

    // --- operations

    int set(FsRequest r, Inode inode) {
        int s = checkName(r.nameAddress, r.nameLength);
        if (s == BlobStore.OK && (r.name2Length > Limits.MAX_XATTR_BYTES || r.name2Length < 0)) {
            s = -Errno.E2BIG;
        }
        if (s != BlobStore.OK) {
            return s;
        }
        r.accessListChanged = false;
        if (InodeFlags.isFixed(inode)) {
            return -Errno.EPERM;
        }
        if (Acls.isName(r.nameAddress, r.nameLength)) {
            return acls.set(r, inode);
        }
        s = find(inode.number, r.nameAddress, r.nameLength);
        if (s == BlobStore.OK && (r.flags & LibcConstants.XATTR_CREATE) != 0) {
            return -Errno.EEXIST;
        }
        if (s == BlobStore.NOT_FOUND && (r.flags & LibcConstants.XATTR_REPLACE) != 0) {
            return -Errno.ENODATA;
        }
        return replaceFound(r, inode, inode.mode, r.name2Length, s);
    }

    /** Sets an attribute, or removes it when {@code length} is -1, and the mode with it, in one group. */
    int replace(FsRequest r, Inode inode, int mode, int length) {
        return replaceFound(r, inode, mode, length, find(inode.number, r.nameAddress, r.nameLength));
    }

    private int replaceFound(FsRequest r, Inode inode, int mode, int length, int found) {
        if (found != BlobStore.OK && found != BlobStore.NOT_FOUND) {
            return found;
        }
        boolean exists = found == BlobStore.OK;
        long number = inode.number;
        long key = foundKey;
        int oldPieces = exists ? pieces(foundLength) : 0;
        int usedBytes = (length < 0 ? 0 : usedBytes(r.nameLength, length))
                - (exists ? usedBytes(r.nameLength, foundLength) : 0);
        int s = exists || length < 0 ? BlobStore.OK : checkRoom(inode, r.nameLength);
        if (s == BlobStore.OK) {
            s = Quotas.check(inode.quota, usedBytes, 0);
        }
        if (s == BlobStore.OK) {
            s = key == 0 && length >= 0 ? -Errno.ENOSPC : volume.prepareInode(number);
        }
        if (s == BlobStore.OK) {
            s = prepareValue(number, key, r.nameLength, length, oldPieces);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE) + preparedLogBytes);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        putValue(number, key, r.nameAddress, r.nameLength, r.name2Address, length, oldPieces);
        volume.quotas.charge(inode.quota, usedBytes, 0);
        return end(inode, mode);
    }

    /** Prepares a value's pieces, or none when {@code length} is -1, in place of {@code oldPieces}. */
    int prepareValue(long inode, long key, int nameLength, int length, int oldPieces) {
        int count = length < 0 ? 0 : pieces(length);
        int s = BlobStore.OK;
        preparedLogBytes = 0;
        for (int p = 0; p < Math.max(count, oldPieces) && s == BlobStore.OK; p++) {
            if (p >= count) {
                s = store.prepareDelete(inode, key + p);
                preparedLogBytes += BlobStore.logBytes(0);
            } else {
                int bytes = Items.XATTR_DATA_OFFSET + (p == 0 ? nameLength : 0) + pieceBytes(length, p);
                s = store.prepare(inode, key + p, bytes);
                preparedLogBytes += BlobStore.logBytes(bytes);
            }
        }
        return s;
    }

    /** Between begin and end: what was prepared. */
    void putValue(long inode, long key, long name, int nameLength, long value, int length, int oldPieces) {
        int count = length < 0 ? 0 : pieces(length);
        for (int p = 0; p < count; p++) {
            putPiece(inode, key, p, name, nameLength, value, length);
        }
        for (int p = count; p < oldPieces; p++) {
            store.delete(inode, key + p);
        }
    }

    private void putPiece(long inode, long key, int piece, long name, int nameLength, long value, int length) {
        long to = volume.scratch;
        int nameBytes = piece == 0 ? nameLength : 0;
        int bytes = pieceBytes(length, piece);
        Memory.putInt(to, Items.VERSION | nameBytes << 8);
        Memory.putInt(to + Items.XATTR_VALUE_LENGTH_OFFSET, length);
        Memory.copy(name, to + Items.XATTR_DATA_OFFSET, nameBytes);
        Memory.copy(value + (long) piece * Items.XATTR_PIECE_BYTES, to + Items.XATTR_DATA_OFFSET + nameBytes, bytes);
        store.put(inode, key + piece, to, Items.XATTR_DATA_OFFSET + nameBytes + bytes);
    }

    /** Ends the group: OK or a negative errno. */
    private int end(Inode inode, int mode) {
        inode.beginChange();
        inode.mode = mode;
        inode.flags |= Items.FLAG_XATTRS;
        inode.changeTimeNs = volume.now();
        inode.endChange();
        volume.putInode(inode);
        int s = store.end();
        volume.changed(inode);
        return s;
    }

    int get(FsRequest r, Inode inode) {
        int s = checkName(r.nameAddress, r.nameLength);
        if (s != BlobStore.OK) {
            return s;
        }
        if ((inode.flags & Items.FLAG_XATTRS) == 0) {
            return -Errno.ENODATA;
        }
        s = find(inode.number, r.nameAddress, r.nameLength);
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.ENODATA : s;
        }
        int length = foundLength;
        r.count = length;
        if (r.length == 0) {
            return BlobStore.OK;
        }
        if (r.length < length) {
            return -Errno.ERANGE;
        }
        long done = 0;
        for (int p = 0; p < pieces(length); p++) {
            s = findPiece(inode.number, r.nameLength, p);
            if (s != BlobStore.OK) {
                return s;
            }
            int bytes = pieceBytes(length, p);
            long given = Iovecs.scatterShared(
                    store.valueAddress + store.valueLength - bytes, bytes, r.dataIovecs, r.dataIovecCount, done);
            if (given < 0) {
                return (int) given;
            }
            done += given;
        }
        return done == length ? BlobStore.OK : -Errno.ERANGE;
    }

    /** Makes a piece of the attribute that was found the store's current value; the first one is it already. */
    private int findPiece(long inode, int nameLength, int piece) {
        int s = piece == 0 ? BlobStore.OK : store.find(inode, foundKey + piece);
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.EIO : s;
        }
        int skip = Items.XATTR_DATA_OFFSET + (piece == 0 ? nameLength : 0);
        return store.valueLength == skip + pieceBytes(foundLength, piece) ? BlobStore.OK : -Errno.EIO;
    }

    /** Copies the value that was found to private memory: OK, NOT_RESIDENT or a negative errno. */
    int copyFound(long inode, int nameLength, long to) {
        for (int p = 0; p < pieces(foundLength); p++) {
            int s = findPiece(inode, nameLength, p);
            if (s != BlobStore.OK) {
                return s;
            }
            int bytes = pieceBytes(foundLength, p);
            Memory.copy(store.valueAddress + store.valueLength - bytes, to + (long) p * Items.XATTR_PIECE_BYTES, bytes);
        }
        return BlobStore.OK;
    }

    int list(FsRequest r, Inode inode) {
        r.count = 0;
        if ((inode.flags & Items.FLAG_XATTRS) == 0) {
            return BlobStore.OK;
        }
        return walk(inode, r);
    }

    /** OK when one more name fits the list. */
    private int checkRoom(Inode inode, int nameLength) {
        if ((inode.flags & Items.FLAG_XATTRS) == 0) {
            return BlobStore.OK;
        }
        int s = walk(inode, null);
        if (s != BlobStore.OK) {
            return s;
        }
        return listBytes + nameLength + 1 > Limits.MAX_XATTR_LIST_BYTES ? -Errno.ENOSPC : BlobStore.OK;
    }

    /** Bytes of all names with their NULs, as the last walk found. */
    private long listBytes;

    private int walk(Inode inode, @Nullable FsRequest r) {
        listBytes = 0;
        long key = Items.key(Items.TYPE_XATTR, 0);
        while (true) {
            int s = store.ceiling(inode.number, key);
            if (s == BlobStore.NOT_FOUND
                    || (s == BlobStore.OK
                            && (store.foundK0 != inode.number || Items.type(store.foundK1) != Items.TYPE_XATTR))) {
                return BlobStore.OK;
            }
            if (s != BlobStore.OK) {
                return s;
            }
            if (!isFirstPiece(store.foundK1)) {
                return -Errno.EIO;
            }
            int length = Memory.getUnsignedByte(store.valueAddress + Items.XATTR_NAME_LENGTH_OFFSET);
            key = (store.foundK1 | PIECE_MASK) + 1;
            if (r != null) {
                if (r.length != 0 && listBytes + length + 1 > r.length) {
                    return -Errno.ERANGE;
                }
                s = giveName(r, length);
                if (s != BlobStore.OK) {
                    return s;
                }
                r.count = listBytes + length + 1;
            }
            listBytes += length + 1;
        }
    }

    private int giveName(FsRequest r, int length) {
        if (r.length == 0) {
            return BlobStore.OK;
        }
        Memory.copy(store.valueAddress + Items.XATTR_DATA_OFFSET, volume.scratch2, length);
        Memory.putByte(volume.scratch2 + length, (byte) 0);
        long given = Iovecs.scatterShared(volume.scratch2, length + 1L, r.dataIovecs, r.dataIovecCount, listBytes);
        return (int) Math.min(given, BlobStore.OK);
    }

    int remove(FsRequest r, Inode inode) {
        r.accessListChanged = false;
        int s = checkName(r.nameAddress, r.nameLength);
        if (s == BlobStore.OK && InodeFlags.isFixed(inode)) {
            s = -Errno.EPERM;
        }
        if (s != BlobStore.OK) {
            return s;
        }
        return Acls.isName(r.nameAddress, r.nameLength) ? acls.remove(r, inode) : removeAny(r, inode);
    }

    int removeAny(FsRequest r, Inode inode) {
        int s = find(inode.number, r.nameAddress, r.nameLength);
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.ENODATA : s;
        }
        int count = pieces(foundLength);
        s = volume.prepareInodeInReserve(inode.number);
        for (int p = 0; p < count && s == BlobStore.OK; p++) {
            s = store.prepareDelete(inode.number, foundKey + p);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE) + count * BlobStore.logBytes(0));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        for (int p = 0; p < count; p++) {
            store.delete(inode.number, foundKey + p);
        }
        volume.quotas.charge(inode.quota, -usedBytes(r.nameLength, foundLength), 0);
        return end(inode, inode.mode);
    }
}

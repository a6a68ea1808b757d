package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.DirectoryFiller;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/**
 * Directory entries: found by name, listed by cookie.
 *
 * <p>An entry's key holds 48 bits of the keyed hash of its name and a number that tells entries with equal bits apart. The
 * same 56 bits are its cookie: it stays while the entry does, whatever happens to others. Home reactor.
 */
final class Directory {
    private static final int INDEX_MASK = (1 << Items.DENTRY_COLLISION_BITS) - 1;
    private static final long COOKIE_DOT = 1;
    private static final long COOKIE_DOT_DOT = 2;
    private static final int DT_DIR = Modes.directoryType(Modes.S_IFDIR);

    private final Volume volume;
    private final BlobStore store;
    private final FsAttributes attributes = new FsAttributes();
    private final long dots;

    @SuppressWarnings("unused") // holds the dots
    private final Arena arena = Arena.ofAuto();

    // --- result of the last find

    /** The entry's key, or where an entry of that name would go (0: nowhere). */
    long entryKey;

    long entryInode;
    int entryType;

    Directory(Volume volume) {
        this.volume = volume;
        this.store = volume.store;
        dots = arena.allocate(2).address();
        Memory.putShort(dots, (short) 0x2e2e);
    }

    static boolean isDot(long name, int length) {
        return length == 1 && Memory.getByte(name) == '.';
    }

    static boolean isDotDot(long name, int length) {
        return length == 2 && Memory.getByte(name) == '.' && Memory.getByte(name + 1) == '.';
    }

    /** OK, or the errno of a name no entry may have. */
    static int checkName(long name, int length) {
        if (length > Limits.MAX_NAME_BYTES) {
            return -Errno.ENAMETOOLONG;
        }
        if (length <= 0) {
            return -Errno.ENOENT;
        }
        for (int i = 0; i < length; i++) {
            byte b = Memory.getByte(name + i);
            if (b == '/' || b == 0) {
                return -Errno.EINVAL;
            }
        }
        return BlobStore.OK;
    }

    /** Whether an entry may have this name: "." and ".." have no entries. */
    static boolean isEntryName(long name, int length) {
        return checkName(name, length) == BlobStore.OK && !isDot(name, length) && !isDotDot(name, length);
    }

    /** Looks an entry up: OK, NOT_FOUND, NOT_RESIDENT or a negative errno; sets the entry fields. */
    int find(long directory, long name, int length) {
        long first = Items.key(Items.TYPE_DENTRY, volume.hash.hash48(name, length) << Items.DENTRY_COLLISION_BITS);
        long last = first | INDEX_MASK;
        long free = first;
        long key = first;
        while (true) {
            int r = store.ceiling(directory, key);
            if (r == BlobStore.NOT_FOUND
                    || (r == BlobStore.OK && (store.foundK0 != directory || store.foundK1 > last))) {
                entryKey = free > last ? 0 : free;
                return BlobStore.NOT_FOUND;
            }
            if (r != BlobStore.OK) {
                return r;
            }
            if (!Items.isDentry(store.valueAddress, store.valueLength)) {
                return -Errno.EIO;
            }
            if (isName(name, length)) {
                entryKey = store.foundK1;
                entryInode = Memory.getLong(store.valueAddress + Items.DENTRY_INODE_OFFSET);
                entryType = Memory.getUnsignedByte(store.valueAddress + Items.DENTRY_TYPE_OFFSET);
                return BlobStore.OK;
            }
            if (store.foundK1 == free) {
                free++;
            }
            key = store.foundK1 + 1;
        }
    }

    private boolean isName(long name, int length) {
        return store.valueLength == Items.DENTRY_NAME_OFFSET + length
                && Memory.mismatch(name, store.valueAddress + Items.DENTRY_NAME_OFFSET, length) < 0;
    }

    /** OK when the directory has no entry, -ENOTEMPTY, NOT_RESIDENT or another errno. */
    int checkEmpty(long directory) {
        int r = store.ceiling(directory, Items.key(Items.TYPE_DENTRY, 0));
        if (r == BlobStore.OK && store.foundK0 == directory && Items.type(store.foundK1) == Items.TYPE_DENTRY) {
            return -Errno.ENOTEMPTY;
        }
        return r == BlobStore.NOT_FOUND ? BlobStore.OK : r;
    }

    int prepareEntry(long directory, long key, int nameLength) {
        return store.prepare(directory, key, Items.DENTRY_NAME_OFFSET + nameLength);
    }

    static int logBytes(int nameLength) {
        return BlobStore.logBytes(Items.DENTRY_NAME_OFFSET + nameLength);
    }

    /** Between begin and end. */
    void putEntry(long directory, long key, long inode, int type, long name, int nameLength) {
        int length = Items.encodeDentry(volume.scratch, inode, type, name, nameLength);
        store.put(directory, key, volume.scratch, length);
    }

    // --- listing

    /** READDIR: OK, or NOT_RESIDENT when not even one entry could be given yet. */
    int list(FsRequest r, BlobFsClient client, Inode directory) {
        DirectoryFiller filler = r.filler;
        if (filler == null || r.offset < 0) {
            return -Errno.EINVAL;
        }
        if (r.offset >= Items.SUB_MASK) {
            return BlobStore.OK;
        }
        if (r.offset < COOKIE_DOT
                && !filler.add(directory.number, dots, 1, DT_DIR, COOKIE_DOT, dotAttributes(r, directory.number))) {
            return BlobStore.OK;
        }
        if (r.offset < COOKIE_DOT_DOT) {
            // The client's root has no parent that concerns the client.
            long parent = directory.number == client.rootInode() ? directory.number : directory.parent;
            if (!filler.add(parent, dots, 2, DT_DIR, COOKIE_DOT_DOT, dotAttributes(r, parent))) {
                return BlobStore.OK;
            }
        }
        return listEntries(r, client, directory.number, filler);
    }

    private @Nullable FsAttributes dotAttributes(FsRequest r, long inode) {
        if (r.wantAttributes) {
            return null;
        }
        attributes.inode = inode;
        return attributes;
    }

    private int listEntries(FsRequest r, BlobFsClient client, long directory, DirectoryFiller filler) {
        boolean any = r.offset < COOKIE_DOT_DOT;
        long key = Items.key(Items.TYPE_DENTRY, Math.max(r.offset + 1, 1L << Items.DENTRY_COLLISION_BITS));
        while (true) {
            int s = store.ceiling(directory, key);
            if (s == BlobStore.NOT_FOUND
                    || (s == BlobStore.OK
                            && (store.foundK0 != directory || Items.type(store.foundK1) != Items.TYPE_DENTRY))) {
                return BlobStore.OK;
            }
            if (s == BlobStore.OK && !Items.isDentry(store.valueAddress, store.valueLength)) {
                s = -Errno.EIO;
            }
            if (s == BlobStore.OK) {
                key = store.foundK1;
                s = give(r, client, filler, key);
            }
            if (s == BlobStore.NOT_FOUND) {
                return BlobStore.OK;
            }
            if (s != BlobStore.OK) {
                // What was given is given: the client comes back for the rest.
                return any ? BlobStore.OK : s;
            }
            any = true;
            key++;
        }
    }

    /** The entry just found: OK, NOT_FOUND when there was no room for it, NOT_RESIDENT or a negative errno. */
    private int give(FsRequest r, BlobFsClient client, DirectoryFiller filler, long key) {
        long value = store.valueAddress;
        long number = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
        int type = Memory.getUnsignedByte(value + Items.DENTRY_TYPE_OFFSET);
        int length = store.valueLength - Items.DENTRY_NAME_OFFSET;
        long name = value + Items.DENTRY_NAME_OFFSET;
        if (!r.wantAttributes) {
            attributes.inode = number;
            return filler.add(number, name, length, type, Items.sub(key), attributes)
                    ? BlobStore.OK
                    : BlobStore.NOT_FOUND;
        }
        if (!client.hasRoomForReference()) {
            return -Errno.ENOMEM;
        }
        Memory.copy(name, volume.scratch2, length);
        int s = attributesOf(number);
        if (s != BlobStore.OK) {
            return s;
        }
        boolean isKept = volume.isKeptFrom(client, number, attributes.mode, attributes.linkCount);
        if (!filler.add(number, volume.scratch2, length, type, Items.sub(key), isKept ? null : attributes)) {
            return BlobStore.NOT_FOUND;
        }
        if (!isKept) {
            client.addReference(number);
        }
        return BlobStore.OK;
    }

    private int attributesOf(long number) {
        Inode inode = volume.inodes.get(number);
        if (inode != null) {
            inode.fill(attributes);
            return BlobStore.OK;
        }
        int s = store.find(number, Items.INODE_KEY);
        if (s == BlobStore.NOT_FOUND
                || (s == BlobStore.OK && !Inode.isValidItem(store.valueAddress, store.valueLength))) {
            return -Errno.EIO;
        }
        if (s == BlobStore.OK) {
            Inode.decodeAttributes(number, store.valueAddress, attributes);
        }
        return s;
    }
}

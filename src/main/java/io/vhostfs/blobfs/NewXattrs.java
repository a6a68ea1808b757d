package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsRequest;

/**
 * The extended attributes a new inode has from the start: the security label that comes with the request, and what the
 * directory's default access control list says; and its mode: what that list, or else the umask, leaves.
 *
 * <p>Invariant: they are in the group that makes the inode. What {@link #plan} found is valid within one call. Home
 * reactor.
 */
final class NewXattrs {
    /** Access and default list, and a label. */
    private static final int MAX = 3;

    private final Xattrs xattrs;
    private final Acls acls;

    private final long[] nameAddress = new long[MAX];
    private final int[] nameLength = new int[MAX];
    private final long[] valueAddress = new long[MAX];
    private final int[] valueLength = new int[MAX];
    private final long[] key = new long[MAX];
    private int count;

    /** With the type's bits. */
    int mode;

    /** Of what {@link #prepare} prepared. */
    int logBytes;

    NewXattrs(Xattrs xattrs, Acls acls) {
        this.xattrs = xattrs;
        this.acls = acls;
    }

    /** What an inode of {@code wantedMode} gets in {@code dir}: OK, NOT_RESIDENT or a negative errno. */
    int plan(FsRequest r, Inode dir, int wantedMode) {
        count = 0;
        logBytes = 0;
        mode = wantedMode;
        boolean isLink = (wantedMode & Modes.S_IFMT) == Modes.S_IFLNK;
        int s = isLink ? BlobStore.OK : planAccess(r, dir, wantedMode);
        if (s == BlobStore.OK && r.labelNameLength > 0) {
            add(r.labelNameAddress, r.labelNameLength, r.labelAddress, r.labelLength);
        }
        return s;
    }

    private int planAccess(FsRequest r, Inode dir, int wantedMode) {
        int s = (dir.flags & Items.FLAG_XATTRS) == 0 ? BlobStore.NOT_FOUND : acls.loadDefault(dir.number);
        if (s == BlobStore.NOT_FOUND) {
            mode = wantedMode & ~(r.umask & 0777);
            return BlobStore.OK;
        }
        if (s != BlobStore.OK) {
            return s;
        }
        mode = acls.restrictLoaded(wantedMode);
        if (!Acl.isMinimal(acls.length)) {
            add(Acls.ACCESS_NAME, Acls.ACCESS_NAME_LENGTH, acls.accessAddress, acls.length);
        }
        if ((wantedMode & Modes.S_IFMT) == Modes.S_IFDIR) {
            add(Acls.DEFAULT_NAME, Acls.DEFAULT_NAME_LENGTH, acls.defaultAddress, acls.length);
        }
        return BlobStore.OK;
    }

    private void add(long name, int nameBytes, long value, int valueBytes) {
        nameAddress[count] = name;
        nameLength[count] = nameBytes;
        valueAddress[count] = value;
        valueLength[count++] = valueBytes;
    }

    /** What they take of a quota. */
    int usedBytes() {
        int bytes = 0;
        for (int i = 0; i < count; i++) {
            bytes += Xattrs.usedBytes(nameLength[i], valueLength[i]);
        }
        return bytes;
    }

    int prepare(long inode) {
        int s = BlobStore.OK;
        for (int i = 0; i < count && s == BlobStore.OK; i++) {
            long k = xattrs.firstKey(nameAddress[i], nameLength[i]);
            while (contains(k, i)) {
                k = Xattrs.nextCollision(k);
            }
            key[i] = k;
            s = xattrs.prepareValue(inode, k, nameLength[i], valueLength[i], 0);
            logBytes += xattrs.preparedLogBytes;
        }
        return s;
    }

    private boolean contains(long k, int end) {
        for (int i = 0; i < end; i++) {
            if (key[i] == k) {
                return true;
            }
        }
        return false;
    }

    /** Between begin and end, before the inode itself is put. */
    void put(Inode inode) {
        for (int i = 0; i < count; i++) {
            xattrs.putValue(inode.number, key[i], nameAddress[i], nameLength[i], valueAddress[i], valueLength[i], 0);
            inode.flags |= Items.FLAG_XATTRS;
        }
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;

/**
 * Access control lists of inodes: kept as extended attributes, and in step with the mode.
 *
 * <p>Invariant: the permission bits of an inode that has an access list are those of the list, in the same group; a list
 * that says no more than mode bits do is not kept. A default list is on directories only. Clients' kernels decide by these
 * lists who may do what. An inode without extended attributes costs nothing here. Home reactor.
 */
final class Acls {
    private static final byte[] PREFIX = "system.posix_acl_".getBytes(StandardCharsets.US_ASCII);
    private static final Arena NAMES = Arena.global();

    static final int ACCESS_NAME_LENGTH = 23;
    static final long ACCESS_NAME = name("system.posix_acl_access");
    static final int DEFAULT_NAME_LENGTH = 24;
    static final long DEFAULT_NAME = name("system.posix_acl_default");

    private final Xattrs xattrs;

    @SuppressWarnings("unused") // holds the lists' memory
    private final MemorySegment lists = Arena.ofAuto().allocate(2 * Acl.MAX_BYTES, 64);

    // --- the list under way, valid within one call

    /** A list that is changed before it is stored. */
    final long accessAddress = lists.address();

    /** A directory's default list as it is. */
    final long defaultAddress = lists.address() + Acl.MAX_BYTES;

    int length;

    /** Where the access list of {@link #prepareMode} goes; 0: there is none. */
    private long modeKey;

    Acls(Xattrs xattrs) {
        this.xattrs = xattrs;
    }

    private static long name(String name) {
        return NAMES.allocateFrom(name, StandardCharsets.US_ASCII).address();
    }

    /** Whether an attribute's name is that of a list, or would be. */
    static boolean isName(long name, int nameLength) {
        if (nameLength < PREFIX.length) {
            return false;
        }
        for (int i = 0; i < PREFIX.length; i++) {
            if (Memory.getByte(name + i) != PREFIX[i]) {
                return false;
            }
        }
        return true;
    }

    static boolean isAccessName(long name, int nameLength) {
        return nameLength == ACCESS_NAME_LENGTH && Memory.mismatch(name, ACCESS_NAME, nameLength) < 0;
    }

    static boolean isDefaultName(long name, int nameLength) {
        return nameLength == DEFAULT_NAME_LENGTH && Memory.mismatch(name, DEFAULT_NAME, nameLength) < 0;
    }

    // --- set and removed

    /** SETXATTR of a name for which {@link #isName} holds. As Linux does, XATTR_CREATE and XATTR_REPLACE mean nothing. */
    int set(FsRequest r, Inode inode) {
        boolean access = isAccessName(r.nameAddress, r.nameLength);
        if ((!access && !isDefaultName(r.nameAddress, r.nameLength)) || (inode.mode & Modes.S_IFMT) == Modes.S_IFLNK) {
            return -Errno.EOPNOTSUPP;
        }
        if (!access && !inode.isDirectory()) {
            return -Errno.EACCES;
        }
        int s = Acl.check(r.name2Address, r.name2Length);
        if (s != BlobStore.OK) {
            return s;
        }
        int mode = inode.mode;
        if (access) {
            mode = (mode & ~0777) | Acl.permissionBits(r.name2Address, r.name2Length);
            mode = r.killPrivileges ? (mode & ~LibcConstants.S_ISGID) : mode;
        }
        s = access && Acl.isMinimal(r.name2Length)
                ? xattrs.replace(r, inode, mode, -1)
                : xattrs.replace(r, inode, mode, r.name2Length);
        r.accessListChanged = s == BlobStore.OK;
        return s;
    }

    /** REMOVEXATTR of a name for which {@link #isName} holds: one that is not there is removed as well as any. */
    int remove(FsRequest r, Inode inode) {
        if (!isAccessName(r.nameAddress, r.nameLength) && !isDefaultName(r.nameAddress, r.nameLength)) {
            return -Errno.EOPNOTSUPP;
        }
        int s = xattrs.removeAny(r, inode);
        r.accessListChanged = s == BlobStore.OK;
        return s == -Errno.ENODATA ? BlobStore.OK : s;
    }

    // --- chmod

    /** Prepares the change that a new mode makes to the inode's access list: OK, NOT_RESIDENT or a negative errno. */
    int prepareMode(Inode inode, int mode) {
        modeKey = 0;
        if ((inode.flags & Items.FLAG_XATTRS) == 0) {
            return BlobStore.OK;
        }
        int s = load(inode.number, ACCESS_NAME, ACCESS_NAME_LENGTH, accessAddress);
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? BlobStore.OK : s;
        }
        Acl.setPermissionBits(accessAddress, length, mode);
        modeKey = xattrs.foundKey();
        return xattrs.prepareValue(inode.number, modeKey, ACCESS_NAME_LENGTH, length, 0);
    }

    int modeLogBytes() {
        return modeKey == 0 ? 0 : xattrs.preparedLogBytes;
    }

    /** Between begin and end: whether there is an access list, which is changed now. */
    boolean putMode(Inode inode) {
        if (modeKey == 0) {
            return false;
        }
        xattrs.putValue(inode.number, modeKey, ACCESS_NAME, ACCESS_NAME_LENGTH, accessAddress, length, 0);
        return true;
    }

    // --- inherited

    /** Reads a directory's default list: OK, NOT_FOUND, NOT_RESIDENT or a negative errno. */
    int loadDefault(long directory) {
        return load(directory, DEFAULT_NAME, DEFAULT_NAME_LENGTH, defaultAddress);
    }

    /** The mode of a new inode under the list that was loaded; leaves its access list at {@link #accessAddress}. */
    int restrictLoaded(int mode) {
        Memory.copy(defaultAddress, accessAddress, length);
        return Acl.restrict(accessAddress, length, mode);
    }

    private int load(long inode, long name, int nameLength, long to) {
        int s = xattrs.find(inode, name, nameLength);
        if (s != BlobStore.OK) {
            return s;
        }
        length = xattrs.foundLength();
        if (length > Acl.MAX_BYTES) {
            return -Errno.EIO;
        }
        s = xattrs.copyFound(inode, nameLength, to);
        // A list that is none was stored by nobody: damage.
        return s == BlobStore.OK && Acl.check(to, length) != 0 ? -Errno.EIO : s;
    }
}

package io.vhostfs.fsdev;

/**
 * Operation codes of {@link FsRequest}, with the fields each reads and sets.
 *
 * <p>Errors are those of the Linux system call of the same name. "entry" below means that on success {@code attributes}
 * is filled and the client's count of references to that inode is raised by one (to be given back by FORGET).
 */
public final class FsOp {
    /** inode (directory), name → entry. A name that is not there: -ENOENT. "." and ".." are allowed. */
    public static final int LOOKUP = 1;
    /** inode, count → drops {@code count} references; never fails, never pends longer than a message. */
    public static final int FORGET = 2;
    /** inode → attributes. */
    public static final int GETATTR = 3;
    /** inode, valid (SET_*, KEEP_DIR_SYNC), newAttributes, [handle when SET_HANDLE] → attributes, accessListChanged. */
    public static final int SETATTR = 4;
    /** inode, data iovecs → the target's bytes, result length in count. */
    public static final int READLINK = 5;
    /** inode (directory), name, name2 (target) → entry. */
    public static final int SYMLINK = 6;
    /** inode (directory), name, mode, umask, deviceNumber → entry. */
    public static final int MKNOD = 7;
    /** inode (directory), name, mode, umask → entry. */
    public static final int MKDIR = 8;
    /** inode (directory), name. */
    public static final int UNLINK = 9;
    /** inode (directory), name. */
    public static final int RMDIR = 10;
    /**
     * inode (old directory), name, inode2 (new directory), name2, flags (RENAME_*); with RENAME_WHITEOUT, uid and gid of
     * the whiteout.
     */
    public static final int RENAME = 11;
    /** inode2 (existing inode), inode (new directory), name → entry. */
    public static final int LINK = 12;
    /** inode, flags (O_*), killPrivileges (with O_TRUNC) → handle. O_TRUNC is honoured. */
    public static final int OPEN = 13;
    /** inode, handle, offset, length, data iovecs → count (bytes read, short at end of file only). */
    public static final int READ = 14;
    /**
     * inode, handle, offset, length, data iovecs, flags (O_APPEND, O_DSYNC/O_SYNC), killPrivileges, keepsTimes, isCopy →
     * count. A copy is durable, too, when the handle was opened so. -EPERM: a copy to an immutable file.
     */
    public static final int WRITE = 15;
    /** inode → statfs fields. */
    public static final int STATFS = 16;
    /** handle, [isFlock: the flock of lockOwner goes with it]. */
    public static final int RELEASE = 17;
    /** inode, handle, dataOnly: durable when complete. Also for directories. */
    public static final int FSYNC = 18;
    /** inode, handle, lockOwner. Close of one descriptor: the owner's record locks go. */
    public static final int FLUSH = 19;
    /**
     * inode, name, name2 (the value, perhaps empty), flags (XATTR_CREATE, XATTR_REPLACE), killPrivileges (the
     * set-group-ID bit goes with an access control list) → accessListChanged.
     */
    public static final int SETXATTR = 20;
    /** inode, name, length (0: only the size is wanted), data iovecs → count. -ERANGE, -ENODATA. */
    public static final int GETXATTR = 21;
    /** inode, length (0: only the size is wanted), data iovecs → count: NUL-terminated names. */
    public static final int LISTXATTR = 22;
    /** inode, name → accessListChanged. */
    public static final int REMOVEXATTR = 23;
    /** inode → handle. */
    public static final int OPENDIR = 24;
    /**
     * inode, handle, offset (cookie, 0 at the start), filler, wantAttributes (then each entry added is an "entry").
     *
     * <p>What was added stays added: a file system that must wait, or fails, behind the first entry completes with those
     * that it has.
     */
    public static final int READDIR = 25;
    /** handle. */
    public static final int RELEASEDIR = 26;
    /** inode (directory), name, mode, umask, flags (O_*), killPrivileges → entry and handle. Opens when it exists, unless O_EXCL. */
    public static final int CREATE = 27;
    /** inode, handle, offset, length, mode (FALLOC_FL_*), killPrivileges. */
    public static final int FALLOCATE = 28;
    /** inode, handle, offset, flags (SEEK_DATA, SEEK_HOLE), clientHoldsData → count (the offset found), or ENOSYS: not known. */
    public static final int LSEEK = 29;
    /** Everything of the file system is durable when complete. */
    public static final int SYNCFS = 30;

    /**
     * inode (directory), mode, umask, flags (O_*) → entry and handle of a new file without a name. LINK may give it
     * one, unless flags has O_EXCL.
     */
    public static final int TMPFILE = 31;

    /**
     * inode, handle, lockOwner, isFlock, lockType, offset, lockEnd → lockType, offset, lockEnd, pid of a lock that excludes
     * this one; lockType F_UNLCK: none does.
     */
    public static final int GETLK = 32;
    /**
     * inode, handle, lockOwner, isFlock, lockType, offset, lockEnd, pid, mayWait, key. -EAGAIN: excluded; -EINTR: no longer
     * waits; -ENOLCK: too many.
     */
    public static final int SETLK = 33;
    /** key: a SETLK of the same client that waits, or is about to, ends with -EINTR. */
    public static final int INTERRUPT = 34;

    /**
     * inode, handle, offset (source), inode2, handle2, offset2 (target), length → count: so many bytes from {@code offset2}
     * on now share the source's blocks; fewer than asked for, perhaps 0, when the rest must be copied. Offsets and length are
     * multiples of {@link FileSystem#cloneBlockBytes}. -EINVAL: they are not, or the ranges overlap.
     * -EPERM: the target is immutable. Durable when it is answered if the target was opened so, or is a sync file.
     */
    public static final int CLONE = 35;

    private FsOp() {}
}

package io.vhostfs.blobfs;

import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The flags and the project of an inode that chattr(1) changes, and what they forbid.
 *
 * <p>Invariant: nothing changes an immutable inode but what clears that flag, and data that a client had opened it for
 * before; of an append-only one nothing is lost. Clients' kernels know none of these flags, so that they are enforced
 * here, with the errors of Linux's file systems. Who may change them the clients' kernels decide. No state.
 */
final class InodeFlags {
    private static final int SYNCHRONOUS = Items.FLAG_SYNC | Items.FLAG_DIR_SYNC;
    private static final int FIXED = Items.FLAG_IMMUTABLE | Items.FLAG_APPEND_ONLY;

    /** {@code FS_*_FL} in the order of {@link #ITEM}. */
    private static final int[] LINUX = {
        FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL, FS_DIRSYNC_FL, FS_PROJINHERIT_FL
    };

    private static final int[] ITEM = {
        Items.FLAG_IMMUTABLE,
        Items.FLAG_APPEND_ONLY,
        Items.FLAG_NO_DUMP,
        Items.FLAG_NO_ATIME,
        Items.FLAG_SYNC,
        Items.FLAG_DIR_SYNC,
        Items.FLAG_PROJECT_INHERIT
    };

    private static final int FOR_DIRECTORIES = Items.FLAG_DIR_SYNC | Items.FLAG_PROJECT_INHERIT;
    private static final int SETTABLE = Items.FLAG_IMMUTABLE
            | Items.FLAG_APPEND_ONLY
            | Items.FLAG_NO_DUMP
            | Items.FLAG_NO_ATIME
            | SYNCHRONOUS
            | Items.FLAG_PROJECT_INHERIT;

    /** What a new inode takes over from its directory, as in ext4. */
    private static final int INHERITED = Items.FLAG_NO_DUMP | Items.FLAG_NO_ATIME | SYNCHRONOUS;

    private InodeFlags() {}

    // --- what clients see

    static void fill(Inode inode, FsAttributes a) {
        a.hasXattrs = (inode.flags & Items.FLAG_XATTRS) != 0;
        a.project = inode.projectId;
        int flags = inode.flags;
        if (Items.isQuotaProject(inode.projectId)) {
            a.project = 0;
            flags &= ~Items.FLAG_PROJECT_INHERIT;
        }
        a.flags = (flags & SETTABLE) == 0 ? 0 : convert(flags, ITEM, LINUX);
    }

    private static int convert(int flags, int[] from, int[] to) {
        int result = 0;
        for (int i = 0; i < from.length; i++) {
            result |= (flags & from[i]) != 0 ? to[i] : 0;
        }
        return result;
    }

    // --- set

    /** Whether a SETATTR's flags and project may be set: OK or a negative errno. */
    static int check(FsRequest r, Inode inode) {
        int valid = r.valid;
        if ((valid & (FsRequest.SET_FLAGS | FsRequest.SET_PROJECT)) == 0) {
            return BlobStore.OK;
        }
        int flags = newFlags(r, inode);
        int project = newProject(r, inode);
        boolean staysImmutable = (inode.flags & flags & Items.FLAG_IMMUTABLE) != 0;
        boolean changes = flags != inode.flags || project != inode.projectId;
        boolean leavesQuota =
                project != inode.projectId && (Items.isQuotaProject(project) || Items.isQuotaProject(inode.projectId));
        return (staysImmutable && changes) || leavesQuota ? -Errno.EPERM : BlobStore.OK;
    }

    /** Between the inode's beginChange and endChange, after {@link #check}. */
    static void apply(FsRequest r, Inode inode) {
        if ((r.valid & (FsRequest.SET_FLAGS | FsRequest.SET_PROJECT)) != 0) {
            inode.flags = newFlags(r, inode);
            inode.projectId = newProject(r, inode);
        }
    }

    private static int newFlags(FsRequest r, Inode inode) {
        if ((r.valid & FsRequest.SET_FLAGS) == 0) {
            return inode.flags;
        }
        int settable = inode.isDirectory() ? SETTABLE : SETTABLE & ~FOR_DIRECTORIES;
        if (Items.isQuotaProject(inode.projectId)) {
            settable &= ~Items.FLAG_PROJECT_INHERIT;
        }
        if ((r.valid & FsRequest.KEEP_DIR_SYNC) != 0) {
            settable &= ~Items.FLAG_DIR_SYNC;
        }
        return (inode.flags & ~settable) | (convert(r.newAttributes.flags, LINUX, ITEM) & settable);
    }

    /** A quota's project is shown as 0: who sets that changes nothing. */
    private static int newProject(FsRequest r, Inode inode) {
        int project = r.newAttributes.project;
        boolean keeps =
                (r.valid & FsRequest.SET_PROJECT) == 0 || (project == 0 && Items.isQuotaProject(inode.projectId));
        return keeps ? inode.projectId : project;
    }

    /** The flags of a new inode besides those of its content. */
    static int inherited(Inode dir, boolean isDirectory) {
        int flags = dir.flags & INHERITED;
        return isDirectory ? flags : flags & ~FOR_DIRECTORIES;
    }

    // --- what they forbid

    static boolean isImmutable(Inode inode) {
        return (inode.flags & Items.FLAG_IMMUTABLE) != 0;
    }

    /** Immutable or append-only: has its names, attributes and content for good. */
    static boolean isFixed(Inode inode) {
        return isFixed(inode.flags);
    }

    static boolean isFixed(int flags) {
        return (flags & FIXED) != 0;
    }

    /** Whether a name of {@code victim} may go from a directory: OK or -EPERM. */
    static int checkRemoval(Inode dir, Inode victim) {
        return isFixed(dir) || isFixed(victim) ? -Errno.EPERM : BlobStore.OK;
    }

    /** Whether {@code source} may move, and {@code target}, if there is one, give way. */
    static int checkRename(Inode from, Inode to, Inode source, @Nullable Inode target) {
        int s = checkRemoval(from, source);
        if (s != BlobStore.OK || target != null) {
            return s != BlobStore.OK || target == null ? s : checkRemoval(to, target);
        }
        return isImmutable(to) ? -Errno.EPERM : BlobStore.OK;
    }

    /** OPEN, or CREATE of what is there. */
    static int checkOpen(FsRequest r, Inode inode) {
        if (!isFixed(inode)) {
            return BlobStore.OK;
        }
        boolean truncates = (r.flags & O_TRUNC) != 0;
        boolean writes = (r.flags & O_ACCMODE) != O_RDONLY;
        boolean appends = !isImmutable(inode) && (r.flags & O_APPEND) != 0;
        return truncates || (writes && !appends) ? -Errno.EPERM : BlobStore.OK;
    }

    /** SETATTR. */
    static int checkAttributes(FsRequest r, Inode inode) {
        int s = check(r, inode);
        if (s != BlobStore.OK || !isFixed(inode)) {
            return s;
        }
        int valid = r.valid;
        int forbidden = FsRequest.SET_SIZE | FsRequest.SET_MODE | FsRequest.SET_UID | FsRequest.SET_GID;
        boolean now = (valid & (FsRequest.SET_ATIME_NOW | FsRequest.SET_MTIME_NOW)) != 0;
        boolean atime = (valid & FsRequest.SET_ATIME) != 0 && (valid & FsRequest.SET_ATIME_NOW) == 0;
        // A modification time alone, with a change time, is what a kernel with a write-back cache has for what was
        // written.
        boolean mtime = (valid & FsRequest.SET_MTIME) != 0
                && (valid & FsRequest.SET_MTIME_NOW) == 0
                && (valid & FsRequest.SET_CTIME) == 0;
        boolean fails = (valid & forbidden) != 0 || atime || mtime || (now && isImmutable(inode));
        return fails ? -Errno.EPERM : BlobStore.OK;
    }

    /** FALLOCATE. */
    static int checkAllocation(FsRequest r, Inode inode) {
        boolean onlyAdds = (r.mode & ~FALLOC_FL_KEEP_SIZE) == 0;
        return isImmutable(inode) || (isFixed(inode) && !onlyAdds) ? -Errno.EPERM : BlobStore.OK;
    }

    /** Whether a WRITE is durable when it is answered. */
    static boolean isSync(int flags) {
        return (flags & Items.FLAG_SYNC) != 0;
    }

    /** Whether a change of the directory's names is durable when it is answered. */
    static boolean isSynchronous(Inode dir) {
        return (dir.flags & SYNCHRONOUS) != 0;
    }
}

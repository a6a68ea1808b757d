package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.os.LibcConstants;

/**
 * What a session has agreed on with its client's kernel. Immutable: published through one volatile field, so that every
 * queue sees a whole one.
 */
final class FuseState {
    private static final long NANOSECONDS = 1_000_000_000L;

    /** An inode number that no file has. */
    static final long NO_INODE = 0;

    final FsClient client;
    final long rootInode;

    /** Whether INIT was answered; before, only INIT is. */
    final boolean initialised;

    final int minor;
    final long flags;
    final boolean writebackCache;
    final boolean killPrivileges;
    final boolean extendedSetxattr;

    /** The client's kernel obeys access control lists. */
    final boolean accessLists;

    /** What makes an inode brings the label that the policy of the client's kernel gives it. */
    final boolean labels;

    // What replies carry.
    final long entrySeconds;
    final int entryNanoseconds;
    final boolean cachesNegatives;
    final long negativeSeconds;
    final int negativeNanoseconds;
    final long attributeSeconds;
    final int attributeNanoseconds;
    final int openFlags;
    final int openDirectoryFlags;

    final int maxWriteBytes;
    final boolean answerFlush;

    /** There are no handles: the client's kernel names files by their nodeids alone. */
    final boolean noOpen;

    /** Locks are known to all clients, not to the client's kernel alone. */
    final boolean sharesLocks;

    private FuseState(FsClient client, FuseOptions options, boolean initialised, int minor, long flags) {
        this.client = client;
        this.rootInode = client.rootInode();
        this.initialised = initialised;
        this.minor = minor;
        this.flags = flags;
        writebackCache = (flags & FUSE_WRITEBACK_CACHE) != 0;
        killPrivileges = (flags & FUSE_HANDLE_KILLPRIV_V2) != 0;
        extendedSetxattr = (flags & FUSE_SETXATTR_EXT) != 0;
        accessLists = (flags & FUSE_POSIX_ACL) != 0;
        labels = (flags & FUSE_SECURITY_CTX) != 0;
        entrySeconds = options.entryTimeoutNs() / NANOSECONDS;
        entryNanoseconds = (int) (options.entryTimeoutNs() % NANOSECONDS);
        cachesNegatives = options.negativeTimeoutNs() > 0;
        negativeSeconds = options.negativeTimeoutNs() / NANOSECONDS;
        negativeNanoseconds = (int) (options.negativeTimeoutNs() % NANOSECONDS);
        attributeSeconds = options.attributeTimeoutNs() / NANOSECONDS;
        attributeNanoseconds = (int) (options.attributeTimeoutNs() % NANOSECONDS);
        openFlags = options.keepCache() ? FOPEN_KEEP_CACHE : 0;
        openDirectoryFlags = options.keepCache() ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0;
        maxWriteBytes = options.maxWriteBytes();
        sharesLocks = (flags & FUSE_POSIX_LOCKS) != 0 && (flags & FUSE_FLOCK_LOCKS) != 0;
        noOpen = (flags & FUSE_NO_OPEN_SUPPORT) != 0;
        answerFlush = options.answerFlush() || sharesLocks;
    }

    /**
     * How long attributes are valid. Those of a file with set-ID bits are not: a kernel that leaves it to us to clear these
     * (FUSE_HANDLE_KILLPRIV_V2) does not expect a write to change what it has cached of the mode.
     */
    boolean cachesAttributes(int mode) {
        boolean isFile = (mode & LibcConstants.S_IFMT) == LibcConstants.S_IFREG;
        return !isFile || (mode & (LibcConstants.S_ISUID | LibcConstants.S_ISGID)) == 0;
    }

    static FuseState beforeInit(FsClient client, FuseOptions options) {
        return new FuseState(client, options, false, 0, 0);
    }

    static FuseState agreed(FsClient client, FuseOptions options, int minor, long flags) {
        return new FuseState(client, options, true, minor, flags);
    }

    /**
     * The inode a nodeid names. nodeid 1 is the client's root, every other is an inode number; where the root is not that
     * of the file system, its own number names nothing, since it was never handed out.
     */
    long inodeOf(long nodeid) {
        if (nodeid == FUSE_ROOT_ID) {
            return rootInode;
        }
        return nodeid == rootInode ? NO_INODE : nodeid;
    }

    long nodeidOf(long inode) {
        return inode == rootInode ? FUSE_ROOT_ID : inode;
    }

    /** Whether the client sees the whole file system, so that no parent lies outside of what it may see. */
    boolean seesEverything() {
        return rootInode == FileSystem.ROOT_INODE;
    }
}

package io.vhostfs.fsdev;

import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import org.jspecify.annotations.Nullable;

/**
 * One file system operation: who asks, the arguments, and the result. Preallocated, reused.
 *
 * <p>From {@link FileSystem#submit} to completion the file system owns it and may move it between reactors (it is itself
 * the {@link Message}). Arguments do not change in that time, so that the file system may run it again from its start
 * after it waited for a piece of metadata. Names and values lie in private memory that no guest can change; {@code
 * data} iovecs may point into guest memory.
 */
public abstract class FsRequest implements Message {
    // SETATTR: which of newAttributes are meant.
    public static final int SET_MODE = 1;
    public static final int SET_UID = 1 << 1;
    public static final int SET_GID = 1 << 2;
    public static final int SET_SIZE = 1 << 3;
    public static final int SET_ATIME = 1 << 4;
    public static final int SET_MTIME = 1 << 5;
    public static final int SET_HANDLE = 1 << 6;
    public static final int SET_ATIME_NOW = 1 << 7;
    public static final int SET_MTIME_NOW = 1 << 8;
    public static final int SET_CTIME = 1 << 10;
    /** Clear set-user-ID and set-group-ID bits, as truncation or a change of owner does. */
    public static final int SET_KILL_PRIVILEGES = 1 << 11;

    /** {@code newAttributes.flags}, all of them. */
    public static final int SET_FLAGS = 1 << 12;

    public static final int SET_PROJECT = 1 << 13;
    /** SET_FLAGS leaves {@code FS_DIRSYNC_FL} as it is. */
    public static final int KEEP_DIR_SYNC = 1 << 14;

    /** One of {@link FsOp}. */
    public int operation;

    /** Whose references and handles are meant. */
    public FsClient client;

    /** Where the request came from and where {@link #onComplete} runs. */
    public Reactor origin;

    // --- arguments

    public int uid;
    public int gid;
    public int pid;
    public long inode;
    public long inode2;
    public long nameAddress;
    public int nameLength;
    public long name2Address;
    public int name2Length;
    public int flags;
    public int mode;
    /** CREATE, TMPFILE, MKNOD, MKDIR: bits that the mode loses unless the directory has a default access control list. */
    public int umask;

    // CREATE, TMPFILE, MKNOD, MKDIR, SYMLINK: an attribute "security.…" that a new inode has from the start.
    public long labelNameAddress;

    /** 0: none. */
    public int labelNameLength;

    public long labelAddress;
    public int labelLength;

    /** TMPFILE: the client names files without handles; the one that is made is kept by the reference alone. */
    public boolean withoutHandle;

    public int deviceNumber;
    public int valid;
    public final FsAttributes newAttributes = new FsAttributes();
    public long handle;
    public long offset;
    public long length;
    /** CLONE: the target's. */
    public long handle2;

    public long offset2;
    public boolean dataOnly;
    public boolean killPrivileges;
    /** WRITE of what the client had cached: it sets the times of the file itself. */
    public boolean keepsTimes;
    /** WRITE of what was read from another file for the client: it may not change what is immutable. */
    public boolean isCopy;
    /** LSEEK: the client may hold data back that it has written to a file which it has open for writing. */
    public boolean clientHoldsData;

    // GETLK, SETLK, FLUSH, RELEASE.
    /** Whose lock is meant: a number that means something to the client. */
    public long lockOwner;

    /** The last byte of the range that starts at {@link #offset}; {@code Long.MAX_VALUE}: all behind it. */
    public long lockEnd;

    /** {@code F_RDLCK}, {@code F_WRLCK} or {@code F_UNLCK}. */
    public int lockType;

    /** flock(2), which knows nothing of record locks. */
    public boolean isFlock;

    /** SETLK waits until the lock is to be had. */
    public boolean mayWait;

    /** The client's name for a request that may wait; INTERRUPT: which one is meant. */
    public long key;

    public boolean wantAttributes;
    public @Nullable DirectoryFiller filler;

    /** Array of {@code struct iovec} of the data to read into or to write from. */
    public long dataIovecs;

    public int dataIovecCount;

    // --- results

    public final FsAttributes attributes = new FsAttributes();
    public long count;
    /** SETATTR, SETXATTR, REMOVEXATTR: an access control list may have changed, which a client may have cached. */
    public boolean accessListChanged;

    public final FsStatistics statistics = new FsStatistics();

    /** For the file system that has the request: the next one in a waiting list. */
    public @Nullable FsRequest next;

    /** For the file system that has the request: where it is in a long operation. */
    public @Nullable Object stage;

    /** For the file system: what {@link #run} does while the request travels; 0 when it is at home. */
    public @Nullable Message route;

    protected FsRequest(FsClient client, Reactor origin) {
        this.client = client;
        this.origin = origin;
    }

    /** Called on {@link #origin}'s thread, never from within {@code submit}: 0 or a negative errno. */
    public abstract void onComplete(int status);

    @Override
    public final void run() {
        Message message = route;
        if (message == null) {
            throw new IllegalStateException("a request without a route was sent");
        }
        message.run();
    }
}

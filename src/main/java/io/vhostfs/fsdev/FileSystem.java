package io.vhostfs.fsdev;

import io.vhostfs.reactor.Reactor;

/**
 * A mounted file system that serves several clients (guests, host mounts) at once.
 *
 * <p>Invariant: every operation takes effect whole or not at all, in some order that respects completion. Inode numbers
 * are never used again for another file. Access checks against mode bits are the clients' kernels' business
 * (default_permissions); identity, references and handles are checked here.
 */
public interface FileSystem {
    /** What {@link #submit} returns when {@link FsRequest#onComplete} will be called later. */
    int PENDING = 1;

    /** The inode number of the file system's root directory. */
    long ROOT_INODE = 1;

    /**
     * Starts a request, on the thread of {@code request.origin}.
     *
     * @return {@link #PENDING}; or, when it completed within the call (then {@code onComplete} is not called), 0 or a
     *     negative errno
     */
    int submit(FsRequest request);

    /** The unit in which CLONE shares a file's content; 0: it never does. */
    default int cloneBlockBytes() {
        return 0;
    }

    /** The reactor that owns the metadata. */
    Reactor home();

    /**
     * A new client whose root is {@code rootInode}. Home reactor only. The client holds a reference to its root until
     * {@link #detach}.
     */
    FsClient attach(long rootInode);

    /**
     * Closes all handles and drops all references of a client that will send nothing more. Home reactor only.
     *
     * <p>Requests of that client may still be under way (a guest that sends DESTROY beside other requests): they complete
     * as those of a client without references and handles do, and leave none behind.
     */
    void detach(FsClient client);

    /**
     * Ends requests of a client that wait for what other clients do (for a lock): they complete with -EINTR. Home reactor
     * only.
     */
    default void interruptWaiting(FsClient client) {}
}

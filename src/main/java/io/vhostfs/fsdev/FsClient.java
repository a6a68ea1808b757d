package io.vhostfs.fsdev;

/**
 * One attached client: made by {@link FileSystem#attach}; the file system keeps the client's references and open handles
 * in a subclass of its own.
 */
public abstract class FsClient {
    private final long rootInode;
    private boolean alone;
    private AccessTimes accessTimes = AccessTimes.OFF;

    protected FsClient(long rootInode) {
        this.rootInode = rootInode;
    }

    /** Says, before the first request, that its kernel takes for granted that nobody else changes what it knows. */
    public final void setAlone() {
        alone = true;
    }

    /** Whether nobody else may have what it has references to. */
    public final boolean isAlone() {
        return alone;
    }

    /** Says, before the first request, when what it reads gets a new access time. */
    public final void setAccessTimes(AccessTimes times) {
        accessTimes = times;
    }

    public final AccessTimes accessTimes() {
        return accessTimes;
    }

    /**
     * Whether the client has references to an inode, or it is its root: nothing of others can be cached on its side. Any
     * thread; beside a change of these references, either answer is possible.
     */
    public abstract boolean holds(long inode);

    /** The inode a client sees as its root directory. */
    public final long rootInode() {
        return rootInode;
    }
}

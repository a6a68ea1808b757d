package io.vhostfs.fsdev;

/**
 * One attached client: made by {@link FileSystem#attach}; the file system keeps the client's references and open handles
 * in a subclass of its own.
 */
public abstract class FsClient {
    private final long rootInode;
    private boolean alone;

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

package io.vhostfs.fsdev;

/**
 * One attached client: made by {@link FileSystem#attach}; the file system keeps the client's references and open handles
 * in a subclass of its own.
 */
public abstract class FsClient {
    private final long rootInode;

    protected FsClient(long rootInode) {
        this.rootInode = rootInode;
    }

    /** The inode a client sees as its root directory. */
    public final long rootInode() {
        return rootInode;
    }
}

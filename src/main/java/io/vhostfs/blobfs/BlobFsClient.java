package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FsClient;
import io.vhostfs.os.LibcConstants;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A client's references and open handles; nothing it sends about either is trusted.
 *
 * <p>Written by home; other reactors may look up handles and references.
 */
final class BlobFsClient extends FsClient {
    private static final int NONE = -1;

    final BlobFs fileSystem;
    private final ReferenceTable references;
    private final long root;
    private final int maxHandles;
    private volatile OpenFile[] files = new OpenFile[0];
    private int firstFree = NONE;
    private int openCount;
    volatile boolean detached;
    int lockCount;
    int waitingLocks;

    BlobFsClient(BlobFs fileSystem, long rootInode, int maxReferences, int maxHandles) {
        super(rootInode);
        this.fileSystem = fileSystem;
        this.root = rootInode;
        this.maxHandles = maxHandles;
        references = new ReferenceTable(maxReferences);
    }

    /** Whether the client knows this inode: its root, or one it looked up and did not forget. */
    @Override
    public boolean holds(long inode) {
        return inode == root || references.contains(inode);
    }

    boolean hasRoomForReference() {
        return references.hasRoom();
    }

    void addReference(long inode) {
        references.add(inode);
    }

    /** True when none is left. */
    boolean dropReferences(long inode, long count) {
        return references.drop(inode, count) && inode != root;
    }

    int openCount() {
        return openCount;
    }

    boolean hasRoomForHandle() {
        return openCount < maxHandles;
    }

    /** With {@code O_*} flags. The caller has asked {@link #hasRoomForHandle}. */
    OpenFile open(Inode inode, int flags) {
        if (firstFree == NONE) {
            growFiles();
        }
        OpenFile file = files[firstFree];
        firstFree = file.nextFree;
        file.inode = inode;
        inode.handles++;
        file.writes = (flags & LibcConstants.O_ACCMODE) != LibcConstants.O_RDONLY;
        file.isSync = (flags & LibcConstants.O_DSYNC) != 0;
        inode.writers += file.writes ? 1 : 0;
        openCount++;
        return file;
    }

    private void growFiles() {
        int old = files.length;
        OpenFile[] grown = Arrays.copyOf(files, Math.min(maxHandles, Math.max(64, 2 * old)));
        for (int i = grown.length - 1; i >= old; i--) {
            grown[i] = new OpenFile(i);
            grown[i].nextFree = firstFree;
            firstFree = i;
        }
        files = grown;
    }

    /** The open file of a handle, or null when it is not one. */
    @Nullable
    OpenFile file(long handle) {
        OpenFile[] all = files;
        int index = (int) handle - 1;
        if (index < 0 || index >= all.length) {
            return null;
        }
        OpenFile file = all[index];
        return file.generation == (int) (handle >>> 32) && file.inode != null ? file : null;
    }

    /** Closes it and returns its inode. */
    Inode close(OpenFile file, Inode inode) {
        file.inode = null;
        file.generation = file.generation == Integer.MAX_VALUE ? 1 : file.generation + 1;
        file.nextFree = firstFree;
        firstFree = file.index;
        inode.handles--;
        inode.writers -= file.writes ? 1 : 0;
        openCount--;
        return inode;
    }

    /** How many indices {@link #fileAt} has. */
    int fileCount() {
        return files.length;
    }

    OpenFile fileAt(int index) {
        return files[index];
    }
}

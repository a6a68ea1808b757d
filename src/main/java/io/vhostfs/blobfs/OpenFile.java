package io.vhostfs.blobfs;

import org.jspecify.annotations.Nullable;

/** One open handle of a client; reused with a new generation. Written by home. */
final class OpenFile {
    final int index;
    /** In the handle's upper half: an old handle of the same index does not match. */
    int generation = 1;

    volatile @Nullable Inode inode;

    /** It may be written through. */
    boolean writes;

    /** What is written through it is durable when that is answered. */
    boolean isSync;

    /** Next free index. */
    int nextFree;

    OpenFile(int index) {
        this.index = index;
    }

    long handle() {
        return (long) generation << 32 | index + 1;
    }
}

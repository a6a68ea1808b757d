package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * The I/O requests for tree nodes that may be under way at once.
 *
 * <p>Invariant: reads leave the last few to a checkpoint's writes, for reads may wait for it. Home reactor.
 */
final class NodeIoPool {
    private static final int FOR_WRITES = 4;
    private static final int MAX = 64;

    private final int size;
    private NodeCache.@Nullable NodeIo head;
    private int free;

    NodeIoPool(BlobStore store, StoreMemory memory, int frames) {
        size = Math.min(MAX, frames / 8);
        for (int i = size; i > 0; i--) {
            give(new NodeCache.NodeIo(store, memory));
        }
    }

    boolean hasForRead() {
        return free > FOR_WRITES;
    }

    boolean hasForWrite() {
        return free > 0;
    }

    boolean isWhole() {
        return free == size;
    }

    /** Null when there is none. */
    NodeCache.@Nullable NodeIo takeForRead() {
        return hasForRead() ? pop() : null;
    }

    NodeCache.NodeIo takeForWrite() {
        NodeCache.NodeIo io = pop();
        if (io == null) {
            throw new IllegalStateException("no node I/O is free");
        }
        return io;
    }

    private NodeCache.@Nullable NodeIo pop() {
        NodeCache.NodeIo io = head;
        if (io != null) {
            head = io.nextFree;
            io.nextFree = null;
            free--;
        }
        return io;
    }

    void give(NodeCache.NodeIo io) {
        io.nextFree = head;
        head = io;
        free++;
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.memory.HugepageMemory;

/**
 * The memory of one store outside the node cache: log buffers, iovecs, scratch; freed with the store.
 *
 * <p>Invariant: no two allocations overlap. Used while the store is made, on the thread that makes it.
 */
final class StoreMemory implements AutoCloseable {
    private final HugepageMemory memory;
    private long used;

    StoreMemory(long lengthBytes) {
        memory = HugepageMemory.reserve(lengthBytes, "store buffers");
    }

    /** Zeroed bytes, aligned to a block when at least that long, else to a cache line. */
    long allocate(int lengthBytes) {
        int alignment = lengthBytes >= BlobStore.BLOCK_SIZE ? BlobStore.BLOCK_SIZE : 64;
        long offset = (used + alignment - 1) & -alignment;
        if (offset + lengthBytes > memory.lengthBytes()) {
            throw new IllegalStateException("store buffers: " + lengthBytes + " bytes at " + offset + " of "
                    + memory.lengthBytes() + " do not fit");
        }
        used = offset + lengthBytes;
        return memory.address() + offset;
    }

    @Override
    public void close() {
        memory.close();
    }
}

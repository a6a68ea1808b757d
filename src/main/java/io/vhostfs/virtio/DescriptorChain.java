package io.vhostfs.virtio;

import static io.vhostfs.memory.Iovecs.IOVEC_SIZE;

import io.vhostfs.memory.Iovecs;

/**
 * The buffers of one request, as {@code struct iovec} arrays of local addresses: first what the device reads, then what
 * it writes.
 *
 * <p>Invariant: between {@link ChainHandler#onChain} and {@link SplitVirtqueue#pushUsed} every iovec lies inside a mapped
 * guest region, no iovec is empty, and nothing here changes, whatever the driver does to its descriptors; the bytes that
 * the iovecs point to may change at any time. Preallocated, one per ring slot, so a handler may keep state per {@link
 * #slot()}. Only on the reactor that polls the queue.
 */
public final class DescriptorChain {
    /** Chains of up to so many iovecs stay in a compact array; longer ones move to an array in the slot's own pages. */
    static final int COMPACT_IOVECS = 16;

    private final SplitVirtqueue queue;
    private final int slot;
    private final long compactIovecs;
    private final long wideIovecs;

    private long iovecs;
    private int capacity;
    private int readableCount;
    private int writableCount;
    private long readableBytes;
    private long writableBytes;
    boolean inFlight;

    DescriptorChain(SplitVirtqueue queue, int slot, long compactIovecs, long wideIovecs) {
        this.queue = queue;
        this.slot = slot;
        this.compactIovecs = compactIovecs;
        this.wideIovecs = wideIovecs;
        this.iovecs = compactIovecs;
    }

    /** The queue it came from and has to go back to. */
    public SplitVirtqueue queue() {
        return queue;
    }

    /** 0 to {@link SplitVirtqueue#size()} - 1: the index of its first descriptor, which no other chain in flight has. */
    public int slot() {
        return slot;
    }

    /** Address of the {@code struct iovec} array of what the driver wrote for the device. */
    public long readableIovecs() {
        return iovecs;
    }

    public int readableCount() {
        return readableCount;
    }

    public long readableBytes() {
        return readableBytes;
    }

    /** Address of the {@code struct iovec} array of the room for the device's answer. */
    public long writableIovecs() {
        return iovecs + (long) readableCount * IOVEC_SIZE;
    }

    public int writableCount() {
        return writableCount;
    }

    public long writableBytes() {
        return writableBytes;
    }

    void clear() {
        iovecs = compactIovecs;
        capacity = COMPACT_IOVECS;
        readableCount = 0;
        writableCount = 0;
        readableBytes = 0;
        writableBytes = 0;
    }

    /** False when the chain has as many iovecs as it can hold. */
    boolean append(long address, long lengthBytes, boolean writable) {
        int count = readableCount + writableCount;
        if (count == capacity && !widen(count)) {
            return false;
        }
        Iovecs.set(iovecs, count, address, lengthBytes);
        if (writable) {
            writableCount++;
            writableBytes += lengthBytes;
        } else {
            readableCount++;
            readableBytes += lengthBytes;
        }
        return true;
    }

    private boolean widen(int count) {
        if (capacity == SplitVirtqueue.MAX_CHAIN_IOVECS) {
            return false;
        }
        for (int i = 0; i < count; i++) {
            Iovecs.set(wideIovecs, i, Iovecs.base(iovecs, i), Iovecs.length(iovecs, i));
        }
        iovecs = wideIovecs;
        capacity = SplitVirtqueue.MAX_CHAIN_IOVECS;
        return true;
    }
}

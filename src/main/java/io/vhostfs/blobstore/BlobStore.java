package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * The transactional key-value store and block allocator under the file system.
 *
 * <p>Keys are pairs of unsigned 64-bit numbers ({@code k0} then {@code k1}); {@code k0 == 0} is the store's own. Values
 * are up to {@link #MAX_VALUE_BYTES}. All methods run on the home reactor and none blocks.
 *
 * <p>Protocol of a change, which cannot fail half-way: (1) look up everything needed; any call that returns {@link
 * #NOT_RESIDENT} has started to read the missing node: {@link #park} the request, which is run again from its start when
 * the node is there. (2) {@link #prepare} every key to be put or deleted; this makes the path resident and pins it until
 * the running call ends. (3) {@link #begin} with the number of log bytes. (4) {@link #put}, {@link #delete}, {@link
 * #markUsed}, {@link #free}: none can fail. (5) {@link #end}. Between begin and end no other operation runs, so what lies
 * between is atomic across a crash.
 */
public final class BlobStore {
    public static final int BLOCK_SIZE = 4096;
    public static final int MAX_VALUE_BYTES = 4000;

    /** Found, or done. */
    public static final int OK = 0;
    /** No such key. */
    public static final int NOT_FOUND = 1;
    /** Park the request: a node is being read, or the log or a checkpoint must make room first. */
    public static final int NOT_RESIDENT = 2;

    /** Something to run again, on the home reactor, after what it waited for. */
    public abstract static class Parkable {
        @Nullable
        Parkable nextParked;

        public abstract void unpark();
    }

    /** Called when all that was applied before the call to {@link #commit} is durable, or with a negative errno. */
    public abstract static class CommitWaiter {
        @Nullable
        CommitWaiter nextWaiter;

        public abstract void onCommitted(int status);
    }

    // --- results of the last find or ceiling; valid until the next call into the store

    public long valueAddress;
    public int valueLength;
    public long foundK0;
    public long foundK1;

    // --- result of the last reserve

    public long reservedBlock;
    public int reservedBlocks;

    /** Looks a key up: OK (value fields set), NOT_FOUND, NOT_RESIDENT or a negative errno (-EIO: damaged). */
    public int find(long k0, long k1) {
        throw new UnsupportedOperationException();
    }

    /** The first key not less than the given one: OK (found and value fields set), NOT_FOUND (none), NOT_RESIDENT, -EIO. */
    public int ceiling(long k0, long k1) {
        throw new UnsupportedOperationException();
    }

    /** The last key not greater than the given one. */
    public int floor(long k0, long k1) {
        throw new UnsupportedOperationException();
    }

    /**
     * Makes a later put of up to {@code valueBytes}, or a delete, of this key certain to succeed: OK, NOT_RESIDENT,
     * -ENOSPC, -EROFS, -EIO.
     */
    public int prepare(long k0, long k1, int valueBytes) {
        throw new UnsupportedOperationException();
    }

    /** As {@link #prepare}, for changes that free space: may use the reserve kept for them. */
    public int prepareDelete(long k0, long k1) {
        throw new UnsupportedOperationException();
    }

    /** Opens an atomic group of changes of at most {@code logBytes} log bytes: OK, NOT_RESIDENT (no log room now), -EROFS. */
    public int begin(int logBytes) {
        throw new UnsupportedOperationException();
    }

    /** Log bytes that a put of a value this long takes; a delete is a put of 0 bytes. */
    public static int logBytes(int valueBytes) {
        return 24 + valueBytes;
    }

    public void put(long k0, long k1, long valueAddress, int valueLength) {
        throw new UnsupportedOperationException();
    }

    /** Deletes a key that may or may not be there. */
    public void delete(long k0, long k1) {
        throw new UnsupportedOperationException();
    }

    public void end() {
        throw new UnsupportedOperationException();
    }

    /**
     * Takes up to {@code maxBlocks} contiguous free blocks, near {@code goalBlock} (0: anywhere), in memory only: OK
     * (reserved fields set; possibly fewer blocks than asked for), NOT_RESIDENT (freed blocks await a checkpoint, which
     * was started), -ENOSPC. A crash, or {@link #unreserve}, gives them back.
     */
    public int reserve(long goalBlock, int maxBlocks) {
        throw new UnsupportedOperationException();
    }

    public void unreserve(long block, int blocks) {
        throw new UnsupportedOperationException();
    }

    /** Within begin and end: makes reserved blocks allocated, durable with the group. */
    public void markUsed(long block, int blocks) {
        throw new UnsupportedOperationException();
    }

    /**
     * Within begin and end: frees allocated blocks. They are reused only after the checkpoint that follows and after all
     * I/O that was in flight now ({@link #ioStarted}) has ended.
     */
    public void free(long block, int blocks) {
        throw new UnsupportedOperationException();
    }

    /** Everything ended so far becomes durable, and so does all data whose write has completed; then the waiter is called. */
    public void commit(CommitWaiter waiter) {
        throw new UnsupportedOperationException();
    }

    /** All data writes completed so far become durable; the cheaper commit when the caller changed no metadata. */
    public void flush(CommitWaiter waiter) {
        throw new UnsupportedOperationException();
    }

    /** Number of the last ended group; with {@link #committedSequence} tells whether something still needs a commit. */
    public long sequence() {
        throw new UnsupportedOperationException();
    }

    public long committedSequence() {
        throw new UnsupportedOperationException();
    }

    /** Runs {@code request} again when what the last NOT_RESIDENT waited for is there (or failed: it will see the error). */
    public void park(Parkable request) {
        throw new UnsupportedOperationException();
    }

    /** The epoch in which an I/O to data blocks starts; pass it to {@link #ioEnded}. Any reactor with its own slot. */
    public int ioStarted(int reactorSlot) {
        throw new UnsupportedOperationException();
    }

    public void ioEnded(int reactorSlot, int epoch) {
        throw new UnsupportedOperationException();
    }

    public long totalBlocks() {
        throw new UnsupportedOperationException();
    }

    /** Free for data, without the reserve for metadata and deletes; includes what a checkpoint would give back. */
    public long availableBlocks() {
        throw new UnsupportedOperationException();
    }
}

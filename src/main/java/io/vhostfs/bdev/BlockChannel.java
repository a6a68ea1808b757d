package io.vhostfs.bdev;

/** One reactor's way into a block device; only that reactor's thread calls it. */
public interface BlockChannel extends AutoCloseable {
    /** What {@link #submit} returns when {@link BlockIo#onComplete} will be called later. */
    int PENDING = 1;

    /**
     * Starts {@code io}.
     *
     * @return {@link #PENDING}; or, when it completed within the call (then {@code onComplete} is not called), 0 or a
     *     negative errno. A full queue is not an error: the channel keeps the request until there is room.
     */
    int submit(BlockIo io);

    /** Requests submitted and not completed. */
    int inFlight();

    /** Waits for nothing: there must be none in flight. */
    @Override
    void close();
}

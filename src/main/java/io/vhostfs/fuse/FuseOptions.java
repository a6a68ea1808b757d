package io.vhostfs.fuse;

/**
 * How one share is served: what its clients' kernels may cache and how much they may ask for at once. Immutable.
 *
 * @param writebackCache the kernel collects writes in its page cache and owns size and times of files it has dirtied
 * @param keepCache data and directory listings stay cached from one open to the next
 * @param invalidateChangedData the kernel drops cached data of a file whose modification time or size it sees changed
 * @param entryTimeoutNs how long a name that was found may be cached
 * @param negativeTimeoutNs how long a name that was not found may be cached; 0: not at all
 * @param attributeTimeoutNs how long attributes may be cached
 * @param answerFlush whether FLUSH (each close of a descriptor) reaches the file system; otherwise ENOSYS makes the kernel
 *     stop sending it
 * @param noOpen a kernel that can do without OPEN, OPENDIR and CREATE gets ENOSYS for them and sends no more of them
 * @param maxWriteBytes largest WRITE
 * @param maxReadaheadBytes upper limit for the kernel's read-ahead
 * @param maxBackground requests the kernel may have under way that no caller waits for (read-ahead, write-back,
 *     asynchronous direct I/O); at most 65,535
 * @param isLocal the client is this host's kernel, through {@code /dev/fuse}
 * @param overUring a local client may send its requests through io_uring
 */
public record FuseOptions(
        boolean writebackCache,
        boolean keepCache,
        boolean invalidateChangedData,
        long entryTimeoutNs,
        long negativeTimeoutNs,
        long attributeTimeoutNs,
        boolean answerFlush,
        boolean noOpen,
        int maxWriteBytes,
        int maxReadaheadBytes,
        int maxBackground,
        boolean isLocal,
        boolean overUring) {
    /** Pages of 4 KiB in one request: what Linux takes at most ({@code FUSE_MAX_MAX_PAGES}). */
    public static final int MAX_WRITE_BYTES = 256 * 4096;

    private static final int MAX_READAHEAD_BYTES = 4 << 20;
    private static final int MAX_BACKGROUND = 1024;

    /** A day: for a cache that no one else can make stale. */
    private static final long LONG_NS = 86_400_000_000_000L;

    /** One client only changes the tree: its kernel caches everything. */
    public static FuseOptions exclusive() {
        return new FuseOptions(
                true,
                true,
                false,
                LONG_NS,
                LONG_NS,
                LONG_NS,
                false,
                false,
                MAX_WRITE_BYTES,
                MAX_READAHEAD_BYTES,
                MAX_BACKGROUND,
                false,
                false);
    }

    /** Several clients change the tree: names and attributes are asked for each time, data is checked at open. */
    public static FuseOptions shared() {
        return new FuseOptions(
                false,
                false,
                true,
                0,
                0,
                0,
                false,
                false,
                MAX_WRITE_BYTES,
                MAX_READAHEAD_BYTES,
                MAX_BACKGROUND,
                false,
                false);
    }

    /** The same for a client that is to do without OPEN. */
    public FuseOptions withoutOpen() {
        return new FuseOptions(
                writebackCache,
                keepCache,
                invalidateChangedData,
                entryTimeoutNs,
                negativeTimeoutNs,
                attributeTimeoutNs,
                answerFlush,
                true,
                maxWriteBytes,
                maxReadaheadBytes,
                maxBackground,
                isLocal,
                overUring);
    }

    /** The same for a mount on this host; {@code overUring}: there are rings for its requests. */
    public FuseOptions onThisHost(boolean overUring) {
        return new FuseOptions(
                writebackCache,
                keepCache,
                invalidateChangedData,
                entryTimeoutNs,
                negativeTimeoutNs,
                attributeTimeoutNs,
                answerFlush,
                noOpen,
                maxWriteBytes,
                maxReadaheadBytes,
                maxBackground,
                true,
                overUring);
    }

    public FuseOptions {
        if (maxWriteBytes < 4096 || maxWriteBytes > MAX_WRITE_BYTES || maxWriteBytes % 4096 != 0) {
            throw new IllegalArgumentException("maxWriteBytes must be a multiple of 4096 from 4096 to "
                    + MAX_WRITE_BYTES + ", not " + maxWriteBytes);
        }
        if (maxReadaheadBytes < 0) {
            throw new IllegalArgumentException("maxReadaheadBytes must not be negative: " + maxReadaheadBytes);
        }
        if (maxBackground < 1 || maxBackground > 0xffff) {
            throw new IllegalArgumentException("maxBackground must be from 1 to 65535, not " + maxBackground);
        }
        if (entryTimeoutNs < 0 || negativeTimeoutNs < 0 || attributeTimeoutNs < 0) {
            throw new IllegalArgumentException("timeouts must not be negative");
        }
    }
}

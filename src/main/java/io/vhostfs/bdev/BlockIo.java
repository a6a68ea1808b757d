package io.vhostfs.bdev;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;

/**
 * One request to a block device, owned and reused by its caller.
 *
 * <p>From {@link BlockChannel#submit} to completion neither this object, nor its iovec array, nor the memory it points to
 * may be changed by the caller. Short transfers do not exist: a request succeeds whole or fails.
 */
public abstract class BlockIo {
    public static final int READ = 1;
    public static final int WRITE = 2;
    /** Everything completed before it is durable after it. */
    public static final int FLUSH = 3;
    /** The range's content is undefined afterwards. */
    public static final int DISCARD = 4;

    public static final int WRITE_ZEROES = 5;

    /** Most iovecs of one request: what Linux takes in one call (UIO_MAXIOV), and more than any guest's chain. */
    public static final int MAX_IOVECS = 1024;

    /** For {@link #WRITE}: durable when complete (force unit access). */
    public static final int FLAG_FUA = 1;

    public int operation;
    public int flags;

    /** Bytes, a multiple of the device's block size. */
    public long offsetBytes;

    /** Bytes, a multiple of the device's block size; the sum of the iovecs for READ and WRITE. */
    public long lengthBytes;

    /** Address of an array of {@code struct iovec} (READ, WRITE). */
    public long iovecsAddress;

    /** At most {@link #MAX_IOVECS}. */
    public int iovecCount;

    /** For the channel that has the request: the next in its waiting list, or a slot number. */
    @org.jspecify.annotations.Nullable
    BlockIo next;

    long channelData;

    /** For a channel that serves several devices: which of them it is for. */
    @org.jspecify.annotations.Nullable
    BlockDevice target;

    /**
     * What every device asks of a request before it does anything; called by its channels in {@code submit}.
     *
     * @param blockBytes of the device, a power of two
     * @param capacityBytes of the device
     * @return 0; {@code -EINVAL} when the request is malformed: no such operation, no whole blocks, iovecs of another length;
     *     {@code -EIO} when it lies beyond the device's end
     */
    public final int check(int blockBytes, long capacityBytes) {
        if (operation == FLUSH) {
            return 0;
        }
        boolean transfers = operation == READ || operation == WRITE;
        if (!transfers && operation != DISCARD && operation != WRITE_ZEROES) {
            return -Errno.EINVAL;
        }
        if (((offsetBytes | lengthBytes) & (blockBytes - 1)) != 0) {
            return -Errno.EINVAL;
        }
        if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes > capacityBytes - lengthBytes) {
            return -Errno.EIO;
        }
        return !transfers || iovecsCoverLength() ? 0 : -Errno.EINVAL;
    }

    /** Devices transfer what the iovecs say, not what the request says. */
    private boolean iovecsCoverLength() {
        return iovecCount <= MAX_IOVECS && Iovecs.totalLength(iovecsAddress, iovecCount) == lengthBytes;
    }

    /** Called on the channel's reactor, never from within {@code submit}. 0 or a negative errno. */
    public abstract void onComplete(int status);
}

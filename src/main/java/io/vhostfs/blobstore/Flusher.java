package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;

/**
 * Flushes of the device, each shared by all that wait for one.
 *
 * <p>Invariant: when {@link #isDone} is true for a ticket, every write that had completed when the ticket was taken is
 * durable. One flush is in flight at a time. Home reactor only.
 */
final class Flusher {
    private final BlobStore store;
    private final IoEpochs ioEpochs;
    private final boolean volatileCache;
    private final FlushIo io = new FlushIo();

    private long started;
    private long done;
    private long wanted;
    private boolean inFlight;

    /** Writes of nodes, beside the data writes that {@link IoEpochs} counts. */
    private long ownWrites;

    /** Counts of writes when the last flush was started; what was written since needs another. */
    private long ownWritesAtStart;

    private long dataWritesAtStart;

    Flusher(BlobStore store, IoEpochs ioEpochs, boolean volatileCache) {
        this.store = store;
        this.ioEpochs = ioEpochs;
        this.volatileCache = volatileCache;
    }

    void noteOwnWrite() {
        ownWrites++;
    }

    /** Taken after the writes that matter have completed; 0 when there is nothing to wait for. */
    long ticket() {
        return ticket(ownWrites != ownWritesAtStart || hasNewDataWrites());
    }

    /** As {@link #ticket}, for writes of data only: whoever waits for these need not wait for a checkpoint's. */
    long dataTicket() {
        return ticket(hasNewDataWrites());
    }

    /** Whether data was written since the last flush was started. */
    boolean hasNewDataWrites() {
        return volatileCache && ioEpochs.writes() != dataWritesAtStart;
    }

    private long ticket(boolean needsAnother) {
        if (!volatileCache) {
            return 0;
        }
        long ticket = needsAnother ? started + 1 : started;
        wanted = Math.max(wanted, ticket);
        return ticket;
    }

    boolean isDone(long ticket) {
        return done >= ticket;
    }

    boolean hasWork() {
        return wanted > started && !inFlight;
    }

    /** Starts a flush if one is wanted and none is in flight. */
    int pump() {
        if (!hasWork()) {
            return 0;
        }
        inFlight = true;
        started++;
        ownWritesAtStart = ownWrites;
        dataWritesAtStart = ioEpochs.writes();
        io.operation = BlockIo.FLUSH;
        int status = store.submit(io);
        if (status != BlockChannel.PENDING) {
            finish(status);
        }
        return 1;
    }

    private void finish(int status) {
        inFlight = false;
        if (status < 0) {
            store.health().fail("a flush of the device", status);
            return;
        }
        done = started;
    }

    boolean isIdle() {
        return !inFlight;
    }

    private final class FlushIo extends BlockIo {
        @Override
        public void onComplete(int status) {
            finish(status);
        }
    }
}

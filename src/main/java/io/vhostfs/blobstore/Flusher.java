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
    private long writesAtStart;

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
        if (!volatileCache) {
            return 0;
        }
        long ticket = writes() == writesAtStart ? started : started + 1;
        wanted = Math.max(wanted, ticket);
        return ticket;
    }

    boolean isDone(long ticket) {
        return done >= ticket;
    }

    private long writes() {
        return ioEpochs.writes() + ownWrites;
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
        writesAtStart = writes();
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
            store.fail("a flush of the device", status);
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

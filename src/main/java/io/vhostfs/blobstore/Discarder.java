package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.os.Errno;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells the device which blocks nobody needs any more, so that a disk can reuse them and a file shrinks on its host.
 *
 * <p>Invariant: a block is discarded only after the checkpoint that freed it is durable and every I/O that could touch it
 * has ended, and it cannot be allocated until the discard has ended. Discarding is a courtesy: an error of it is said once
 * and ends it, and when space is short blocks are given back without it. Home reactor only.
 */
final class Discarder {
    private static final Logger LOG = LoggerFactory.getLogger(Discarder.class);

    /** 64 KiB: what is shorter costs the device more bookkeeping than it gains; such runs are gathered, see SpaceMap. */
    static final int MIN_BLOCKS = 16;

    /**
     * 8 MiB at a time and one at a time: a hole is punched under the file's lock (some 2 to 4 ms for one of these), and a
     * disk answers little else while it trims, so that requests beside it wait for one of these at most.
     */
    static final int MAX_BLOCKS = 2048;

    private final BlobStore store;
    private final SpaceMap space;
    private final String deviceName;
    private final DiscardIo io = new DiscardIo();

    private boolean on;
    private boolean inFlight;
    private long block;
    private int blocks;
    private int lastStatus;

    long discardedBlocks;

    Discarder(BlobStore store, SpaceMap space, String deviceName) {
        this.store = store;
        this.space = space;
        this.deviceName = deviceName;
    }

    /** From now on freed blocks are kept back until they are discarded. */
    void turnOn() {
        on = true;
        space.holdForDiscard(true);
    }

    /** What waits is given back as it is; what is in flight ends. */
    void turnOff() {
        on = false;
        space.holdForDiscard(false);
    }

    boolean hasWork() {
        return on && !inFlight && space.hasUndiscarded();
    }

    /** Starts a discard if one is due and none is in flight. */
    int pump() {
        if (!hasWork()) {
            return 0;
        }
        blocks = space.takeUndiscarded(MAX_BLOCKS);
        start(space.runBlock);
        return 1;
    }

    /**
     * Starts to discard the next free blocks from {@code from} on, in a store that nobody changes; false when there are
     * none. To be called again from {@link #end} on when it {@link #isIdle}.
     */
    boolean trim(long from) {
        if (!space.findFreeRun(from, MAX_BLOCKS)) {
            return false;
        }
        blocks = space.runBlocks;
        space.hold(space.runBlock, blocks);
        start(space.runBlock);
        return true;
    }

    /** The block behind the last discard. */
    long end() {
        return block + blocks;
    }

    private void start(long firstBlock) {
        block = firstBlock;
        inFlight = true;
        io.operation = BlockIo.DISCARD;
        io.offsetBytes = block * BlobStore.BLOCK_SIZE;
        io.lengthBytes = (long) blocks * BlobStore.BLOCK_SIZE;
        int status = store.submit(io);
        if (status != BlockChannel.PENDING) {
            finish(status);
        }
    }

    private void finish(int status) {
        inFlight = false;
        lastStatus = status;
        if (status < 0 && on) {
            LOG.warn(
                    "{}: a discard of {} blocks at block {} failed with {}; freed blocks are not discarded any more",
                    deviceName,
                    blocks,
                    block,
                    Errno.name(status));
            turnOff();
        }
        discardedBlocks += status < 0 ? 0 : blocks;
        space.discarded(block, blocks);
        store.blocksCameBack();
    }

    /** 0, or the negative errno of the last discard. */
    int lastStatus() {
        return lastStatus;
    }

    boolean isIdle() {
        return !inFlight;
    }

    private final class DiscardIo extends BlockIo {
        @Override
        public void onComplete(int status) {
            finish(status);
        }
    }
}

package io.vhostfs.bdev;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.MemoryPool;
import io.vhostfs.nvme.Commands;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.nvme.QueuePair;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One reactor's queue pair of an NVMe controller, and the requests that are cut into its commands.
 *
 * <p>Invariants: a request is waiting, current (the one that is being cut), or all its commands are under way; it completes
 * once, when the last of them has ended. A request has a tracker from becoming current on; as each but the current one has a
 * command, there are enough of them. Data goes straight between the drive and the iovecs, or through a bounce buffer where an
 * iovec is not mapped for DMA or lies askew. Reactor's thread only.
 */
final class NvmeChannel implements BlockChannel, Poller, QueuePair.Owner {
    private static final Logger LOG = LoggerFactory.getLogger(NvmeChannel.class);

    /** Blocks of one deallocation: 2 GiB of the smallest, so that none takes a drive seconds. */
    private static final int MAX_DISCARD_BLOCKS = 1 << 22;

    /** A command counts its blocks in 16 bits. */
    private static final int MAX_COMMAND_BLOCKS = 1 << 16;

    private static final int NONE = -1;

    // Per tracker.
    private final @Nullable BlockIo[] requests;
    private final @Nullable NvmeDevice[] devices;
    private final long[] totalBytes;
    private final long[] issuedBytes;
    private final int[] outstanding;
    private final int[] errors;
    private final int[] freeTrackers;
    private int freeTrackerCount;

    // Per slot of the queue pair.
    private final int[] trackerOf;
    private final long[] startOf;
    private final int[] bytesOf;
    private final long[] bounceOf;

    private int current = NONE;
    private final WaitingList waiting = new WaitingList();
    private @Nullable BlockIo failedHead;
    private int inFlight;

    private final QueuePair pair;
    private final MemoryPool bounce;
    private final NvmeDevice device;
    private final NvmeController controller;
    private final Reactor reactor;
    private final int interruptFd;
    private boolean open = true;

    /** Takes a queue pair; null when the controller has none left. */
    static @Nullable NvmeChannel open(NvmeDevice device, NvmeController controller, Reactor reactor) {
        Attachment attachment = new Attachment();
        QueuePair pair = controller.attach(reactor, attachment);
        if (pair == null) {
            return null;
        }
        NvmeChannel channel = new NvmeChannel(device, controller, reactor, pair);
        attachment.channel = channel;
        reactor.addPoller(channel);
        if (channel.interruptFd >= 0) {
            reactor.addWakeFd(channel.interruptFd);
        }
        return channel;
    }

    /** Passes on what the pair says: it has to know whom to tell before the channel can be made. */
    private static final class Attachment implements QueuePair.Owner {
        private @Nullable NvmeChannel channel;

        @Override
        public void onCommandDone(int slot, int status) {
            if (channel != null) {
                channel.onCommandDone(slot, status);
            }
        }
    }

    private NvmeChannel(NvmeDevice device, NvmeController controller, Reactor reactor, QueuePair pair) {
        this.device = device;
        this.controller = controller;
        this.reactor = reactor;
        this.pair = pair;
        bounce = pair.bounce();
        interruptFd = controller.interruptFd(pair);
        int slots = pair.slots();
        trackerOf = new int[slots];
        startOf = new long[slots];
        bytesOf = new int[slots];
        bounceOf = new long[slots];
        int trackers = slots + 1;
        requests = new @Nullable BlockIo[trackers];
        devices = new @Nullable NvmeDevice[trackers];
        totalBytes = new long[trackers];
        issuedBytes = new long[trackers];
        outstanding = new int[trackers];
        errors = new int[trackers];
        freeTrackers = new int[trackers];
        for (int i = 0; i < trackers; i++) {
            freeTrackers[i] = i;
        }
        freeTrackerCount = trackers;
    }

    Reactor reactor() {
        return reactor;
    }

    @Override
    public int submit(BlockIo io) {
        return submitFor(device, io);
    }

    /** Starts a request for any namespace of the controller. */
    int submitFor(NvmeDevice target, BlockIo io) {
        int error = !open || pair.isDead() ? -Errno.EIO : target.check(io);
        if (error != 0) {
            return error;
        }
        if (target.isNothing(io)) {
            return 0;
        }
        inFlight++;
        io.target = target;
        waiting.add(io);
        pump();
        return PENDING;
    }

    /** Cuts requests into commands as long as there are slots and bounce buffers for them. */
    private void pump() {
        while (true) {
            if (current == NONE) {
                BlockIo io = waiting.take();
                if (io == null) {
                    return;
                }
                current = track(io);
            }
            if (!issue(current)) {
                return;
            }
            int tracker = current;
            current = NONE;
            if (outstanding[tracker] == 0) {
                // Nothing of it could be started. Its owner must not be told from within its submit.
                failLater(tracker);
            }
        }
    }

    private int track(BlockIo io) {
        int tracker = freeTrackers[--freeTrackerCount];
        requests[tracker] = io;
        devices[tracker] = (NvmeDevice) io.target;
        // A flush is one unit of nothing.
        totalBytes[tracker] = io.operation == BlockIo.FLUSH ? 1 : io.lengthBytes;
        issuedBytes[tracker] = 0;
        outstanding[tracker] = 0;
        errors[tracker] = 0;
        return tracker;
    }

    /** Whether all of the request is under way, or it has failed. */
    private boolean issue(int tracker) {
        BlockIo io = Objects.requireNonNull(requests[tracker]);
        NvmeDevice target = Objects.requireNonNull(devices[tracker]);
        while (issuedBytes[tracker] < totalBytes[tracker]) {
            if (pair.isDead()) {
                fail(tracker, -Errno.EIO);
                return true;
            }
            int slot = pair.takeSlot();
            if (slot < 0) {
                return false;
            }
            long start = issuedBytes[tracker];
            bounceOf[slot] = 0;
            long bytes = prepare(slot, target, io, start, totalBytes[tracker] - start);
            if (bytes <= 0) {
                pair.returnSlot(slot);
                if (bytes == 0) {
                    return false;
                }
                fail(tracker, (int) bytes);
                return true;
            }
            trackerOf[slot] = tracker;
            startOf[slot] = start;
            bytesOf[slot] = (int) Math.min(bytes, Integer.MAX_VALUE);
            outstanding[tracker]++;
            issuedBytes[tracker] = start + bytes;
            pair.submit(slot);
        }
        return true;
    }

    /** Writes the command for the next part; its bytes, 0 when a bounce buffer is missing, or a negative errno. */
    private long prepare(int slot, NvmeDevice target, BlockIo io, long start, long left) {
        return switch (io.operation) {
            case BlockIo.READ -> prepareTransfer(slot, target, io, NVME_CMD_READ, start, left);
            case BlockIo.WRITE -> prepareTransfer(slot, target, io, NVME_CMD_WRITE, start, left);
            case BlockIo.DISCARD -> prepareDiscard(slot, target, io, start, left);
            case BlockIo.WRITE_ZEROES -> prepareZeroes(slot, target, io, start, left);
            default -> {
                Commands.start(pair.command(slot), NVME_CMD_FLUSH, target.nsid());
                yield 1;
            }
        };
    }

    private long prepareTransfer(int slot, NvmeDevice target, BlockIo io, int opcode, long start, long left) {
        long command = pair.command(slot);
        Commands.start(command, opcode, target.nsid());
        long limit =
                Math.min(left, Math.min(target.maxTransferBytes(), (long) MAX_COMMAND_BLOCKS << target.blockShift()));
        long bytes = pair.pointTo(slot, io.iovecsAddress, io.iovecCount, start, limit, target.blockSize());
        if (bytes > 0) {
            pair.countZeroCopy(bytes);
        } else {
            bytes = prepareBounce(slot, io, start, Math.min(limit, QueuePair.BOUNCE_BYTES), target.blockSize());
            if (bytes <= 0) {
                return bytes;
            }
            pair.countBounced(bytes);
        }
        boolean fua = opcode == NVME_CMD_WRITE && (io.flags & BlockIo.FLAG_FUA) != 0 && target.hasVolatileCache();
        Commands.blocks(
                command,
                (io.offsetBytes + start) >> target.blockShift(),
                (int) (bytes >> target.blockShift()),
                fua ? NVME_RW_FUA : 0);
        return bytes;
    }

    private long prepareBounce(int slot, BlockIo io, long start, long limit, int blockBytes) {
        long buffer = bounce.acquire();
        if (buffer == 0) {
            return 0;
        }
        long bytes = limit;
        // What follows the askew iovec may go without a copy again, if that leaves whole blocks here.
        long end = endOfIovec(io, start);
        if (end - start < limit && (end - start & blockBytes - 1) == 0) {
            bytes = end - start;
        }
        if (io.operation == BlockIo.WRITE && !gather(io, start, buffer, bytes)) {
            bounce.release(buffer);
            return -Errno.EFAULT;
        }
        bounceOf[slot] = buffer;
        pair.pointToOwn(slot, buffer, (int) bytes);
        return bytes;
    }

    private static long endOfIovec(BlockIo io, long start) {
        long end = 0;
        for (int i = 0; i < io.iovecCount && end <= start; i++) {
            end += Iovecs.length(io.iovecsAddress, i);
        }
        return end;
    }

    private static boolean gather(BlockIo io, long start, long to, long bytes) {
        try {
            long done = Iovecs.gather(io.iovecsAddress, io.iovecCount, start, to, bytes);
            Memory.deliverFault();
            return done == bytes;
        } catch (InternalError truncated) {
            return false;
        }
    }

    private static boolean scatter(BlockIo io, long start, long from, long bytes) {
        try {
            long done = Iovecs.scatter(from, bytes, io.iovecsAddress, io.iovecCount, start);
            Memory.deliverFault();
            return done == bytes;
        } catch (InternalError truncated) {
            return false;
        }
    }

    private long prepareDiscard(int slot, NvmeDevice target, BlockIo io, long start, long left) {
        long blocks = Math.min(left >> target.blockShift(), MAX_DISCARD_BLOCKS);
        Commands.deallocate(pair.command(slot), target.nsid());
        pair.pointToRange(slot, (io.offsetBytes + start) >> target.blockShift(), (int) blocks);
        return blocks << target.blockShift();
    }

    private long prepareZeroes(int slot, NvmeDevice target, BlockIo io, long start, long left) {
        long lba = (io.offsetBytes + start) >> target.blockShift();
        long limit =
                Math.min(left, Math.min(target.maxTransferBytes(), (long) MAX_COMMAND_BLOCKS << target.blockShift()));
        long command = pair.command(slot);
        if (target.hasWriteZeroes()) {
            Commands.start(command, NVME_CMD_WRITE_ZEROES, target.nsid());
        } else {
            limit = Math.min(limit, QueuePair.BOUNCE_BYTES);
            Commands.start(command, NVME_CMD_WRITE, target.nsid());
            pair.pointToOwn(slot, pair.zeroesAddress(), (int) limit);
        }
        Commands.blocks(command, lba, (int) (limit >> target.blockShift()), 0);
        return limit;
    }

    @Override
    public void onCommandDone(int slot, int status) {
        int tracker = trackerOf[slot];
        BlockIo io = Objects.requireNonNull(requests[tracker]);
        int error = status;
        if (bounceOf[slot] != 0) {
            if (error == 0
                    && io.operation == BlockIo.READ
                    && !scatter(io, startOf[slot], bounceOf[slot], bytesOf[slot])) {
                error = -Errno.EFAULT;
            }
            bounce.release(bounceOf[slot]);
        }
        outstanding[tracker]--;
        if (error != 0) {
            fail(tracker, error);
        }
        if (outstanding[tracker] == 0 && issuedBytes[tracker] == totalBytes[tracker]) {
            if (tracker == current) {
                current = NONE;
            }
            finish(tracker);
        }
        pump();
    }

    /** The first error counts; what has not been started of the request is not. */
    private void fail(int tracker, int error) {
        if (errors[tracker] == 0) {
            errors[tracker] = error;
        }
        issuedBytes[tracker] = totalBytes[tracker];
    }

    private void finish(int tracker) {
        BlockIo io = Objects.requireNonNull(requests[tracker]);
        int error = errors[tracker];
        untrack(tracker);
        inFlight--;
        io.onComplete(error);
    }

    private void failLater(int tracker) {
        BlockIo io = Objects.requireNonNull(requests[tracker]);
        io.channelData = errors[tracker];
        io.next = failedHead;
        failedHead = io;
        untrack(tracker);
    }

    private void untrack(int tracker) {
        requests[tracker] = null;
        devices[tracker] = null;
        freeTrackers[freeTrackerCount++] = tracker;
    }

    @Override
    public int poll() {
        int work = pair.poll();
        while (failedHead != null) {
            BlockIo io = failedHead;
            failedHead = io.next;
            io.next = null;
            inFlight--;
            work++;
            io.onComplete((int) io.channelData);
        }
        return work;
    }

    @Override
    public boolean prepareToSleep() {
        // Without interrupts a command that is under way keeps the reactor awake: it takes microseconds.
        return !pair.hasUntold() && (inFlight == 0 || (interruptFd >= 0 && !pair.hasCompletions()));
    }

    @Override
    public void wake() {
        // The eventfd is never read: each write to it is an edge.
    }

    /** A request's owner threw, which is its own loss; or the registers are gone, which ends the controller. */
    @Override
    public boolean onError(Throwable thrown) {
        if (thrown instanceof InternalError) {
            return controller.isEndedByFault();
        }
        LOG.error("{}: the owner of a request threw when that completed", device.name(), thrown);
        // What it threw through had not got to that.
        pump();
        return true;
    }

    @Override
    public int inFlight() {
        return inFlight;
    }

    @Override
    public void close() {
        if (inFlight != 0) {
            throw new IllegalStateException(device.name() + ": " + inFlight + " requests are in flight");
        }
        if (!open) {
            return;
        }
        open = false;
        if (interruptFd >= 0) {
            reactor.removeWakeFd(interruptFd);
        }
        reactor.removePoller(this);
        controller.detach(pair);
        device.onChannelClosed(this);
    }
}

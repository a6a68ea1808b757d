package io.vhostfs.bdev;

import static io.vhostfs.os.LibcConstants.FALLOC_FL_KEEP_SIZE;
import static io.vhostfs.os.LibcConstants.FALLOC_FL_PUNCH_HOLE;
import static io.vhostfs.os.LibcConstants.FALLOC_FL_ZERO_RANGE;
import static io.vhostfs.os.LibcConstants.MAP_ANONYMOUS;
import static io.vhostfs.os.LibcConstants.MAP_NORESERVE;
import static io.vhostfs.os.LibcConstants.MAP_PRIVATE;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;
import static io.vhostfs.os.LibcConstants.RWF_DSYNC;
import static io.vhostfs.uring.UringConstants.*;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.uring.Ring;
import io.vhostfs.uring.UringException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One reactor's ring on a file.
 *
 * <p>Invariants: a request in the ring has a slot, and there are as many slots as submission entries; the others wait in
 * line. Each request completes once, whole or with an error: what the kernel did in part is submitted again from there.
 * Requests are handed over once per turn of the reactor, in one system call. Reactor's thread only.
 */
final class UringChannel implements BlockChannel, Poller {
    /** Requests at once: more than a disk's queue takes; more of them wait here, in the order they came. */
    static final int SLOTS = 256;

    private static final Logger LOG = LoggerFactory.getLogger(UringChannel.class);

    /** How often in a row a request that made no progress (EAGAIN, EINTR) is submitted again. */
    private static final int MAX_RETRIES = 64;
    /** Largest single transfer: below the kernel's 2 GiB less a page, and a multiple of every block size. */
    private static final long MAX_TRANSFER_BYTES = 1L << 30;

    private static final long ZEROS_BYTES = 1L << 16;
    private static final long IOVECS_BYTES = (long) BlockIo.MAX_IOVECS * Iovecs.IOVEC_SIZE;
    private static final long SCRATCH_BYTES = ZEROS_BYTES + SLOTS * IOVECS_BYTES;

    /** Ways to write zeros, each tried when the file system has not the one before. */
    private static final int BY_ZERO_RANGE = 0;

    private static final int BY_PUNCH_HOLE = 1;
    private static final int BY_WRITE = 2;

    private final Ring ring;
    private final @Nullable BlockIo[] slots = new @Nullable BlockIo[SLOTS];
    private final long[] doneBytes = new long[SLOTS];
    private final int[] retries = new int[SLOTS];
    private final int[] freeSlots = new int[SLOTS];
    private int freeCount = SLOTS;
    private final WaitingList waiting = new WaitingList();
    private int inFlight;
    private int zeroesBy = BY_ZERO_RANGE;
    private boolean broken;

    private final UringDevice device;
    private final Reactor reactor;
    private final Runnable onClose;
    private long capacityBytes;
    private final int blockBytes;
    /** Zeros to write, then for each slot room for the iovecs of a remainder; touched only when needed. */
    private final long scratchAddress;

    private boolean open = true;

    UringChannel(UringDevice device, Reactor reactor, int fd, Runnable onClose) throws UringException {
        this.device = device;
        this.reactor = reactor;
        this.onClose = onClose;
        this.capacityBytes = device.capacityBytes();
        this.blockBytes = device.blockSize();
        for (int i = 0; i < SLOTS; i++) {
            freeSlots[i] = SLOTS - 1 - i;
        }
        ring = Ring.open(SLOTS);
        try {
            ring.registerFile(fd);
            scratchAddress = mapScratch();
        } catch (UringException | BlockDeviceException e) {
            ring.close();
            throw e;
        }
        reactor.addPoller(this);
        reactor.addWakeFd(ring.eventFd());
    }

    private long mapScratch() {
        long address =
                Libc.mmap(0, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address < 0) {
            throw new BlockDeviceException(
                    Kind.UNSUPPORTED, device.name() + ": no memory for a channel (" + Errno.name((int) address) + ")");
        }
        return address;
    }

    @Override
    public int submit(BlockIo io) {
        int error = check(io);
        if (error != 0) {
            return error;
        }
        if (isNothing(io)) {
            return 0;
        }
        inFlight++;
        if (freeCount == 0) {
            waiting.add(io);
        } else {
            start(io);
        }
        return PENDING;
    }

    private int check(BlockIo io) {
        if (broken) {
            return -Errno.EIO;
        }
        int error = io.check(blockBytes, capacityBytes);
        if (error == -Errno.EIO) {
            // The device may have grown since this was last looked up.
            capacityBytes = device.capacityBytes();
            return io.check(blockBytes, capacityBytes);
        }
        return error;
    }

    private boolean isNothing(BlockIo io) {
        return switch (io.operation) {
            case BlockIo.FLUSH -> false;
            case BlockIo.DISCARD -> io.lengthBytes == 0 || !device.supportsDiscard();
            default -> io.lengthBytes == 0;
        };
    }

    private void start(BlockIo io) {
        int slot = freeSlots[--freeCount];
        slots[slot] = io;
        doneBytes[slot] = 0;
        retries[slot] = 0;
        prepare(slot, io);
    }

    private void prepare(int slot, BlockIo io) {
        long sqe = ring.nextSqe();
        assert sqe != 0 : "as many slots as entries";
        Memory.putByte(sqe + IO_URING_SQE_FLAGS_OFFSET, (byte) IOSQE_FIXED_FILE);
        Memory.putLong(sqe + IO_URING_SQE_USER_DATA_OFFSET, slot);
        switch (io.operation) {
            case BlockIo.READ -> prepareTransfer(sqe, slot, io, IORING_OP_READ, IORING_OP_READV);
            case BlockIo.WRITE -> {
                prepareTransfer(sqe, slot, io, IORING_OP_WRITE, IORING_OP_WRITEV);
                Memory.putInt(sqe + IO_URING_SQE_RW_FLAGS_OFFSET, (io.flags & BlockIo.FLAG_FUA) != 0 ? RWF_DSYNC : 0);
            }
            case BlockIo.FLUSH -> {
                Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) IORING_OP_FSYNC);
                Memory.putInt(sqe + IO_URING_SQE_FSYNC_FLAGS_OFFSET, IORING_FSYNC_DATASYNC);
            }
            case BlockIo.DISCARD -> prepareFallocate(sqe, io, FALLOC_FL_PUNCH_HOLE);
            default -> prepareZeroes(sqe, slot, io);
        }
    }

    private void prepareTransfer(long sqe, int slot, BlockIo io, int single, int vector) {
        long done = doneBytes[slot];
        long offset = io.offsetBytes + done;
        if (io.iovecCount == 1) {
            long bytes = Math.min(io.lengthBytes - done, MAX_TRANSFER_BYTES);
            setTransfer(sqe, single, Iovecs.base(io.iovecsAddress, 0) + done, (int) bytes, offset);
        } else if (done == 0) {
            setTransfer(sqe, vector, io.iovecsAddress, io.iovecCount, offset);
        } else {
            long rest = scratchAddress + ZEROS_BYTES + slot * IOVECS_BYTES;
            int count = Iovecs.slice(io.iovecsAddress, io.iovecCount, done, io.lengthBytes - done, rest);
            setTransfer(sqe, vector, rest, count, offset);
        }
    }

    private void prepareZeroes(long sqe, int slot, BlockIo io) {
        switch (zeroesBy) {
            case BY_ZERO_RANGE -> prepareFallocate(sqe, io, FALLOC_FL_ZERO_RANGE);
            case BY_PUNCH_HOLE -> prepareFallocate(sqe, io, FALLOC_FL_PUNCH_HOLE);
            default -> {
                long done = doneBytes[slot];
                long bytes = Math.min(io.lengthBytes - done, ZEROS_BYTES);
                setTransfer(sqe, IORING_OP_WRITE, scratchAddress, (int) bytes, io.offsetBytes + done);
            }
        }
    }

    private static void setTransfer(long sqe, int opcode, long address, int lengthOrCount, long offset) {
        Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) opcode);
        Memory.putLong(sqe + IO_URING_SQE_ADDR_OFFSET, address);
        Memory.putInt(sqe + IO_URING_SQE_LEN_OFFSET, lengthOrCount);
        Memory.putLong(sqe + IO_URING_SQE_OFF_OFFSET, offset);
    }

    /** fallocate's length travels in the address, its mode in the length. */
    private static void prepareFallocate(long sqe, BlockIo io, int mode) {
        setTransfer(sqe, IORING_OP_FALLOCATE, io.lengthBytes, mode | FALLOC_FL_KEEP_SIZE, io.offsetBytes);
    }

    @Override
    public int poll() {
        int work = ring.submit();
        if (work < 0 || broken) {
            work = failUnsubmitted(work);
        }
        for (long cqe = ring.peekCompletion(); cqe != 0; cqe = ring.peekCompletion()) {
            int slot = (int) Memory.getLong(cqe + IO_URING_CQE_USER_DATA_OFFSET);
            int status = Memory.getInt(cqe + IO_URING_CQE_RES_OFFSET);
            ring.completionTaken();
            onCompletion(slot, status);
            work++;
        }
        return work;
    }

    private void onCompletion(int slot, int result) {
        BlockIo io = occupant(slot);
        switch (io.operation) {
            case BlockIo.READ, BlockIo.WRITE -> onTransfer(slot, io, result);
            case BlockIo.WRITE_ZEROES -> onZeroes(slot, io, result);
            default -> {
                if (!retry(slot, io, result)) {
                    boolean cannotDiscard = io.operation == BlockIo.DISCARD && result == -Errno.EOPNOTSUPP;
                    finish(slot, io, cannotDiscard ? 0 : result);
                }
            }
        }
    }

    private void onTransfer(int slot, BlockIo io, int result) {
        if (result > 0) {
            doneBytes[slot] += result;
            retries[slot] = 0;
            if (doneBytes[slot] == io.lengthBytes) {
                finish(slot, io, 0);
            } else {
                prepare(slot, io);
            }
        } else if (!retry(slot, io, result)) {
            // Zero is the end of a file that somebody has truncated.
            finish(slot, io, result == 0 ? -Errno.EIO : result);
        }
    }

    private void onZeroes(int slot, BlockIo io, int result) {
        if (result > 0 || (result == 0 && zeroesBy == BY_WRITE)) {
            onTransfer(slot, io, result);
        } else if (result == -Errno.EOPNOTSUPP && zeroesBy != BY_WRITE) {
            zeroesBy++;
            prepare(slot, io);
        } else if (!retry(slot, io, result)) {
            finish(slot, io, result);
        }
    }

    private boolean retry(int slot, BlockIo io, int result) {
        if ((result == -Errno.EAGAIN || result == -Errno.EINTR) && retries[slot]++ < MAX_RETRIES) {
            prepare(slot, io);
            return true;
        }
        return false;
    }

    private void finish(int slot, BlockIo io, int status) {
        slots[slot] = null;
        freeSlots[freeCount++] = slot;
        inFlight--;
        BlockIo next = waiting.take();
        if (next != null) {
            start(next);
        }
        io.onComplete(status);
    }

    /** The ring takes no more: what it does not have fails; what it has still completes. Returns how many failed. */
    private int failUnsubmitted(int error) {
        if (!broken) {
            broken = true;
            LOG.error("{}: io_uring_enter failed with {}; requests fail from now on", device.name(), Errno.name(error));
        }
        int before = inFlight;
        while (ring.unsubmitted() != 0) {
            int slot = (int) ring.takeBack();
            BlockIo io = occupant(slot);
            slots[slot] = null;
            freeSlots[freeCount++] = slot;
            inFlight--;
            io.onComplete(-Errno.EIO);
        }
        for (BlockIo io = waiting.take(); io != null; io = waiting.take()) {
            inFlight--;
            io.onComplete(-Errno.EIO);
        }
        return before - inFlight;
    }

    private BlockIo occupant(int slot) {
        BlockIo io = slots[slot];
        if (io == null) {
            throw new IllegalStateException(device.name() + ": completion for empty slot " + slot);
        }
        return io;
    }

    @Override
    public boolean prepareToSleep() {
        if (inFlight == 0 || ring.enableEvents()) {
            return true;
        }
        ring.disableEvents();
        return false;
    }

    @Override
    public void wake() {
        ring.disableEvents();
    }

    /** A request's owner threw: that is its own loss, the ring is as it should be. */
    @Override
    public boolean onError(Throwable thrown) {
        if (thrown instanceof InternalError) {
            return false;
        }
        LOG.error("{}: the owner of a request threw when that completed", device.name(), thrown);
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
        reactor.removeWakeFd(ring.eventFd());
        reactor.removePoller(this);
        ring.close();
        Libc.munmap(scratchAddress, SCRATCH_BYTES);
        onClose.run();
    }
}

package io.vhostfs.bdev;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Reads and writes a block device and waits for it: for mkfs, fsck and mounting.
 *
 * <p>Invariant: a method that returns has done all it was asked; one that did not throws. Used by the thread that made it,
 * which drives a reactor of its own by hand meanwhile; never a reactor's thread.
 */
public final class BlockingIo implements AutoCloseable {
    /** Turns without anything done before the thread is given up for a moment. */
    private static final int SPINS = 1000;

    private static final long PAUSE_NS = TimeUnit.MICROSECONDS.toNanos(20);

    private final BlockDevice device;
    private final Reactor reactor;
    private final BlockChannel channel;
    private final Arena arena = Arena.ofConfined();
    private final Request request = new Request();

    public BlockingIo(BlockDevice device) {
        this.device = device;
        this.reactor = device.newBlockingReactor("blocking I/O on " + device.name());
        this.channel = device.openChannel(reactor);
        request.iovecsAddress = arena.allocate(Iovecs.IOVEC_SIZE, Long.BYTES).address();
        request.iovecCount = 1;
    }

    /**
     * Reads into memory that is aligned as the device asks.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void read(long offsetBytes, long toAddress, long lengthBytes) {
        transfer(BlockIo.READ, 0, offsetBytes, toAddress, lengthBytes);
    }

    /**
     * Writes from memory that is aligned as the device asks.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void write(long offsetBytes, long fromAddress, long lengthBytes) {
        transfer(BlockIo.WRITE, 0, offsetBytes, fromAddress, lengthBytes);
    }

    /**
     * Writes, durably.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void writeDurably(long offsetBytes, long fromAddress, long lengthBytes) {
        transfer(BlockIo.WRITE, BlockIo.FLAG_FUA, offsetBytes, fromAddress, lengthBytes);
    }

    /**
     * Makes durable what was written.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void flush() {
        run(BlockIo.FLUSH, 0, 0, 0);
    }

    /**
     * Gives the range's content up.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void discard(long offsetBytes, long lengthBytes) {
        run(BlockIo.DISCARD, 0, offsetBytes, lengthBytes);
    }

    /**
     * Writes zeros.
     *
     * @throws BlockDeviceException when the device fails
     */
    public void writeZeroes(long offsetBytes, long lengthBytes) {
        run(BlockIo.WRITE_ZEROES, 0, offsetBytes, lengthBytes);
    }

    private void transfer(int operation, int flags, long offsetBytes, long address, long lengthBytes) {
        Iovecs.set(request.iovecsAddress, 0, address, lengthBytes);
        run(operation, flags, offsetBytes, lengthBytes);
    }

    private void run(int operation, int flags, long offsetBytes, long lengthBytes) {
        request.operation = operation;
        request.flags = flags;
        request.offsetBytes = offsetBytes;
        request.lengthBytes = lengthBytes;
        request.status = BlockChannel.PENDING;
        int status = channel.submit(request);
        if (status == BlockChannel.PENDING) {
            status = await();
        }
        if (status < 0) {
            throw new BlockDeviceException(
                    Kind.IO,
                    device.name() + ": " + operationName(operation) + " of " + lengthBytes + " bytes at byte "
                            + offsetBytes + " failed with " + Errno.name(status)
                            + "; the kernel's log (dmesg) may say why");
        }
    }

    private int await() {
        int idleTurns = 0;
        while (request.status == BlockChannel.PENDING) {
            if (reactor.runOnce() != 0) {
                idleTurns = 0;
            } else if (++idleTurns > SPINS) {
                reactor.checkFailure();
                LockSupport.parkNanos(PAUSE_NS);
            } else {
                Thread.onSpinWait();
            }
        }
        return request.status;
    }

    private static String operationName(int operation) {
        return switch (operation) {
            case BlockIo.READ -> "a read";
            case BlockIo.WRITE -> "a write";
            case BlockIo.FLUSH -> "a flush";
            case BlockIo.DISCARD -> "a discard";
            default -> "a write of zeros";
        };
    }

    @Override
    public void close() {
        channel.close();
        arena.close();
    }

    private static final class Request extends BlockIo {
        private int status;

        @Override
        public void onComplete(int ioStatus) {
            status = ioStatus;
        }
    }
}

package io.vhostfs.bdev;

import static io.vhostfs.os.LibcConstants.MADV_DONTNEED;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.OutOfNativeMemoryException;
import io.vhostfs.memory.PreTouch;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A block device in this process's memory; its content ends with the device.
 *
 * <p>Invariant: every request completes within {@code submit}, so nothing is ever in flight. Channels of several reactors
 * reach the same memory; requests that overlap in time and place are the caller's to order.
 */
public final class MallocDevice implements BlockDevice {
    private static final int BLOCK_SIZE = 512;
    private static final long HUGEPAGE_BYTES = HugepageMemory.HUGEPAGE_SIZE;

    private final String name;
    private final long capacityBytes;
    private final HugepageMemory memory;
    private final long address;
    private final AtomicInteger openChannels = new AtomicInteger();
    private volatile @Nullable PreTouch preTouch;

    /**
     * Takes the memory; it reads as zeros.
     *
     * @throws BlockDeviceException when the host has not that much
     */
    public MallocDevice(long capacityBytes) {
        if (capacityBytes <= 0 || capacityBytes % BLOCK_SIZE != 0) {
            throw new IllegalArgumentException("capacity " + capacityBytes);
        }
        this.name = "malloc:" + BlockDeviceSpec.formatSize(capacityBytes);
        this.capacityBytes = capacityBytes;
        try {
            this.memory = HugepageMemory.reserveForProcessor(capacityBytes, name);
        } catch (OutOfNativeMemoryException | IllegalArgumentException e) {
            throw new BlockDeviceException(Kind.UNSUPPORTED, e.getMessage() + "; choose a smaller size");
        }
        this.address = memory.address();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int blockSize() {
        return BLOCK_SIZE;
    }

    @Override
    public long capacityBytes() {
        return capacityBytes;
    }

    @Override
    public boolean hasVolatileCache() {
        return false;
    }

    @Override
    public int atomicWriteBytes() {
        return 4096;
    }

    /** A hugepage given back may be gone when it is touched again (before Linux 6.9), which would be a SIGBUS. */
    @Override
    public boolean supportsDiscard() {
        return !memory.isHugepages();
    }

    @Override
    public int memoryAlignment() {
        return 1;
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        openChannels.incrementAndGet();
        return new Channel();
    }

    @Override
    public void warmUp() {
        preTouch = PreTouch.start(address, capacityBytes, name);
    }

    @Override
    public void close() {
        if (openChannels.get() != 0) {
            throw new IllegalStateException(name + ": " + openChannels.get() + " channels are open");
        }
        PreTouch touch = preTouch;
        if (touch != null) {
            touch.close();
        }
        memory.close();
    }

    private final class Channel implements BlockChannel {
        private boolean open = true;

        @Override
        public int submit(BlockIo io) {
            int error = io.check(BLOCK_SIZE, capacityBytes);
            if (error != 0) {
                return error;
            }
            long length = io.lengthBytes;
            long at = address + io.offsetBytes;
            return switch (io.operation) {
                case BlockIo.READ -> read(at, length, io.iovecsAddress, io.iovecCount);
                case BlockIo.WRITE -> write(at, length, io.iovecsAddress, io.iovecCount);
                case BlockIo.DISCARD -> discard(at, length);
                case BlockIo.WRITE_ZEROES -> writeZeroes(at, length);
                default -> 0; // a flush
            };
        }

        private static int read(long from, long lengthBytes, long iovecs, int count) {
            return status(Iovecs.scatterShared(from, lengthBytes, iovecs, count, 0), lengthBytes);
        }

        private static int write(long to, long lengthBytes, long iovecs, int count) {
            return status(Iovecs.gatherShared(iovecs, count, 0, to, lengthBytes), lengthBytes);
        }

        private static int status(long done, long lengthBytes) {
            if (done < 0) {
                return (int) done;
            }
            assert done == lengthBytes;
            return 0;
        }

        private int discard(long at, long lengthBytes) {
            if (supportsDiscard()) {
                long start = (at + HUGEPAGE_BYTES - 1) & -HUGEPAGE_BYTES;
                long end = (at + lengthBytes) & -HUGEPAGE_BYTES;
                return start < end ? Libc.madvise(start, end - start, MADV_DONTNEED) : 0;
            }
            return 0;
        }

        private static int writeZeroes(long at, long lengthBytes) {
            Memory.zero(at, lengthBytes);
            return 0;
        }

        @Override
        public int inFlight() {
            return 0;
        }

        @Override
        public void close() {
            if (open) {
                open = false;
                openChannels.decrementAndGet();
            }
        }
    }
}

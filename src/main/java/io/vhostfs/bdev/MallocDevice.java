package io.vhostfs.bdev;

import static io.vhostfs.os.LibcConstants.MADV_DONTNEED;
import static io.vhostfs.os.LibcConstants.MADV_HUGEPAGE;
import static io.vhostfs.os.LibcConstants.MAP_ANONYMOUS;
import static io.vhostfs.os.LibcConstants.MAP_HUGETLB;
import static io.vhostfs.os.LibcConstants.MAP_PRIVATE;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A block device in this process's memory; its content ends with the device.
 *
 * <p>Invariant: every request completes within {@code submit}, so nothing is ever in flight. Channels of several reactors
 * reach the same memory; requests that overlap in time and place are the caller's to order.
 */
public final class MallocDevice implements BlockDevice {
    private static final Logger LOG = LoggerFactory.getLogger(MallocDevice.class);
    private static final int BLOCK_SIZE = 512;
    private static final long HUGEPAGE_BYTES = 2L << 20;

    private final String name;
    private final long capacityBytes;
    private final long mappedBytes;
    private final long address;
    private final boolean ordinaryPages;
    private final AtomicInteger openChannels = new AtomicInteger();

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
        this.mappedBytes = (capacityBytes + HUGEPAGE_BYTES - 1) & -HUGEPAGE_BYTES;
        long hugepages = map(MAP_HUGETLB);
        this.ordinaryPages = hugepages < 0;
        this.address = ordinaryPages ? mapOrdinaryPages(hugepages) : hugepages;
    }

    private long map(int extraFlags) {
        return Libc.mmap(0, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | extraFlags, -1, 0);
    }

    private long mapOrdinaryPages(long hugepageError) {
        LOG.warn(
                "{}: no hugepages ({}), so ordinary memory is used and random access costs more TLB misses; remedy:"
                        + " sysctl vm.nr_hugepages={}",
                name,
                Errno.name((int) hugepageError),
                mappedBytes / HUGEPAGE_BYTES);
        long result = map(0);
        if (result < 0) {
            throw new BlockDeviceException(
                    Kind.UNSUPPORTED,
                    name + ": the host has not so much memory (" + Errno.name((int) result)
                            + "); choose a smaller size");
        }
        // Transparent hugepages where they are to be had; refused by kernels built without them.
        Libc.madvise(result, mappedBytes, MADV_HUGEPAGE);
        return result;
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
        return ordinaryPages;
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
    public void close() {
        if (openChannels.get() != 0) {
            throw new IllegalStateException(name + ": " + openChannels.get() + " channels are open");
        }
        Libc.munmap(address, mappedBytes);
    }

    private final class Channel implements BlockChannel {
        private boolean open = true;

        @Override
        public int submit(BlockIo io) {
            long offset = io.offsetBytes;
            long length = io.lengthBytes;
            if (io.operation == BlockIo.FLUSH) {
                return 0;
            }
            if (((offset | length) & (BLOCK_SIZE - 1)) != 0) {
                return -Errno.EINVAL;
            }
            if (offset < 0 || length < 0 || offset > capacityBytes - length) {
                return -Errno.EIO;
            }
            long at = address + offset;
            return switch (io.operation) {
                case BlockIo.READ -> read(at, length, io.iovecsAddress, io.iovecCount);
                case BlockIo.WRITE -> write(at, length, io.iovecsAddress, io.iovecCount);
                case BlockIo.DISCARD -> discard(at, length);
                case BlockIo.WRITE_ZEROES -> writeZeroes(at, length);
                default -> -Errno.EINVAL;
            };
        }

        private static int read(long from, long lengthBytes, long iovecs, int count) {
            try {
                long done = Iovecs.scatter(from, lengthBytes, iovecs, count, 0);
                Memory.deliverFault();
                return done == lengthBytes ? 0 : -Errno.EINVAL;
            } catch (InternalError truncated) {
                return -Errno.EFAULT;
            }
        }

        private static int write(long to, long lengthBytes, long iovecs, int count) {
            try {
                long done = Iovecs.gather(iovecs, count, 0, to, lengthBytes);
                Memory.deliverFault();
                return done == lengthBytes ? 0 : -Errno.EINVAL;
            } catch (InternalError truncated) {
                return -Errno.EFAULT;
            }
        }

        private int discard(long at, long lengthBytes) {
            if (ordinaryPages) {
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

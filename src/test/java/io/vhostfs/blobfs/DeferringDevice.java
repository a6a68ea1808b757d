package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.ForwardingDevice;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Predicate;

/** A device that completes later and out of order, and fails on demand; the content is another device's. */
final class DeferringDevice extends ForwardingDevice {
    private final Random random;
    private final int blockSize;
    private final int memoryAlignment;

    /** False: as the device below, within the call. */
    boolean defers = true;

    /** I/O from this byte of the device on fails with -EIO. */
    long failFrom = Long.MAX_VALUE;

    /** Claims to have a cache that flushes empty, whatever the device below has. */
    boolean claimsVolatileCache;

    /** What else fails with -EIO. */
    Predicate<BlockIo> fails = io -> false;

    DeferringDevice(BlockDevice inner, long seed, int blockSize, int memoryAlignment) {
        super(inner);
        this.random = new Random(seed);
        this.blockSize = blockSize;
        this.memoryAlignment = memoryAlignment;
    }

    @Override
    public String name() {
        return "deferring:" + super.name();
    }

    @Override
    public int blockSize() {
        return blockSize;
    }

    @Override
    public boolean hasVolatileCache() {
        return claimsVolatileCache || super.hasVolatileCache();
    }

    @Override
    public int atomicWriteBytes() {
        return Math.max(blockSize, super.atomicWriteBytes());
    }

    @Override
    public int memoryAlignment() {
        return memoryAlignment;
    }

    @Override
    protected BlockChannel openChannel(Reactor reactor, BlockChannel below) {
        return new Channel(reactor, below);
    }

    private final class Channel extends LateChannel {
        private final List<BlockIo> waiting = new ArrayList<>();

        Channel(Reactor reactor, BlockChannel below) {
            super(reactor, below);
        }

        @Override
        public int submit(BlockIo io) {
            checkAlignment(io);
            if (!defers) {
                return perform(io);
            }
            waiting.add(io);
            return PENDING;
        }

        private void checkAlignment(BlockIo io) {
            long bits = (io.offsetBytes | io.lengthBytes) & (blockSize - 1);
            for (int i = 0; i < io.iovecCount; i++) {
                long base = Iovecs.base(io.iovecsAddress, i);
                bits |= (base | Iovecs.length(io.iovecsAddress, i)) & (memoryAlignment - 1);
            }
            if (bits != 0) {
                throw new AssertionError("unaligned I/O");
            }
        }

        private int perform(BlockIo io) {
            if ((io.operation != BlockIo.FLUSH && io.offsetBytes >= failFrom) || fails.test(io)) {
                return -Errno.EIO;
            }
            return below.submit(io);
        }

        @Override
        public int poll() {
            if (waiting.isEmpty()) {
                return 0;
            }
            BlockIo io = waiting.remove(random.nextInt(waiting.size()));
            io.onComplete(perform(io));
            return 1;
        }

        @Override
        public int inFlight() {
            return waiting.size();
        }
    }
}

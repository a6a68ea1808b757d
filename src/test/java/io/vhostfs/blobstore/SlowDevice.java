package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.ForwardingDevice;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorClock;
import java.util.ArrayDeque;

/**
 * A disk on a simulated clock: it takes one write or flush after the other, and each the time that its size takes. A write
 * goes to its cache at the speed of a bus and to the medium with a flush, or with itself when it asks for that. Reads
 * overtake.
 */
final class SlowDevice extends ForwardingDevice {
    /** A clock that stands still until it is moved. */
    static final class Clock implements ReactorClock {
        long nowNs = 1;

        @Override
        public long monotonicNs() {
            return nowNs;
        }

        @Override
        public long wallClockNs() {
            return 1_700_000_000_000_000_000L + nowNs;
        }
    }

    private static final long CACHE_NS_PER_KIB = 300;

    final Clock clock;

    /** False: as the device below, within the call; to open a store, for which time must pass by itself. */
    boolean slow;

    /** Of the medium. */
    long nsPerKib = 10_000;

    /** Of each flush and each write that goes to the medium. */
    long latencyNs = 1_000_000;

    private long cachedKib;
    private long busyUntilNs;

    /** Writes that went to the medium at once: of the log, and of root slots. */
    long durableWrites;

    long flushes;
    long longestFlushNs;

    SlowDevice(long bytes, Clock clock) {
        super(new MallocDevice(bytes));
        this.clock = clock;
    }

    @Override
    public String name() {
        return "slow device";
    }

    @Override
    public boolean hasVolatileCache() {
        return true;
    }

    @Override
    public boolean supportsDiscard() {
        return false;
    }

    private long costNs(BlockIo io) {
        long kib = io.lengthBytes >> 10;
        return switch (io.operation) {
            case BlockIo.FLUSH -> {
                long cost = latencyNs + cachedKib * nsPerKib;
                cachedKib = 0;
                flushes++;
                longestFlushNs = Math.max(longestFlushNs, cost);
                yield cost;
            }
            case BlockIo.WRITE -> {
                if ((io.flags & BlockIo.FLAG_FUA) != 0) {
                    durableWrites++;
                    yield latencyNs + kib * nsPerKib;
                }
                cachedKib += kib;
                yield kib * CACHE_NS_PER_KIB;
            }
            default -> kib * CACHE_NS_PER_KIB;
        };
    }

    @Override
    protected BlockChannel openChannel(Reactor reactor, BlockChannel below) {
        return new Channel(reactor, below);
    }

    private record Pending(BlockIo io, int status, long dueNs) {}

    private final class Channel extends LateChannel {
        private final ArrayDeque<Pending> reads = new ArrayDeque<>();
        private final ArrayDeque<Pending> writes = new ArrayDeque<>();

        Channel(Reactor reactor, BlockChannel below) {
            super(reactor, below);
        }

        @Override
        public int submit(BlockIo io) {
            int status = below.submit(io);
            if (status < 0 || !slow) {
                return status;
            }
            if (io.operation == BlockIo.READ) {
                reads.add(new Pending(io, status, clock.nowNs + costNs(io)));
                return PENDING;
            }
            busyUntilNs = Math.max(busyUntilNs, clock.nowNs) + costNs(io);
            writes.add(new Pending(io, status, busyUntilNs));
            return PENDING;
        }

        @Override
        public int poll() {
            return complete(reads) + complete(writes);
        }

        private int complete(ArrayDeque<Pending> pending) {
            int n = 0;
            while (!pending.isEmpty() && pending.peek().dueNs <= clock.nowNs) {
                Pending done = pending.remove();
                done.io.onComplete(done.status);
                n++;
            }
            return n;
        }

        @Override
        public int inFlight() {
            return reads.size() + writes.size();
        }
    }
}

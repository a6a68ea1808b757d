package io.vhostfs.bench;

import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.MemoryPool;
import io.vhostfs.memory.PermanentMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Raw memory: copying and zeroing beside the library's own, and what hands out and checks addresses. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class MemoryBenchmark {
    /** Two buffers, raw and as segments. */
    @State(Scope.Thread)
    public static class Buffers {
        private static final int IOVECS = 8;

        @Param({"64", "4096", "65536"})
        private int lengthBytes;

        private final HugepageMemory memory = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE, "benchmark");
        private final long from = memory.address();
        private final long to = memory.address() + HugepageMemory.HUGEPAGE_SIZE / 2;
        private final MemorySegment fromSegment = Arena.global().allocate(1 << 16, 4096);
        private final MemorySegment toSegment = Arena.global().allocate(1 << 16, 4096);
        private final long iovecs = PermanentMemory.allocate(IOVECS * Iovecs.IOVEC_SIZE);

        /** The guest's pages of one request: eight pieces, apart. */
        @Setup
        public void layOut() {
            for (int i = 0; i < IOVECS; i++) {
                Iovecs.set(iovecs, i, to + i * 65536L, lengthBytes / IOVECS);
            }
        }

        @TearDown
        public void free() {
            memory.close();
        }
    }

    /** A guest of 16 GiB as QEMU lays it out, and a pool of tree nodes. */
    @State(Scope.Thread)
    public static class Addresses {
        private static final long GIB = 1L << 30;

        private final GuestMemory guest = new GuestMemory(new GuestMemory.Region[] {
            new GuestMemory.Region(0, 0, 2 * GIB, 1L << 32),
            new GuestMemory.Region(4 * GIB, 4 * GIB, 14 * GIB, 1L << 40)
        });
        private final MemoryPool pool = MemoryPool.allocate("benchmark", 16384, 64);
        private long next;

        @TearDown
        public void free() {
            pool.close();
        }
    }

    @Benchmark
    public void copyRaw(Buffers buffers) {
        Memory.copy(buffers.from, buffers.to, buffers.lengthBytes);
    }

    @Benchmark
    public void copySegment(Buffers buffers) {
        MemorySegment.copy(buffers.fromSegment, 0, buffers.toSegment, 0, buffers.lengthBytes);
    }

    @Benchmark
    public long scatterOverEightPieces(Buffers buffers) {
        return Iovecs.scatter(buffers.from, buffers.lengthBytes, buffers.iovecs, Buffers.IOVECS, 0);
    }

    @Benchmark
    public void zeroRaw(Buffers buffers) {
        Memory.zero(buffers.to, buffers.lengthBytes);
    }

    @Benchmark
    public void zeroSegment(Buffers buffers) {
        buffers.toSegment.asSlice(0, buffers.lengthBytes).fill((byte) 0);
    }

    @Benchmark
    public long mismatchRaw(Buffers buffers) {
        return Memory.mismatch(buffers.from, buffers.to, buffers.lengthBytes);
    }

    @Benchmark
    public long translateInLargestRegion(Addresses addresses) {
        addresses.next = (addresses.next + 4096) & 0xffff_f000L;
        return addresses.guest.translate(4 * Addresses.GIB + addresses.next, 4096);
    }

    @Benchmark
    public long translateInOtherRegion(Addresses addresses) {
        addresses.next = (addresses.next + 4096) & 0x7fff_f000L;
        return addresses.guest.translate(addresses.next, 4096);
    }

    @Benchmark
    public long acquireAndRelease(Addresses addresses) {
        long buffer = addresses.pool.acquire();
        addresses.pool.release(buffer);
        return buffer;
    }
}

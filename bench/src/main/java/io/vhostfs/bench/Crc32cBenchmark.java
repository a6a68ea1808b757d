package io.vhostfs.bench;

import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32C;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** The checksum of raw memory beside the library's of a direct buffer, whose code it must not cost more than. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@State(Scope.Thread)
public class Crc32cBenchmark {
    private static final int HEADER_BYTES = 64;

    /** A log record, a block, a tree node. */
    @Param({"256", "4096", "16384"})
    private int lengthBytes;

    private final HugepageMemory memory = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE, "benchmark");
    private final Crc32c crc = new Crc32c();
    private final CRC32C libraryCrc = new CRC32C();
    private final ByteBuffer buffer =
            Memory.segment(memory.address(), memory.lengthBytes()).asByteBuffer();

    @TearDown
    public void free() {
        memory.close();
    }

    @Benchmark
    public int rawMemory() {
        return crc.of(memory.address(), lengthBytes);
    }

    /** Header and body apart, as where a checksum field lies between. */
    @Benchmark
    public int rawMemoryInTwoPieces() {
        int header = crc.of(memory.address(), HEADER_BYTES);
        return crc.update(header, memory.address() + HEADER_BYTES, lengthBytes - HEADER_BYTES);
    }

    @Benchmark
    public long libraryOnDirectBuffer() {
        libraryCrc.reset();
        buffer.limit(lengthBytes).position(0);
        libraryCrc.update(buffer);
        return libraryCrc.getValue();
    }
}

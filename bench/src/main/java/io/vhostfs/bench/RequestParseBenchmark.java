package io.vhostfs.bench;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a request costs before and after the file system: ring, chain, header, arguments, reply, used ring, both sides. The
 * file system is a stand-in that answers at once.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@SuppressWarnings("NullAway.Init") // JMH calls connect first
public class RequestParseBenchmark {
    private Loopback loopback;
    private Loopback.Prepared getattr;
    private Loopback.Prepared lookup;
    private Loopback.Prepared read4k;
    private Loopback.Prepared write4k;
    private Loopback.Prepared read128k;

    @Setup
    public void connect() throws IOException {
        Reactor reactor = new Reactor(Reactor.Config.named("bench").withIdlePolicy(IdlePolicy.BUSY));
        loopback = new Loopback(new InstantFileSystem(reactor), reactor);
        getattr = loopback.prepare(FUSE_GETATTR, FileSystem.ROOT_INODE, FUSE_GETATTR_IN_SIZE, 0, FUSE_ATTR_OUT_SIZE, 0);
        lookup = loopback.prepareNamed(FUSE_LOOKUP, FileSystem.ROOT_INODE, 0, "file-0001", FUSE_ENTRY_OUT_SIZE);
        read4k = read(4 << 10);
        read128k = read(128 << 10);
        write4k = loopback.prepare(FUSE_WRITE, 2, FUSE_WRITE_IN_SIZE, 4 << 10, FUSE_WRITE_OUT_SIZE, 0);
        write4k.putArgument(FUSE_WRITE_IN_SIZE_OFFSET, 4 << 10);
    }

    private Loopback.Prepared read(int bytes) {
        Loopback.Prepared prepared = loopback.prepare(FUSE_READ, 2, FUSE_READ_IN_SIZE, 0, 0, bytes);
        prepared.putArgument(FUSE_READ_IN_SIZE_OFFSET, bytes);
        return prepared;
    }

    @TearDown
    public void disconnect() {
        loopback.close();
    }

    @Benchmark
    public int getattr() {
        return loopback.send(getattr);
    }

    @Benchmark
    public int lookup() {
        return loopback.send(lookup);
    }

    @Benchmark
    public int read4k() {
        return loopback.send(read4k);
    }

    @Benchmark
    public int write4k() {
        return loopback.send(write4k);
    }

    @Benchmark
    public int read128k() {
        return loopback.send(read128k);
    }

    /** Answers everything within the call, with whatever the request's results held. */
    private static final class InstantFileSystem implements FileSystem {
        private final Reactor reactor;

        InstantFileSystem(Reactor reactor) {
            this.reactor = reactor;
        }

        @Override
        public int submit(FsRequest request) {
            request.count = request.length;
            return 0;
        }

        @Override
        public Reactor home() {
            return reactor;
        }

        @Override
        public FsClient attach(long rootInode) {
            return new FsClient(rootInode) {
                @Override
                public boolean holds(long inode) {
                    return inode == rootInode();
                }
            };
        }

        @Override
        public void detach(FsClient client) {
            // Nothing is held for a client.
        }
    }
}

package io.vhostfs.bench;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFREG;

import io.vhostfs.fsdev.FileSystem;
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

/** A request through ring, FUSE, blobfs, blobstore and a store in memory, and back, on one thread. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@SuppressWarnings("NullAway.Init") // JMH calls connect first
public class StackBenchmark {
    private static final int FILE_BLOCKS = 16 << 10;
    private static final int BLOCK_BYTES = 4 << 10;
    private static final int LARGE_BYTES = 128 << 10;
    private static final int FILES = 1000;
    private static final int CREATED_BYTES = FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE;

    private InProcessFileSystem fileSystem;
    private Loopback loopback;
    private Loopback.Prepared getattr;
    private Loopback.Prepared lookup;
    private Loopback.Prepared read4k;
    private Loopback.Prepared write4k;
    private Loopback.Prepared read128k;
    private Loopback.Prepared write128k;
    private Loopback.Prepared readdirplus;
    private Loopback.Prepared create;
    private Loopback.Prepared release;
    private Loopback.Prepared unlink;
    private Loopback.Prepared forget;
    private long random = 88_172_645_463_325_252L;

    @Setup
    public void connect() throws IOException {
        fileSystem = new InProcessFileSystem(512L << 20);
        loopback = new Loopback(fileSystem.get(), fileSystem.reactor());
        long node = makeFiles();
        Loopback.Prepared open = loopback.prepare(FUSE_OPEN, node, FUSE_OPEN_IN_SIZE, 0, FUSE_OPEN_OUT_SIZE, 0);
        open.putArgument(0, O_RDWR);
        Loopback.require(loopback.send(open), "OPEN");
        long fh = open.replyLong(0);
        read4k = data(FUSE_READ, node, fh, BLOCK_BYTES);
        write4k = data(FUSE_WRITE, node, fh, BLOCK_BYTES);
        read128k = data(FUSE_READ, node, fh, LARGE_BYTES);
        write128k = data(FUSE_WRITE, node, fh, LARGE_BYTES);
        for (long block = 0; block < FILE_BLOCKS; block += LARGE_BYTES / BLOCK_BYTES) {
            write128k.putArgument(FUSE_WRITE_IN_OFFSET_OFFSET, block * BLOCK_BYTES);
            Loopback.require(loopback.send(write128k), "WRITE");
        }
        getattr = loopback.prepare(FUSE_GETATTR, node, FUSE_GETATTR_IN_SIZE, 0, FUSE_ATTR_OUT_SIZE, 0);
        lookup = loopback.prepareNamed(FUSE_LOOKUP, FileSystem.ROOT_INODE, 0, fileName(FILES / 2), FUSE_ENTRY_OUT_SIZE);
        prepareListing();
        prepareCreation();
    }

    /** Returns the nodeid of the last. */
    private long makeFiles() {
        Loopback.Prepared creation = creation(fileName(0));
        Loopback.Prepared closing = loopback.prepare(FUSE_RELEASE, 0, FUSE_RELEASE_IN_SIZE, 0, 0, 0);
        for (int i = 0; i < FILES; i++) {
            creation.putName(FUSE_CREATE_IN_SIZE, fileName(i));
            Loopback.require(loopback.send(creation), "CREATE");
            closing.putNode(creation.replyLong(FUSE_ENTRY_OUT_NODEID_OFFSET));
            closing.putArgument(0, creation.replyLong(FUSE_ENTRY_OUT_SIZE));
            Loopback.require(loopback.send(closing), "RELEASE");
        }
        return creation.replyLong(FUSE_ENTRY_OUT_NODEID_OFFSET);
    }

    private static String fileName(int index) {
        return String.format("file-%04d", index);
    }

    private Loopback.Prepared creation(String name) {
        Loopback.Prepared prepared =
                loopback.prepareNamed(FUSE_CREATE, FileSystem.ROOT_INODE, FUSE_CREATE_IN_SIZE, name, CREATED_BYTES);
        prepared.putArgument(FUSE_CREATE_IN_FLAGS_OFFSET, O_RDWR);
        prepared.putArgument(FUSE_CREATE_IN_MODE_OFFSET, S_IFREG | 0644);
        return prepared;
    }

    private Loopback.Prepared data(int opcode, long node, long fh, int bytes) {
        Loopback.Prepared prepared = opcode == FUSE_READ
                ? loopback.prepare(FUSE_READ, node, FUSE_READ_IN_SIZE, 0, 0, bytes)
                : loopback.prepare(FUSE_WRITE, node, FUSE_WRITE_IN_SIZE, bytes, FUSE_WRITE_OUT_SIZE, 0);
        prepared.putArgument(FUSE_READ_IN_FH_OFFSET, fh);
        prepared.putArgument(FUSE_READ_IN_SIZE_OFFSET, bytes);
        return prepared;
    }

    private void prepareListing() {
        Loopback.Prepared opendir =
                loopback.prepare(FUSE_OPENDIR, FileSystem.ROOT_INODE, FUSE_OPEN_IN_SIZE, 0, FUSE_OPEN_OUT_SIZE, 0);
        Loopback.require(loopback.send(opendir), "OPENDIR");
        readdirplus = loopback.prepare(FUSE_READDIRPLUS, FileSystem.ROOT_INODE, FUSE_READ_IN_SIZE, 0, 0, BLOCK_BYTES);
        readdirplus.putArgument(FUSE_READ_IN_FH_OFFSET, opendir.replyLong(0));
        readdirplus.putArgument(FUSE_READ_IN_SIZE_OFFSET, BLOCK_BYTES);
    }

    private void prepareCreation() {
        create = creation("comes-and-goes");
        release = loopback.prepare(FUSE_RELEASE, 0, FUSE_RELEASE_IN_SIZE, 0, 0, 0);
        unlink = loopback.prepareNamed(FUSE_UNLINK, FileSystem.ROOT_INODE, 0, "comes-and-goes", 0);
        forget = loopback.prepare(FUSE_FORGET, 0, FUSE_FORGET_IN_SIZE, 0, 0, 0);
        forget.putArgument(0, 1L);
    }

    private long randomOffset() {
        random ^= random << 13;
        random ^= random >>> 7;
        random ^= random << 17;
        return (((random >>> 32) * FILE_BLOCKS) >>> 32) * BLOCK_BYTES;
    }

    private long randomLargeOffset() {
        return randomOffset() / LARGE_BYTES * LARGE_BYTES;
    }

    @TearDown
    public void disconnect() {
        loopback.close();
        fileSystem.close();
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
    public int randomRead4k() {
        read4k.putArgument(FUSE_READ_IN_OFFSET_OFFSET, randomOffset());
        return loopback.send(read4k);
    }

    @Benchmark
    public int randomOverwrite4k() {
        write4k.putArgument(FUSE_WRITE_IN_OFFSET_OFFSET, randomOffset());
        return loopback.send(write4k);
    }

    @Benchmark
    public int read128k() {
        read128k.putArgument(FUSE_READ_IN_OFFSET_OFFSET, randomLargeOffset());
        return loopback.send(read128k);
    }

    @Benchmark
    public int overwrite128k() {
        write128k.putArgument(FUSE_WRITE_IN_OFFSET_OFFSET, randomLargeOffset());
        return loopback.send(write128k);
    }

    /** The first buffer of a directory of 1000. */
    @Benchmark
    public int readdirplus() {
        return loopback.send(readdirplus);
    }

    @Benchmark
    public int createReleaseUnlinkForget() {
        Loopback.require(loopback.send(create), "CREATE");
        long node = create.replyLong(FUSE_ENTRY_OUT_NODEID_OFFSET);
        release.putNode(node);
        release.putArgument(0, create.replyLong(FUSE_ENTRY_OUT_SIZE));
        Loopback.require(loopback.send(release), "RELEASE");
        Loopback.require(loopback.send(unlink), "UNLINK");
        forget.putNode(node);
        return loopback.send(forget);
    }
}

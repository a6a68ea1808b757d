package io.vhostfs.bdev;

import static io.vhostfs.bdev.BlockChannel.PENDING;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UringChannelTest {
    private static final int CAPACITY = 16 << 20;

    @TempDir
    Path dir;

    private final Arena arena = Arena.ofShared();
    private final Reactor reactor = new Reactor("test");
    private BlockDevice device;
    private BlockChannel channel;
    private Path path;

    @BeforeEach
    void open() {
        path = dir.resolve("store");
        device = BlockDevices.open(BlockDeviceSpec.parse("file:" + path + ",size=16M"), true);
        channel = device.openChannel(reactor);
    }

    @AfterEach
    void close() {
        channel.close();
        device.close();
        arena.close();
    }

    private int run(TestIo io) {
        int status = io.run(channel, reactor);
        assertEquals(0, channel.inFlight());
        return status;
    }

    private TestIo io(int operation, long offset, long length) {
        return TestIo.of(arena, operation, offset, length).buffers(length);
    }

    private byte[] fileContent(int offset, int length) throws IOException {
        return Arrays.copyOfRange(Files.readAllBytes(path), offset, offset + length);
    }

    @Test
    void writesTheFileAndReadsItWhateverTheSplit() throws IOException {
        TestIo write = TestIo.of(arena, BlockIo.WRITE, 512, 8192).buffers(1, 4095, 0, 4096);
        write.filled(1);
        assertEquals(0, run(write));
        assertArrayEquals(write.content(), fileContent(512, 8192));

        TestIo read = TestIo.of(arena, BlockIo.READ, 512, 8192).buffers(8000, 192);
        assertEquals(0, run(read));
        assertArrayEquals(write.content(), read.content());
    }

    @Test
    void takesAsManyIovecsAsLinuxDoesAndNoMore() throws IOException {
        long[] lengths = new long[BlockIo.MAX_IOVECS];
        Arrays.fill(lengths, 16);
        TestIo write = TestIo.of(arena, BlockIo.WRITE, 0, 16384).buffers(lengths);
        write.filled(2);
        assertEquals(0, run(write));
        assertArrayEquals(write.content(), fileContent(0, 16384));

        long[] tooMany = new long[BlockIo.MAX_IOVECS + 1];
        tooMany[0] = 512;
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, BlockIo.WRITE, 0, 512).buffers(tooMany)));
    }

    @Test
    void writesThroughAndFlushes() {
        TestIo write = io(BlockIo.WRITE, 4096, 4096).filled(3);
        write.flags = BlockIo.FLAG_FUA;
        assertEquals(0, run(write));
        assertEquals(0, run(TestIo.of(arena, BlockIo.FLUSH, 0, 0)));
    }

    @Test
    void zeroesAndDiscardsARangeAndNothingElse() throws IOException {
        TestIo all = io(BlockIo.WRITE, 0, 65536).filled(4);
        assertEquals(0, run(all));
        byte[] expected = all.content();

        assertEquals(0, run(TestIo.of(arena, BlockIo.WRITE_ZEROES, 512, 8192)));
        Arrays.fill(expected, 512, 512 + 8192, (byte) 0);
        assertArrayEquals(expected, fileContent(0, 65536));

        assertEquals(0, run(TestIo.of(arena, BlockIo.DISCARD, 32768, 4096)));
        Arrays.fill(expected, 32768, 32768 + 4096, (byte) 0);
        assertArrayEquals(expected, fileContent(0, 65536), "a hole reads as zeros");
    }

    @Test
    void refusesRangesOutsideAndBuffersThatDoNotFit() {
        assertEquals(-Errno.EINVAL, run(io(BlockIo.READ, 1, 512)));
        assertEquals(-Errno.EINVAL, run(io(BlockIo.READ, 0, 511)));
        assertEquals(-Errno.EIO, run(io(BlockIo.READ, CAPACITY, 512)));
        assertEquals(-Errno.EIO, run(io(BlockIo.WRITE, CAPACITY - 512, 1024)));
        assertEquals(-Errno.EIO, run(TestIo.of(arena, BlockIo.DISCARD, -512, 512)));
        assertEquals(-Errno.EIO, run(TestIo.of(arena, BlockIo.WRITE_ZEROES, Long.MAX_VALUE - 511, 1024)));
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, BlockIo.READ, 0, 1024).buffers(512)));
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, BlockIo.READ, 0, 512).buffers(1024)));
        assertEquals(-Errno.EINVAL, run(TestIo.of(arena, 99, 0, 0)));
        assertEquals(0, run(TestIo.of(arena, BlockIo.READ, 0, 0)), "nothing is no error");
    }

    @Test
    void keepsMoreRequestsThanItHasSlotsAndCompletesEach() {
        int count = 4 * UringChannel.SLOTS;
        List<TestIo> writes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            TestIo write = io(BlockIo.WRITE, i * 512L, 512).filled(i);
            write.submitTo(channel);
            writes.add(write);
        }
        assertEquals(count, channel.inFlight());
        assertThrows(IllegalStateException.class, channel::close);
        List<TestIo> reads = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            assertEquals(0, writes.get(i).await(reactor));
            TestIo read = io(BlockIo.READ, i * 512L, 512);
            read.submitTo(channel);
            reads.add(read);
        }
        for (int i = 0; i < count; i++) {
            assertEquals(0, reads.get(i).await(reactor));
            assertArrayEquals(writes.get(i).content(), reads.get(i).content());
        }
        assertEquals(0, channel.inFlight());
    }

    @Test
    void nothingCompletesWithinSubmit() {
        TestIo write = io(BlockIo.WRITE, 0, 512);
        assertEquals(BlockChannel.PENDING, channel.submit(write));
        assertFalse(write.ended());
        assertEquals(0, write.await(reactor));
    }

    /** A buffer that the kernel cannot reach in its second half ends the transfer there. */
    @Test
    void goesOnAfterAShortTransferAndReportsWhatStopsIt() throws IOException {
        TestIo write = TestIo.of(arena, BlockIo.WRITE, 0, 8192).buffers(2048, 2048, 4096);
        write.filled(5);
        byte[] content = write.content();
        Iovecs.set(write.iovecsAddress, 2, 4096, 4096);
        assertEquals(-Errno.EFAULT, run(write));
        assertArrayEquals(Arrays.copyOf(content, 4096), fileContent(0, 4096));
    }

    /** The kernel moves at most 2 GiB less a page in one call. The holes of a file in memory are quick to read. */
    @Test
    void movesMoreThanTheKernelMovesInOneCall() {
        long length = (2L << 30) + 8192;
        int fd = CString.with("large", name -> Libc.memfdCreate(name, LibcConstants.MFD_CLOEXEC));
        assertEquals(0, Libc.ftruncate(fd, length));
        try (Arena large = Arena.ofConfined();
                BlockDevice largeDevice = BlockDevices.open(BlockDeviceSpec.parse("file:/proc/self/fd/" + fd), false);
                BlockChannel largeChannel = largeDevice.openChannel(reactor)) {
            TestIo last = TestIo.of(large, BlockIo.WRITE, length - 4096, 4096).buffers(4096);
            last.filled(7);
            assertEquals(0, last.run(largeChannel, reactor));

            // All but the last page goes to one small piece of memory, over and over.
            int window = 1 << 22;
            int count = (int) (length / window) + 2;
            TestIo read = TestIo.of(large, BlockIo.READ, 0, length);
            read.iovecsAddress =
                    large.allocate((long) count * Iovecs.IOVEC_SIZE, 8).address();
            read.iovecCount = count;
            long overwritten = large.allocate(window, 4096).address();
            for (int i = 0; i < count - 2; i++) {
                Iovecs.set(read.iovecsAddress, i, overwritten, window);
            }
            long lastPage = large.allocate(4096, 4096).address();
            Iovecs.set(read.iovecsAddress, count - 2, overwritten, 4096);
            Iovecs.set(read.iovecsAddress, count - 1, lastPage, 4096);
            assertEquals(0, read.run(largeChannel, reactor));
            assertEquals(-1, Memory.mismatch(lastPage, Iovecs.base(last.iovecsAddress, 0), 4096));
        } finally {
            Libc.close(fd);
        }
    }

    @Test
    void answersAFileThatSomebodyTruncatedWithEio() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(6144);
        }
        assertEquals(0, run(io(BlockIo.READ, 0, 6144)));
        assertEquals(-Errno.EIO, run(io(BlockIo.READ, 4096, 4096)));
        assertEquals(-Errno.EIO, run(io(BlockIo.READ, 8192, 4096)));
    }

    @Test
    void answersMemoryThatIsNotThereWithEfault() {
        TestIo read = io(BlockIo.READ, 0, 4096);
        Iovecs.set(read.iovecsAddress, 0, 4096, 4096);
        assertEquals(-Errno.EFAULT, run(read));
        assertEquals(0, run(io(BlockIo.READ, 0, 4096)), "the next one is well");
    }

    @Test
    void failsRequestsRatherThanLosingThemWhenTheRingIsBroken() throws IOException {
        Set<Integer> before = openRings();
        BlockChannel broken = device.openChannel(reactor);
        Set<Integer> rings = openRings();
        rings.removeAll(before);
        int ringFd = rings.iterator().next();
        Libc.close(ringFd);
        assertEquals(ringFd, CString.with("/dev/null", p -> Libc.open(p, LibcConstants.O_RDWR, 0)));

        List<TestIo> writes = new ArrayList<>();
        for (int i = 0; i < UringChannel.SLOTS + 3; i++) {
            TestIo write = io(BlockIo.WRITE, 0, 512);
            write.submitTo(broken);
            writes.add(write);
        }
        for (TestIo write : writes) {
            assertEquals(-Errno.EIO, write.await(reactor));
        }
        assertEquals(0, broken.inFlight());
        assertEquals(-Errno.EIO, io(BlockIo.READ, 0, 512).run(broken, reactor));
        broken.close();
        assertEquals(0, run(io(BlockIo.READ, 0, 512)), "other channels are well");
    }

    /** Each request ends long after the reactor has gone to sleep for want of anything else to do. */
    @Test
    void wakesAReactorThatSleeps() throws InterruptedException {
        Reactor sleeper = new Reactor(Reactor.Config.named("sleeper").withIdlePolicy(IdlePolicy.INTERRUPT));
        sleeper.start();
        try {
            BlockChannel sleepersChannel = sleeper.ask(() -> device.openChannel(sleeper));
            CountDownLatch ended = new CountDownLatch(1);
            BlockIo repeated = new BlockIo() {
                private int left = 100;

                @Override
                public void onComplete(int status) {
                    if (status == 0 && --left != 0) {
                        operation = left % 2 == 0 ? BlockIo.WRITE : BlockIo.FLUSH;
                        assertEquals(PENDING, sleepersChannel.submit(this));
                    } else if (status == 0) {
                        ended.countDown();
                    }
                }
            };
            repeated.lengthBytes = 4096;
            repeated.iovecsAddress = io(BlockIo.WRITE, 0, 4096).iovecsAddress;
            repeated.iovecCount = 1;
            repeated.operation = BlockIo.FLUSH;
            assertEquals(PENDING, (int) sleeper.ask(() -> sleepersChannel.submit(repeated)));
            assertTrue(ended.await(60, TimeUnit.SECONDS), "a completion did not wake the reactor");
            sleeper.ask(() -> {
                sleepersChannel.close();
                return null;
            });
        } finally {
            sleeper.stop();
        }
    }

    private static Set<Integer> openRings() throws IOException {
        Set<Integer> rings = new TreeSet<>();
        try (var fds = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path fd : fds) {
                if (Files.isSymbolicLink(fd)
                        && Files.readSymbolicLink(fd).toString().equals("anon_inode:[io_uring]")) {
                    rings.add(Integer.valueOf(fd.getFileName().toString()));
                }
            }
        }
        return rings;
    }

    @Test
    void livesOnWhenTheOwnerOfARequestThrows() {
        BlockIo thrower = new BlockIo() {
            @Override
            public void onComplete(int status) {
                throw new IllegalStateException("a bug in the owner");
            }
        };
        thrower.operation = BlockIo.FLUSH;
        assertEquals(BlockChannel.PENDING, channel.submit(thrower));
        while (channel.inFlight() != 0) {
            reactor.runOnce();
        }
        assertEquals(0, run(io(BlockIo.READ, 0, 512)));
    }

    @Test
    void reachesWhatTheDeviceHasGrownByOnceThatIsKnown() throws IOException {
        assertEquals(-Errno.EIO, run(io(BlockIo.WRITE, 16 << 20, 4096)));
        BlockDevices.enlarge(BlockDeviceSpec.parse("file:" + path + ",size=17M"));
        assertEquals(-Errno.EIO, run(io(BlockIo.WRITE, 16 << 20, 4096)));
        assertEquals(17 << 20, device.refreshCapacity());
        assertEquals(0, run(io(BlockIo.WRITE, 16 << 20, 4096)));
        assertEquals(-Errno.EIO, run(io(BlockIo.WRITE, 17 << 20, 4096)));
    }

    @Test
    void sleepsOnlyWhenNothingIsToBeDoneAndWakesByItsEvent() {
        UringChannel poller = (UringChannel) channel;
        assertTrue(poller.prepareToSleep(), "idle");
        TestIo read = io(BlockIo.READ, 0, 4096);
        read.submitTo(channel);
        assertFalse(poller.prepareToSleep(), "not handed over yet");
        assertEquals(0, read.await(reactor));
        assertTrue(poller.prepareToSleep());
        poller.wake();
    }

    @Test
    void transfersRandomRangesCorrectlyWithoutThePageCache() throws IOException {
        Path directPath = dir.resolve("direct");
        try (BlockDevice direct =
                        BlockDevices.open(BlockDeviceSpec.parse("file:" + directPath + ",size=1M,direct=on"), true);
                BlockChannel directChannel = direct.openChannel(reactor)) {
            int block = direct.blockSize();
            int blocks = (1 << 20) / block;
            byte[] model = new byte[1 << 20];
            Random random = new Random(6);
            for (int i = 0; i < 200; i++) {
                int start = random.nextInt(blocks);
                int count = 1 + random.nextInt(Math.min(16, blocks - start));
                TestIo io = io(
                                random.nextBoolean() ? BlockIo.WRITE : BlockIo.READ,
                                (long) start * block,
                                (long) count * block)
                        .filled(i);
                byte[] before = io.content();
                io.flags = random.nextInt(10) == 0 ? BlockIo.FLAG_FUA : 0;
                assertEquals(0, io.run(directChannel, reactor));
                if (io.operation == BlockIo.WRITE) {
                    System.arraycopy(before, 0, model, start * block, before.length);
                } else {
                    assertArrayEquals(Arrays.copyOfRange(model, start * block, (start + count) * block), io.content());
                }
            }
            TestIo unaligned = TestIo.of(arena, BlockIo.READ, block / 2, block).buffers(block);
            assertEquals(-Errno.EINVAL, unaligned.run(directChannel, reactor));
        }
        Files.delete(directPath);
    }

    @Test
    void allocatesNothingPerRequest() {
        TestIo read = io(BlockIo.READ, 0, 4096);
        assertEquals(0, Allocations.leastPerRound(() -> read.run(channel, reactor)));
    }
}

package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeConstants;
import io.vhostfs.nvme.NvmeOptions;
import io.vhostfs.nvme.model.ModelConfig;
import io.vhostfs.nvme.model.ModelController;
import io.vhostfs.nvme.model.ModelScript;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class NvmeDeviceTest {
    private static final long BLOCKS = 16384;

    private static ModelConfig usual() {
        return new ModelConfig().namespace(512, BLOCKS).namespace(4096, BLOCKS / 8);
    }

    static Stream<Arguments> drives() {
        return Stream.of(
                Arguments.of("usual", usual()),
                Arguments.of("one page a command", usual().mdts(1)),
                Arguments.of("no limit", usual().mdts(0)),
                Arguments.of("with SGLs", usual().withSgls()),
                Arguments.of("with shadow doorbells", usual().withShadowDoorbells()),
                Arguments.of("doorbells far apart", usual().doorbellStrideShift(4)),
                Arguments.of("doorbells of one queue pair only", usual().doorbellStrideShift(12)),
                Arguments.of("queues of two entries", usual().maxQueueEntries(2)),
                Arguments.of("without an IOMMU", usual().withoutIommu()),
                Arguments.of("without a command for zeroes", usual().withoutWriteZeroes()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("drives")
    void holdsWhatWasWritten(String name, ModelConfig config) throws Exception {
        try (NvmeRig rig = new NvmeRig(config)) {
            for (int nsid = 1; nsid <= 2; nsid++) {
                randomRequests(rig, rig.device(nsid), nsid);
            }
            assertEquals(0, rig.model.mapper().faults());
            assertEquals(0, rig.controller.counters().resets.sum());
        }
    }

    /** Reads and writes cut into iovecs at all places, against a copy in the heap. */
    private static void randomRequests(NvmeRig rig, NvmeDevice device, int nsid) {
        Random random = new Random(nsid);
        BlockChannel channel = rig.channel(device);
        byte[] expected = new byte[1 << 20];
        int block = device.blockSize();
        for (int i = 0; i < 150; i++) {
            int blocks = 1 + random.nextInt(random.nextBoolean() ? 4 : 400);
            int length = Math.min(blocks * block, expected.length);
            int offset = random.nextInt((expected.length - length) / block + 1) * block;
            switch (random.nextInt(8)) {
                case 0 -> {
                    TestIo io = TestIo.of(rig.arena, BlockIo.WRITE_ZEROES, offset, length);
                    assertEquals(0, rig.run(channel, io));
                    java.util.Arrays.fill(expected, offset, offset + length, (byte) 0);
                }
                case 1, 2, 3 -> {
                    byte[] data = new byte[length];
                    random.nextBytes(data);
                    TestIo io = TestIo.of(rig.arena, BlockIo.WRITE, offset, length);
                    scatter(rig, io, random);
                    copyIn(io, data);
                    assertEquals(0, rig.run(channel, io));
                    System.arraycopy(data, 0, expected, offset, length);
                }
                default -> {
                    TestIo io = TestIo.of(rig.arena, BlockIo.READ, offset, length);
                    scatter(rig, io, random);
                    assertEquals(0, rig.run(channel, io));
                    assertArrayEquals(
                            java.util.Arrays.copyOfRange(expected, offset, offset + length), copyOut(io), "round " + i);
                }
            }
        }
        byte[] stored = new byte[expected.length];
        Memory.copyToArray(rig.model.namespaceAddress(nsid), stored, 0, stored.length);
        assertArrayEquals(expected, stored);
    }

    /** Buffers in mapped and in unmapped memory, aligned to pages, to sectors, or not at all. */
    private static void scatter(NvmeRig rig, TestIo io, Random random) {
        List<long[]> pieces = new ArrayList<>();
        long left = io.lengthBytes;
        long at = rig.buffers.address();
        while (left > 0) {
            int unit = new int[] {4096, 4096, 512, 4, 1}[random.nextInt(5)];
            long length = pieces.size() == 200 ? left : Math.min(left, unit * (1L + random.nextInt(20)));
            if (random.nextInt(6) == 0) {
                pieces.add(new long[] {rig.arena.allocate(length, 1).address(), length});
            } else {
                at = (at + unit - 1 & -unit) + (long) unit * random.nextInt(3);
                pieces.add(new long[] {at, length});
                at += length;
            }
            left -= length;
        }
        io.iovecsAddress = rig.arena.allocate(16L * pieces.size(), 8).address();
        io.iovecCount = pieces.size();
        for (int i = 0; i < pieces.size(); i++) {
            Iovecs.set(io.iovecsAddress, i, pieces.get(i)[0], pieces.get(i)[1]);
        }
    }

    private static void copyIn(TestIo io, byte[] data) {
        try (Arena arena = Arena.ofConfined()) {
            long from = arena.allocate(data.length, 1).address();
            Memory.copyFromArray(data, 0, from, data.length);
            Iovecs.scatter(from, data.length, io.iovecsAddress, io.iovecCount, 0);
        }
    }

    private static byte[] copyOut(TestIo io) {
        byte[] data = new byte[(int) io.lengthBytes];
        try (Arena arena = Arena.ofConfined()) {
            long to = arena.allocate(data.length, 1).address();
            Iovecs.gather(io.iovecsAddress, io.iovecCount, 0, to, data.length);
            Memory.copyToArray(to, data, 0, data.length);
        }
        return data;
    }

    @Test
    void alignedBuffersAreNotCopied() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.WRITE, 0, 1 << 20, 0)));
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 4096, 8192, 512)));
            assertEquals((1 << 20) + 8192, rig.controller.zeroCopyBytes());
            assertEquals(0, rig.controller.bouncedBytes());
            assertEquals(
                    0,
                    rig.run(channel, TestIo.of(rig.arena, BlockIo.READ, 0, 512).buffers(512)));
            assertEquals(512, rig.controller.bouncedBytes());
        }
    }

    @Test
    void withoutAnIommuOnlyWhatLiesInTwoHugepagesIsCopied() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().withoutIommu())) {
            BlockChannel channel = rig.channel(rig.device(1));
            int transfer = 128 << 10;
            long border = HugepageMemory.HUGEPAGE_SIZE;
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.WRITE, 0, transfer, border - transfer)));
            assertEquals(0, rig.controller.bouncedBytes());
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 0, transfer, border - transfer / 2)));
            assertEquals(transfer / 2, rig.controller.bouncedBytes());
            assertEquals(transfer + transfer / 2, rig.controller.zeroCopyBytes());
            assertEquals(0, rig.model.mapper().faults());
        }
    }

    @Test
    void memoryThatTheIommuDoesNotTakeIsCopiedAndCounted() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.mapper().refuse();
            try (HugepageMemory guest = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE, "a guest of a test")) {
                assertEquals(guest.lengthBytes(), rig.controller.dma().unmappedBytes());
                TestIo write = rig.mapped(BlockIo.WRITE, 0, 1 << 20, 0);
                write.at(guest.address()).filled(1);
                assertEquals(0, rig.run(channel, write));
                assertEquals(-1, Memory.mismatch(rig.model.namespaceAddress(1), guest.address(), 1 << 20));
                TestIo read = rig.mapped(BlockIo.READ, 0, 1 << 19, 0);
                read.at(guest.address() + (1 << 20));
                assertEquals(0, rig.run(channel, read));
                assertEquals(-1, Memory.mismatch(guest.address(), guest.address() + (1 << 20), 1 << 19));
                assertEquals((1 << 20) + (1 << 19), rig.controller.bouncedBytes());
                assertEquals(0, rig.controller.zeroCopyBytes());
                assertTrue(rig.controller.summary().contains("not mapped " + guest.lengthBytes()));
            }
            assertEquals(0, rig.controller.dma().unmappedBytes());
            assertEquals(0, rig.model.mapper().faults());
        }
    }

    @Test
    void onlyTheAskewHeadOfARequestIsCopied() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo io = TestIo.of(rig.arena, BlockIo.WRITE, 0, 512 + 65536);
            io.iovecsAddress = rig.arena.allocate(32, 8).address();
            io.iovecCount = 2;
            Iovecs.set(io.iovecsAddress, 0, rig.buffers.address() + 1, 512);
            Iovecs.set(io.iovecsAddress, 1, rig.buffers.address() + 4096, 65536);
            assertEquals(0, rig.run(channel, io));
            assertEquals(512, rig.controller.bouncedBytes());
            assertEquals(65536, rig.controller.zeroCopyBytes());
        }
    }

    @Test
    void saysWhatTheDriveIs() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().atomicBlocks(8))) {
            NvmeDevice small = rig.device(1);
            NvmeDevice large = rig.device(2);
            assertEquals(512, small.blockSize());
            assertEquals(BLOCKS * 512, small.capacityBytes());
            assertEquals(4096, small.atomicWriteBytes());
            assertEquals(4096, large.blockSize());
            assertEquals(32768, large.atomicWriteBytes());
            assertTrue(small.hasVolatileCache());
            assertTrue(small.supportsDiscard());
        }
        try (NvmeRig rig =
                new NvmeRig(usual().withoutVolatileCache().withoutDeallocate().atomicBlocks(1))) {
            assertFalse(rig.device(1).hasVolatileCache());
            assertFalse(rig.device(1).supportsDiscard());
            assertEquals(512, rig.device(1).atomicWriteBytes());
        }
    }

    @Test
    void flushesAndForcesUnitAccessWhereThereIsAVolatileCache() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo write = rig.mapped(BlockIo.WRITE, 0, 4096, 0);
            write.flags = BlockIo.FLAG_FUA;
            assertEquals(0, rig.run(channel, write));
            assertEquals(0, rig.run(channel, TestIo.of(rig.arena, BlockIo.FLUSH, 0, 0)));
            assertEquals(1, rig.model.fuaWrites());
            assertEquals(1, rig.model.flushes());
        }
        try (NvmeRig rig = new NvmeRig(usual().withoutVolatileCache())) {
            BlockChannel channel = rig.channel(rig.device(1));
            assertEquals(0, channel.submit(TestIo.of(rig.arena, BlockIo.FLUSH, 0, 0)));
        }
    }

    @Test
    void aCacheThatIsSwitchedOffIsNotFlushed() throws Exception {
        ModelController model = new ModelController(usual());
        model.setCacheOn(false);
        try (NvmeRig rig = new NvmeRig(model, NvmeRig.OPTIONS)) {
            assertFalse(rig.device(1).hasVolatileCache());
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo write = rig.mapped(BlockIo.WRITE, 0, 4096, 0);
            write.flags = BlockIo.FLAG_FUA;
            assertEquals(0, rig.run(channel, write));
            assertEquals(0, channel.submit(TestIo.of(rig.arena, BlockIo.FLUSH, 0, 0)));
            assertEquals(0, rig.model.fuaWrites());
            assertEquals(0, rig.model.flushes());
        }
    }

    /** NAWUPF, NABSPF and NABO, each 16 bits, and what is written whole then: bytes of a drive with blocks of 512. */
    @ParameterizedTest
    @CsvSource({
        "15, 0, 0, 8192",
        "10, 0, 0, 4096", // eleven blocks hold no more than eight aligned ones
        "65535, 0, 0, 65536", // what is copied goes in pieces
        "15, 7, 0, 4096", // none across a boundary of eight blocks
        "15, 11, 0, 2048", // boundaries of twelve blocks: only four aligned ones cross none
        "15, 15, 3, 512" // boundaries that start anywhere
    })
    void aNamespacesAtomicUnitStopsAtItsBoundaries(int unit, int boundary, int offset, int bytes) throws Exception {
        ModelController model = new ModelController(usual().mdts(0));
        model.setScript(new ModelScript() {
            @Override
            public void onIdentify(int cns, long data) {
                if (cns == NvmeConstants.NVME_CNS_NAMESPACE) {
                    Memory.putByte(data + 24, (byte) 2); // NSFEAT: the three that follow are the namespace's own
                    Memory.putShort(data + 36, (short) unit);
                    Memory.putShort(data + 40, (short) boundary); // NABSN
                    Memory.putShort(data + 42, (short) offset);
                    Memory.putShort(data + 44, (short) boundary);
                }
            }
        });
        try (NvmeRig rig = new NvmeRig(model, NvmeRig.OPTIONS)) {
            assertEquals(bytes, rig.device(1).atomicWriteBytes());
        }
    }

    @Test
    void aReactorMaySleepUntilTheInterruptOfItsQueue() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().withInterrupts(), NvmeRig.OPTIONS.withInterrupts(true))) {
            NvmeChannel channel = (NvmeChannel) rig.channel(rig.device(1));
            int fd = rig.model.interruptFd(1);
            long count = rig.arena.allocate(Long.BYTES, Long.BYTES).address();
            TestIo io = rig.mapped(BlockIo.READ, 0, 4096, 0);
            io.submitTo(channel);
            assertFalse(channel.prepareToSleep(), "the drive does not know of the command yet");
            channel.poll();
            assertTrue(channel.prepareToSleep());
            assertEquals(-Errno.EAGAIN, Libc.read(fd, count, Long.BYTES));
            rig.model.step();
            assertFalse(channel.prepareToSleep(), "a completion waits");
            assertEquals(Long.BYTES, Libc.read(fd, count, Long.BYTES));
            assertEquals(0, rig.await(io));
            assertTrue(channel.prepareToSleep());
        }
    }

    @Test
    void aReactorWithoutInterruptsStaysAwakeForItsCommands() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().withInterrupts())) {
            NvmeChannel channel = (NvmeChannel) rig.channel(rig.device(1));
            assertTrue(channel.prepareToSleep());
            TestIo io = rig.mapped(BlockIo.READ, 0, 4096, 0);
            io.submitTo(channel);
            channel.poll();
            assertFalse(channel.prepareToSleep());
            assertEquals(0, rig.await(io));
            assertTrue(channel.prepareToSleep());
        }
    }

    @Test
    void discardsInPieces() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            assertEquals(
                    0, rig.run(channel, rig.mapped(BlockIo.WRITE, 0, 8192, 0).filled(1)));
            assertEquals(0, rig.run(channel, TestIo.of(rig.arena, BlockIo.DISCARD, 4096, BLOCKS * 512 - 4096)));
            long stored = rig.model.namespaceAddress(1);
            assertTrue(Memory.mismatch(stored, rig.buffers.address(), 8192) >= 4096);
        }
    }

    @Test
    void refusesWhatIsMisalignedOrBeyondTheEnd() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(2));
            assertEquals(-Errno.EINVAL, channel.submit(rig.mapped(BlockIo.READ, 512, 4096, 0)));
            assertEquals(-Errno.EINVAL, channel.submit(rig.mapped(BlockIo.READ, 0, 512, 0)));
            assertEquals(-Errno.EIO, channel.submit(rig.mapped(BlockIo.READ, BLOCKS * 512, 4096, 0)));
            assertEquals(-Errno.EIO, channel.submit(rig.mapped(BlockIo.READ, Long.MIN_VALUE, 4096, 0)));
            assertEquals(0, channel.inFlight());
        }
    }

    @Test
    void moreRequestsThanTheQueueHoldsWaitTheirTurn() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().mdts(1), NvmeRig.OPTIONS.withQueueEntries(8))) {
            BlockChannel channel = rig.channel(rig.device(1));
            List<TestIo> all = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                TestIo io =
                        rig.mapped(BlockIo.WRITE, i * 65536L, 65536, i * 65536L).filled(i);
                io.submitTo(channel);
                all.add(io);
            }
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertEquals(0, channel.inFlight());
            assertEquals(-1, Memory.mismatch(rig.model.namespaceAddress(1), rig.buffers.address(), 100 * 65536L));
        }
    }

    @Test
    void aLongQueueTakesAThousandCommandsAtOnce() throws Exception {
        NvmeOptions options = NvmeRig.OPTIONS.withQueueEntries(NvmeOptions.MAX_QUEUE_ENTRIES);
        try (NvmeRig rig = new NvmeRig(usual().withShadowDoorbells(), options)) {
            BlockChannel channel = rig.channel(rig.device(1));
            for (int round = 0; round < 3; round++) {
                List<TestIo> all = new ArrayList<>();
                for (int i = 0; i < 1500; i++) {
                    TestIo io = rig.mapped(BlockIo.WRITE, i * 4096L, 4096, i * 4096L)
                            .filled(i + round);
                    io.submitTo(channel);
                    all.add(io);
                }
                rig.round();
                long before = rig.model.commands();
                rig.model.step();
                assertEquals(NvmeOptions.MAX_QUEUE_ENTRIES - 1, rig.model.commands() - before);
                all.forEach(io -> assertEquals(0, rig.await(io)));
                assertEquals(-1, Memory.mismatch(rig.model.namespaceAddress(1), rig.buffers.address(), 1500 * 4096L));
            }
            assertEquals(0, rig.controller.counters().resets.sum());
        }
    }

    @Test
    void oneDoorbellIsRungForManyCommandsOfATurn() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.round();
            long before = rig.model.doorbellsSeen();
            List<TestIo> all = new ArrayList<>();
            for (int i = 0; i < 32; i++) {
                TestIo io = rig.mapped(BlockIo.READ, 0, 4096, 0);
                io.submitTo(channel);
                all.add(io);
            }
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertEquals(1, rig.model.doorbellsSeen() - before);
        }
    }

    @Test
    void reactorsWithoutAQueuePairOfTheirOwnShareOne() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().queuePairs(2))) {
            NvmeDevice first = rig.device(1);
            NvmeDevice second = rig.device(2);
            List<BlockChannel> channels = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                channels.add(rig.channel(i % 2 == 0 ? first : second));
            }
            assertInstanceOf(NvmeChannel.class, channels.get(1));
            assertInstanceOf(NvmeSharedChannel.class, channels.get(2));
            List<TestIo> all = new ArrayList<>();
            for (int i = 0; i < 2000; i++) {
                TestIo io = rig.mapped(BlockIo.WRITE, (i % 600) * 4096L, 4096, (i % 600) * 4096L);
                io.submitTo(channels.get(i % 6));
                all.add(io);
            }
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertThrows(IllegalStateException.class, first::close);
        }
    }

    @Test
    void aRequestWhoseMemoryWentAwayFailsAlone() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual())) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo gone = TestIo.of(rig.arena, BlockIo.WRITE, 0, 4096);
            gone.iovecsAddress = rig.arena.allocate(16, 8).address();
            gone.iovecCount = 1;
            try (var truncated = new TruncatedMemory()) {
                gone.at(truncated.address());
                gone.submitTo(channel);
                assertFalse(gone.ended(), "ended within submit");
                assertEquals(-Errno.EFAULT, rig.await(gone));
            }
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.WRITE, 0, 4096, 0)));
        }
    }

    @Test
    void nothingIsAllocatedPerRequest() throws Exception {
        try (NvmeRig rig = new NvmeRig(usual().withShadowDoorbells())) {
            BlockChannel channel = rig.channel(rig.device(1));
            io.vhostfs.reactor.Reactor reactor = ((NvmeChannel) channel).reactor();
            TestIo read = rig.mapped(BlockIo.READ, 0, 16384, 0);
            TestIo askew = rig.mapped(BlockIo.WRITE, 0, 4096, 1);
            long bytes = Allocations.leastPerRound(() -> {
                read.submitTo(channel);
                askew.submitTo(channel);
                while (!read.ended() || !askew.ended()) {
                    reactor.runOnce();
                    rig.model.step();
                }
            });
            assertEquals(0, bytes);
        }
    }

    @Test
    void aNamespaceThatCannotBeUsedSaysWhy() throws Exception {
        ModelScript metadata = new ModelScript() {
            @Override
            public void onIdentify(int cns, long data) {
                if (cns == NvmeConstants.NVME_CNS_NAMESPACE) {
                    Memory.putShort(data + 128, (short) 8);
                }
            }
        };
        var model = new io.vhostfs.nvme.model.ModelController(usual());
        model.setScript(metadata);
        try (NvmeRig rig = new NvmeRig(model, NvmeRig.OPTIONS)) {
            BlockDeviceException e = assertThrows(BlockDeviceException.class, () -> rig.device(1));
            assertTrue(e.getMessage().contains("8 bytes of metadata"), e.getMessage());
        }
    }
}

package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeController.State;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.model.ModelConfig;
import io.vhostfs.nvme.model.ModelController;
import io.vhostfs.nvme.model.ModelScript;
import io.vhostfs.os.Errno;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A controller that lies. Whatever it says, every request ends, nothing outside the requests' buffers changes, nothing is
 * reached through the IOMMU that is not mapped, and what broke the rules was reset or given up.
 */
class NvmeFuzzTest {
    private static final int BLOCKS = 4096;
    private static final int BUFFER_BYTES = 1 << 16;
    private static final int BUFFERS = 16;

    static LongStream seeds() {
        return LongStream.range(0, 40);
    }

    private static ModelConfig drive(Random random) {
        ModelConfig config = new ModelConfig()
                .namespace(random.nextBoolean() ? 512 : 4096, BLOCKS)
                .mdts(random.nextInt(6))
                .queuePairs(1 + random.nextInt(3));
        if (random.nextBoolean()) {
            config.withShadowDoorbells();
        }
        return random.nextBoolean() ? config.withSgls() : config;
    }

    /** Random answers to a few of the commands. */
    private static ModelScript liar(Random random, int percent) {
        return new ModelScript() {
            @Override
            public int onCommand(int queueId, long command) {
                if (random.nextInt(100) >= percent) {
                    return CARRY_OUT;
                }
                return random.nextInt(3) == 0 ? HOLD : random.nextInt(1 << 15);
            }
        };
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void liesAboutCompletions(long seed) throws Exception {
        Random random = new Random(seed);
        try (NvmeRig rig = new NvmeRig(drive(random))) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setScript(liar(random, 2));
            rig.model.setAbortsWork(random.nextBoolean());
            TestIo[] requests = new TestIo[BUFFERS];
            for (int round = 0; round < 2000; round++) {
                int i = random.nextInt(BUFFERS);
                if (requests[i] == null || requests[i].ended()) {
                    requests[i] = request(rig, random, i);
                    requests[i].submitTo(channel);
                }
                if (random.nextInt(50) == 0) {
                    lie(rig, random);
                }
                rig.round();
            }
            for (TestIo io : requests) {
                if (io != null) {
                    int status = rig.await(io);
                    assertTrue(status <= 0 && status > -134, "status " + status);
                }
            }
            assertEquals(0, channel.inFlight());
            assertEquals(0, rig.model.mapper().faults(), "accesses beyond what is mapped");
            expectGuards(rig);
        }
    }

    /** Every second buffer belongs to nobody. */
    private static TestIo request(NvmeRig rig, Random random, int i) {
        int[] operations = {
            BlockIo.READ,
            BlockIo.WRITE,
            BlockIo.READ,
            BlockIo.WRITE,
            BlockIo.WRITE_ZEROES,
            BlockIo.DISCARD,
            BlockIo.FLUSH
        };
        int operation = operations[random.nextInt(operations.length)];
        int length = 4096 * (1 + random.nextInt(BUFFER_BYTES / 4096 - 1));
        long offset = random.nextInt((BLOCKS * 512 - length) / 4096) * 4096L;
        return rig.mapped(operation, offset, length, 2L * i * BUFFER_BYTES + random.nextInt(4096));
    }

    private static void expectGuards(NvmeRig rig) {
        for (int i = 0; i < BUFFERS; i++) {
            long guard = rig.buffers.address() + (2L * i + 1) * BUFFER_BYTES;
            for (int at = 0; at < BUFFER_BYTES; at += Long.BYTES) {
                assertEquals(0, Memory.getLong(guard + at), "guard " + i + " at " + at);
            }
        }
    }

    private static void lie(NvmeRig rig, Random random) {
        ModelController model = rig.model;
        if (rig.controller.state() != State.LIVE) {
            return;
        }
        switch (random.nextInt(5)) {
            case 0 -> model.postCompletion(random.nextInt(2), random.nextInt(1 << 16), 0, 0, 0);
            case 1 -> model.postCompletion(1, random.nextInt(16), random.nextInt(1 << 15), random.nextInt(1 << 16), 0);
            case 2 -> model.postCompletion(1, random.nextInt(16), 0, random.nextInt(64), 1);
            case 3 -> model.raiseEvent(random.nextInt(8), random.nextInt(256), random.nextInt(256));
            default -> model.setFatal();
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void liesAboutItself(long seed) {
        Random random = new Random(seed);
        ModelController model = new ModelController(drive(random));
        model.setScript(new ModelScript() {
            @Override
            public void onIdentify(int cns, long data) {
                int changes = 1 + random.nextInt(seed % 2 == 0 ? 8 : 4096);
                for (int i = 0; i < changes; i++) {
                    int at = random.nextInt(changes > 8 ? 4096 : 540);
                    Memory.putByte(data + at, (byte) random.nextInt());
                }
            }
        });
        if (random.nextInt(4) == 0) {
            model.setCapabilities(random.nextLong());
        }
        try (NvmeRig rig = new NvmeRig(model, NvmeRig.OPTIONS)) {
            if (!rig.controller.namespaces().isEmpty()
                    && rig.controller.namespaces().getFirst().isUsable()) {
                NvmeDevice device = rig.device(1);
                assertTrue(device.capacityBytes() > 0);
                assertTrue(device.atomicWriteBytes() >= device.blockSize());
                BlockChannel channel = rig.channel(device);
                long offset = device.capacityBytes() - device.blockSize();
                int status = rig.run(channel, rig.mapped(BlockIo.READ, offset, device.blockSize(), 0));
                assertTrue(status == 0 || status == -Errno.EIO || status == -Errno.EOPNOTSUPP, "status " + status);
            }
            assertEquals(0, model.mapper().faults());
        } catch (NvmeException refused) {
            assertTrue(model.isClosed());
        }
    }

    /** What a controller completes while command 0 of queue 1 is under way: queue, command, submission queue head, phase. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "a command that is not under way, 1, 5, 1, 0",
        "a command beyond the queue, 1, 65535, 1, 0",
        "a submission queue head beyond the queue, 1, 0, 65535, 0",
        "with the wrong phase, 1, 0, 1, 1", // nobody sees it, nor what comes after it: time runs out
        "an admin command that was not sent, 0, 170, 1, 0"
    })
    void eachLieHasTheControllerResetAndTheCommandSentAgain(String name, int queue, int cid, int sqHead, int phaseError)
            throws Exception {
        try (NvmeRig rig = new NvmeRig(new ModelConfig().namespace(512, BLOCKS))) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setScript(new ModelScript() {
                private int held;

                @Override
                public int onCommand(int queueId, long command) {
                    return queueId == 1 && held++ == 0 ? HOLD : CARRY_OUT;
                }
            });
            rig.model.setAbortsWork(false);
            TestIo io = rig.mapped(BlockIo.WRITE, 0, 4096, 0).filled(1);
            io.submitTo(channel);
            rig.round();
            rig.model.postCompletion(queue, cid, 0, sqHead, phaseError);
            assertEquals(0, rig.await(io));
            assertEquals(1, rig.controller.counters().resets.sum());
            assertEquals(phaseError, rig.controller.counters().aborts.sum());
            assertEquals(-1, Memory.mismatch(rig.model.namespaceAddress(1), rig.buffers.address(), 4096));
            assertEquals(State.LIVE, rig.controller.state());
        }
    }

    @Test
    void aDuplicateCompletionHasTheControllerReset() throws Exception {
        try (NvmeRig rig = new NvmeRig(new ModelConfig().namespace(512, BLOCKS))) {
            BlockChannel channel = rig.channel(rig.device(1));
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 0, 4096, 0)));
            rig.model.postCompletion(1, 0, 0, 1, 0);
            rig.round();
            assertEquals(1, rig.controller.counters().resets.sum());
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 0, 4096, 0)));
        }
    }
}

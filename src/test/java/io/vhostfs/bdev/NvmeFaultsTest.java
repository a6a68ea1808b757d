package io.vhostfs.bdev;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.DmaRegions;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeConstants;
import io.vhostfs.nvme.NvmeController.State;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.NvmeStatus;
import io.vhostfs.nvme.model.ModelConfig;
import io.vhostfs.nvme.model.ModelController;
import io.vhostfs.nvme.model.ModelScript;
import io.vhostfs.os.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;

/** What becomes of requests when the drive fails. */
class NvmeFaultsTest {
    private static final ModelConfig DRIVE = new ModelConfig().namespace(512, 65536);

    /** Does something to the first {@code times} reads or writes that {@code lba} selects. */
    private record Faulty(int verdict, AtomicInteger times, IntPredicate lba) implements ModelScript {
        static Faulty first(int times, int verdict) {
            return new Faulty(verdict, new AtomicInteger(times), lba -> true);
        }

        @Override
        public int onCommand(int queueId, long command) {
            boolean hit =
                    queueId != 0 && times.get() > 0 && lba.test(Memory.getInt(command + NvmeConstants.NVME_SQE_CDW10));
            if (hit) {
                times.decrementAndGet();
            }
            return hit ? verdict : CARRY_OUT;
        }
    }

    private static List<TestIo> writes(NvmeRig rig, BlockChannel channel, int count) {
        return writesFrom(rig, channel, 0, count);
    }

    private static List<TestIo> writesFrom(NvmeRig rig, BlockChannel channel, int first, int count) {
        List<TestIo> all = new ArrayList<>();
        for (int i = first; i < first + count; i++) {
            TestIo io = rig.mapped(BlockIo.WRITE, i * 4096L, 4096, i * 4096L).filled(i);
            io.submitTo(channel);
            all.add(io);
        }
        return all;
    }

    private static void expectStored(NvmeRig rig, int count) {
        assertEquals(-1, Memory.mismatch(rig.model.namespaceAddress(1), rig.buffers.address(), count * 4096L));
    }

    @Test
    void whatMayPassIsTriedAgain() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.model.setScript(Faulty.first(3, NvmeStatus.INTERNAL_ERROR));
            assertEquals(0, rig.run(rig.channel(rig.device(1)), rig.mapped(BlockIo.WRITE, 0, 4096, 0)));
            assertEquals(3, rig.controller.counters().retries.sum());
        }
    }

    @Test
    void triesEnd() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.model.setScript(Faulty.first(100, NvmeStatus.INTERNAL_ERROR));
            assertEquals(-Errno.EIO, rig.run(rig.channel(rig.device(1)), rig.mapped(BlockIo.WRITE, 0, 4096, 0)));
            assertEquals(3, rig.controller.counters().retries.sum());
        }
    }

    @Test
    void aMediumsErrorFailsItsRequestAtOnceAndNoOther() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setScript(
                    new Faulty(NvmeStatus.UNRECOVERED_READ, new AtomicInteger(Integer.MAX_VALUE), lba -> lba == 8));
            TestIo bad = rig.mapped(BlockIo.READ, 4096, 4096, 0);
            TestIo good = rig.mapped(BlockIo.READ, 8192, 4096, 4096);
            bad.submitTo(channel);
            good.submitTo(channel);
            assertEquals(-Errno.EIO, rig.await(bad));
            assertEquals(0, rig.await(good));
            assertEquals(0, rig.controller.counters().retries.sum());
            assertEquals(0, rig.controller.counters().resets.sum());
        }
    }

    @Test
    void aLargeRequestFailsOnceWithTheFirstError() throws Exception {
        try (NvmeRig rig = new NvmeRig(new ModelConfig().namespace(512, 65536).mdts(1))) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setScript(new Faulty(NvmeStatus.UNRECOVERED_READ, new AtomicInteger(5), lba -> lba >= 160));
            assertEquals(-Errno.EIO, rig.run(channel, rig.mapped(BlockIo.READ, 0, 4 << 20, 0)));
            assertEquals(0, channel.inFlight());
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 0, 4 << 20, 0)));
        }
    }

    @Test
    void aCommandThatTakesTooLongIsAbortedAndTriedAgain() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.model.setScript(Faulty.first(1, ModelScript.HOLD));
            List<TestIo> all = writes(rig, rig.channel(rig.device(1)), 10);
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertEquals(1, rig.controller.counters().aborts.sum());
            assertEquals(0, rig.controller.counters().resets.sum());
            expectStored(rig, 10);
        }
    }

    @Test
    void aCommandThatCannotBeAbortedHasTheControllerResetAndIsSentAgain() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.model.setAbortsWork(false);
            rig.model.setScript(Faulty.first(2, ModelScript.HOLD));
            List<TestIo> all = writes(rig, rig.channel(rig.device(1)), 10);
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertEquals(1, rig.controller.counters().resets.sum());
            assertEquals(2, rig.controller.counters().replays.sum());
            assertEquals(State.LIVE, rig.controller.state());
            expectStored(rig, 10);
        }
    }

    @Test
    void aFatalStatusResetsAndNothingIsLost() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            BlockChannel other = rig.channel(rig.device(1));
            List<TestIo> all = writes(rig, channel, 100);
            rig.model.setFatal();
            TestIo read = rig.mapped(BlockIo.READ, 0, 4096, 1 << 20);
            read.submitTo(other);
            all.forEach(io -> assertEquals(0, rig.await(io)));
            assertEquals(0, rig.await(read));
            assertEquals(1, rig.controller.counters().resets.sum());
            expectStored(rig, 100);
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 0, 1 << 20, 0)));
        }
    }

    @Test
    void requestsThatArriveDuringAResetWaitForIt() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo during = rig.mapped(BlockIo.WRITE, 0, 4096, 0).filled(0);
            boolean[] submitted = new boolean[1];
            rig.model.setScript(new ModelScript() {
                @Override
                public int onCommand(int queueId, long command) {
                    if (rig.controller.state() == State.RESETTING && !submitted[0]) {
                        submitted[0] = true;
                        during.submitTo(channel);
                    }
                    return CARRY_OUT;
                }
            });
            rig.model.setFatal();
            rig.round();
            assertTrue(submitted[0]);
            assertEquals(0, rig.await(during));
            expectStored(rig, 1);
        }
    }

    @Test
    void aControllerThatCannotBeResetFailsEverythingAndMayNotReachMemory() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setScript(Faulty.first(Integer.MAX_VALUE, ModelScript.HOLD));
            List<TestIo> all = writes(rig, channel, 300);
            rig.round();
            rig.model.setNeverReady(true);
            rig.model.setFatal();
            all.forEach(io -> assertEquals(-Errno.EIO, rig.await(io)));
            assertEquals(State.DEAD, rig.controller.state());
            assertFalse(rig.model.isBusMaster());
            assertEquals(-Errno.EIO, channel.submit(rig.mapped(BlockIo.READ, 0, 4096, 0)));
            assertEquals(0, channel.inFlight());
        }
    }

    @Test
    void aCommandThatKillsTheControllerEachTimeFails() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setAbortsWork(false);
            rig.model.setScript(new Faulty(ModelScript.HOLD, new AtomicInteger(Integer.MAX_VALUE), lba -> lba == 0));
            TestIo poison = rig.mapped(BlockIo.WRITE, 0, 4096, 0);
            poison.submitTo(channel);
            assertEquals(-Errno.EIO, rig.await(poison));
            assertEquals(State.LIVE, rig.controller.state());
            assertEquals(0, rig.run(channel, rig.mapped(BlockIo.READ, 8192, 4096, 0)));
        }
    }

    @Test
    void whatIsSubmittedWhenACommandIsGivenUpIsSentOnce() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            rig.model.setAbortsWork(false);
            rig.model.setScript(new Faulty(ModelScript.HOLD, new AtomicInteger(Integer.MAX_VALUE), lba -> lba == 0));
            List<TestIo> more = new ArrayList<>();
            TestIo poison =
                    rig.mapped(BlockIo.WRITE, 0, 4096, 0).whenEnded(() -> more.addAll(writesFrom(rig, channel, 1, 20)));
            poison.submitTo(channel);
            assertEquals(-Errno.EIO, rig.await(poison));
            long resets = rig.controller.counters().resets.sum();
            more.forEach(io -> assertEquals(0, rig.await(io)));
            for (int i = 0; i < 10; i++) {
                rig.round();
            }
            assertEquals(20, more.size());
            assertEquals(resets, rig.controller.counters().resets.sum());
        }
    }

    @Test
    void aResetRightAfterAResetFindsTheQueuesLeftAlone() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            List<TestIo> all = writes(rig, rig.channel(rig.device(1)), 10);
            rig.model.setFatal();
            rig.controller.watch();
            rig.model.setFatal();
            rig.controller.watch();
            all.forEach(io -> assertEquals(0, rig.await(io)));
            for (int i = 0; i < 10; i++) {
                rig.round();
            }
            assertEquals(2, rig.controller.counters().resets.sum());
            assertEquals(10, rig.controller.counters().replays.sum());
            expectStored(rig, 10);
        }
    }

    @Test
    void anOwnerThatThrowsTakesNoOtherRequestWithIt() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE, NvmeRig.OPTIONS.withQueueEntries(4))) {
            BlockChannel channel = rig.channel(rig.device(1));
            List<TestIo> all = writes(rig, channel, 20);
            all.forEach(io -> io.whenEnded(() -> {
                throw new IllegalStateException("as the test wants it");
            }));
            all.forEach(io -> assertEquals(0, rig.await(io)));
            rig.model.setScript(Faulty.first(Integer.MAX_VALUE, ModelScript.HOLD));
            List<TestIo> lost = writes(rig, channel, 20);
            lost.forEach(io -> io.whenEnded(() -> {
                throw new IllegalStateException("as the test wants it");
            }));
            rig.round();
            rig.model.remove();
            lost.forEach(io -> assertEquals(-Errno.EIO, rig.await(io)));
            assertEquals(0, channel.inFlight());
        }
    }

    @Test
    void aDriveThatIsPulledFailsItsRequests() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            List<TestIo> all = writes(rig, channel, 10);
            rig.model.remove();
            all.forEach(io -> assertEquals(-Errno.EIO, rig.await(io)));
            assertEquals(State.DEAD, rig.controller.state());
            assertTrue(rig.controller.deathReason().contains("gone"));
        }
    }

    @Test
    void aDriveThatIsToBeUnpluggedIsLetGo() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            writes(rig, channel, 1).forEach(io -> assertEquals(0, rig.await(io)));
            rig.model.requestRemoval();
            TestIo late = rig.mapped(BlockIo.READ, 0, 4096, 0);
            late.submitTo(channel);
            assertEquals(-Errno.EIO, rig.await(late));
            rig.controller.watch();
            assertTrue(rig.model.isClosed());
        }
    }

    @Test
    void memoryThatIsRetiredStaysMappedForWhatIsUnderWay() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            BlockChannel other = rig.channel(rig.device(1));
            rig.model.setScript(Faulty.first(1, ModelScript.HOLD));
            TestIo old = rig.mapped(BlockIo.WRITE, 0, 4096, 0).filled(1);
            old.submitTo(channel);
            rig.round();
            int mapped = rig.model.mapper().mappings();
            DmaRegions.retire(rig.buffers.address(), rig.buffers.lengthBytes());
            TestIo copied = rig.mapped(BlockIo.WRITE, 4096, 4096, 4096).filled(2);
            assertEquals(0, rig.run(other, copied));
            for (int i = 0; i < 20; i++) {
                assertEquals(0, rig.run(channel, rig.mapped(BlockIo.WRITE, 8192, 4096, 8192)));
            }
            assertEquals(mapped, rig.model.mapper().mappings());
            assertEquals(21 * 4096, rig.controller.bouncedBytes());
            assertEquals(0, rig.await(old));
            for (int i = 0; i < 5; i++) {
                rig.round();
            }
            assertEquals(mapped - 1, rig.model.mapper().mappings());
            expectStored(rig, 2);
        }
    }

    @Test
    void theDriveIsToldOfAnOrderlyEnd() throws Exception {
        NvmeRig rig = new NvmeRig(DRIVE);
        rig.channel(rig.device(1));
        rig.close();
        assertTrue(rig.model.wasShutDown());
        assertTrue(rig.model.isClosed());
        assertFalse(rig.model.isBusMaster());
    }

    @Test
    void eventsAreAcknowledgedAndAskedForAgain() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.round();
            for (int i = 0; i < 20; i++) {
                assertTrue(rig.model.raiseEvent(1, 1, NvmeConstants.NVME_LOG_SMART), "event " + i);
                assertTrue(rig.model.raiseEvent(2, 0, NvmeConstants.NVME_LOG_CHANGED_NAMESPACES), "notice " + i);
                rig.round();
                rig.round();
            }
            assertEquals(40, rig.controller.counters().asyncEvents.sum());
            assertEquals(State.LIVE, rig.controller.state());
        }
    }

    @Test
    void aNamespaceThatShrinksInUseEndsTheController() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            rig.round();
            rig.model.setScript(resizedTo(100));
            rig.model.raiseEvent(2, 0, NvmeConstants.NVME_LOG_CHANGED_NAMESPACES);
            rig.round();
            assertEquals(State.DEAD, rig.controller.state());
            assertTrue(rig.controller.deathReason().contains("shrunk"), rig.controller.deathReason());
        }
    }

    @Test
    void anotherDriveAfterAResetIsNotWrittenTo() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo io = rig.mapped(BlockIo.WRITE, 0, 4096, 0).filled(1);
            io.submitTo(channel);
            rig.model.setScript(resizedTo(100));
            rig.model.setFatal();
            assertEquals(-Errno.EIO, rig.await(io));
            assertEquals(0, Memory.getLong(rig.model.namespaceAddress(1)));
        }
    }

    @Test
    void aControllerWithFewerQueuesAfterAResetIsGivenUp() throws Exception {
        ModelConfig config = new ModelConfig().namespace(512, 65536);
        try (NvmeRig rig = new NvmeRig(config)) {
            BlockChannel channel = rig.channel(rig.device(1));
            TestIo io = rig.mapped(BlockIo.WRITE, 0, 4096, 0).filled(1);
            io.submitTo(channel);
            config.queuePairs(1);
            rig.model.setFatal();
            assertEquals(-Errno.EIO, rig.await(io));
            assertEquals(State.DEAD, rig.controller.state());
        }
    }

    @Test
    void aNamespaceThatGrowsInUseIsFollowed() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            NvmeDevice device = rig.device(1);
            BlockChannel channel = rig.channel(device);
            rig.round();
            rig.model.setScript(resizedTo(65536 * 2));
            assertEquals(65536 * 512, device.refreshCapacity());
            rig.model.raiseEvent(2, 0, NvmeConstants.NVME_LOG_CHANGED_NAMESPACES);
            rig.round();
            assertEquals(-Errno.EIO, channel.submit(rig.mapped(BlockIo.READ, 65536 * 512, 4096, 0)));
            assertEquals(65536 * 2 * 512, device.refreshCapacity());
            // The model has no such blocks, and is asked.
            assertEquals(-Errno.EIO, rig.run(channel, rig.mapped(BlockIo.READ, 65536 * 512, 4096, 0)));
            assertEquals(1, rig.controller.counters().failures.sum());
            assertTrue(
                    device.counters().startsWith("LIVE; zero-copy bytes 4096, bounced bytes 0, "), device.counters());
        }
    }

    private static ModelScript resizedTo(long blocks) {
        return new ModelScript() {
            @Override
            public void onIdentify(int cns, long data) {
                if (cns == NvmeConstants.NVME_CNS_NAMESPACE) {
                    Memory.putLong(data, blocks);
                }
            }
        };
    }

    @Test
    void logsAreRead() throws Exception {
        try (NvmeRig rig = new NvmeRig(DRIVE)) {
            assertEquals(300, rig.controller.smart().temperatureKelvin());
            assertEquals(100, rig.controller.smart().availableSparePercent());
            var errors = rig.controller.errors();
            assertEquals(1, errors.size());
            assertEquals(NvmeStatus.UNRECOVERED_READ, errors.getFirst().status());
            assertEquals(42, errors.getFirst().lba());
        }
    }

    private static NvmeException refusal(ModelController model) {
        NvmeException e = assertThrows(NvmeException.class, () -> new NvmeRig(model, NvmeRig.OPTIONS));
        assertTrue(model.isClosed());
        return e;
    }

    @Test
    void controllersThatCannotBeUsedAreRefused() {
        ModelController late = new ModelController(DRIVE);
        late.setNeverReady(true);
        assertTrue(refusal(late).getMessage().contains("ready within 1000 ms"));

        ModelController gone = new ModelController(DRIVE);
        gone.remove();
        assertEquals(NvmeException.Kind.MISSING, refusal(gone).kind());

        ModelController largePages = new ModelController(DRIVE);
        largePages.setCapabilities(1L << 48 | 1L << 37 | 2L << 24 | 255);
        assertEquals(NvmeException.Kind.UNSUPPORTED, refusal(largePages).kind());

        ModelController noNvm = new ModelController(DRIVE);
        noNvm.setCapabilities(2L << 24 | 255);
        assertEquals(NvmeException.Kind.UNSUPPORTED, refusal(noNvm).kind());

        ModelController silent = new ModelController(DRIVE);
        silent.setScript(new ModelScript() {
            @Override
            public int onCommand(int queueId, long command) {
                return HOLD;
            }
        });
        assertTrue(refusal(silent).getMessage().contains("does not end"));

        ModelController unmapped = new ModelController(DRIVE);
        unmapped.mapper().refuse();
        NvmeException e = refusal(unmapped);
        assertEquals(NvmeException.Kind.NOT_PERMITTED, e.kind());
        assertTrue(e.getMessage().contains("ENOSPC"), e.getMessage());
    }
}

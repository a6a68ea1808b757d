package io.vhostfs.vhost;

import static io.vhostfs.vhost.TestFrontEnd.*;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.virtio.GuestRam;
import io.vhostfs.virtio.VirtioConstants;
import io.vhostfs.virtio.VirtioDriver;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class VhostUserSessionTest {
    @TempDir
    Path directory;

    private EchoTarget target;
    private TestFrontEnd front;

    @BeforeEach
    void start() throws Exception {
        target = new EchoTarget(directory, "session");
        front = new TestFrontEnd(target.path);
    }

    @AfterEach
    void stop() throws Exception {
        front.close();
        target.close();
    }

    private static void await(BooleanSupplier condition) {
        while (!condition.getAsBoolean()) {
            if (Thread.interrupted()) {
                throw new IllegalStateException("timed out");
            }
            Thread.onSpinWait();
        }
    }

    // Negotiation.

    @Test
    void theFeaturesAreThoseOfTheDesign() {
        assertEquals(
                1L << 32 | 1L << 30 | 1L << 29 | 1L << 28,
                front.ask(VHOST_USER_GET_FEATURES, new byte[0]).u64());
        assertEquals(
                1L << VHOST_USER_PROTOCOL_F_MQ
                        | 1L << VHOST_USER_PROTOCOL_F_REPLY_ACK
                        | 1L << VHOST_USER_PROTOCOL_F_BACKEND_REQ
                        | 1L << VHOST_USER_PROTOCOL_F_CONFIG
                        | 1L << VHOST_USER_PROTOCOL_F_RESET_DEVICE
                        | 1L << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
                        | 1L << VHOST_USER_PROTOCOL_F_STATUS,
                front.ask(VHOST_USER_GET_PROTOCOL_FEATURES, new byte[0]).u64());
    }

    @Test
    void featuresThatWereNotOfferedAreRefused() {
        front.negotiate(0);
        assertNotEquals(0, front.sendAcknowledged(VHOST_USER_SET_FEATURES, u64(1L << 33)));
        assertNotEquals(0, front.sendAcknowledged(VHOST_USER_SET_PROTOCOL_FEATURES, u64(1L << 2)));
    }

    @Test
    void aRefusalThatCannotBeToldClosesTheConnection() {
        front.negotiate(0);
        front.send(VHOST_USER_SET_FEATURES, u64(1L << 33));
        assertNull(front.receive());
    }

    @Test
    void repliesCarryTheRequestTheVersionAndTheReplyFlag() {
        TestFrontEnd.Reply reply = front.ask(VHOST_USER_GET_QUEUE_NUM, new byte[0]);
        assertEquals(VHOST_USER_GET_QUEUE_NUM, reply.request());
        assertEquals(VHOST_USER_VERSION | VHOST_USER_REPLY, reply.flags());
        assertEquals(EchoTarget.QUEUES, reply.u64());
    }

    @Test
    void requestsThatAskForAnAcknowledgementGetOneAndOthersNone() {
        front.negotiate(0);
        assertEquals(0, front.sendAcknowledged(VHOST_USER_SET_OWNER, new byte[0]));
        front.send(VHOST_USER_SET_OWNER, new byte[0]);
        assertEquals(
                VHOST_USER_GET_FEATURES,
                front.ask(VHOST_USER_GET_FEATURES, new byte[0]).request());
    }

    @Test
    void asManyMemorySlotsAreOfferedAsAreTaken() {
        front.negotiate(0);
        assertEquals(509, front.ask(VHOST_USER_GET_MAX_MEM_SLOTS, new byte[0]).u64());
    }

    @Test
    void aRequestWhoseProtocolFeatureWasNotNegotiatedEndsTheSession() {
        front.send(VHOST_USER_GET_STATUS, new byte[0]);
        assertNull(front.receive());
    }

    // Configuration space.

    @Test
    void theConfigurationSpaceIsReadInPieces() {
        front.negotiate(0);
        TestFrontEnd.Reply whole = front.ask(VHOST_USER_GET_CONFIG, config(0, 40, 0, 40));
        assertEquals(12 + 40, whole.payload().limit());
        assertEquals('e', whole.payload().get(12));
        assertEquals(EchoTarget.QUEUES - 1, whole.u32(12 + 36));
        assertEquals(
                EchoTarget.QUEUES - 1,
                front.ask(VHOST_USER_GET_CONFIG, config(36, 4, 0, 4)).u32(12));
        assertEquals(
                0, front.ask(VHOST_USER_GET_CONFIG, config(60, 196, 0, 196)).u32(12));
    }

    @Test
    void aWrongConfigurationRequestIsAnsweredWithNoPayload() {
        front.negotiate(0);
        assertEquals(
                0,
                front.ask(VHOST_USER_GET_CONFIG, config(200, 57, 0, 57))
                        .payload()
                        .limit());
        assertEquals(
                0,
                front.ask(VHOST_USER_GET_CONFIG, config(-1, 4, 0, 4)).payload().limit());
        assertEquals(
                0,
                front.ask(VHOST_USER_GET_CONFIG, config(0, 8, 0, 4)).payload().limit());
    }

    @Test
    void theConfigurationSpaceCannotBeWrittenButMayBeMigrated() {
        front.negotiate(0);
        byte[] same = config(0, 1, 1, 1);
        same[12] = 'e';
        assertEquals(0, front.sendAcknowledged(VHOST_USER_SET_CONFIG, same));
        assertNotEquals(0, front.sendAcknowledged(VHOST_USER_SET_CONFIG, config(0, 1, 1, 1)));
        same[8] = 0;
        assertNotEquals(0, front.sendAcknowledged(VHOST_USER_SET_CONFIG, same));
        assertNotEquals(0, front.sendAcknowledged(VHOST_USER_SET_CONFIG, config(39, 2, 1, 2)));
    }

    // Ring states.

    @ParameterizedTest
    @ValueSource(longs = {0, INDIRECT, EVENT_IDX, EVENT_IDX | INDIRECT})
    void requestsComeBackThroughAStartedRing(long features) {
        front.startRing(1, 64, features);
        for (int i = 0; i < 1000; i++) {
            front.echo(i);
        }
        assertNotEquals(0, signals(front.callFd));
    }

    @Test
    void aKickWakesASleepingReactor() {
        front.startRing(1, 64, EVENT_IDX);
        long slept = 0;
        for (int i = 0; i < 5; i++) {
            long before = slept;
            await(() -> target.reactor.sleeps() > before);
            slept = target.reactor.sleeps();
            front.echo(i);
        }
    }

    @Test
    void aRingRestsUntilItIsEnabled() {
        front.startRing(1, 64, EVENT_IDX);
        front.acknowledged(VHOST_USER_SET_VRING_ENABLE, state(1, 0));
        front.submit(new VirtioDriver.Buffer(front.driver.allocate(8), 8, false));
        // The acknowledgement comes after the ring's reactor took it off, so that nothing can follow.
        front.acknowledged(VHOST_USER_SET_OWNER, new byte[0]);
        assertNull(front.driver.takeUsed());
        assertEquals(List.of("started 1"), target.device.events);
        front.acknowledged(VHOST_USER_SET_VRING_ENABLE, state(1, 1));
        front.awaitUsed();
    }

    @Test
    void withoutProtocolFeaturesARingStartsEnabled() {
        front.send(VHOST_USER_SET_FEATURES, u64(1L << 32));
        front.send(VHOST_USER_SET_MEM_TABLE, memTable(GUEST_BASE, RAM_BYTES, USER_BASE, 0), front.ram.fd());
        front.send(VHOST_USER_SET_VRING_NUM, state(0, 64));
        front.send(VHOST_USER_SET_VRING_BASE, state(0, 0));
        front.send(VHOST_USER_SET_VRING_ADDR, front.driverAddr(0));
        front.send(VHOST_USER_SET_VRING_KICK, u64(0), front.kickFd);
        front.echo(3);
    }

    @Test
    void aRingWithoutAKickDescriptorIsPolled() {
        front.startRing(1, 64, EVENT_IDX);
        front.acknowledged(VHOST_USER_SET_VRING_KICK, u64(1 | VHOST_USER_VRING_NOFD));
        front.acknowledged(VHOST_USER_SET_VRING_CALL, u64(1 | VHOST_USER_VRING_NOFD));
        signals(front.callFd);
        front.echo(1);
        assertEquals(0, signals(front.callFd));
    }

    @Test
    void aNewCallDescriptorIsCalledAtOnceAndFromThenOn() {
        front.startRing(1, 64, 0);
        front.echo(1);
        int other = Libc.eventfd(0, LibcConstants.EFD_NONBLOCK);
        front.acknowledged(VHOST_USER_SET_VRING_CALL, u64(1), other);
        assertEquals(1, signals(other));
        front.echo(2);
        await(() -> signals(other) == 1);
        Libc.close(other);
    }

    @Test
    void getVringBaseStopsTheRingWhereItStands() {
        front.startRing(0, 8, EVENT_IDX);
        for (int i = 0; i < 13; i++) {
            front.echo(i);
        }
        int base = front.ask(VHOST_USER_GET_VRING_BASE, state(0, 0)).u32(4);
        assertEquals(13, base);
        front.submit(new VirtioDriver.Buffer(front.driver.allocate(8), 8, false));
        front.acknowledged(VHOST_USER_SET_OWNER, new byte[0]);
        assertNull(front.driver.takeUsed());
        front.startRing(0, base);
        front.awaitUsed();
        front.echo(99);
        assertEquals(List.of("started 0", "stopped 0", "started 0"), target.device.events);
    }

    @Test
    void getVringBaseWaitsForRequestsInFlight() throws Exception {
        front.startRing(1, 64, EVENT_IDX);
        target.device.holding = true;
        front.submit(new VirtioDriver.Buffer(front.driver.allocate(8), 8, false));
        await(() -> target.device.chains.get() == 1);
        CompletableFuture<Integer> base = CompletableFuture.supplyAsync(
                () -> front.ask(VHOST_USER_GET_VRING_BASE, state(1, 0)).u32(4));
        assertThrows(TimeoutException.class, () -> base.get(200, TimeUnit.MILLISECONDS));
        assertEquals(List.of("started 1"), target.device.events);
        target.device.completeHeld();
        assertEquals(1, base.get());
        assertEquals(1, front.driver.usedIdx());
    }

    @Test
    void aStoppedRingAnswersItsBase() {
        front.negotiate(0);
        front.acknowledged(VHOST_USER_SET_VRING_BASE, state(2, 4321));
        assertEquals(4321, front.ask(VHOST_USER_GET_VRING_BASE, state(2, 0)).u32(4));
    }

    @Test
    void severalRingsRunSideBySide() {
        front.startRing(0, 64, EVENT_IDX);
        VirtioDriver first = front.driver;
        try (GuestRam more = new GuestRam(RAM_BYTES)) {
            long guest = GUEST_BASE + RAM_BYTES;
            long user = USER_BASE + (1L << 32);
            front.acknowledged(VHOST_USER_ADD_MEM_REG, memReg(guest, RAM_BYTES, user, 0), more.fd());
            VirtioDriver second = new VirtioDriver(more.address(), guest, RAM_BYTES, 32, true);
            front.acknowledged(VHOST_USER_SET_VRING_NUM, state(2, 32));
            front.acknowledged(
                    VHOST_USER_SET_VRING_ADDR,
                    vringAddr(
                            2, 0, user + second.descOffset(), user + second.usedOffset(), user + second.availOffset()));
            front.acknowledged(VHOST_USER_SET_VRING_KICK, u64(2 | VHOST_USER_VRING_NOFD));
            front.acknowledged(VHOST_USER_SET_VRING_ENABLE, state(2, 1));
            second.add(new VirtioDriver.Buffer(second.allocate(8), 8, false));
            await(() -> second.takeUsed() != null);
            front.driver = first;
            front.echo(5);
            front.ask(VHOST_USER_GET_VRING_BASE, state(2, 0));
            front.echo(6);
        }
    }

    // Memory table.

    @Test
    void aNewMemoryTableTakesOverWhileRingsRun() {
        front.startRing(1, 64, EVENT_IDX);
        for (int i = 0; i < 20; i++) {
            front.echo(i);
            front.shareMemory();
        }
        front.echo(100);
        assertEquals(List.of("started 1"), target.device.events);
    }

    @Test
    void aRegionIsAddedAndRemovedWhileRingsRun() {
        front.startRing(1, 64, EVENT_IDX);
        try (GuestRam more = new GuestRam(1 << 20)) {
            long guest = 0x10_0000_0000L;
            byte[] region = memReg(guest, 1 << 20, guest, 0);
            front.acknowledged(VHOST_USER_ADD_MEM_REG, region, more.fd());
            front.submit(new VirtioDriver.Buffer(guest + (1 << 20) - 8, 8, true));
            front.awaitUsed();
            front.acknowledged(VHOST_USER_REM_MEM_REG, region);
            front.echo(1);
            assertNotEquals(0, front.sendAcknowledged(VHOST_USER_REM_MEM_REG, region));
            front.submit(new VirtioDriver.Buffer(guest, 8, true));
            await(() -> signals(front.errFd) > 0);
        }
    }

    @Test
    void aRegionMayStartAnywhereInItsFile() {
        front.negotiate(EVENT_IDX);
        // Mapped in pages: the region starts in the middle of one.
        front.acknowledged(
                VHOST_USER_SET_MEM_TABLE,
                memTable(GUEST_BASE + 4096 + 512, RAM_BYTES - 4096 - 512, USER_BASE + 4096 + 512, 4096 + 512),
                front.ram.fd());
        front.driver = new VirtioDriver(front.ram.address() + 8192, GUEST_BASE + 8192, RAM_BYTES - 8192, 64, true);
        front.acknowledged(VHOST_USER_SET_VRING_NUM, state(1, 64));
        front.acknowledged(
                VHOST_USER_SET_VRING_ADDR,
                vringAddr(
                        1,
                        0,
                        USER_BASE + 8192 + front.driver.descOffset(),
                        USER_BASE + 8192 + front.driver.usedOffset(),
                        USER_BASE + 8192 + front.driver.availOffset()));
        front.acknowledged(VHOST_USER_SET_VRING_KICK, u64(1), front.kickFd);
        front.acknowledged(VHOST_USER_SET_VRING_ENABLE, state(1, 1));
        front.echo(1);
    }

    @Test
    void memoryThatCanBeSealedCannotShrinkAnyMore() {
        try (GuestRam sealable = new GuestRam(1 << 20, LibcConstants.MFD_ALLOW_SEALING)) {
            front.negotiate(0);
            front.acknowledged(VHOST_USER_SET_MEM_TABLE, memTable(GUEST_BASE, 1 << 20, USER_BASE, 0), sealable.fd());
            assertNotEquals(0, sealable.truncate());
        }
    }

    // Reset.

    @Test
    void resetDeviceStopsTheRingsAndResetsTheDevice() {
        front.startRing(1, 64, EVENT_IDX);
        front.echo(1);
        front.acknowledged(VHOST_USER_RESET_DEVICE, new byte[0]);
        assertEquals(1, target.device.resets.get());
        assertEquals(List.of("started 1", "stopped 1"), target.device.events);
        assertEquals(1, front.ask(VHOST_USER_GET_VRING_BASE, state(1, 0)).u32(4));
        front.driver.startAt(0);
        front.startRing(1, 0);
        front.driver = new VirtioDriver(front.ram.address(), GUEST_BASE, RAM_BYTES, 64, true);
        front.echo(2);
    }

    @Test
    void statusZeroStopsTheRingsButKeepsTheGuestsSession() {
        front.startRing(1, 64, EVENT_IDX);
        front.acknowledged(VHOST_USER_SET_STATUS, u64(0xf));
        assertEquals(0xf, front.ask(VHOST_USER_GET_STATUS, new byte[0]).u64());
        front.acknowledged(VHOST_USER_SET_STATUS, u64(0));
        assertEquals(List.of("started 1", "stopped 1"), target.device.events);
        assertEquals(0, target.device.resets.get());
        front.startRing(1, 0);
        front.echo(1);
    }

    @Test
    void resetOwnerStopsTheRings() {
        front.startRing(1, 64, EVENT_IDX);
        front.acknowledged(VHOST_USER_RESET_OWNER, new byte[0]);
        assertEquals(List.of("started 1", "stopped 1"), target.device.events);
    }

    @Test
    void theDescriptorForOurOwnRequestsIsTaken() {
        front.negotiate(0);
        front.acknowledged(VHOST_USER_SET_BACKEND_REQ_FD, new byte[0], front.kickFd);
        front.acknowledged(VHOST_USER_SET_BACKEND_REQ_FD, new byte[0], front.callFd);
    }

    // A broken device.

    @Test
    void aBrokenRingBreaksTheDeviceUntilItsRingsAreStopped() {
        front.startRing(1, 64, EVENT_IDX);
        front.echo(1);
        front.driver.offer(77);
        front.kick();
        await(() -> signals(front.errFd) > 0);
        assertEquals(
                VirtioConstants.VIRTIO_CONFIG_S_NEEDS_RESET,
                front.ask(VHOST_USER_GET_STATUS, new byte[0]).u64());
        assertEquals(1, front.ask(VHOST_USER_GET_VRING_BASE, state(1, 0)).u32(4));
        assertEquals(0, front.ask(VHOST_USER_GET_STATUS, new byte[0]).u64());
        Memory.zero(front.ram.address(), 65536);
        front.driver = new VirtioDriver(front.ram.address(), GUEST_BASE, RAM_BYTES, 64, true);
        front.startRing(1, 0);
        front.echo(2);
    }

    @Test
    void aHandlerThatThrowsEndsItsSessionAlone() throws Exception {
        try (EchoTarget other = new EchoTarget(directory, "other", target.reactor);
                TestFrontEnd innocent = new TestFrontEnd(other.path)) {
            innocent.startRing(1, 64, EVENT_IDX);
            front.startRing(1, 64, EVENT_IDX);
            target.device.throwing = true;
            front.submit(new VirtioDriver.Buffer(front.driver.allocate(8), 8, false));
            front.awaitClosed();
            innocent.echo(1);
            target.device.throwing = false;
            target.assertServes();
            innocent.echo(2);
        }
    }

    @Test
    void memoryThatIsTruncatedEndsItsSessionAlone() throws Exception {
        try (EchoTarget other = new EchoTarget(directory, "other", target.reactor);
                TestFrontEnd innocent = new TestFrontEnd(other.path)) {
            innocent.startRing(1, 64, EVENT_IDX);
            innocent.echo(1);
            front.startRing(1, 64, EVENT_IDX);
            front.echo(1);
            assertEquals(0, front.ram.truncate());
            front.kick();
            front.awaitClosed();
            innocent.echo(2);
            assertFalse(innocent.driver.needsKick() && innocent.driver.usedIdx() == 0);
            target.assertServes();
            for (int i = 0; i < 1000; i++) {
                innocent.echo(i);
            }
        }
        assertTrue(target.device.disconnects.get() >= 1);
    }

    @Test
    void memoryThatIsTruncatedUnderRequestsInFlightEndsItsSessionAlone() throws Exception {
        front.startRing(1, 64, EVENT_IDX);
        target.device.holding = true;
        front.submit(
                new VirtioDriver.Buffer(front.driver.allocate(64), 64, false),
                new VirtioDriver.Buffer(front.driver.allocate(64), 64, true));
        await(() -> target.device.chains.get() == 1);
        assertEquals(0, front.ram.truncate());
        target.device.completeHeld();
        front.awaitClosed();
        target.assertServes();
    }
}

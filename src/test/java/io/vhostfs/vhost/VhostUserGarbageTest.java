package io.vhostfs.vhost;

import static io.vhostfs.vhost.TestFrontEnd.*;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.virtio.VirtioDriver;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whatever a front end sends, the next one is served, and another target in the process never stops serving. */
@Timeout(180)
class VhostUserGarbageTest {
    @TempDir
    Path directory;

    private EchoTarget target;
    private Bystander bystander;

    @BeforeEach
    void start() throws Exception {
        target = new EchoTarget(directory, "victim");
        bystander = new Bystander(directory, target);
    }

    @AfterEach
    void stop() throws Exception {
        bystander.close();
        target.close();
    }

    private static int openFds() {
        String[] names = new File("/proc/self/fd").list();
        return names == null ? -1 : names.length;
    }

    /** Refused in words, or with the connection. */
    private static void assertRefused(TestFrontEnd front, int request, byte[] payload, int... fds) {
        front.sendRaw(frame(request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload), fds);
        TestFrontEnd.Reply reply = front.receive();
        if (reply != null && request != VHOST_USER_GET_CONFIG) {
            assertNotEquals(0, reply.u64(), () -> requestName(request) + " was granted");
        }
    }

    @Test
    void aFrontEndThatDiesInTheMiddleOfAnyMessageHarmsNobody() throws Exception {
        for (SampleRequest sample : SampleRequest.all()) {
            byte[] frame = frame(sample.request(), VHOST_USER_VERSION, sample.payload());
            for (int length = 1; length < frame.length; length++) {
                try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                    front.sendRaw(Arrays.copyOf(frame, length), sample.fds(front));
                }
            }
            bystander.check();
        }
        target.assertServes();
    }

    @Test
    void aFrontEndThatDiesInTheMiddleOfAMessageWithARunningRingHarmsNobody() throws Exception {
        for (SampleRequest sample : SampleRequest.all()) {
            byte[] frame = frame(sample.request(), VHOST_USER_VERSION, sample.payload());
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                front.startRing(1, 64, EVENT_IDX);
                front.echo(1);
                front.sendRaw(Arrays.copyOf(frame, frame.length - 1), sample.fds(front));
            }
        }
        target.assertServes();
    }

    @Test
    void everyTruncatedPayloadIsRefused() throws Exception {
        for (SampleRequest sample : SampleRequest.all()) {
            for (int length = 0; length < sample.payload().length; length++) {
                try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                    front.negotiate(0);
                    assertRefused(front, sample.request(), Arrays.copyOf(sample.payload(), length), sample.fds(front));
                }
            }
            bystander.check();
        }
        target.assertServes();
    }

    @Test
    void everyPayloadThatIsTooLongIsRefused() throws Exception {
        for (SampleRequest sample : SampleRequest.all()) {
            for (int more : new int[] {1, 4, 100, VhostUserConnection.MAX_PAYLOAD_BYTES}) {
                try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                    front.negotiate(0);
                    assertRefused(
                            front,
                            sample.request(),
                            Arrays.copyOf(sample.payload(), sample.payload().length + more),
                            sample.fds(front));
                }
            }
        }
        target.assertServes();
    }

    @Test
    void everyWrongNumberOfDescriptorsIsRefusedAndNoneStaysOpen() throws Exception {
        target.assertServes();
        int before = 0;
        for (int round = 0; round < 2; round++) {
            before = round == 1 ? openFds() : 0;
            for (SampleRequest sample : SampleRequest.all()) {
                for (int count : new int[] {0, 1, 2, 9, 253}) {
                    boolean tolerated = sample.request() == VHOST_USER_REM_MEM_REG && count == 1;
                    if (count == sample.fdCount() || tolerated) {
                        continue;
                    }
                    try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                        front.negotiate(0);
                        assertRefused(front, sample.request(), sample.payload(), sample.fds(front, count));
                    }
                }
            }
            target.assertServes();
        }
        // The last sessions end in their own time.
        int allowed = before;
        while (openFds() > allowed) {
            if (Thread.interrupted()) {
                throw new IllegalStateException(openFds() + " descriptors are open, " + allowed + " were");
            }
            Thread.onSpinWait();
        }
    }

    @Test
    void descriptorsInTheMiddleOfAMessageAreCountedAndClosed() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.negotiate(0);
            byte[] frame = frame(VHOST_USER_SET_OWNER, VHOST_USER_VERSION, new byte[8]);
            front.sendRaw(Arrays.copyOf(frame, 14), front.kickFd);
            front.sendRaw(Arrays.copyOfRange(frame, 14, 20), front.kickFd, front.callFd);
            front.awaitClosed();
        }
        target.assertServes();
    }

    @Test
    void aMessageInSingleBytesIsUnderstood() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            for (byte b : frame(VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, new byte[0])) {
                front.sendRaw(new byte[] {b});
            }
            assertNotEquals(null, front.receive());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2, 3, VHOST_USER_VERSION | VHOST_USER_REPLY, -1})
    void aWrongHeaderEndsTheSession(int flags) throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.sendRaw(frame(VHOST_USER_GET_FEATURES, flags, new byte[0]));
            assertNull(front.receive());
        }
        target.assertServes();
    }

    @Test
    void everyRequestNumberIsSurvived() throws Exception {
        for (int request = -1; request < 70; request++) {
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                front.negotiate(0);
                front.sendRaw(frame(request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, new byte[0]));
                front.receive();
            }
        }
        target.assertServes();
    }

    @Test
    void absurdRingSizesAreRefused() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.negotiate(0);
            for (int size : new int[] {0, 3, 1000, 32_769, 65_536, 1 << 30, 1 << 31, -1}) {
                assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_NUM, state(0, size)));
            }
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_BASE, state(0, 65_536)));
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_ENABLE, state(0, 2)));
            assertEquals(0, front.sendAcknowledged(VHOST_USER_SET_VRING_NUM, state(0, 32_768)));
        }
    }

    @Test
    void ringsThatDoNotExistAreRefused() throws Exception {
        for (int index : new int[] {EchoTarget.QUEUES, 255, 256, 1 << 31, -1}) {
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                front.negotiate(0);
                assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_NUM, state(index, 64)));
                assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_ENABLE, state(index, 1)));
                assertEquals(
                        1, front.sendAcknowledged(VHOST_USER_SET_VRING_KICK, u64(index & 0xffff_ffffL), front.kickFd));
                front.send(VHOST_USER_GET_VRING_BASE, state(index, 0));
                assertNull(front.receive());
            }
        }
    }

    @Test
    void ringsOutsideTheMemoryTableAreRefused() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.startRing(1, 64, EVENT_IDX);
            front.echo(1);
            long end = USER_BASE + RAM_BYTES;
            front.acknowledged(VHOST_USER_SET_VRING_NUM, state(0, 64));
            for (long bad : new long[] {0, USER_BASE - 16, end - 16, end, -16, Long.MIN_VALUE, GUEST_BASE}) {
                for (int part = 0; part < 3; part++) {
                    long[] parts = {USER_BASE, USER_BASE + 8192, USER_BASE + 16_384};
                    parts[part] = bad;
                    assertEquals(
                            1,
                            front.sendAcknowledged(
                                    VHOST_USER_SET_VRING_ADDR, vringAddr(0, 0, parts[0], parts[1], parts[2])));
                }
            }
            for (int[] misaligned : new int[][] {{8, 0, 0}, {0, 2, 0}, {0, 0, 1}}) {
                assertEquals(
                        1,
                        front.sendAcknowledged(
                                VHOST_USER_SET_VRING_ADDR,
                                vringAddr(
                                        0,
                                        0,
                                        USER_BASE + misaligned[0],
                                        USER_BASE + misaligned[1],
                                        USER_BASE + misaligned[2])));
            }
            assertEquals(
                    1,
                    front.sendAcknowledged(
                            VHOST_USER_SET_VRING_ADDR, vringAddr(0, 1, USER_BASE, USER_BASE, USER_BASE)));
            front.echo(2);
        }
    }

    @Test
    void memoryTablesThatMakeNoSenseAreRefused() throws Exception {
        long g = GUEST_BASE;
        long u = USER_BASE;
        long[][] tables = {
            {g, 0, u, 0},
            {g, -1, u, 0},
            {g, RAM_BYTES + 1, u, 0},
            {g, RAM_BYTES, u, 1},
            {g, RAM_BYTES, u, 4096},
            {g, 4096, u, -4096},
            {g, 1L << 62, u, 0},
            {-4096, 8192, u, 0},
            {g, 4096, -4096, 0},
            {g, 8192, u, 0, g + 4096, 8192, u + (1 << 20), 8192},
            {g, 8192, u, 0, g + (1 << 20), 8192, u + 4096, 8192},
        };
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.negotiate(0);
            for (long[] table : tables) {
                int[] fds = new int[table.length / 4];
                Arrays.fill(fds, front.ram.fd());
                assertEquals(
                        1,
                        front.sendAcknowledged(VHOST_USER_SET_MEM_TABLE, memTable(table), fds),
                        () -> Arrays.toString(table));
                if (table.length == 4) {
                    assertEquals(
                            1,
                            front.sendAcknowledged(
                                    VHOST_USER_ADD_MEM_REG,
                                    memReg(table[0], table[1], table[2], table[3]),
                                    front.ram.fd()));
                }
            }
            byte[] nine = memTable(new long[36]);
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_MEM_TABLE, nine));
            byte[] many = memTable(g, RAM_BYTES, u, 0);
            Arrays.fill(many, 0, 4, (byte) 0xff);
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_MEM_TABLE, many, front.ram.fd()));
            assertEquals(
                    1,
                    front.sendAcknowledged(VHOST_USER_SET_MEM_TABLE, memTable(g, 4096, u, 0), front.kickFd),
                    "an eventfd cannot be mapped");
            front.startRing(1, 64, EVENT_IDX);
            front.echo(1);
        }
    }

    @Test
    void moreRegionsThanThereAreSlotsAreRefused() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.negotiate(0);
            for (int i = 0; i < 509; i++) {
                front.acknowledged(
                        VHOST_USER_ADD_MEM_REG,
                        memReg(GUEST_BASE + i * 4096L, 4096, USER_BASE + i * 4096L, i * 4096L),
                        front.ram.fd());
            }
            assertEquals(
                    1,
                    front.sendAcknowledged(
                            VHOST_USER_ADD_MEM_REG, memReg(1L << 45, 4096, 1L << 45, 0), front.ram.fd()));
        }
        target.assertServes();
    }

    @Test
    void filesAreNotTakenForEventDescriptors() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.negotiate(0);
            int zero = CString.with("/dev/zero", path -> Libc.open(path, LibcConstants.O_RDWR, 0));
            for (int request :
                    new int[] {VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR}) {
                assertEquals(1, front.sendAcknowledged(request, u64(1), front.ram.fd()));
                assertEquals(1, front.sendAcknowledged(request, u64(1), zero));
            }
            Libc.close(zero);
            front.startRing(1, 64, EVENT_IDX);
            front.echo(1);
        }
    }

    @Test
    void aRunningRingIsNotResizedOrMovedBack() throws Exception {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
            front.startRing(1, 64, EVENT_IDX);
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_NUM, state(1, 32)));
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_VRING_BASE, state(1, 0)));
            assertEquals(1, front.sendAcknowledged(VHOST_USER_SET_FEATURES, u64(1L << 32 | 1L << 30)));
            front.echo(1);
        }
    }

    @Test
    void aRingInRandomMemoryHarmsNobody() throws Exception {
        Random random = new Random(42);
        for (int round = 0; round < 50; round++) {
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                byte[] noise = new byte[16_384];
                random.nextBytes(noise);
                Memory.copyFromArray(noise, 0, front.ram.address(), noise.length);
                front.startRing(1, 64, round % 2 == 0 ? EVENT_IDX | INDIRECT : INDIRECT);
                for (int i = 0; i < 64; i++) {
                    front.driver.setAvailIdx(random.nextInt());
                    front.kick();
                }
                front.ask(VHOST_USER_GET_VRING_BASE, state(1, 0));
            }
            bystander.check();
        }
        target.assertServes();
    }

    @Test
    void aFrontEndThatTruncatesItsMemoryWhilePolledEndsAlone() throws Exception {
        for (int i = 0; i < 10; i++) {
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(target.path)) {
                front.startRing(1, 64, i % 2 == 0 ? EVENT_IDX : 0);
                front.acknowledged(VHOST_USER_SET_VRING_KICK, u64(1 | VHOST_USER_VRING_NOFD));
                front.echo(1);
                for (int k = 0; k < 16; k++) {
                    front.driver.add(new VirtioDriver.Buffer(front.driver.allocate(64), 64, false));
                }
                assertEquals(0, front.ram.truncate());
                front.awaitClosed();
            }
            bystander.check();
        }
        target.assertServes();
    }

    /** Another device on the same reactor, with a front end that checks what it gets all the time. */
    private static final class Bystander implements AutoCloseable {
        private final EchoTarget target;
        private final TestFrontEnd front;
        private final Thread thread;
        private final AtomicReference<RuntimeException> failure = new AtomicReference<>();
        private volatile boolean stopping;
        private volatile long served;

        Bystander(Path directory, EchoTarget neighbour) throws IOException {
            target = new EchoTarget(directory, "bystander", neighbour.reactor);
            front = new TestFrontEnd(target.path);
            front.startRing(1, 64, EVENT_IDX | INDIRECT);
            thread = Thread.ofPlatform().name("bystander").start(this::serve);
        }

        private void serve() {
            try {
                for (int i = 0; !stopping; i++) {
                    front.echo(i);
                    served = i;
                }
            } catch (RuntimeException e) {
                failure.set(e);
            }
        }

        /** Waits until it was served once more. */
        void check() {
            long before = served;
            while (served < before + 2 && failure.get() == null) {
                if (Thread.interrupted()) {
                    throw new IllegalStateException("the bystander is not served");
                }
                Thread.onSpinWait();
            }
            assertNull(failure.get());
        }

        @Override
        public void close() {
            try {
                check();
            } finally {
                stop();
            }
            assertNull(failure.get());
        }

        private void stop() {
            stopping = true;
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            front.close();
            target.close();
        }
    }
}

package io.vhostfs.uring;

import static io.vhostfs.uring.UringConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RingTest {
    private static void nop(Ring ring, long userData) {
        long sqe = ring.nextSqe();
        assertNotEquals(0, sqe);
        Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) IORING_OP_NOP);
        Memory.putLong(sqe + IO_URING_SQE_USER_DATA_OFFSET, userData);
    }

    private static long nextUserData(Ring ring) {
        long cqe;
        while ((cqe = ring.peekCompletion()) == 0) {
            assertTrue(ring.submit() >= 0);
        }
        assertEquals(0, Memory.getInt(cqe + IO_URING_CQE_RES_OFFSET));
        long userData = Memory.getLong(cqe + IO_URING_CQE_USER_DATA_OFFSET);
        ring.completionTaken();
        return userData;
    }

    @ParameterizedTest
    @ValueSource(ints = {Ring.DEFERRED, Ring.COOPERATIVE, Ring.INTERRUPTING, Ring.DEFERRED | IORING_SETUP_SQE128})
    void completesEachEntryOnceOverManyTimesRoundTheRing(int mode) throws UringException {
        try (Ring ring = Ring.open(8, mode)) {
            BitSet seen = new BitSet();
            for (int i = 0; i < 1000; i += 8) {
                for (int j = 0; j < 8; j++) {
                    nop(ring, i + j);
                }
                assertEquals(0, ring.nextSqe(), "the ring is full");
                assertEquals(8, ring.submit());
                for (int j = 0; j < 8; j++) {
                    long userData = nextUserData(ring);
                    assertFalse(seen.get((int) userData));
                    seen.set((int) userData);
                }
                assertEquals(0, ring.peekCompletion());
            }
            assertEquals(1000, seen.cardinality());
        }
    }

    @Test
    void makesNoSystemCallWhenThereIsNothingToSubmitOrFetch() throws Exception {
        try (Ring ring = Ring.open(8)) {
            // From a foreign thread a system call on a ring with a single issuer fails.
            assertEquals(0, onAnotherThread(ring::submit));
            nop(ring, 1);
            assertEquals(-Errno.EEXIST, onAnotherThread(ring::submit));
            assertEquals(1, ring.takeBack());
            assertThrows(IllegalStateException.class, ring::takeBack);
            nop(ring, 2);
            assertEquals(1, ring.submit());
            assertEquals(2, nextUserData(ring));
        }
    }

    private static int onAnotherThread(java.util.function.IntSupplier action) throws InterruptedException {
        AtomicInteger result = new AtomicInteger(Integer.MIN_VALUE);
        Thread thread = Thread.ofPlatform().start(() -> result.set(action.getAsInt()));
        thread.join();
        return result.get();
    }

    @Test
    void opensOnAVirtualThreadThatMayChangeItsCarrier() throws InterruptedException {
        AtomicReference<Object> outcome = new AtomicReference<>();
        Thread.ofVirtual()
                .start(() -> {
                    try (Ring ring = Ring.open(8)) {
                        nop(ring, 7);
                        outcome.set(onAnotherThread(ring::submit) + " " + nextUserData(ring));
                    } catch (UringException | InterruptedException e) {
                        outcome.set(e);
                    }
                })
                .join();
        assertEquals("1 7", outcome.get());
    }

    @ParameterizedTest
    @ValueSource(ints = {Ring.DEFERRED, Ring.COOPERATIVE, Ring.INTERRUPTING})
    void signalsTheEventfdOnlyWhileEventsAreEnabled(int mode, @TempDir Path dir) throws Exception {
        Path file = Files.writeString(dir.resolve("file"), "content");
        int fd = CString.with(file.toString(), p -> Libc.open(p, LibcConstants.O_RDWR, 0));
        try (Ring ring = Ring.open(8, mode);
                Arena arena = Arena.ofConfined()) {
            ring.registerFile(fd);
            long pollfd = arena.allocate(8, 8).address();
            Memory.putInt(pollfd, ring.eventFd());
            Memory.putShort(pollfd + 4, (short) LibcConstants.POLLIN);

            nop(ring, 1);
            assertEquals(1, ring.submit());
            assertEquals(0, Libc.poll(pollfd, 1, 0), "events are disabled");
            assertFalse(ring.enableEvents(), "a completion is there");
            ring.disableEvents();
            assertEquals(1, nextUserData(ring));

            // fsync runs in a kernel worker, so that its completion comes by itself.
            fdatasync(ring, 2);
            assertFalse(ring.enableEvents(), "an entry is not submitted");
            ring.disableEvents();
            assertEquals(1, ring.submit());
            if (ring.enableEvents()) {
                assertEquals(1, Libc.poll(pollfd, 1, 60_000));
            }
            ring.disableEvents();
            assertEquals(0, Libc.poll(pollfd, 1, 0), "the event was taken");
            assertEquals(2, nextUserData(ring));
        } finally {
            Libc.close(fd);
        }
    }

    private static void fdatasync(Ring ring, long userData) {
        long sqe = ring.nextSqe();
        Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) IORING_OP_FSYNC);
        Memory.putByte(sqe + IO_URING_SQE_FLAGS_OFFSET, (byte) IOSQE_FIXED_FILE);
        Memory.putInt(sqe + IO_URING_SQE_FSYNC_FLAGS_OFFSET, IORING_FSYNC_DATASYNC);
        Memory.putLong(sqe + IO_URING_SQE_USER_DATA_OFFSET, userData);
    }

    @Test
    void readsTheRegisteredFileAfterItsDescriptorWasClosed(@TempDir Path dir) throws Exception {
        Path file = Files.writeString(dir.resolve("file"), "content");
        try (Ring ring = Ring.open(8);
                Arena arena = Arena.ofConfined()) {
            int fd = CString.with(file.toString(), p -> Libc.open(p, LibcConstants.O_RDONLY, 0));
            ring.registerFile(fd);
            Libc.close(fd);
            var buffer = arena.allocate(7);
            long sqe = ring.nextSqe();
            Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) IORING_OP_READ);
            Memory.putByte(sqe + IO_URING_SQE_FLAGS_OFFSET, (byte) IOSQE_FIXED_FILE);
            Memory.putLong(sqe + IO_URING_SQE_ADDR_OFFSET, buffer.address());
            Memory.putInt(sqe + IO_URING_SQE_LEN_OFFSET, 7);
            long cqe;
            while ((cqe = ring.peekCompletion()) == 0) {
                ring.submit();
            }
            assertEquals(7, Memory.getInt(cqe + IO_URING_CQE_RES_OFFSET));
            assertEquals(
                    "content",
                    new String(buffer.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8));
        }
    }

    @Test
    void saysWhatFailedAndWhatHelps() {
        UringException e = assertThrows(UringException.class, () -> Ring.open(8).registerFile(-2));
        assertEquals(Errno.EBADF, e.errno());
        assertTrue(
                new UringException("io_uring_setup", -Errno.EPERM).getMessage().contains("io_uring_disabled"));
        assertTrue(
                new UringException("io_uring_setup", -Errno.ENOSYS).getMessage().contains("Linux 5.6"));
    }
}

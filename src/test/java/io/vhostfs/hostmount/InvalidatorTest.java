package io.vhostfs.hostmount;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is told to the kernel, which is the other end of a pipe here. */
@Timeout(60)
class InvalidatorTest {
    private static final int MESSAGE_BYTES = 4096;

    private final Arena arena = Arena.ofConfined();
    private int kernel;
    private int device;
    private Invalidator invalidator;

    @BeforeEach
    void start() {
        MemorySegment ends = arena.allocate(ValueLayout.JAVA_INT, 2);
        assertEquals(0, SystemCalls.callInt("pipe", ends));
        kernel = ends.getAtIndex(ValueLayout.JAVA_INT, 0);
        device = ends.getAtIndex(ValueLayout.JAVA_INT, 1);
        invalidator = new Invalidator("test", () -> FUSE_KERNEL_MINOR_VERSION, device);
        invalidator.start();
    }

    @AfterEach
    void stop() throws InterruptedException {
        invalidator.stop();
        Libc.close(kernel);
        Libc.close(device);
        arena.close();
    }

    /** The kernel's code and the nodeid of the next message. */
    private String told() {
        MemorySegment message = arena.allocate(MESSAGE_BYTES, 8);
        long length = Libc.read(kernel, message.address(), FUSE_OUT_HEADER_SIZE);
        assertEquals(FUSE_OUT_HEADER_SIZE, length);
        int body = message.get(ValueLayout.JAVA_INT, FUSE_OUT_HEADER_LEN_OFFSET) - FUSE_OUT_HEADER_SIZE;
        assertEquals(body, Libc.read(kernel, message.address() + FUSE_OUT_HEADER_SIZE, body));
        return message.get(ValueLayout.JAVA_INT, FUSE_OUT_HEADER_ERROR_OFFSET) + " "
                + message.get(ValueLayout.JAVA_LONG, FUSE_OUT_HEADER_SIZE);
    }

    /** Attributes asked for from then on are of after a change that was made before. */
    private static void awaitAttributesOfBefore() {
        long end = System.nanoTime() + Invalidator.SEEN_NS + 1;
        while (end - System.nanoTime() > 0) {
            LockSupport.parkNanos(end - System.nanoTime());
        }
    }

    @Test
    void whoAsksIsNotToldOfChangedData() {
        invalidator.onChanged(7, true);
        awaitAttributesOfBefore();
        invalidator.onSeen(7);
        invalidator.onChanged(8, true);
        assertEquals(FUSE_NOTIFY_INVAL_INODE + " 8", told());
    }

    @Test
    void attributesThatMayBeOfBeforeTheChangeDoNotCount() {
        invalidator.onChanged(7, true);
        invalidator.onSeen(7);
        assertEquals(FUSE_NOTIFY_INVAL_INODE + " 7", told());
    }

    @Test
    void aSecondChangeThatNobodyAskedForIsTold() {
        invalidator.onChanged(7, true);
        awaitAttributesOfBefore();
        invalidator.onSeen(7);
        invalidator.onChanged(7, true);
        assertEquals(FUSE_NOTIFY_INVAL_INODE + " 7", told());
    }

    /** The times of inodes with the same place in the table do not stand for each other. */
    @Test
    void whatWasAskedOfAnotherInodeDoesNotCount() {
        invalidator.onChanged(7, true);
        invalidator.onChanged(7 + Invalidator.MARKS, true);
        awaitAttributesOfBefore();
        invalidator.onSeen(7 + Invalidator.MARKS);
        assertEquals(FUSE_NOTIFY_INVAL_INODE + " 7", told());
    }

    @Test
    void namesThatWentAreToldAtOnceAndAttributesNever() {
        MemorySegment name = arena.allocateFrom("name");
        invalidator.onChanged(5, true);
        invalidator.onChanged(6, false);
        invalidator.onNameGone(7, name.address(), 4);
        assertEquals(FUSE_NOTIFY_INVAL_ENTRY + " 7", told());
        assertEquals(FUSE_NOTIFY_INVAL_INODE + " 5", told());
    }
}

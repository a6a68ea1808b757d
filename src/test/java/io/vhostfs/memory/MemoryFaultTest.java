package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class MemoryFaultTest {
    private static final int LENGTH = 1 << 16;

    private static boolean faults(long address) {
        try {
            Memory.putInt(address, Memory.getInt(address) + 1);
            Memory.deliverFault();
            return false;
        } catch (InternalError truncated) {
            return true;
        }
    }

    private int fd;
    private long address;

    @BeforeEach
    void share() {
        fd = CString.with("truncated", path -> Libc.memfdCreate(path, LibcConstants.MFD_CLOEXEC));
        assertEquals(0, Libc.ftruncate(fd, LENGTH));
        address = Libc.mmap(
                0, LENGTH, LibcConstants.PROT_READ | LibcConstants.PROT_WRITE, LibcConstants.MAP_SHARED, fd, 0);
    }

    @AfterEach
    void unmap() {
        Libc.munmap(address, LENGTH);
        Libc.close(fd);
    }

    @Test
    void accessToATruncatedPageIsThrownInsideTheTryBlockThatEndsWithDeliverFault() {
        int faults = 0;
        for (int i = 0; i < 200_000; i++) {
            faults += faults(address) ? 1 : 0;
        }
        assertEquals(0, faults);
        assertEquals(0, Libc.ftruncate(fd, 0));
        for (int i = 0; i < 1000; i++) {
            faults += faults(address) ? 1 : 0;
        }
        assertEquals(1000, faults);
    }

    @Test
    void copiesOfSharedMemoryAnswerEfaultOnceItIsTruncated() {
        try (Arena arena = Arena.ofConfined()) {
            long iovecs = arena.allocate(Iovecs.IOVEC_SIZE, 8).address();
            long mine = arena.allocate(LENGTH, 8).address();
            Iovecs.set(iovecs, 0, address, LENGTH);
            for (int i = 0; i < 2_000; i++) {
                assertEquals(LENGTH, Iovecs.gatherShared(iovecs, 1, 0, mine, LENGTH));
                assertEquals(LENGTH, Iovecs.scatterShared(mine, LENGTH, iovecs, 1, 0));
                assertEquals(LENGTH, Iovecs.zeroShared(iovecs, 1, 0, LENGTH));
            }
            assertEquals(0, Libc.ftruncate(fd, 0));
            for (int i = 0; i < 100; i++) {
                assertEquals(-Errno.EFAULT, Iovecs.gatherShared(iovecs, 1, 0, mine, LENGTH));
                assertEquals(-Errno.EFAULT, Iovecs.scatterShared(mine, LENGTH, iovecs, 1, 0));
                assertEquals(-Errno.EFAULT, Iovecs.zeroShared(iovecs, 1, 0, LENGTH));
            }
        }
    }
}

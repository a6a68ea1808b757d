package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
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

    @Test
    void accessToATruncatedPageIsThrownInsideTheTryBlockThatEndsWithDeliverFault() {
        int fd = CString.with("truncated", path -> Libc.memfdCreate(path, LibcConstants.MFD_CLOEXEC));
        assertEquals(0, Libc.ftruncate(fd, LENGTH));
        long address = Libc.mmap(
                0, LENGTH, LibcConstants.PROT_READ | LibcConstants.PROT_WRITE, LibcConstants.MAP_SHARED, fd, 0);
        try {
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
        } finally {
            Libc.munmap(address, LENGTH);
            Libc.close(fd);
        }
    }
}

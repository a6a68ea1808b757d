package io.vhostfs.reactor;

import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;

/**
 * The machine's clocks, read through the vDSO without allocation. One instance per thread.
 *
 * <p>The library's own wall clock either has millisecond steps or makes an object.
 */
final class SystemClock implements ReactorClock {
    private static final long NS_PER_SECOND = 1_000_000_000L;

    private final long timespec = PermanentMemory.allocate(LibcConstants.TIMESPEC_SIZE);

    @Override
    public long monotonicNs() {
        return System.nanoTime();
    }

    @Override
    public long wallClockNs() {
        Libc.clockGettime(LibcConstants.CLOCK_REALTIME, timespec);
        return Memory.getLong(timespec + LibcConstants.TIMESPEC_TV_SEC_OFFSET) * NS_PER_SECOND
                + Memory.getLong(timespec + LibcConstants.TIMESPEC_TV_NSEC_OFFSET);
    }
}

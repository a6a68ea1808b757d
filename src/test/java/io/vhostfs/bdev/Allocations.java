package io.vhostfs.bdev;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/** Counts what a piece of hot code allocates once it is compiled. */
final class Allocations {
    private static final int ROUNDS = 200;
    private static final int CALLS_PER_ROUND = 5_000;

    private Allocations() {}

    /** Bytes per call in the first of many rounds that had none, or in the last; the compiler decides when that is. */
    static long leastPerRound(Runnable code) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long perCall = Long.MAX_VALUE;
        for (int round = 0; round < ROUNDS && perCall != 0; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < CALLS_PER_ROUND; i++) {
                code.run();
            }
            perCall = (threads.getCurrentThreadAllocatedBytes() - before) / CALLS_PER_ROUND;
        }
        return perCall;
    }
}

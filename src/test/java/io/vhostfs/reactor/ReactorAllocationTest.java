package io.vhostfs.reactor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

class ReactorAllocationTest {
    private long count;
    private final Reactor reactor = new Reactor("by-hand");
    private final ReactorTimer timer = new ReactorTimer(() -> count++);
    private final Message message = () -> count++;

    @Test
    void messagesTimersAndClocksAllocateNothing() {
        turns(20_000);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        turns(100_000);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertEquals(0, allocated / 100_000, () -> allocated + " bytes allocated");
        assertTrue(count >= 3 * 120_000, () -> count + " callbacks ran");
    }

    @Test
    void wallClockIsTheSystems() {
        long before = System.currentTimeMillis();
        long wallClockMs = reactor.wallClockNs() / 1_000_000;
        long after = System.currentTimeMillis();
        assertTrue(wallClockMs >= before - 1 && wallClockMs <= after + 1);
    }

    private void turns(int turns) {
        for (int i = 0; i < turns; i++) {
            reactor.send(message);
            reactor.schedule(timer, 0);
            reactor.schedule(0, message);
            reactor.runOnce();
            assertTrue(reactor.wallClockNs() > 0);
        }
    }
}

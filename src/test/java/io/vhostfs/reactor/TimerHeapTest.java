package io.vhostfs.reactor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class TimerHeapTest {
    private final TimerHeap heap = new TimerHeap();

    @Test
    void theEarliestIsFirstWhateverIsPutMovedAndRemoved() {
        Random random = new Random(5);
        List<ReactorTimer> timers = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            timers.add(timer());
        }
        for (int step = 0; step < 20_000; step++) {
            ReactorTimer timer = timers.get(random.nextInt(timers.size()));
            if (random.nextInt(3) == 0 && timer.isScheduled()) {
                heap.remove(timer);
            } else {
                heap.put(timer, random.nextInt(100));
            }
            ReactorTimer first = heap.first();
            for (ReactorTimer other : timers) {
                if (other.isScheduled()) {
                    assertTrue(first != null && first.deadlineNs <= other.deadlineNs);
                }
            }
            assertEquals(timers.stream().filter(ReactorTimer::isScheduled).count(), heap.size());
        }
    }

    @Test
    void equalDeadlinesKeepTheirOrder() {
        List<ReactorTimer> timers = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            timers.add(timer());
            heap.put(timers.get(i), 7);
        }
        for (ReactorTimer timer : timers) {
            assertSame(timer, heap.first());
            heap.remove(timer);
            assertFalse(timer.isScheduled());
        }
        assertNull(heap.first());
    }

    @Test
    void aClockThatPassesFromPositiveToNegativeDoesNotMixTheOrder() {
        ReactorTimer before = timer();
        ReactorTimer after = timer();
        heap.put(after, Long.MIN_VALUE + 5);
        heap.put(before, Long.MAX_VALUE - 5);
        assertSame(before, heap.first());
    }

    private static ReactorTimer timer() {
        return new ReactorTimer(() -> {});
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class IoEpochsTest {
    private final IoEpochs epochs = new IoEpochs(4);

    @Test
    void anEpochDrainsWhenAllThatStartedInItHasEnded() {
        int a = epochs.started(0);
        int b = epochs.started(3);
        int over = epochs.advance();
        assertFalse(epochs.hasDrained(over));
        int later = epochs.started(0);
        epochs.ended(0, a);
        assertFalse(epochs.hasDrained(over));
        epochs.ended(3, b);
        assertTrue(epochs.hasDrained(over));
        epochs.ended(0, later);
    }

    @Test
    void anEpochIsNotBegunAnewWhileItsCountersAreInUse() {
        int slow = epochs.started(1);
        epochs.advance();
        assertFalse(epochs.canAdvance());
        epochs.ended(1, slow);
        assertTrue(epochs.canAdvance());
    }

    @Test
    void everyDataWriteIsCounted() {
        long before = epochs.writes();
        epochs.noteWrite(0);
        epochs.noteWrite(2);
        assertEquals(before + 2, epochs.writes());
    }

    /** A reader takes what it looked up as valid until it ends; the home thread poisons it only after the epoch drained. */
    @Test
    void whatAReaderLookedUpStaysUntilItEnds() throws InterruptedException {
        AtomicLong current = new AtomicLong(1);
        AtomicLong poisoned = new AtomicLong();
        AtomicBoolean stop = new AtomicBoolean();
        AtomicLong violations = new AtomicLong();
        Thread[] readers = new Thread[2];
        for (int i = 0; i < readers.length; i++) {
            int slot = i + 1;
            readers[i] = Thread.ofPlatform().start(() -> {
                while (!stop.get()) {
                    int epoch = epochs.started(slot);
                    long seen = current.get();
                    if (poisoned.get() >= seen) {
                        violations.incrementAndGet();
                    }
                    epochs.ended(slot, epoch);
                }
            });
        }
        for (int round = 0; round < 2000; round++) {
            long old = current.getAndIncrement();
            while (!epochs.canAdvance()) {
                Thread.onSpinWait();
            }
            int over = epochs.advance();
            while (!epochs.hasDrained(over)) {
                Thread.onSpinWait();
            }
            poisoned.set(old);
        }
        stop.set(true);
        for (Thread reader : readers) {
            reader.join();
        }
        assertEquals(0, violations.get());
    }
}

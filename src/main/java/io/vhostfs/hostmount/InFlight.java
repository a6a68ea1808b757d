package io.vhostfs.hostmount;

import org.jspecify.annotations.Nullable;

/**
 * Counts the requests of one source that are in flight, and knows whether the source takes more.
 *
 * <p>Invariant: who drains the source is told once, when it takes nothing more and nothing is in flight. All on the
 * reactor's thread.
 */
final class InFlight {
    private int count;
    private boolean closed;
    private @Nullable Runnable onDrained;

    /** Whether nothing is taken any more. */
    boolean isClosed() {
        return closed;
    }

    void close() {
        closed = true;
    }

    /** Takes nothing any more; runs {@code drained} once nothing is in flight. */
    void drain(Runnable drained) {
        closed = true;
        onDrained = drained;
        checkDrained();
    }

    void started() {
        count++;
    }

    /** One was answered. */
    void ended() {
        count--;
        checkDrained();
    }

    private void checkDrained() {
        Runnable drained = onDrained;
        if (drained != null && count == 0) {
            onDrained = null;
            drained.run();
        }
    }
}

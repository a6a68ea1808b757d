package io.vhostfs.reactor;

import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/** Timers for messages without a timer of their own, used again once they have run. The reactor's thread only. */
final class OneShotTimers {
    private final ArrayDeque<OneShot> free = new ArrayDeque<>();

    /** A timer that runs {@code message} once; valid until then. */
    ReactorTimer take(Message message) {
        OneShot oneShot = free.isEmpty() ? new OneShot() : free.pop();
        oneShot.message = message;
        return oneShot.timer;
    }

    private final class OneShot implements Message {
        private final ReactorTimer timer = new ReactorTimer(this);
        private @Nullable Message message;

        @Override
        public void run() {
            Message due = message;
            message = null;
            free.push(this);
            if (due != null) {
                due.run();
            }
        }
    }
}

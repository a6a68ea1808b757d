package io.vhostfs.vhost;

import io.vhostfs.reactor.Poller;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.SplitVirtqueue;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Polls one started ring on its reactor.
 *
 * <p>Invariant: while it drains it takes no chain, and once it is drained nothing of the ring is in flight. A ring that
 * breaks, or a handler that throws, stops its own device and nothing else on the reactor.
 */
final class VringPoller implements Poller {
    /** Chains taken in one turn: enough to pay for the call, few enough that other rings do not wait long. */
    private static final int BATCH = 32;

    /** What of its session a poller needs, from the reactor. */
    interface Owner {
        /** Whether any ring of the device is broken. */
        boolean isBroken();

        void onRingBroken(int queueIndex, String reason);

        /** The ring's memory is gone: the session ends. */
        void onMemoryFault();

        /** A fault of unknown origin arrived: whether it was this session's memory that went away; then it ends. */
        boolean isEndedByFault();

        void onHandlerFailure(int queueIndex, Throwable thrown);
    }

    private final Owner owner;
    private final SplitVirtqueue queue;
    private final int queueIndex;
    private @Nullable ChainHandler handler;
    private boolean draining;
    private boolean kicked;
    private @Nullable Runnable onDrained;
    private boolean reported;

    VringPoller(Owner owner, SplitVirtqueue queue, int queueIndex) {
        this.owner = owner;
        this.queue = queue;
        this.queueIndex = queueIndex;
    }

    SplitVirtqueue queue() {
        return queue;
    }

    /** Whether the driver kicks; one that cannot is polled without sleep. */
    void setKicked(boolean kicked) {
        this.kicked = kicked;
    }

    void setHandler(ChainHandler handler) {
        this.handler = handler;
    }

    /** Takes no further chains; runs {@code drained} once none is in flight. */
    void drain(Runnable drained) {
        draining = true;
        onDrained = drained;
    }

    /** Takes chains again. */
    void resume() {
        draining = false;
        queue.wake();
    }

    @Override
    public int poll() {
        int work = 0;
        if (!draining && !owner.isBroken()) {
            work = take();
        }
        work += queue.flush();
        if (queue.brokenReason() != null && !reported) {
            report();
        }
        if (draining && queue.inFlight() == 0 && onDrained != null) {
            Runnable drained = onDrained;
            onDrained = null;
            drained.run();
        }
        return work;
    }

    @Override
    public boolean prepareToSleep() {
        if (draining || owner.isBroken()) {
            queue.flush();
            return onDrained == null || queue.inFlight() > 0;
        }
        return queue.prepareToSleep() && kicked;
    }

    @Override
    public void wake() {
        if (!draining && !owner.isBroken()) {
            queue.wake();
        }
    }

    @Override
    public boolean onError(Throwable thrown) {
        return thrown instanceof InternalError && owner.isEndedByFault();
    }

    private int take() {
        try {
            return queue.poll(Objects.requireNonNull(handler), BATCH);
        } catch (RuntimeException | Error thrown) {
            queue.markBroken("its handler failed: " + thrown);
            reported = true;
            owner.onHandlerFailure(queueIndex, thrown);
            return 1;
        }
    }

    private void report() {
        reported = true;
        if (queue.memoryFault() != null) {
            owner.onMemoryFault();
        } else {
            owner.onRingBroken(queueIndex, Objects.requireNonNull(queue.brokenReason()));
        }
    }
}

package io.vhostfs.vhost;

import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Poller;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.SplitVirtqueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
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

        void onMemoryFault();

        void onHandlerFailure(int queueIndex, Throwable thrown);
    }

    private final Owner owner;
    private final SplitVirtqueue queue;
    private final int queueIndex;
    private final MemorySegment kickValue = Arena.ofAuto().allocate(Long.BYTES, Long.BYTES);
    private int kickFd = -1;
    private @Nullable ChainHandler handler;
    private boolean draining;
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

    /** Readable when the driver kicked; -1: the driver is to be polled. */
    void setKickFd(int fd) {
        kickFd = fd;
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
        return queue.prepareToSleep();
    }

    @Override
    public void wake() {
        if (!draining && !owner.isBroken()) {
            queue.wake();
        }
        if (kickFd >= 0) {
            // The descriptor does not block; how often the driver kicked does not matter.
            Libc.read(kickFd, kickValue.address(), Long.BYTES);
        }
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

package io.vhostfs.vhost;

import io.vhostfs.reactor.Reactor;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.SplitVirtqueue;

/**
 * A device that a {@link VhostUserServer} offers to its front ends, one front end at a time.
 *
 * <p>The order of calls for a queue is {@link #onQueueStarted}, chains, {@link #onQueueStopped}, all on the reactor of
 * that queue; a queue stops after its last chain was pushed back. Rings stop and start again when a guest is paused,
 * rebooted or reset, so a queue's stop says nothing about the guest's file system session: that ends with a new FUSE_INIT
 * or FUSE_DESTROY, with {@link #onReset}, or with {@link #onDisconnect}. The other methods are called on the server's own
 * thread.
 */
public interface VhostDeviceBackend {
    /** What messages call the device: {@code share0}, say. */
    String name();

    /** Feature bits of the device itself; those of rings and protocol are added. */
    default long deviceFeatures() {
        return 0;
    }

    /** Queues it can have at most, the hiprio queue of a file system included: 1 to 256. */
    int queueCount();

    /** The virtio configuration space, which is read-only. */
    byte[] config();

    /** Who polls the queue; the answer must not change while a front end is connected. */
    Reactor reactorFor(int queueIndex);

    /**
     * A queue is about to be polled, on its reactor. The device may size per-slot state by {@link SplitVirtqueue#size()};
     * it gives each chain back with {@link SplitVirtqueue#pushUsed}. Chains in flight when a front end truncates its
     * memory may never come back: the queue then stops without them, and what was kept per slot is to be dropped.
     *
     * @return who takes its chains
     */
    ChainHandler onQueueStarted(int queueIndex, SplitVirtqueue queue);

    /**
     * A queue takes no more chains, and waits for those in flight: the device ends what might wait for others. On the
     * server's thread.
     */
    default void onQueueDraining(int queueIndex) {}

    /** The queue is not polled any more; on its reactor. */
    void onQueueStopped(int queueIndex);

    /** The device was reset (VHOST_USER_RESET_DEVICE); all queues are stopped. Runs {@code done} when that is done. */
    void onReset(Runnable done);

    /**
     * The front end is gone, all queues are stopped; the device ends what belonged to that guest. Runs {@code done} when
     * that is done, from any thread: its memory is unmapped and the next front end is let in only after that.
     */
    void onDisconnect(Runnable done);
}

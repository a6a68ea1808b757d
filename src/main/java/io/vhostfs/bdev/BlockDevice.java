package io.vhostfs.bdev;

import io.vhostfs.reactor.Reactor;

/**
 * A block device: its properties, and a channel per reactor through which requests go.
 *
 * <p>Invariant: properties do not change while the device is open, but for a capacity that grows. Opened, closed and
 * asked on any thread; {@link #openChannel} and the channel itself belong to the reactor's thread.
 */
public interface BlockDevice extends AutoCloseable {
    /** What names it in messages: {@code malloc:64M}, {@code file:/srv/store}. */
    String name();

    /** Smallest unit of offset and length, bytes; a power of two from 512 to 4096. */
    int blockSize();

    /** Bytes, a multiple of {@link #blockSize}; as they were when the device was opened or last asked about. */
    long capacityBytes();

    /** Asks how large the device is now; a device that shrank keeps its capacity, and requests behind its end fail. */
    default long refreshCapacity() {
        return capacityBytes();
    }

    /** What it has counted so far, for people, in one line; empty when it counts nothing. */
    default String counters() {
        return "";
    }

    /** Whether a completed write may be lost in a power cut before a flush. */
    boolean hasVolatileCache();

    /** Largest aligned write, bytes, that a power cut leaves whole or untouched; at least {@link #blockSize}. */
    int atomicWriteBytes();

    /** Whether {@link BlockIo#DISCARD} does something; when it does not, it completes with 0 and nothing happens. */
    boolean supportsDiscard();

    /** Address alignment, bytes, that iovecs must have; 1 when any will do. */
    int memoryAlignment();

    /** The way in from one reactor; its poller is registered with that reactor. Called on the reactor's thread. */
    BlockChannel openChannel(Reactor reactor);

    /** A reactor for a caller that drives it by hand and waits; a simulated device gives it its own time. */
    default Reactor newBlockingReactor(String name) {
        return new Reactor(name);
    }

    /**
     * What makes the first use of each part slow is done beforehand from now on, in the background; for who is going to serve
     * the device. Once.
     */
    default void warmUp() {}

    /** All channels must be closed before. */
    @Override
    void close();
}

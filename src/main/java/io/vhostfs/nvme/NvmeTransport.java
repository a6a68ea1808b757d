package io.vhostfs.nvme;

import io.vhostfs.memory.DmaSpace;

/**
 * How a controller is reached: its registers as memory of this process, and DMA.
 *
 * <p>Nothing here lies on a data path. Called by the controller's thread, except where it says otherwise.
 */
public interface NvmeTransport extends AutoCloseable {
    /** What messages call the controller: its PCI address. */
    String name();

    /** Where BAR 0 is mapped, at least {@link #registersBytes} long; accesses have to have the registers' widths. */
    long registersAddress();

    long registersBytes();

    /** What the controller reaches. Any thread. */
    DmaSpace dma();

    /** Lets the controller read and write memory, or keeps it from doing so. */
    void setBusMaster(boolean allowed);

    /** Resets the function as the bus can; false when it cannot. Registers and bus mastering are as after power-on. */
    boolean resetFunction();

    /** Whether the operating system wants the device back: it is being unplugged. */
    boolean isRemovalRequested();

    /** An eventfd that becomes readable with an interrupt of this vector; -1 when there is none. Any thread. */
    int interruptFd(int vector);

    /** A monotonic clock. */
    long nowNs();

    /** Waits a moment for the controller. */
    void pause();

    @Override
    void close();
}

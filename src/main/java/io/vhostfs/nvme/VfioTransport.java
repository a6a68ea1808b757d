package io.vhostfs.nvme;

import io.vhostfs.memory.DmaSpace;
import io.vhostfs.nvme.NvmeException.Kind;
import io.vhostfs.vfio.PciDevice;
import io.vhostfs.vfio.VfioDevice;
import io.vhostfs.vfio.VfioException;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** A controller reached through VFIO: its BAR 0 mapped, DMA through a domain of its own. */
public final class VfioTransport implements NvmeTransport {
    private static final long PAUSE_NS = TimeUnit.MICROSECONDS.toNanos(20);

    private final VfioDevice device;
    private final DmaSpace dma;
    private boolean closed;

    private VfioTransport(VfioDevice device) {
        this.device = device;
        dma = new DmaSpace(device.name(), device);
    }

    /**
     * Takes the controller at a PCI address.
     *
     * @param interrupts how many interrupt vectors are wanted; 0 for none
     * @param unsafeNoIommu whether to take it also when no IOMMU keeps it from memory that is not ours
     * @throws NvmeException when it cannot be had
     */
    public static VfioTransport open(String address, int interrupts, boolean unsafeNoIommu) throws NvmeException {
        try {
            VfioDevice device = VfioDevice.open(new PciDevice(Path.of("/"), address), unsafeNoIommu);
            try {
                if (interrupts > 0) {
                    device.enableInterrupts(interrupts);
                }
                return new VfioTransport(device);
            } catch (VfioException | RuntimeException e) {
                device.close();
                throw e;
            }
        } catch (VfioException e) {
            Kind kind =
                    switch (e.kind()) {
                        case MISSING -> Kind.MISSING;
                        case UNSUPPORTED -> Kind.UNSUPPORTED;
                        case BUSY -> Kind.BUSY;
                        case NOT_PERMITTED -> Kind.NOT_PERMITTED;
                        case FAILED -> Kind.FAILED;
                    };
            throw new NvmeException(kind, e.getMessage());
        }
    }

    @Override
    public String name() {
        return device.name();
    }

    @Override
    public long registersAddress() {
        return device.barAddress();
    }

    @Override
    public long registersBytes() {
        return device.barBytes();
    }

    @Override
    public DmaSpace dma() {
        return dma;
    }

    @Override
    public void setBusMaster(boolean allowed) {
        device.setBusMaster(allowed);
    }

    @Override
    public boolean resetFunction() {
        return device.reset();
    }

    @Override
    public boolean isRemovalRequested() {
        return device.isRemovalRequested();
    }

    @Override
    public int interruptFd(int vector) {
        return device.interruptFd(vector);
    }

    @Override
    public long nowNs() {
        return System.nanoTime();
    }

    @Override
    public void pause() {
        LockSupport.parkNanos(PAUSE_NS);
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            dma.close();
            device.close();
        }
    }
}

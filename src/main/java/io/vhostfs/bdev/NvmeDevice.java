package io.vhostfs.bdev;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.nvme.NamespaceInfo;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.reactor.Reactor;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A namespace of an NVMe controller that this process drives itself.
 *
 * <p>Invariant: each channel has a queue pair of its own, or goes to the reactor of one that has when the controller has no
 * more. Opened and closed by ordinary threads.
 */
public final class NvmeDevice implements BlockDevice {
    private final String name;
    private final NvmeController controller;
    private final NamespaceInfo namespace;
    private final Runnable onClose;
    private final int blockSize;
    private final int blockShift;
    private volatile long capacityBytes;
    private final int maxTransferBytes;
    private final boolean volatileCache;
    private final boolean writeZeroes;
    private final boolean discards;
    private final AtomicInteger openChannels = new AtomicInteger();

    /** Channels with a queue pair of their own, of all namespaces of the controller: others may share them. */
    private final List<NvmeChannel> owners;

    /**
     * A device on a controller that is up.
     *
     * @param owners where the devices of one controller meet, empty for the first of them
     * @param onClose told when the device was closed
     */
    NvmeDevice(
            String name,
            NvmeController controller,
            NamespaceInfo namespace,
            CopyOnWriteArrayList<NvmeChannel> owners,
            Runnable onClose) {
        if (!namespace.isUsable()) {
            throw new BlockDeviceException(
                    Kind.UNSUPPORTED, name + ": cannot be used: " + namespace.unusable() + "; or choose another");
        }
        this.name = name;
        this.controller = controller;
        this.namespace = namespace;
        this.owners = owners;
        this.onClose = onClose;
        blockSize = namespace.blockBytes();
        blockShift = Integer.numberOfTrailingZeros(blockSize);
        capacityBytes = namespace.capacityBytes();
        maxTransferBytes = controller.info().maxTransferBytes();
        volatileCache = controller.hasVolatileCache();
        writeZeroes = controller.info().hasWriteZeroes();
        discards = controller.info().hasDeallocate();
    }

    int nsid() {
        return namespace.nsid();
    }

    int blockShift() {
        return blockShift;
    }

    int maxTransferBytes() {
        return maxTransferBytes;
    }

    boolean hasWriteZeroes() {
        return writeZeroes;
    }

    public NvmeController controller() {
        return controller;
    }

    /** See {@link BlockIo#check}. */
    int check(BlockIo io) {
        return io.check(blockSize, capacityBytes);
    }

    boolean isNothing(BlockIo io) {
        return switch (io.operation) {
            case BlockIo.FLUSH -> !volatileCache;
            case BlockIo.DISCARD -> io.lengthBytes == 0 || !discards;
            default -> io.lengthBytes == 0;
        };
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int blockSize() {
        return blockSize;
    }

    @Override
    public long capacityBytes() {
        return capacityBytes;
    }

    /** The controller says when a namespace has grown; in use none shrinks. */
    @Override
    public long refreshCapacity() {
        controller.namespaces().stream()
                .filter(n -> n.nsid() == nsid())
                .forEach(n -> capacityBytes = Math.max(capacityBytes, n.capacityBytes()));
        return capacityBytes;
    }

    /** Those of its controller, which its other namespaces share. */
    @Override
    public String counters() {
        return controller.state() + controller.deathReason() + "; " + controller.summary();
    }

    @Override
    public boolean hasVolatileCache() {
        return volatileCache;
    }

    @Override
    public int atomicWriteBytes() {
        return namespace.atomicBytes();
    }

    @Override
    public boolean supportsDiscard() {
        return discards;
    }

    /** What lies askew is copied. */
    @Override
    public int memoryAlignment() {
        return 1;
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        NvmeChannel own = NvmeChannel.open(this, controller, reactor);
        if (own != null) {
            owners.add(own);
            openChannels.incrementAndGet();
            return own;
        }
        NvmeChannel lender = leastLent();
        if (lender == null) {
            throw new BlockDeviceException(
                    Kind.BUSY, name + ": the controller has no queue pair left, and nobody who could lend one");
        }
        openChannels.incrementAndGet();
        return new NvmeSharedChannel(this, lender, reactor, openChannels::decrementAndGet);
    }

    private @Nullable NvmeChannel leastLent() {
        return owners.isEmpty() ? null : owners.get(openChannels.get() % owners.size());
    }

    void onChannelClosed(NvmeChannel channel) {
        owners.remove(channel);
        openChannels.decrementAndGet();
    }

    @Override
    public void close() {
        if (openChannels.get() != 0) {
            throw new IllegalStateException(name + ": " + openChannels.get() + " channels are open");
        }
        onClose.run();
    }
}

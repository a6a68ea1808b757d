package io.vhostfs.bdev;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.nvme.NamespaceInfo;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.NvmeOptions;
import io.vhostfs.nvme.VfioTransport;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

/**
 * The NVMe controllers that this process drives, shared by the block devices on their namespaces.
 *
 * <p>Invariant: a controller is up exactly while a device of it is open; no namespace is open twice. Ordinary threads only.
 */
final class NvmeDevices {
    /** Threads besides the reactors that open channels: mkfs, fsck and mounting. */
    private static final int EXTRA_QUEUE_PAIRS = 2;

    private static final Map<String, Shared> CONTROLLERS = new HashMap<>();

    private static final class Shared {
        final NvmeController controller;
        final CopyOnWriteArrayList<NvmeChannel> owners = new CopyOnWriteArrayList<>();
        final Map<Integer, Boolean> openNamespaces = new HashMap<>();

        Shared(NvmeController controller) {
            this.controller = controller;
        }
    }

    private NvmeDevices() {}

    /**
     * Opens a namespace. How the controller is driven is what the first of its devices that is opened says.
     *
     * @throws BlockDeviceException when that is impossible
     */
    static NvmeDevice open(BlockDeviceSpec.Nvme spec) {
        synchronized (CONTROLLERS) {
            Shared shared = CONTROLLERS.get(spec.address());
            if (shared == null) {
                shared = new Shared(bringUp(spec));
                CONTROLLERS.put(spec.address(), shared);
            }
            try {
                return openNamespace(spec, shared);
            } catch (BlockDeviceException e) {
                release(spec.address(), shared);
                throw e;
            }
        }
    }

    private static NvmeController bringUp(BlockDeviceSpec.Nvme spec) {
        int pairs =
                Math.min(NvmeOptions.MAX_QUEUE_PAIRS, Runtime.getRuntime().availableProcessors() + EXTRA_QUEUE_PAIRS);
        boolean interrupts = spec.interrupts() == BlockDeviceSpec.Nvme.Interrupts.ON;
        NvmeOptions options = NvmeOptions.DEFAULT
                .withMaxQueuePairs(pairs)
                .withInterrupts(interrupts)
                .withTimeouts(TimeUnit.SECONDS.toNanos(spec.timeoutSeconds()), NvmeOptions.DEFAULT.adminTimeoutNs());
        try {
            NvmeController controller = NvmeController.open(
                    VfioTransport.open(spec.address(), interrupts ? pairs + 1 : 0, spec.unsafeNoIommu()), options);
            controller.startWatching();
            return controller;
        } catch (NvmeException e) {
            throw failure(spec, e);
        }
    }

    private static BlockDeviceException failure(BlockDeviceSpec.Nvme spec, NvmeException e) {
        Kind kind =
                switch (e.kind()) {
                    case MISSING -> Kind.MISSING;
                    case UNSUPPORTED -> Kind.UNSUPPORTED;
                    case BUSY -> Kind.BUSY;
                    case NOT_PERMITTED -> Kind.NOT_PERMITTED;
                    case FAILED -> Kind.IO;
                };
        return new BlockDeviceException(kind, "nvme:" + spec.address() + ": " + e.getMessage());
    }

    private static NvmeDevice openNamespace(BlockDeviceSpec.Nvme spec, Shared shared) {
        NamespaceInfo namespace = shared.controller.namespaces().stream()
                .filter(n -> n.nsid() == spec.nsid())
                .findFirst()
                .orElseThrow(() -> new BlockDeviceException(
                        Kind.MISSING,
                        spec + ": the drive has no namespace " + spec.nsid() + "; vhostfs nvme identify "
                                + spec.address() + " shows those it has"));
        if (shared.openNamespaces.putIfAbsent(spec.nsid(), true) != null) {
            throw new BlockDeviceException(Kind.BUSY, spec + ": is open in this process already");
        }
        try {
            return new NvmeDevice(
                    spec.toString(), shared.controller, namespace, shared.owners, () -> closed(spec, shared));
        } catch (BlockDeviceException e) {
            shared.openNamespaces.remove(spec.nsid());
            throw e;
        }
    }

    private static void closed(BlockDeviceSpec.Nvme spec, Shared shared) {
        synchronized (CONTROLLERS) {
            shared.openNamespaces.remove(spec.nsid());
            release(spec.address(), shared);
        }
    }

    private static void release(String address, Shared shared) {
        if (shared.openNamespaces.isEmpty()) {
            CONTROLLERS.remove(address);
            shared.controller.close();
        }
    }
}

package io.vhostfs.target;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.BlobFs;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A block device, the store on it and its file system, served by a home reactor and reachable from all others.
 *
 * <p>Invariant: an instance that exists is mounted. Opened and closed by one ordinary thread, which waits for the home
 * reactor.
 */
final class MountedStore {
    private static final Logger LOG = LoggerFactory.getLogger(MountedStore.class);

    private final String name;
    private final BlockDevice device;
    private final BlobStore store;
    private final Reactor home;
    private final List<Channel> channels = new ArrayList<>();
    private final BlobFs fileSystem;
    private final ChangeFeed changes = new ChangeFeed();

    /** Size of the device that the store followed last, or failed to follow. */
    private long followedBlocks;

    private record Channel(Reactor reactor, BlockChannel channel) {}

    private MountedStore(
            String name, BlockDevice device, BlobStore store, Reactor home, List<Reactor> reactors, Channel first)
            throws InterruptedException {
        this.name = name;
        this.device = device;
        this.store = store;
        this.home = home;
        channels.add(first);
        CompletableFuture<BlobFs> mounted = new CompletableFuture<>();
        home.send(() -> BlobFs.mount(store, home, device, first.channel(), new Listener(name, mounted)));
        fileSystem = await(mounted);
        for (Reactor reactor : reactors) {
            if (reactor != home) {
                Channel channel = openChannel(reactor, device);
                channels.add(channel);
                home.ask(() -> {
                    fileSystem.addReactor(reactor, channel.channel());
                    return true;
                });
            }
        }
    }

    /** Opens the device, formats it when it is new or memory, and mounts it; an error leaves nothing open. */
    static MountedStore open(
            DeviceConfig config, boolean create, StoreOptions options, Reactor home, List<Reactor> reactors)
            throws InterruptedException {
        BlockDeviceSpec spec =
                BlockDeviceSpec.parse(config.spec()).usedBy(home.config().idlePolicy());
        BlockDevice device = BlockDevices.open(spec, create);
        try {
            if (spec instanceof BlockDeviceSpec.Malloc || (create && Formatter.holdsNothing(device))) {
                Formatter.format(device, "");
                LOG.info("{}: formatted, {}", config.name(), BlockDeviceSpec.formatSize(device.capacityBytes()));
            }
            BlobStore store = BlobStore.open(device, options.withDiscard(config.discard()));
            store.handOver();
            Channel first = home.ask(() -> {
                store.start(home);
                return new Channel(home, device.openChannel(home));
            });
            return new MountedStore(config.name(), device, store, home, reactors, first);
        } catch (RuntimeException e) {
            closeAfter(e, device);
            throw e;
        }
    }

    /** A store that could not be mounted may have left channels open; what went wrong first is what counts. */
    private static void closeAfter(RuntimeException cause, BlockDevice device) {
        try {
            device.close();
        } catch (RuntimeException e) {
            cause.addSuppressed(e);
        }
    }

    FileSystem fileSystem() {
        return fileSystem;
    }

    /** How the store is doing. */
    TargetStatus.Store status() throws InterruptedException {
        return new TargetStatus.Store(name, home.ask(store::status), device.counters());
    }

    /** The device error that ended all changes, with the store's name; empty when there was none. Also after {@link #close}. */
    String failure() {
        return store.isReadOnly() && !store.failureText().isEmpty() ? name + ": " + store.failureText() : "";
    }

    /** What all clients of the file system change. */
    ChangeFeed changes() {
        return changes;
    }

    /** The inode number of a directory given by its absolute path within the file system. */
    long resolveDirectory(String path) throws InterruptedException {
        return new PathWalk(fileSystem, home).directory(name, path);
    }

    /**
     * Limits what a directory and all below it may use, before any client is at work there.
     *
     * @throws StoreException when that is not possible
     */
    void setQuota(long directory, ShareConfig.Quota quota) throws InterruptedException {
        CompletableFuture<Integer> set = new CompletableFuture<>();
        home.send(() -> fileSystem.setQuota(directory, quota.maxBytes(), quota.maxInodes(), set::complete));
        int status = await(set);
        if (status < 0) {
            throw new StoreException(
                    status == -Errno.EIO ? StoreException.Kind.DAMAGED : StoreException.Kind.IO,
                    name + ": the quota could not be set: " + Errno.name(status));
        }
    }

    /**
     * Lets the store cover its device when that has become larger, now or before the target was started; what failed is
     * not tried again before the device grows once more. Any thread but a reactor's, one at a time; waits for the home
     * reactor.
     *
     * @return whether the store grew
     * @throws StoreException when it could not
     */
    boolean followDevice() throws InterruptedException {
        long blocks = device.refreshCapacity() / BlobStore.BLOCK_SIZE;
        if (blocks == followedBlocks || blocks <= store.totalBlocks()) {
            return false;
        }
        followedBlocks = blocks;
        BlobStore.Growth growth = store.prepareGrowth(blocks);
        CompletableFuture<Integer> grown = new CompletableFuture<>();
        home.send(() -> {
            boolean begun = store.grow(growth, new BlobStore.CommitWaiter() {
                @Override
                public void onCommitted(int status) {
                    grown.complete(status);
                }
            });
            if (!begun) {
                grown.complete(-Errno.EROFS);
            }
        });
        int status = await(grown);
        if (status < 0) {
            throw new StoreException(
                    StoreException.Kind.IO, name + ": the store could not grow: " + Errno.name(status));
        }
        LOG.info(
                "{}: the device has grown, the store covers {} now",
                name,
                BlockDeviceSpec.formatSize(blocks * BlobStore.BLOCK_SIZE));
        return true;
    }

    /** For when all is up: what would slow down the first use of the device is done in the background. Once. */
    void warmUp() {
        device.warmUp();
    }

    /** Writes everything back and closes the device. All clients must be detached. */
    void close() throws InterruptedException {
        CompletableFuture<Integer> unmounted = new CompletableFuture<>();
        home.send(() -> fileSystem.unmount(unmounted::complete));
        report("unmount", await(unmounted));
        for (Channel channel : channels) {
            channel.reactor().ask(() -> {
                channel.channel().close();
                return true;
            });
        }
        CompletableFuture<Integer> closed = new CompletableFuture<>();
        home.send(() -> store.close(new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int status) {
                closed.complete(status);
            }
        }));
        report("close", await(closed));
        device.close();
    }

    private void report(String what, int status) {
        // A device error that had ended all changes was reported when it happened.
        if (status < 0 && failure().isEmpty()) {
            LOG.error("{}: {} failed: {}; the next start replays the log", name, what, Errno.name(status));
        }
    }

    private static Channel openChannel(Reactor reactor, BlockDevice device) throws InterruptedException {
        return reactor.ask(() -> new Channel(reactor, device.openChannel(reactor)));
    }

    private static <T> T await(CompletableFuture<T> future) throws InterruptedException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof RuntimeException known ? known : new IllegalStateException(e.getCause());
        }
    }

    private record Listener(String name, CompletableFuture<BlobFs> mounted) implements BlobFs.MountListener {
        @Override
        public void onMounted(BlobFs fileSystem) {
            mounted.complete(fileSystem);
        }

        @Override
        public void onFailed(int errno, String why) {
            mounted.completeExceptionally(new StoreException(
                    StoreException.Kind.DAMAGED,
                    name + ": cannot be mounted: " + why + " (" + Errno.name(errno) + ")"));
        }
    }
}

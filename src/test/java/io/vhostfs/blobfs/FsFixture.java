package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.FormatOptions;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** A file system on a device in memory, its reactor driven by hand; can be unmounted, or cut off as by a crash, and mounted. */
final class FsFixture implements AutoCloseable {
    private static final int MAX_TURNS = 5_000_000;
    private static final long HASH_SEED = 0x1234_5678_9abc_def0L;

    final BlockDevice device;
    private final StoreOptions storeOptions;
    Reactor reactor = new Reactor("test");
    BlobStore store;
    BlobFs fileSystem;
    private BlockChannel channel;
    private final List<BlockChannel> otherChannels = new ArrayList<>();

    FsFixture(long bytes) {
        this(new MallocDevice(bytes), StoreOptions.DEFAULT);
    }

    FsFixture(BlockDevice device, StoreOptions storeOptions) {
        this(device, storeOptions, 0);
    }

    /** @param logBytes size of the log, 0 for the usual one */
    FsFixture(BlockDevice device, StoreOptions storeOptions, long logBytes) {
        this.device = device;
        this.storeOptions = storeOptions;
        BlobStore.format(device, new FormatOptions(new UUID(1, 2), "test", logBytes, HASH_SEED, 0));
        BlobStore fresh = BlobStore.open(device, storeOptions);
        BlobFs.format(fresh, 1_000_000_000L, 0, 0);
        fresh.closeBlocking();
        store = openStore();
        channel = device.openChannel(reactor);
        fileSystem = mountFileSystem();
    }

    private FsFixture(BlockDevice device) {
        this.device = device;
        storeOptions = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);
        store = openStore();
        channel = device.openChannel(reactor);
        fileSystem = mountFileSystem();
    }

    /** The file system that is on the device; a StoreException says why it is not mounted. */
    static FsFixture mounted(BlockDevice device) {
        return new FsFixture(device);
    }

    private BlobStore openStore() {
        BlobStore opened = BlobStore.open(device, storeOptions);
        opened.handOver();
        opened.start(reactor);
        return opened;
    }

    private BlobFs mountFileSystem() {
        @Nullable BlobFs[] mounted = new BlobFs[1];
        BlobFs.mount(store, reactor, device, channel, new BlobFs.MountListener() {
            @Override
            public void onMounted(BlobFs fs) {
                mounted[0] = fs;
            }

            @Override
            public void onFailed(int errno, String why) {
                store.abandon();
                throw new StoreException(StoreException.Kind.DAMAGED, why + " (" + Errno.name(errno) + ")");
            }
        });
        while (true) {
            BlobFs fs = mounted[0];
            if (fs != null) {
                return fs;
            }
            reactor.runOnce();
        }
    }

    FsTestClient newClient() {
        return new FsTestClient(fileSystem, reactor);
    }

    /** A client whose requests come from another reactor, driven by the same thread. */
    FsTestClient newClientElsewhere(FsClient client, Reactor other) {
        BlockChannel otherChannel = device.openChannel(other);
        otherChannels.add(otherChannel);
        fileSystem.addReactor(other, otherChannel);
        FsTestClient elsewhere = new FsTestClient(fileSystem, other, client);
        elsewhere.home = reactor;
        return elsewhere;
    }

    /** In order. */
    void unmount() {
        int[] status = {1};
        fileSystem.unmount(s -> status[0] = s);
        drive(status);
        status[0] = 1;
        store.close(new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int s) {
                status[0] = s;
            }
        });
        drive(status);
        closeChannels();
    }

    /** In order, if that goes: damage may forbid it. */
    void tryUnmount() {
        int[] status = {1};
        fileSystem.unmount(s -> status[0] = s);
        driveToEnd(status);
        status[0] = 1;
        store.close(new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int s) {
                status[0] = s;
            }
        });
        driveToEnd(status);
        closeChannels();
    }

    private void driveToEnd(int[] status) {
        for (int turns = 0; status[0] > 0; turns++) {
            if (turns > MAX_TURNS) {
                throw new AssertionError("unmounting does not end");
            }
            reactor.runOnce();
        }
    }

    /** Makes all that was done durable in a checkpoint. */
    void checkpoint() {
        long before = store.checkpointsCompleted();
        store.requestCheckpoint();
        while (store.checkpointsCompleted() == before) {
            reactor.runOnce();
        }
    }

    private void closeChannels() {
        channel.close();
        otherChannels.forEach(BlockChannel::close);
        otherChannels.clear();
    }

    private void drive(int[] status) {
        while (status[0] > 0) {
            reactor.runOnce();
        }
        if (status[0] < 0) {
            throw new AssertionError(Errno.name(status[0]));
        }
    }

    /** What was not committed is lost. */
    void crash() {
        store.abandon();
        closeChannels();
    }

    /** After {@link #unmount} or {@link #crash}. */
    void mount() {
        mount(Reactor.Config.named("test"));
    }

    void mount(Reactor.Config config) {
        reactor = new Reactor(config);
        store = openStore();
        channel = device.openChannel(reactor);
        fileSystem = mountFileSystem();
    }

    void remount() {
        unmount();
        mount();
    }

    /** Limits what lies in a directory. */
    void setQuota(long directory, long maxBytes, long maxInodes) {
        int[] status = {1};
        fileSystem.setQuota(directory, maxBytes, maxInodes, s -> status[0] = s);
        drive(status);
    }

    /** Until nothing is being cleaned up. */
    void settle() {
        for (int turns = 0; fileSystem.isCleaning(); turns++) {
            if (turns > MAX_TURNS) {
                throw new AssertionError("cleaning up does not end");
            }
            reactor.runOnce();
        }
    }

    @Override
    public void close() {
        unmount();
        device.close();
    }
}

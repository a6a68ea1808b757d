package io.vhostfs.bench;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobfs.BlobFs;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.FormatOptions;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.reactor.Reactor;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** A fresh file system in memory whose reactor is turned by the caller's thread, which is the only one to use it. */
final class InProcessFileSystem implements AutoCloseable {
    private final Reactor reactor =
            new Reactor(Reactor.Config.named("in-process").withIdlePolicy(IdlePolicy.BUSY));
    private final BlockDevice device;
    private final BlobStore store;
    private final BlockChannel channel;
    private final BlobFs fileSystem;
    private @Nullable BlobFs mounted;
    private boolean done;

    InProcessFileSystem(long bytes) {
        device = new MallocDevice(bytes);
        BlobStore.format(device, new FormatOptions(UUID.randomUUID(), "bench", 0, 1, 0));
        BlobStore fresh = BlobStore.open(device, StoreOptions.DEFAULT);
        BlobFs.format(fresh, 0, 0, 0);
        fresh.closeBlocking();
        store = BlobStore.open(device, StoreOptions.DEFAULT);
        store.start(reactor);
        channel = device.openChannel(reactor);
        BlobFs.mount(store, reactor, device, channel, new BlobFs.MountListener() {
            @Override
            public void onMounted(BlobFs fs) {
                mounted = fs;
            }

            @Override
            public void onFailed(int errno, String why) {
                throw new IllegalStateException(Errno.name(errno) + ": " + why);
            }
        });
        BlobFs fs = mounted;
        while (fs == null) {
            reactor.runOnce();
            fs = mounted;
        }
        fileSystem = fs;
    }

    BlobFs get() {
        return fileSystem;
    }

    Reactor reactor() {
        return reactor;
    }

    @Override
    public void close() {
        fileSystem.unmount(this::onDone);
        turnUntilDone();
        store.close(new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int status) {
                onDone(status);
            }
        });
        turnUntilDone();
        channel.close();
        device.close();
    }

    private void onDone(int status) {
        Loopback.require(status, "close");
        done = true;
    }

    private void turnUntilDone() {
        while (!done) {
            reactor.runOnce();
        }
        done = false;
    }
}

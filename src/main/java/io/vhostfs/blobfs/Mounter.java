package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;

/** Reads what a mount needs: the file system's own header and the counter of inode numbers. Home reactor. */
final class Mounter extends BlobStore.Parkable {
    private final BlobStore store;
    private final Reactor home;
    private final BlockDevice device;
    private final BlockChannel channel;
    private final BlobFs.MountListener listener;
    private final Quotas quotas;

    Mounter(BlobStore store, Reactor home, BlockDevice device, BlockChannel channel, BlobFs.MountListener listener) {
        this.store = store;
        this.home = home;
        this.device = device;
        this.channel = channel;
        this.listener = listener;
        quotas = new Quotas(store);
    }

    @Override
    public void unpark() {
        run();
    }

    void run() {
        int s = store.find(Items.SYSTEM, Items.SUPER_KEY);
        if (s != BlobStore.OK) {
            failed(s, "there is no file system in the store: make one with mkfs");
            return;
        }
        long value = store.valueAddress;
        if (store.valueLength != Items.SUPER_SIZE || Memory.getUnsignedByte(value) != Items.VERSION) {
            failed(-Errno.EINVAL, "the file system is of a version this program does not know");
            return;
        }
        long features = Memory.getLong(value + Items.SUPER_INCOMPATIBLE_OFFSET);
        long incompatible = (features & ~Items.FEATURE_SHARED)
                | (Memory.getLong(value + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET) & ~Items.FEATURE_QUOTAS);
        if (incompatible != 0) {
            failed(
                    -Errno.EINVAL,
                    "the file system uses features this program does not know: 0x" + Long.toHexString(incompatible));
            return;
        }
        s = store.find(Items.SYSTEM, Items.NEXT_INODE_KEY);
        if (s != BlobStore.OK || store.valueLength != Items.COUNTER_SIZE) {
            failed(s == BlobStore.OK ? -Errno.EIO : s, "the counter of inode numbers is damaged: run fsck");
            return;
        }
        long nextInode = Memory.getLong(store.valueAddress + Items.COUNTER_VALUE_OFFSET);
        if (nextInode <= FileSystem.ROOT_INODE || nextInode > Limits.MAX_NEXT_INODE) {
            failed(-Errno.EIO, "the counter of inode numbers says " + nextInode + ": run fsck");
            return;
        }
        s = quotas.load();
        if (s != BlobStore.OK) {
            failed(s, "the quotas of shares are damaged: run fsck");
            return;
        }
        boolean hasShared = (features & Items.FEATURE_SHARED) != 0;
        listener.onMounted(
                new BlobFs(store, home, device, channel, new NameHash(store.hashSeed()), quotas, nextInode, hasShared));
    }

    private void failed(int status, String why) {
        if (status == BlobStore.NOT_RESIDENT) {
            store.park(this);
        } else if (status == -Errno.EIO && !store.damageText().isEmpty()) {
            listener.onFailed(status, "its header cannot be read: " + store.damageText() + "; run vhostfs fsck");
        } else if (status == BlobStore.NOT_FOUND) {
            listener.onFailed(-Errno.EINVAL, why);
        } else {
            listener.onFailed(status, status == -Errno.EIO ? why + " (" + Errno.name(status) + ")" : why);
        }
    }
}

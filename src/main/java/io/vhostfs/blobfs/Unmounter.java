package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import java.util.function.IntConsumer;

/** Ends a mount in order: removals under way, time stamps, the exact inode counter, a commit. Home reactor. */
final class Unmounter extends VolumeTask {
    private final Orphans orphans;

    Unmounter(Volume volume, Orphans orphans, IntConsumer done) {
        super(volume, done);
        this.orphans = orphans;
    }

    @Override
    int turn() {
        volume.stop();
        orphans.stopScan();
        if (orphans.isBusy()) {
            return Volume.NEXT_TURN;
        }
        int s = volume.writeBackAll();
        return s == BlobStore.OK ? writeCounter() : s;
    }

    private int writeCounter() {
        BlobStore store = volume.store;
        int s = volume.prepareInReserve(Items.SYSTEM, Items.NEXT_INODE_KEY, Items.COUNTER_SIZE);
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.COUNTER_SIZE));
        }
        if (s == BlobStore.OK) {
            volume.putCounter(volume.nextInodeNumber());
            s = store.end();
        }
        return s;
    }
}

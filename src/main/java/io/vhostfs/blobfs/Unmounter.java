package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.reactor.Message;
import java.util.function.IntConsumer;

/** Ends a mount in order: removals under way, time stamps, the exact inode counter, a commit. Home reactor. */
final class Unmounter extends BlobStore.Parkable implements Message {
    private final Volume volume;
    private final Orphans orphans;
    private final IntConsumer done;

    Unmounter(Volume volume, Orphans orphans, IntConsumer done) {
        this.volume = volume;
        this.orphans = orphans;
        this.done = done;
    }

    @Override
    public void unpark() {
        run();
    }

    @Override
    public void run() {
        volume.stop();
        orphans.stopScan();
        if (orphans.isBusy()) {
            volume.inNextTurn(this);
            return;
        }
        int s = volume.writeBackAll();
        if (s == BlobStore.OK) {
            s = writeCounter();
        }
        if (s == BlobStore.NOT_RESIDENT) {
            volume.store.park(this);
        } else if (s == Volume.NEXT_TURN) {
            volume.inNextTurn(this);
        } else if (s != BlobStore.OK) {
            done.accept(s);
        } else {
            volume.store.commit(new BlobStore.CommitWaiter() {
                @Override
                public void onCommitted(int status) {
                    done.accept(status);
                }
            });
        }
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

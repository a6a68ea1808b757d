package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.reactor.Message;
import java.util.function.IntConsumer;

/**
 * Work on a volume for whoever runs it, not for a client: turn after turn until nothing is left, then a commit.
 *
 * <p>Invariant: who waits is told once, of the first error or of how the commit ended. Home reactor.
 */
abstract class VolumeTask extends BlobStore.Parkable implements Message {
    final Volume volume;
    private final IntConsumer done;

    VolumeTask(Volume volume, IntConsumer done) {
        this.volume = volume;
        this.done = done;
    }

    /**
     * Does a bounded part of the work.
     *
     * @return OK when nothing is left; NOT_RESIDENT or {@link Volume#NEXT_TURN} when there is more; or why it ends
     */
    abstract int turn();

    @Override
    public final void unpark() {
        run();
    }

    @Override
    public final void run() {
        int s = turn();
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
}

package io.vhostfs.target;

import java.util.Collection;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks now and then whether a device is larger than its store, and lets that grow.
 *
 * <p>Invariant: after {@link #close} no store is touched. A thread of its own, which waits for home reactors.
 */
final class GrowthWatch {
    private static final Logger LOG = LoggerFactory.getLogger(GrowthWatch.class);

    /** Whoever enlarged a disk waits that long; a look is one system call for each store. */
    private static final long INTERVAL_MS = 1000;

    private final List<MountedStore> stores;
    private final CountDownLatch stop = new CountDownLatch(1);
    private final Thread thread;

    private GrowthWatch(Collection<MountedStore> stores) {
        this.stores = List.copyOf(stores);
        thread = new Thread(this::run, "growth watch");
        thread.setDaemon(true);
    }

    static GrowthWatch start(Collection<MountedStore> stores) {
        GrowthWatch watch = new GrowthWatch(stores);
        watch.thread.start();
        return watch;
    }

    private void run() {
        try {
            while (!stop.await(INTERVAL_MS, TimeUnit.MILLISECONDS)) {
                for (MountedStore store : stores) {
                    look(store);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** What a store does not follow it is not asked again, until its device grows once more. */
    private static void look(MountedStore store) throws InterruptedException {
        try {
            store.followDevice();
        } catch (RuntimeException e) {
            LOG.error("{}", e.getMessage());
        }
    }

    /** Waits for a growth that is under way. */
    void close() throws InterruptedException {
        stop.countDown();
        thread.join();
    }
}

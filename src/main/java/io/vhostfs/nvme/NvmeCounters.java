package io.vhostfs.nvme;

import java.util.concurrent.atomic.LongAdder;

/** What a controller's driver has counted. Written anywhere, read by any thread. */
public final class NvmeCounters {
    /** Commands sent again after a status that allows it, and after a reset. */
    public final LongAdder retries = new LongAdder();

    public final LongAdder replays = new LongAdder();
    public final LongAdder failures = new LongAdder();
    public final LongAdder timeouts = new LongAdder();
    public final LongAdder aborts = new LongAdder();
    public final LongAdder resets = new LongAdder();
    public final LongAdder asyncEvents = new LongAdder();

    @Override
    public String toString() {
        return "retries %d, replays %d, failures %d, timeouts %d, aborts %d, resets %d, events %d"
                .formatted(
                        retries.sum(),
                        replays.sum(),
                        failures.sum(),
                        timeouts.sum(),
                        aborts.sum(),
                        resets.sum(),
                        asyncEvents.sum());
    }
}

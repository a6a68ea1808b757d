package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * Who waits for durability, and whether the log is to be written for it.
 *
 * <p>Invariant: a waiter is told OK only when every group that had ended when it came, and all data whose write had completed,
 * is durable. Home reactor.
 */
final class Commits {
    private final Log log;
    private final Flusher flusher;
    private final StoreHealth health;
    private final CommitQueue commits = new CommitQueue();
    private final CommitQueue flushes = new CommitQueue();
    private boolean due;

    Commits(Log log, Flusher flusher, StoreHealth health) {
        this.log = log;
        this.flusher = flusher;
        this.health = health;
    }

    void commit(BlobStore.CommitWaiter waiter) {
        commits.add(waiter, log.endedGroup(), flusher.dataTicket());
    }

    /** Of data only. */
    void flush(BlobStore.CommitWaiter waiter) {
        flushes.add(waiter, 0, flusher.dataTicket());
    }

    boolean isEmpty() {
        return commits.isEmpty() && flushes.isEmpty();
    }

    /** What has ended is to be written, also when nobody waits for it. */
    void setDue() {
        due = true;
    }

    /** Whether {@link #setDue} has still to be done. */
    boolean isSetDue() {
        return due;
    }

    /** Whether the log is to write what has ended. */
    boolean isWanted() {
        BlobStore.CommitWaiter last = commits.last();
        if (due && log.sealedGroup() == log.endedGroup()) {
            due = false;
        }
        return due || (last != null && last.targetGroup > log.sealedGroup());
    }

    /** Whether somebody is to be told. */
    boolean hasDue() {
        return isDue(commits.first()) || isDue(flushes.first());
    }

    /** Tells those whose time has come, at most so many; how many were told. */
    int complete(int limit) {
        int n = complete(commits, limit);
        return n + complete(flushes, limit - n);
    }

    private int complete(CommitQueue queue, int limit) {
        int n = 0;
        BlobStore.CommitWaiter waiter = queue.first();
        while (waiter != null && n < limit && isDue(waiter)) {
            queue.remove(waiter);
            waiter.onCommitted(health.commitStatus());
            n++;
            waiter = queue.first();
        }
        return n;
    }

    private boolean isDue(BlobStore.@Nullable CommitWaiter waiter) {
        return waiter != null
                && (health.isLost()
                        || (log.durableGroup() >= waiter.targetGroup && flusher.isDone(waiter.flushTicket)));
    }
}

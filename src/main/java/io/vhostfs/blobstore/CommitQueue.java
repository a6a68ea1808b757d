package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * Those who wait until what they ask for is durable.
 *
 * <p>Invariant: they are answered in the order in which they came, which is that of what they wait for. Home reactor.
 */
final class CommitQueue {
    private BlobStore.@Nullable CommitWaiter head;
    private BlobStore.@Nullable CommitWaiter tail;

    boolean isEmpty() {
        return head == null;
    }

    BlobStore.@Nullable CommitWaiter first() {
        return head;
    }

    BlobStore.@Nullable CommitWaiter last() {
        return tail;
    }

    void add(BlobStore.CommitWaiter waiter, long targetGroup, long flushTicket) {
        waiter.targetGroup = targetGroup;
        waiter.flushTicket = flushTicket;
        waiter.nextWaiter = null;
        if (tail == null) {
            head = waiter;
        } else {
            tail.nextWaiter = waiter;
        }
        tail = waiter;
    }

    /** The first one is about to be answered. */
    void remove(BlobStore.CommitWaiter first) {
        head = first.nextWaiter;
        if (head == null) {
            tail = null;
        }
    }
}

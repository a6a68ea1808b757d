package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/**
 * Requests that waited for something and are to be run again.
 *
 * <p>Invariant: each is run once, in the order in which they came; what comes while others run has its turn with the next.
 * Home reactor.
 */
final class ReadyQueue {
    private BlobStore.@Nullable Parkable head;
    private BlobStore.@Nullable Parkable tail;

    boolean isEmpty() {
        return head == null;
    }

    void add(BlobStore.Parkable request) {
        request.nextParked = null;
        append(request, request);
    }

    /** Takes a list of parked requests, last come first. */
    void addAll(BlobStore.@Nullable Parkable list) {
        BlobStore.Parkable reversed = null;
        BlobStore.Parkable at = list;
        while (at != null) {
            BlobStore.Parkable next = at.nextParked;
            at.nextParked = reversed;
            reversed = at;
            at = next;
        }
        if (reversed != null && list != null) {
            append(reversed, list);
        }
    }

    private void append(BlobStore.Parkable first, BlobStore.Parkable last) {
        if (tail == null) {
            head = first;
        } else {
            tail.nextParked = first;
        }
        tail = last;
    }

    /** Runs at most {@code limit} of what is there now; nothing is left prepared in the tree when one begins. */
    int run(int limit, Tree tree) {
        BlobStore.Parkable at = head;
        BlobStore.Parkable last = tail;
        head = null;
        tail = null;
        int n = 0;
        while (at != null && n < limit) {
            BlobStore.Parkable next = at.nextParked;
            at.nextParked = null;
            tree.forgetPrepared();
            at.unpark();
            at = next;
            n++;
        }
        if (at != null && last != null) {
            last.nextParked = head;
            tail = head == null ? last : tail;
            head = at;
        }
        return n;
    }
}

package io.vhostfs.blobstore;

import org.jspecify.annotations.Nullable;

/** Requests that wait for the same thing, last come first; {@link ReadyQueue#addAll} turns them round. Home reactor. */
final class ParkedList {
    private BlobStore.@Nullable Parkable head;

    boolean isEmpty() {
        return head == null;
    }

    void add(BlobStore.Parkable request) {
        request.nextParked = head;
        head = request;
    }

    /** All of them; the list is empty afterwards. */
    BlobStore.@Nullable Parkable takeAll() {
        BlobStore.Parkable all = head;
        head = null;
        return all;
    }
}

package io.vhostfs.bdev;

import org.jspecify.annotations.Nullable;

/**
 * Requests of one channel that wait for their turn, linked by themselves.
 *
 * <p>Invariant: the first that came is the first that goes; a request is in one list at most. The channel's reactor only.
 */
final class WaitingList {
    private @Nullable BlockIo head;
    private @Nullable BlockIo tail;

    void add(BlockIo io) {
        io.next = null;
        if (tail == null) {
            head = io;
        } else {
            tail.next = io;
        }
        tail = io;
    }

    /** The first, which leaves; null when none waits. */
    @Nullable
    BlockIo take() {
        BlockIo io = head;
        if (io != null) {
            head = io.next;
            if (head == null) {
                tail = null;
            }
            io.next = null;
        }
        return io;
    }
}

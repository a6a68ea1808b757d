package io.vhostfs.blobstore;

/**
 * How far the log has been replayed.
 *
 * <p>Invariant: while {@link #isRunning} checkpoints point behind the last record that was applied as a whole, and the log
 * itself is not written. Control threads, before the store is started.
 */
final class ReplayState {
    private boolean running;
    private long sequence;
    private long position;
    private int chain;
    private long group;
    private long tail;

    boolean isRunning() {
        return running;
    }

    void begin(RootSlot slot) {
        running = true;
        tail = slot.logPosition;
        note(slot.logSequence, slot.logPosition, slot.logChain, slot.groupSequence);
    }

    /** The next record is to have this sequence, position and chain value. */
    void note(long nextSequence, long nextPosition, int nextChain, long lastGroup) {
        sequence = nextSequence;
        position = nextPosition;
        chain = nextChain;
        group = lastGroup;
    }

    void fill(RootSlot slot) {
        slot.logSequence = sequence;
        slot.logPosition = position;
        slot.logChain = chain;
        slot.groupSequence = group;
    }

    /** The checkpoint is durable: the log need not be kept from before its position. */
    void onCheckpoint(RootSlot slot) {
        tail = slot.logPosition;
    }

    /** The log goes on where the replay ended. */
    void end(Log log) {
        running = false;
        log.resume(tail, position, sequence, chain, group);
    }
}

package io.vhostfs.sim;

/**
 * A change of one file's content or size, and what is known of whether it lasts. One thread.
 *
 * <p>"Applied" at a prefix of the history means: its metadata is part of that prefix.
 */
final class DataOp {
    static final int NOT_YET = Integer.MAX_VALUE;

    /** Length of the history when it was submitted. */
    final int submittedAt;

    /** Its place in the history, once it was acknowledged. */
    int index = NOT_YET;

    /** It may have been applied, or a part of it, before it was acknowledged. */
    boolean interval;

    /** It comes with a change of metadata, which is never durable before its data. */
    boolean group;

    /** It was acknowledged. */
    boolean answered;

    /** It is durable wherever it is: applied in every prefix that reaches its submission. */
    boolean durable;

    /** A completed sync covers it. */
    boolean synced;

    /** The size it sets, or -1. */
    long newSize = -1;

    /** It sets the size in steps of whole blocks. */
    boolean growsInSteps;

    DataOp(int submittedAt) {
        this.submittedAt = submittedAt;
    }

    /** A completed sync covers it. */
    void madeDurable() {
        synced = true;
        durable = interval;
    }

    boolean isApplied(int prefix) {
        return index < prefix || (durable && submittedAt <= prefix);
    }

    /** Whether it may count as applied although it is behind the prefix. */
    boolean mayBeApplied(int prefix) {
        return isApplied(prefix) || (interval && submittedAt <= prefix);
    }
}

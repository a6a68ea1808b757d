package io.vhostfs.blobstore;

/** Hears what a repair finds and does. On the repairing thread. */
public interface RepairReporter extends StoreReporter {
    /** Something was mended, or written again: what and where. */
    void repaired(String text);

    /** Something is gone for good: whose, and how much. Never left out, however many there are. */
    void lost(String text);
}

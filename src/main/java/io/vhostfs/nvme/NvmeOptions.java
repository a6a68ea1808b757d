package io.vhostfs.nvme;

import java.util.concurrent.TimeUnit;

/**
 * How a controller is driven.
 *
 * @param queueEntries entries of each I/O queue, a power of two; fewer when the controller has not as many
 * @param maxQueuePairs I/O queue pairs made at most
 * @param ioTimeoutNs after this time a command is aborted; when that does not end it either, the controller is reset
 * @param adminTimeoutNs after this time an admin command has failed
 * @param interrupts whether completions raise interrupts, for reactors that sleep on them
 */
public record NvmeOptions(
        int queueEntries, int maxQueuePairs, long ioTimeoutNs, long adminTimeoutNs, boolean interrupts) {
    /** A PRP list page, a command's copy and a completion for each: 4.2 MiB of a queue pair's memory. */
    public static final int MAX_QUEUE_ENTRIES = 1024;

    /** More than a drive needs to be busy; 1.1 MiB. */
    public static final int DEFAULT_QUEUE_ENTRIES = 256;

    /** Each holds 4 MiB of memory; more reactors than this share. */
    public static final int MAX_QUEUE_PAIRS = 64;

    /** Linux's defaults. */
    public static final NvmeOptions DEFAULT = new NvmeOptions(
            DEFAULT_QUEUE_ENTRIES, 16, TimeUnit.SECONDS.toNanos(30), TimeUnit.SECONDS.toNanos(60), false);

    public NvmeOptions {
        if (queueEntries < 2 || queueEntries > MAX_QUEUE_ENTRIES || Integer.bitCount(queueEntries) != 1) {
            throw new IllegalArgumentException(
                    "queue of " + queueEntries + " entries; possible are powers of two from 2 to " + MAX_QUEUE_ENTRIES);
        }
        if (maxQueuePairs < 1 || maxQueuePairs > MAX_QUEUE_PAIRS || ioTimeoutNs <= 0 || adminTimeoutNs <= 0) {
            throw new IllegalArgumentException(maxQueuePairs + " queue pairs, timeouts of " + ioTimeoutNs + " and "
                    + adminTimeoutNs + " ns; possible are 1 to " + MAX_QUEUE_PAIRS + " and positive times");
        }
    }

    public NvmeOptions withMaxQueuePairs(int count) {
        return new NvmeOptions(queueEntries, count, ioTimeoutNs, adminTimeoutNs, interrupts);
    }

    public NvmeOptions withTimeouts(long newIoTimeoutNs, long newAdminTimeoutNs) {
        return new NvmeOptions(queueEntries, maxQueuePairs, newIoTimeoutNs, newAdminTimeoutNs, interrupts);
    }

    public NvmeOptions withQueueEntries(int entries) {
        return new NvmeOptions(entries, maxQueuePairs, ioTimeoutNs, adminTimeoutNs, interrupts);
    }

    public NvmeOptions withInterrupts(boolean wanted) {
        return new NvmeOptions(queueEntries, maxQueuePairs, ioTimeoutNs, adminTimeoutNs, wanted);
    }
}

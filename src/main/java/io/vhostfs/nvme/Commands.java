package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.Memory;

/** Writes commands into 64 bytes of raw memory; the command identifier is set by the queue. Any thread. */
public final class Commands {
    private Commands() {}

    /** A command without data for namespace {@code nsid}; everything else is zero. */
    public static void start(long command, int opcode, int nsid) {
        Memory.putLong(command, (opcode & 0xffL) | (long) nsid << 32);
        for (int i = Long.BYTES; i < NVME_SQE_BYTES; i += Long.BYTES) {
            Memory.putLong(command + i, 0);
        }
    }

    /** Says which blocks a read, write or write of zeros is about: {@code blocks} from {@code lba} on, 1 to 65,536. */
    public static void blocks(long command, long lba, int blocks, int flags) {
        Memory.putLong(command + NVME_SQE_CDW10, lba);
        Memory.putInt(command + NVME_SQE_CDW12, ((blocks - 1) & 0xffff) | flags);
    }

    /** Makes a deallocation of the one range that {@link #range} has written. */
    public static void deallocate(long command, int nsid) {
        start(command, NVME_CMD_DATASET_MANAGEMENT, nsid);
        Memory.putInt(command + NVME_SQE_CDW11, NVME_DSM_DEALLOCATE);
    }

    /** A range of dataset management. */
    static void range(long to, long lba, int blocks) {
        Memory.putInt(to, 0);
        Memory.putInt(to + 4, blocks);
        Memory.putLong(to + 8, lba);
    }

    static void identify(long command, int cns, int nsid, long dataIova) {
        start(command, NVME_ADMIN_IDENTIFY, nsid);
        Memory.putLong(command + NVME_SQE_PRP1, dataIova);
        Memory.putInt(command + NVME_SQE_CDW10, cns);
    }

    static void getLogPage(long command, int log, long dataIova, int lengthBytes) {
        start(command, NVME_ADMIN_GET_LOG_PAGE, NVME_NSID_ALL);
        Memory.putLong(command + NVME_SQE_PRP1, dataIova);
        Memory.putInt(command + NVME_SQE_CDW10, log | (lengthBytes / 4 - 1) << 16);
    }

    static void setFeatures(long command, int feature, int value) {
        start(command, NVME_ADMIN_SET_FEATURES, 0);
        Memory.putInt(command + NVME_SQE_CDW10, feature);
        Memory.putInt(command + NVME_SQE_CDW11, value);
    }

    static void getFeatures(long command, int feature) {
        start(command, NVME_ADMIN_GET_FEATURES, 0);
        Memory.putInt(command + NVME_SQE_CDW10, feature);
    }

    /** @param vector interrupt vector, or -1 for none */
    static void createCompletionQueue(long command, int id, int entries, long iova, int vector) {
        start(command, NVME_ADMIN_CREATE_CQ, 0);
        Memory.putLong(command + NVME_SQE_PRP1, iova);
        Memory.putInt(command + NVME_SQE_CDW10, id | (entries - 1) << 16);
        Memory.putInt(
                command + NVME_SQE_CDW11, NVME_QUEUE_CONTIGUOUS | (vector < 0 ? 0 : NVME_CQ_INTERRUPTS | vector << 16));
    }

    static void createSubmissionQueue(long command, int id, int entries, long iova) {
        start(command, NVME_ADMIN_CREATE_SQ, 0);
        Memory.putLong(command + NVME_SQE_PRP1, iova);
        Memory.putInt(command + NVME_SQE_CDW10, id | (entries - 1) << 16);
        Memory.putInt(command + NVME_SQE_CDW11, NVME_QUEUE_CONTIGUOUS | id << 16);
    }

    static void abort(long command, int sqId, int cid) {
        start(command, NVME_ADMIN_ABORT, 0);
        Memory.putInt(command + NVME_SQE_CDW10, sqId | cid << 16);
    }

    static void shadowDoorbells(long command, long shadowIova, long eventIndexIova) {
        start(command, NVME_ADMIN_DBBUF_CONFIG, 0);
        Memory.putLong(command + NVME_SQE_PRP1, shadowIova);
        Memory.putLong(command + NVME_SQE_PRP2, eventIndexIova);
    }
}

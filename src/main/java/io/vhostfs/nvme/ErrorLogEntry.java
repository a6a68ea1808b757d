package io.vhostfs.nvme;

import io.vhostfs.memory.Memory;

/**
 * One entry of the error information log (base 5.16.1.2).
 *
 * @param count which error it is since the drive was made
 * @param status as in a completion, without the phase
 */
public record ErrorLogEntry(long count, int queueId, int commandId, int status, long lba, int nsid) {
    static final int BYTES = 64;

    static ErrorLogEntry read(long data) {
        return new ErrorLogEntry(
                Memory.getLong(data),
                Memory.getUnsignedShort(data + 8),
                Memory.getUnsignedShort(data + 10),
                Memory.getUnsignedShort(data + 12) >>> 1,
                Memory.getLong(data + 16),
                Memory.getInt(data + 24));
    }
}

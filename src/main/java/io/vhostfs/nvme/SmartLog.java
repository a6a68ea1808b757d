package io.vhostfs.nvme;

import io.vhostfs.memory.Memory;

/**
 * The SMART / health log (base 5.16.1.3).
 *
 * @param criticalWarning bits: spare, temperature, reliability, read-only, backup
 * @param temperatureKelvin composite temperature
 * @param unitsRead thousands of 512-byte units, as {@code unitsWritten}; counters are cut to 63 bits
 */
public record SmartLog(
        int criticalWarning,
        int temperatureKelvin,
        int availableSparePercent,
        int spareThresholdPercent,
        int usedPercent,
        long unitsRead,
        long unitsWritten,
        long readCommands,
        long writeCommands,
        long powerCycles,
        long powerOnHours,
        long unsafeShutdowns,
        long mediaErrors,
        long errorLogEntries) {
    static final int BYTES = 512;

    static SmartLog read(long data) {
        return new SmartLog(
                Memory.getUnsignedByte(data),
                Memory.getUnsignedByte(data + 1) | Memory.getUnsignedByte(data + 2) << 8,
                Memory.getUnsignedByte(data + 3),
                Memory.getUnsignedByte(data + 4),
                Memory.getUnsignedByte(data + 5),
                counter(data + 32),
                counter(data + 48),
                counter(data + 64),
                counter(data + 80),
                counter(data + 112),
                counter(data + 128),
                counter(data + 144),
                counter(data + 160),
                counter(data + 176));
    }

    /** 128 bits, of which no drive will live to use the upper half. */
    private static long counter(long at) {
        return Memory.getLong(at + 8) != 0 ? Long.MAX_VALUE : Memory.getLong(at) & Long.MAX_VALUE;
    }
}

package io.vhostfs.sim;

import java.util.concurrent.TimeUnit;

/**
 * How far a simulation goes.
 *
 * @param steps at most so many guest operations
 * @param crashes at most so many crashes
 * @param simulatedSeconds a seed for which more simulated time passes hangs
 * @param processorNs so does one that takes more of a processor, or thirty times as long by the clock on the wall
 * @param damagePercent of the seeds have a disk that loses, misplaces or rots metadata
 */
public record SimOptions(long steps, int crashes, long simulatedSeconds, long processorNs, int damagePercent) {
    /** Hundreds of times what seeds need. */
    private static final long SIMULATED_SECONDS = 1_000_000;

    private static final long PROCESSOR_NS = TimeUnit.MINUTES.toNanos(2);

    /** Damage hides what else a seed would find. */
    private static final int DAMAGE_PERCENT = 15;

    /** About half a second of a core. */
    public static final SimOptions DEFAULT = new SimOptions(20_000, 40);

    /** With the usual limits for a seed that hangs. */
    public SimOptions(long steps, int crashes) {
        this(steps, crashes, SIMULATED_SECONDS, PROCESSOR_NS);
    }

    /** With the usual share of damaged disks. */
    SimOptions(long steps, int crashes, long simulatedSeconds, long processorNs) {
        this(steps, crashes, simulatedSeconds, processorNs, DAMAGE_PERCENT);
    }

    SimOptions withDamagePercent(int percent) {
        return new SimOptions(steps, crashes, simulatedSeconds, processorNs, percent);
    }
}

package io.vhostfs.sim;

/**
 * How far a simulation goes.
 *
 * @param steps at most so many guest operations
 * @param crashes at most so many crashes
 */
public record SimOptions(long steps, int crashes) {
    /** About half a second of a core. */
    public static final SimOptions DEFAULT = new SimOptions(20_000, 40);
}

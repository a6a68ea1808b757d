package io.vhostfs.sim;

import org.jspecify.annotations.Nullable;

/**
 * What one seed came to.
 *
 * @param seed the seed
 * @param operations guest operations that were answered
 * @param crashes power cuts and deaths of the target
 * @param mounts mounts that succeeded
 * @param faults errors and damage injected
 * @param requests requests to the disk
 * @param trace hash of all that happened
 * @param failure what went wrong, or null
 * @param report the last operations, when something went wrong
 */
public record SimResult(
        long seed,
        long operations,
        long crashes,
        long mounts,
        long faults,
        long requests,
        long trace,
        @Nullable Throwable failure,
        String report) {}

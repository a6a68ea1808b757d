/**
 * The other side of the driver: a controller in memory that obeys doorbells, for tests and benchmarks.
 *
 * <p>What enters are the driver's register writes and commands, what leaves are completions and data. The thread that drives
 * the driver runs the model too, by {@link io.vhostfs.nvme.model.ModelController#step}.
 */
@NullMarked
package io.vhostfs.nvme.model;

import org.jspecify.annotations.NullMarked;

/**
 * The NVMe driver: a controller's registers and queues in raw memory, and what their other side is.
 *
 * <p>Commands enter on the reactor that owns a {@link io.vhostfs.nvme.QueuePair} and end on the same one; identify, logs,
 * timeouts, aborts and resets are the business of {@link io.vhostfs.nvme.NvmeController}, which runs on ordinary threads. A
 * {@link io.vhostfs.nvme.NvmeTransport} gives registers and DMA: VFIO's, or the model's in {@code nvme.model}. Knows nothing
 * of block devices.
 */
@NullMarked
package io.vhostfs.nvme;

import org.jspecify.annotations.NullMarked;

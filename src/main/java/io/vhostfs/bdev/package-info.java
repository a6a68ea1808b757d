/**
 * Block devices: the interface, and its implementations on hugepages ({@code malloc}), io_uring ({@code file}) and
 * NVMe queues ({@code nvme}).
 *
 * <p>Requests with iovecs enter on the reactor that owns the channel and complete on the same one. Knows nothing of who
 * calls it.
 */
@NullMarked
package io.vhostfs.bdev;

import org.jspecify.annotations.NullMarked;

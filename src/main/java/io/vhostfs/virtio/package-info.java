/**
 * Virtqueues as a device sees them: split rings, descriptor chains and notification suppression.
 *
 * <p>What enters are rings in guest memory (addresses already translated) and the {@link
 * io.vhostfs.memory.GuestMemory} snapshot that translates what their descriptors point to; what leaves are {@link
 * io.vhostfs.virtio.DescriptorChain}s for a {@link io.vhostfs.virtio.ChainHandler}, and used elements and calls for the
 * driver. Everything runs on the one reactor that polls the queue. Knows nothing of what the buffers mean.
 */
@NullMarked
package io.vhostfs.virtio;

import org.jspecify.annotations.NullMarked;

/**
 * The back end of the vhost-user protocol: message codec, sessions, memory table, rings on reactors, reconnect.
 *
 * <p>A front end (QEMU) enters through a Unix socket; what leaves are started {@link
 * io.vhostfs.virtio.SplitVirtqueue}s for a {@link io.vhostfs.vhost.VhostDeviceBackend}. Messages are handled on one
 * ordinary thread per server, which talks to reactors by message only; rings are polled on their reactors. Knows nothing
 * of FUSE. Source: QEMU's docs/interop/vhost-user.
 */
@NullMarked
package io.vhostfs.vhost;

import org.jspecify.annotations.NullMarked;

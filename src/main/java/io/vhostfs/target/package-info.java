/**
 * Reactors, block devices, file systems and shares put together from a {@link io.vhostfs.target.TargetConfig}, their life
 * cycle, and the glue from a virtqueue to a FUSE session.
 *
 * <p>A configuration enters; a running target leaves. Start and stop run on an ordinary thread, requests on reactors.
 */
@NullMarked
package io.vhostfs.target;

import org.jspecify.annotations.NullMarked;

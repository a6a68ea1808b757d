/**
 * File systems mounted on this host through {@code /dev/fuse}, beside the guests that use them.
 *
 * <p>FUSE messages enter from the kernel and replies leave to it, on reactors: through rings of io_uring, one for each
 * processor's queue of the kernel, or by read(2) and writev(2) on channels.
 * Mounting and unmounting run on ordinary threads. What a message means is the business of {@code fuse}.
 */
@NullMarked
package io.vhostfs.hostmount;

import org.jspecify.annotations.NullMarked;

/**
 * File systems mounted on this host through {@code /dev/fuse}, beside the guests that use them.
 *
 * <p>FUSE messages enter from the kernel and replies leave to it, by read(2) and writev(2) on the channels' reactors.
 * Mounting and unmounting run on ordinary threads. What a message means is the business of {@code fuse}.
 */
@NullMarked
package io.vhostfs.hostmount;

import org.jspecify.annotations.NullMarked;

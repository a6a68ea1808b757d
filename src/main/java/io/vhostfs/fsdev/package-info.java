/**
 * The interface of a file system: asynchronous operations over inodes, free of FUSE's structs and of disks.
 *
 * <p>Requests enter from the reactor that polled them and complete on the same one; in between the file system may move
 * them to its home reactor.
 */
@NullMarked
package io.vhostfs.fsdev;

import org.jspecify.annotations.NullMarked;

/**
 * FUSE: wire codec, dispatch of opcodes to a file system, and the state of one client's session.
 *
 * <p>FUSE messages in iovecs enter, replies are written to iovecs; on the reactor that polled the message. Knows nothing
 * of virtqueues or of storage.
 */
@NullMarked
package io.vhostfs.fuse;

import org.jspecify.annotations.NullMarked;

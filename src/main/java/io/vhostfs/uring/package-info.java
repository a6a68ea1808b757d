/**
 * io_uring rings in raw memory.
 *
 * <p>Submission entries with addresses enter; completion entries with the same user data leave. A ring is used by the one
 * thread that opened it: submission and completion are plain loads and stores, and one system call hands over a whole
 * batch. Knows nothing of what is read or written.
 */
@NullMarked
package io.vhostfs.uring;

import org.jspecify.annotations.NullMarked;

/**
 * Pinned threads that poll, their mailboxes, timers and idle policies.
 *
 * <p>Pollers and messages enter; every callback runs on the reactor's own thread. Knows nothing of what is polled.
 */
@NullMarked
package io.vhostfs.reactor;

import org.jspecify.annotations.NullMarked;

/**
 * A deterministic simulation of the whole stack, from a guest's virtqueue to a disk that loses power, in one thread on a
 * simulated clock.
 *
 * <p>A 64-bit seed enters; a list of what was done, and the first broken promise, if any, leaves. Nothing here knows of
 * real time, other threads or real devices, so that the same seed always does the same. Any thread, one per simulation.
 */
@NullMarked
package io.vhostfs.sim;

import org.jspecify.annotations.NullMarked;

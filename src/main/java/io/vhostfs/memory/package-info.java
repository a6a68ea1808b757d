/**
 * Memory outside the Java heap: raw access, hugepage pools, guests' regions and address translation.
 *
 * <p>Addresses are {@code long}s of this process. They enter hot code only from a bounds-checked source: a pool that
 * handed them out, or {@link io.vhostfs.memory.GuestMemory#translate}. Access is from any thread; pools say their own rules.
 */
@NullMarked
package io.vhostfs.memory;

import org.jspecify.annotations.NullMarked;

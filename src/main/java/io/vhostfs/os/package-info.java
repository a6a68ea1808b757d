/**
 * Small typed wrappers over the C library and the kernel.
 *
 * <p>What enters are file descriptors, raw addresses ({@code long}) and sizes; what leaves are results or negative errno
 * values, never exceptions. Constants and offsets are hand-written {@code static final} values so that they can be
 * {@code switch} labels and fold into the code; a test compares each with what jextract generated. Everything here may
 * be called from any thread.
 */
@NullMarked
package io.vhostfs.os;

import org.jspecify.annotations.NullMarked;

/** Tests of the simulation, and by it of everything below. */
@NullMarked
package io.vhostfs.sim;

import org.jspecify.annotations.NullMarked;

/**
 * Tests in which a Debian guest uses the target: QEMU boots a small guest ({@code ci/guest/mkguest},
 * {@code ci/guest/runguest}) whose kernel mounts shares of a {@code bin/vhostfs serve} that runs as a process of its
 * own, as in production. What comes in is the output of {@code ci/guest/checks.sh}, which runs inside the guest; what
 * goes out is one JUnit result per check. The guest is emulated and slow: only results are asserted, never speed.
 */
@NullMarked
package io.vhostfs.guest;

import org.jspecify.annotations.NullMarked;

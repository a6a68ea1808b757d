/**
 * JMH benchmarks of the pieces: run {@code java -jar bench/target/benchmarks.jar -prof gc}.
 *
 * <p>What counts is {@code gc.alloc.rate.norm}, which must be 0 on the way of a request, and ratios within one run; times of
 * a shared machine are noise. Each benchmark does what one reactor's thread does, on JMH's thread.
 */
@NullMarked
package io.vhostfs.bench;

import org.jspecify.annotations.NullMarked;

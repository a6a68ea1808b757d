/**
 * The other side of the socket: a vhost-user front end that drives any vhost-user-fs back end as a guest's kernel would.
 *
 * <p>What enters is a socket path and FUSE requests; what leaves are replies, and for load the figures in a report. Memory
 * and rings belong to one {@link io.vhostfs.frontend.FrontEnd}; it and everything made from it is used by one thread at a
 * time. Benchmarks measure with it, tests use it to send what a correct driver never would.
 */
@NullMarked
package io.vhostfs.frontend;

import org.jspecify.annotations.NullMarked;

/**
 * The POSIX file system: inodes, directories, file data, extended attributes, orphans, on a {@code BlobStore}.
 *
 * <p>{@code FsRequest}s enter on the reactor that polled them and complete there; block I/O of file data and key-value
 * changes leave. All metadata is changed on the home reactor only; reads and overwrites of mapped blocks run where they
 * were polled.
 */
@NullMarked
package io.vhostfs.blobfs;

import org.jspecify.annotations.NullMarked;

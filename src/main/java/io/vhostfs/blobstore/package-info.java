/**
 * A transactional store in blocks: superblock, shadow-paged B+tree, log, block allocator, checkpoints.
 *
 * <p>Key puts and deletes enter, I/O to one block device leaves; all of it on the home reactor. Knows nothing of files.
 */
@NullMarked
package io.vhostfs.blobstore;

import org.jspecify.annotations.NullMarked;

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/** What asks about a file's data at home: reads of inline content, SEEK_DATA and SEEK_HOLE. */
final class FileQueries {
    private final Volume volume;

    FileQueries(Volume volume) {
        this.volume = volume;
    }

    int readInline(FsRequest r, Inode inode) {
        r.count = 0;
        long length =
                Math.min(Math.min(r.length, inode.size - r.offset), Iovecs.totalLength(r.dataIovecs, r.dataIovecCount));
        if (length <= 0) {
            return BlobStore.OK;
        }
        BlobStore store = volume.store;
        int s = store.find(inode.number, Items.INLINE_KEY);
        if (s != BlobStore.OK && s != BlobStore.NOT_FOUND) {
            return s;
        }
        long stored = s == BlobStore.OK ? store.valueLength - Items.INLINE_DATA_OFFSET : 0;
        long have = Math.max(0, Math.min(length, stored - r.offset));
        long given = 0;
        if (have > 0) {
            long from = store.valueAddress + Items.INLINE_DATA_OFFSET + r.offset;
            given = Iovecs.scatterShared(from, have, r.dataIovecs, r.dataIovecCount, 0);
        }
        long zeroed = Iovecs.zeroShared(r.dataIovecs, r.dataIovecCount, have, length - have);
        r.count = length;
        return (int) Math.min(Math.min(given, zeroed), BlobStore.OK);
    }

    int seek(FsRequest r, Inode inode, ExtentCursor cursor) {
        if (!inode.isRegular()) {
            return inode.isDirectory() ? -Errno.EISDIR : -Errno.EINVAL;
        }
        boolean forData = r.flags == LibcConstants.SEEK_DATA;
        if (!forData && r.flags != LibcConstants.SEEK_HOLE) {
            return -Errno.EINVAL;
        }
        if (r.clientHoldsData && inode.writers != 0) {
            return -Errno.ENOSYS;
        }
        if (r.offset < 0 || r.offset >= inode.size) {
            return -Errno.ENXIO;
        }
        if (inode.isInline()) {
            r.count = forData ? r.offset : inode.size;
            return BlobStore.OK;
        }
        ExtentMap map = volume.map(inode);
        if (map == null) {
            return volume.status;
        }
        long at = r.offset;
        while (at < inode.size) {
            map.seek(at >>> Items.BLOCK_SHIFT, cursor);
            if ((cursor.state >= ExtentCursor.WRITTEN) == forData) {
                r.count = at;
                return BlobStore.OK;
            }
            if (cursor.runBlocks >= Limits.MAX_FILE_BYTES >> Items.BLOCK_SHIFT) {
                break;
            }
            at = (at & ~Items.BLOCK_MASK) + (cursor.runBlocks << Items.BLOCK_SHIFT);
        }
        r.count = inode.size;
        return forData ? -Errno.ENXIO : BlobStore.OK;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockIo;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/**
 * Reads, and overwrites of data that is there: what needs only a snapshot of an inode's size and extents.
 *
 * <p>Runs on any reactor with its {@link IoContext}. Methods return {@link FileSystem#PENDING} or the final status.
 */
final class FileData {
    private FileData() {}

    /** Reads blocks of a file of this size; the request's offset is not negative. The operation is idle afterwards, unless PENDING. */
    static int read(FileOp op, FsRequest r, ExtentMap map, long size) {
        IoContext c = op.context;
        long offset = r.offset;
        long room = Iovecs.totalLength(r.dataIovecs, r.dataIovecCount);
        long length = Math.min(Math.min(r.length, size - offset), Math.min(room, Limits.MAX_IO_BYTES));
        r.count = 0;
        if (length <= 0) {
            op.leaveEpoch();
            c.release(op);
            return 0;
        }
        int mask = c.blockMask;
        op.kind = FileOp.READ;
        op.request = r;
        op.length = length;
        long ioLength = length + mask & ~mask;
        if ((offset & mask) != 0 || ioLength > room || !isAligned(c, r)) {
            int status = readThroughBounce(op, map, offset, length);
            return status == FileSystem.PENDING ? status : finishRead(op, status);
        }
        map.seek(offset >>> Items.BLOCK_SHIFT, c.cursor);
        long inBlock = offset & Items.BLOCK_MASK;
        if (c.cursor.state >= ExtentCursor.WRITTEN && c.cursor.runBlocks << Items.BLOCK_SHIFT >= inBlock + ioLength) {
            long iovecs = r.dataIovecs;
            int count = r.dataIovecCount;
            if (room != ioLength) {
                op.reserveIovecs(count);
                iovecs = op.addSlice(r.dataIovecs, r.dataIovecCount, 0, ioLength);
                count = op.iovecCount();
            }
            op.submit(BlockIo.READ, (c.cursor.diskBlock << Items.BLOCK_SHIFT) + inBlock, ioLength, iovecs, count);
        } else {
            op.reserveIovecs(r.dataIovecCount + countRuns(c, map, offset, ioLength));
            readRuns(op, map, offset, ioLength, r.dataIovecs, r.dataIovecCount);
        }
        int status = op.submitted();
        return status == FileSystem.PENDING ? status : finishRead(op, status);
    }

    private static int readThroughBounce(FileOp op, ExtentMap map, long offset, long length) {
        int mask = op.context.blockMask;
        long start = offset & ~mask;
        long ioLength = (offset + length + mask & ~mask) - start;
        if (!op.obtainBounce(ioLength)) {
            return -Errno.ENOMEM;
        }
        op.bounceSkip = (int) (offset - start);
        op.reserveIovecs(1 + 1 + countRuns(op.context, map, start, ioLength));
        op.addIovec(op.bounceAddress(), ioLength);
        readRuns(op, map, start, ioLength, op.iovecsAddress(), 1);
        return op.submitted();
    }

    private static int countRuns(IoContext c, ExtentMap map, long offset, long length) {
        int runs = 0;
        for (long at = offset; at < offset + length; runs++) {
            map.seek(at >>> Items.BLOCK_SHIFT, c.cursor);
            at = runEnd(c.cursor, at);
        }
        return runs;
    }

    /** The byte behind the run in which {@code at} lies. */
    private static long runEnd(ExtentCursor cursor, long at) {
        long blocks = Math.min(cursor.runBlocks, Limits.MAX_FILE_BYTES >> Items.BLOCK_SHIFT);
        return (at & ~Items.BLOCK_MASK) + (blocks << Items.BLOCK_SHIFT);
    }

    private static void readRuns(FileOp op, ExtentMap map, long offset, long length, long iovecs, int count) {
        ExtentCursor cursor = op.context.cursor;
        long end = offset + length;
        long at = offset;
        while (at < end) {
            map.seek(at >>> Items.BLOCK_SHIFT, cursor);
            long next = Math.min(end, runEnd(cursor, at));
            if (cursor.state >= ExtentCursor.WRITTEN) {
                int before = op.iovecCount();
                long slice = op.addSlice(iovecs, count, at - offset, next - at);
                long disk = (cursor.diskBlock << Items.BLOCK_SHIFT) + (at & Items.BLOCK_MASK);
                op.submit(BlockIo.READ, disk, next - at, slice, op.iovecCount() - before);
            } else {
                long zeroed = Iovecs.zeroShared(iovecs, count, at - offset, next - at);
                if (zeroed < 0) {
                    op.ioStatus = (int) zeroed;
                }
            }
            at = next;
        }
    }

    /** Ends a read whose I/O has ended; the operation is idle then. */
    static int finishRead(FileOp op, int status) {
        FsRequest r = op.request();
        long result = status;
        if (status == BlobStore.OK) {
            if (op.bounce != null) {
                long from = op.bounceAddress() + op.bounceSkip;
                result = Iovecs.scatterShared(from, op.length, r.dataIovecs, r.dataIovecCount, 0);
            } else {
                // What the device's block size made us read behind the end.
                int mask = op.context.blockMask;
                long ioLength = op.length + mask & ~mask;
                if (ioLength > op.length) {
                    result = Iovecs.zeroShared(r.dataIovecs, r.dataIovecCount, op.length, ioLength - op.length);
                }
            }
            r.count = op.length;
        }
        op.leaveEpoch();
        op.context.release(op);
        return (int) Math.min(result, BlobStore.OK);
    }

    /** Whether a write changes nothing but data: aligned, within the size, and every block has data of its own already. */
    static boolean isOverwrite(IoContext c, FsRequest r, ExtentMap map, long size) {
        long offset = r.offset;
        long length = r.length;
        if ((r.flags & LibcConstants.O_APPEND) != 0
                || ((offset | length) & c.blockMask) != 0
                || length > Limits.MAX_IO_BYTES
                || length <= 0
                || offset + length > size
                || Iovecs.totalLength(r.dataIovecs, r.dataIovecCount) < length
                || !isAligned(c, r)) {
            return false;
        }
        for (long at = offset; at < offset + length; at = runEnd(c.cursor, at)) {
            map.seek(at >>> Items.BLOCK_SHIFT, c.cursor);
            if (c.cursor.state != ExtentCursor.WRITTEN) {
                return false;
            }
        }
        return true;
    }

    /** Starts an overwrite ({@link #isOverwrite} said yes): PENDING, 0 or a negative errno; the operation stays. */
    static int overwrite(FileOp op, ExtentMap map) {
        IoContext c = op.context;
        FsRequest r = op.request();
        long offset = r.offset;
        long end = offset + r.length;
        map.seek(offset >>> Items.BLOCK_SHIFT, c.cursor);
        if (runEnd(c.cursor, offset) >= end && Iovecs.totalLength(r.dataIovecs, r.dataIovecCount) == r.length) {
            long disk = (c.cursor.diskBlock << Items.BLOCK_SHIFT) + (offset & Items.BLOCK_MASK);
            op.submit(BlockIo.WRITE, disk, r.length, r.dataIovecs, r.dataIovecCount);
            return op.submitted();
        }
        op.reserveIovecs(r.dataIovecCount + countRuns(c, map, offset, r.length));
        long at = offset;
        while (at < end) {
            map.seek(at >>> Items.BLOCK_SHIFT, c.cursor);
            long next = Math.min(end, runEnd(c.cursor, at));
            int before = op.iovecCount();
            long slice = op.addSlice(r.dataIovecs, r.dataIovecCount, at - offset, next - at);
            long disk = (c.cursor.diskBlock << Items.BLOCK_SHIFT) + (at & Items.BLOCK_MASK);
            op.submit(BlockIo.WRITE, disk, next - at, slice, op.iovecCount() - before);
            at = next;
        }
        return op.submitted();
    }

    /** Whether the request's memory suits the device. */
    static boolean isAligned(IoContext c, FsRequest r) {
        return c.memoryMask == 0 || areAligned(r.dataIovecs, r.dataIovecCount, c.memoryMask);
    }

    static boolean areAligned(long iovecs, int count, int mask) {
        long bits = 0;
        for (int i = 0; i < count; i++) {
            bits |= Iovecs.base(iovecs, i) | Iovecs.length(iovecs, i);
        }
        return (bits & mask) == 0;
    }
}

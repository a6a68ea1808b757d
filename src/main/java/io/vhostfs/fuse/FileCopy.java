package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;

/**
 * COPY_FILE_RANGE as reads and writes in turn, through a large buffer of the session; no data passes the client.
 *
 * <p>Invariant: what is answered as copied was read and written; a hole becomes zeroes. A copy is not one change: others
 * may see a part of it. On the request's origin; everything is kept in the request.
 */
final class FileCopy {
    /** The request is ready for the file system once more. Other steps are the final status. */
    static final int SUBMIT = 1;

    /** One request copies no more, so that it does not keep a reactor for long; callers go on behind a short copy. */
    private static final long MAX_BYTES = 1 << 20;

    private FileCopy() {}

    static int start(FuseRequest r, FuseSession session) {
        r.copyInode = r.inode;
        r.inode2 = r.state.inodeOf(r.argumentLong(FUSE_COPY_FILE_RANGE_IN_NODEID_OUT_OFFSET));
        r.copyHandle = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FH_IN_OFFSET);
        r.copyHandle2 = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FH_OUT_OFFSET);
        r.copyOffset = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_OFF_IN_OFFSET);
        r.copyOffset2 = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_OFF_OUT_OFFSET);
        long length = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_LEN_OFFSET);
        r.copyLength = Math.min(length, MAX_BYTES);
        r.copied = 0;
        r.count = 0;
        boolean overflows = r.copyOffset < 0
                || r.copyOffset2 < 0
                || r.copyOffset > Long.MAX_VALUE - r.copyLength
                || r.copyOffset2 > Long.MAX_VALUE - r.copyLength;
        if (length < 0 || overflows || r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FLAGS_OFFSET) != 0) {
            return -Errno.EINVAL;
        }
        r.large = session.borrowLarge();
        return r.large == null ? -Errno.ENOMEM : read(r);
    }

    /** The file system is done with a read or a write. */
    static int advance(FuseRequest r, int status) {
        if (status < 0) {
            return end(r, status);
        }
        if (r.operation == FsOp.READ) {
            return r.count == 0 ? end(r, 0) : write(r, r.count);
        }
        r.copied += r.count;
        return r.count < r.length ? end(r, 0) : read(r);
    }

    /** What was copied before an error counts. */
    private static int end(FuseRequest r, int status) {
        r.count = r.copied;
        return r.copied > 0 ? 0 : status;
    }

    private static int read(FuseRequest r) {
        long left = r.copyLength - r.copied;
        if (left == 0) {
            return end(r, 0);
        }
        r.operation = FsOp.READ;
        r.inode = r.copyInode;
        r.handle = r.copyHandle;
        r.offset = r.copyOffset + r.copied;
        setData(r, Math.min(left, LargeBuffer.CAPACITY));
        return SUBMIT;
    }

    private static int write(FuseRequest r, long lengthBytes) {
        r.operation = FsOp.WRITE;
        r.inode = r.inode2;
        r.handle = r.copyHandle2;
        r.offset = r.copyOffset2 + r.copied;
        r.flags = 0;
        r.keepsTimes = false;
        r.killPrivileges = FuseDecoder.killsWithoutBeingTold(r, r.state);
        setData(r, lengthBytes);
        return SUBMIT;
    }

    private static void setData(FuseRequest r, long lengthBytes) {
        LargeBuffer buffer = r.large;
        if (buffer == null) {
            throw new IllegalStateException("a copy without a buffer");
        }
        r.length = lengthBytes;
        r.dataIovecs = r.scratch + FuseRequest.BODY_OFFSET;
        r.dataIovecCount = 1;
        Iovecs.set(r.dataIovecs, 0, buffer.address, lengthBytes);
    }
}

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;

/**
 * COPY_FILE_RANGE: blocks that lie alike in both files are shared, the rest goes by reads and writes in turn, through a
 * large buffer of the session; no data passes the client.
 *
 * <p>Invariant: what is answered as copied was shared, or read and written; a hole becomes a hole or zeroes. A copy is not
 * one change: others may see a part of it. On the request's origin; everything is kept in the request.
 */
final class FileCopy {
    /** The request is ready for the file system once more. Other steps are the final status. */
    static final int SUBMIT = 1;

    /** One request copies no more, so that it does not keep a reactor for long; callers go on behind a short copy. */
    private static final long MAX_BYTES = 1 << 20;

    /** One request shares no more, so that writers of these files need not wait for long. */
    private static final long MAX_SHARED_BYTES = 1 << 30;

    private FileCopy() {}

    static int start(FuseRequest r, FuseSession session) {
        r.copyInode = r.inode;
        r.inode2 = r.state.inodeOf(r.argumentLong(FUSE_COPY_FILE_RANGE_IN_NODEID_OUT_OFFSET));
        r.copyHandle = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FH_IN_OFFSET);
        r.copyHandle2 = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FH_OUT_OFFSET);
        r.copyOffset = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_OFF_IN_OFFSET);
        r.copyOffset2 = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_OFF_OUT_OFFSET);
        long length = r.argumentLong(FUSE_COPY_FILE_RANGE_IN_LEN_OFFSET);
        r.copyBlock = session.cloneBlockBytes();
        r.copyLength = Math.min(length, r.copyBlock == 0 ? MAX_BYTES : MAX_SHARED_BYTES);
        r.copied = 0;
        r.count = 0;
        boolean overflows = r.copyOffset < 0
                || r.copyOffset2 < 0
                || r.copyOffset > Long.MAX_VALUE - r.copyLength
                || r.copyOffset2 > Long.MAX_VALUE - r.copyLength;
        boolean overlap = r.copyInode == r.inode2
                && r.copyOffset < r.copyOffset2 + r.copyLength
                && r.copyOffset2 < r.copyOffset + r.copyLength;
        if (length < 0 || overflows || overlap || r.argumentLong(FUSE_COPY_FILE_RANGE_IN_FLAGS_OFFSET) != 0) {
            return -Errno.EINVAL;
        }
        if (r.copyBlock == 0 || ((r.copyOffset ^ r.copyOffset2) & (r.copyBlock - 1)) != 0) {
            stopSharing(r);
        }
        return next(r, session);
    }

    /** The file system is done with a clone, a read or a write. */
    static int advance(FuseRequest r, FuseSession session, int status) {
        if (status < 0) {
            return end(r, status);
        }
        if (r.operation == FsOp.READ) {
            return r.count == 0 ? end(r, 0) : write(r, r.count);
        }
        r.copied += r.count;
        if (r.operation == FsOp.CLONE) {
            if (r.count < r.length) {
                stopSharing(r);
            }
            return next(r, session);
        }
        return r.count < r.length ? end(r, 0) : next(r, session);
    }

    /** What is left goes by reads and writes, and is not to become too much. */
    private static void stopSharing(FuseRequest r) {
        r.copyBlock = 0;
        r.copyLength = Math.min(r.copyLength, r.copied + MAX_BYTES);
    }

    private static int next(FuseRequest r, FuseSession session) {
        long left = r.copyLength - r.copied;
        if (left == 0) {
            return end(r, 0);
        }
        long inBlock = (r.copyOffset + r.copied) & (r.copyBlock - 1);
        if (r.copyBlock != 0 && inBlock == 0 && left >= r.copyBlock) {
            return share(r, left & -r.copyBlock);
        }
        if (r.large == null) {
            r.large = session.borrowLarge();
        }
        return r.large == null
                ? end(r, -Errno.ENOMEM)
                : read(r, r.copyBlock == 0 ? left : Math.min(left, r.copyBlock - inBlock));
    }

    private static int share(FuseRequest r, long lengthBytes) {
        r.operation = FsOp.CLONE;
        r.inode = r.copyInode;
        r.handle = r.copyHandle;
        r.offset = r.copyOffset + r.copied;
        r.handle2 = r.copyHandle2;
        r.offset2 = r.copyOffset2 + r.copied;
        r.length = lengthBytes;
        r.killPrivileges = FuseDecoder.killsWithoutBeingTold(r, r.state);
        return SUBMIT;
    }

    /** What was copied before an error counts. */
    private static int end(FuseRequest r, int status) {
        r.count = r.copied;
        return r.copied > 0 ? 0 : status;
    }

    private static int read(FuseRequest r, long most) {
        r.operation = FsOp.READ;
        r.inode = r.copyInode;
        r.handle = r.copyHandle;
        r.offset = r.copyOffset + r.copied;
        setData(r, Math.min(most, LargeBuffer.CAPACITY));
        return SUBMIT;
    }

    private static int write(FuseRequest r, long lengthBytes) {
        r.operation = FsOp.WRITE;
        r.inode = r.inode2;
        r.handle = r.copyHandle2;
        r.offset = r.copyOffset2 + r.copied;
        r.flags = 0;
        r.isCopy = true;
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

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.FUSE_MAX_NR_SECCTX;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;

/**
 * The security label in the extensions of a message that makes an inode (FUSE_SECURITY_CTX, {@code fuse_secctx_header}).
 *
 * <p>Invariant: a label that is taken is whole, of an attribute whose name begins with "security.", and in private memory;
 * a message whose extensions are not whole is refused. On the request's origin; nothing is kept here.
 */
final class FuseLabel {
    /** {@code get_security_context} of Linux sends one label or none. */
    private static final int MAX_LABELS = 1;

    private static final long PREFIX_0 = 0x7974697275636573L; // "security"

    private static final int PREFIX_LENGTH = 9;

    private FuseLabel() {}

    /** Takes the label, if there is one; {@code namesEnd} is where the scratch is free. 0 or a negative errno. */
    static int take(FuseRequest r, FuseState s, FuseSession session, long namesEnd) {
        r.labelNameLength = 0;
        int bytes = r.extensionBytes;
        if (bytes == 0 || !s.labels) {
            return 0;
        }
        long at = namesEnd;
        if (at + bytes > r.scratch + FuseRequest.SCRATCH_SIZE) {
            LargeBuffer large = bytes <= LargeBuffer.CAPACITY ? session.borrowLarge() : null;
            if (large == null) {
                return bytes > LargeBuffer.CAPACITY ? -Errno.E2BIG : -Errno.ENOMEM;
            }
            r.large = large;
            at = large.address;
        }
        Iovecs.gather(r.messageIovecs, r.messageIovecCount, r.messageEnd, at, bytes);
        int status = parse(r, at, at + bytes);
        if (status != 0) {
            r.release();
        }
        return status;
    }

    private static int parse(FuseRequest r, long start, long end) {
        boolean seen = false;
        long at = start;
        while (at < end) {
            long size = Memory.getUnsignedInt(at + FUSE_EXT_HEADER_SIZE_OFFSET);
            long type = Memory.getUnsignedInt(at + FUSE_EXT_HEADER_TYPE_OFFSET);
            if (size < FUSE_EXT_HEADER_SIZE || size > end - at || (size & 7) != 0) {
                return -Errno.EINVAL;
            }
            // Where others have a type, the header of labels has their number. No other type was agreed on.
            if (type <= FUSE_MAX_NR_SECCTX) {
                if (seen || type > MAX_LABELS || !(type == 0 ? size == FUSE_SECCTX_HEADER_SIZE : label(r, at, size))) {
                    return -Errno.EINVAL;
                }
                seen = true;
            }
            at += size;
        }
        return 0;
    }

    /** A header of {@code size} bytes in all, with one label: name with its NUL, value, and padding to 8 bytes. */
    private static boolean label(FuseRequest r, long at, long size) {
        long left = size - FUSE_SECCTX_HEADER_SIZE - FUSE_SECCTX_SIZE;
        long name = at + FUSE_SECCTX_HEADER_SIZE + FUSE_SECCTX_SIZE;
        int nameLength = FuseNames.attributeName(name, (int) left);
        if (nameLength <= PREFIX_LENGTH || Memory.getLong(name) != PREFIX_0 || Memory.getByte(name + 8) != '.') {
            return false;
        }
        left -= nameLength + 1;
        long length = Memory.getUnsignedInt(at + FUSE_SECCTX_HEADER_SIZE + FUSE_SECCTX_SIZE_OFFSET);
        if (length == 0 || length > left || left - length >= 8) {
            return false;
        }
        r.labelNameAddress = name;
        r.labelNameLength = nameLength;
        r.labelAddress = name + nameLength + 1;
        r.labelLength = (int) length;
        return true;
    }
}

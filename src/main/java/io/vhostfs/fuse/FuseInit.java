package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;

/**
 * Negotiation of INIT: what we take of what a kernel offers ({@code docs/fuse.md} says why for every flag).
 *
 * <p>Invariant: no flag is agreed on that the kernel did not offer. Control path; it runs on the home reactor.
 */
final class FuseInit {
    /** Linux 5.4, the first with virtiofs. From here on no struct that we use changes its size, except fuse_init_in. */
    private static final int OLDEST_MINOR = 31;

    /** fuse_init_in before minor version 36 brought flags2. */
    static final int SHORT_SIZE = 16;

    /** The kernel must first come back with our major version. */
    static final int OTHER_MAJOR = 1;

    private static final long ALWAYS = FUSE_ASYNC_READ
            | FUSE_BIG_WRITES
            | FUSE_DO_READDIRPLUS
            | FUSE_READDIRPLUS_AUTO
            | FUSE_ASYNC_DIO
            | FUSE_PARALLEL_DIROPS
            | FUSE_MAX_PAGES
            | FUSE_CACHE_SYMLINKS
            | FUSE_HANDLE_KILLPRIV_V2
            | FUSE_DONT_MASK
            | FUSE_HAS_IOCTL_DIR
            | FUSE_POSIX_ACL
            | FUSE_SETXATTR_EXT
            | FUSE_SECURITY_CTX
            | FUSE_INIT_EXT;

    private static final long NO_OPEN = FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;

    /** Linux's unit for max_pages is the client's page; ours is the smallest of them. */
    private static final int PAGE_BYTES = 4096;

    private FuseInit() {}

    /**
     * Whether the request's arguments, already copied, can be agreed on.
     *
     * @return 0, {@link #OTHER_MAJOR}, or a negative errno
     */
    static int check(FuseRequest request) {
        int major = request.argumentInt(FUSE_INIT_IN_MAJOR_OFFSET);
        int minor = request.argumentInt(FUSE_INIT_IN_MINOR_OFFSET);
        if (Integer.compareUnsigned(major, FUSE_KERNEL_VERSION) > 0) {
            return OTHER_MAJOR;
        }
        boolean tooOld = major != FUSE_KERNEL_VERSION || Integer.compareUnsigned(minor, OLDEST_MINOR) < 0;
        return tooOld ? -Errno.EPROTO : 0;
    }

    static FuseState agree(FuseRequest request, FsClient client, FuseOptions options) {
        int minor = request.argumentInt(FUSE_INIT_IN_MINOR_OFFSET);
        int agreedMinor =
                Integer.compareUnsigned(minor, FUSE_KERNEL_MINOR_VERSION) < 0 ? minor : FUSE_KERNEL_MINOR_VERSION;
        long offered = offered(request);
        return FuseState.agreed(client, options, agreedMinor, offered & wanted(client, options, offered));
    }

    private static long offered(FuseRequest request) {
        long flags = request.argumentUnsignedInt(FUSE_INIT_IN_FLAGS_OFFSET);
        boolean extended = (flags & FUSE_INIT_EXT) != 0
                && request.messageEnd >= FUSE_IN_HEADER_SIZE + FUSE_INIT_IN_FLAGS2_OFFSET + Integer.BYTES;
        return extended
                ? flags | (request.argumentUnsignedInt(FUSE_INIT_IN_FLAGS2_OFFSET) << 32)
                : flags & ~FUSE_INIT_EXT;
    }

    private static long wanted(FsClient client, FuseOptions options, long offered) {
        boolean seesEverything = client.rootInode() == FileSystem.ROOT_INODE;
        boolean noOpen = options.noOpen() && (offered & NO_OPEN) == NO_OPEN;
        return ALWAYS
                // Without OPEN nothing would say that a file is to be truncated.
                | (noOpen ? NO_OPEN : FUSE_ATOMIC_O_TRUNC)
                | (seesEverything ? FUSE_EXPORT_SUPPORT : FUSE_NO_EXPORT_SUPPORT)
                | (options.writebackCache() ? FUSE_WRITEBACK_CACHE : 0)
                // With it only requests that make an inode say who asks.
                | (options.isLocal() ? 0 : FUSE_ALLOW_IDMAP)
                | (options.overUring() ? FUSE_OVER_IO_URING : 0)
                | (options.invalidateChangedData()
                        ? FUSE_AUTO_INVAL_DATA | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS
                        : FUSE_EXPLICIT_INVAL_DATA);
    }

    /** The reply to a newer major version: only ours is said. */
    static int replyVersion(FuseRequest request) {
        long body = request.body(FUSE_INIT_OUT_SIZE);
        Memory.zero(body, FUSE_INIT_OUT_SIZE);
        Memory.putInt(body + FUSE_INIT_OUT_MAJOR_OFFSET, FUSE_KERNEL_VERSION);
        Memory.putInt(body + FUSE_INIT_OUT_MINOR_OFFSET, FUSE_KERNEL_MINOR_VERSION);
        return request.replyBody(FUSE_INIT_OUT_SIZE);
    }

    static int reply(FuseRequest request, FuseState state, FuseOptions options) {
        long body = request.body(FUSE_INIT_OUT_SIZE);
        Memory.zero(body, FUSE_INIT_OUT_SIZE);
        Memory.putInt(body + FUSE_INIT_OUT_MAJOR_OFFSET, FUSE_KERNEL_VERSION);
        Memory.putInt(body + FUSE_INIT_OUT_MINOR_OFFSET, state.minor);
        long readahead =
                Math.min(request.argumentUnsignedInt(FUSE_INIT_IN_MAX_READAHEAD_OFFSET), options.maxReadaheadBytes());
        Memory.putInt(body + FUSE_INIT_OUT_MAX_READAHEAD_OFFSET, (int) readahead);
        Memory.putInt(body + FUSE_INIT_OUT_FLAGS_OFFSET, (int) state.flags);
        Memory.putInt(body + FUSE_INIT_OUT_FLAGS2_OFFSET, (int) (state.flags >>> 32));
        int background = options.maxBackground();
        Memory.putShort(body + FUSE_INIT_OUT_MAX_BACKGROUND_OFFSET, (short) background);
        // The kernel throttles write-back above this; three quarters, as the kernel itself takes for its defaults.
        Memory.putShort(body + FUSE_INIT_OUT_CONGESTION_THRESHOLD_OFFSET, (short) Math.max(1, background * 3 / 4));
        Memory.putInt(body + FUSE_INIT_OUT_MAX_WRITE_OFFSET, options.maxWriteBytes());
        Memory.putInt(body + FUSE_INIT_OUT_TIME_GRAN_OFFSET, 1);
        Memory.putShort(body + FUSE_INIT_OUT_MAX_PAGES_OFFSET, (short) (options.maxWriteBytes() / PAGE_BYTES));
        return request.replyBody(FUSE_INIT_OUT_SIZE);
    }
}

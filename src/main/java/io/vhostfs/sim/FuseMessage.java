package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.os.LibcConstants;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One FUSE request as a guest's kernel builds it. Immutable but for its arrays.
 *
 * @param opcode FUSE_*
 * @param nodeid whom it concerns
 * @param arguments what follows the header
 * @param payload data in pages, of a WRITE
 * @param replyBytes room for the reply's body
 * @param replyPages whether that room is in pages
 * @param extensionBytes of the arguments, at their end
 */
@SuppressWarnings("ArrayRecordComponent") // never compared, never changed
record FuseMessage(
        int opcode,
        long nodeid,
        byte[] arguments,
        byte[] payload,
        int replyBytes,
        boolean replyPages,
        int extensionBytes) {
    private static final byte[] NOTHING = new byte[0];

    /** What Linux 6.1 speaks. */
    private static final int MINOR_VERSION = 38;

    private FuseMessage(int opcode, long nodeid, byte[] arguments, byte[] payload, int replyBytes, boolean replyPages) {
        this(opcode, nodeid, arguments, payload, replyBytes, replyPages, 0);
    }

    /** The same with a security label for the inode that it makes; null: without. */
    FuseMessage withLabel(String name, byte @Nullable [] value) {
        int nameBytes = name.length() + 1;
        int size = FUSE_SECCTX_HEADER_SIZE;
        if (value != null) {
            size += (FUSE_SECCTX_SIZE + nameBytes + value.length + 7) & ~7;
        }
        byte[] extended = Arrays.copyOf(arguments, arguments.length + size);
        ByteBuffer out = ByteBuffer.wrap(extended, arguments.length, size).order(ByteOrder.LITTLE_ENDIAN);
        out.putInt(size).putInt(value == null ? 0 : 1);
        if (value != null) {
            out.putInt(value.length).putInt(0);
            out.put(withNames(NOTHING, name)).put(value);
        }
        return new FuseMessage(opcode, nodeid, extended, payload, replyBytes, replyPages, size);
    }

    private static ByteBuffer buffer(int size) {
        return fields(new byte[size]);
    }

    /** The body of a message or a reply, to read or set its fields. */
    static ByteBuffer fields(byte[] body) {
        return ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static FuseMessage of(int opcode, long nodeid, byte[] arguments, int replyBytes) {
        return new FuseMessage(opcode, nodeid, arguments, NOTHING, replyBytes, false);
    }

    private static byte[] withNames(byte[] arguments, String... names) {
        StringBuilder all = new StringBuilder();
        for (String name : names) {
            all.append(name).append('\0');
        }
        byte[] text = all.toString().getBytes(StandardCharsets.UTF_8);
        byte[] whole = new byte[arguments.length + text.length];
        System.arraycopy(arguments, 0, whole, 0, arguments.length);
        System.arraycopy(text, 0, whole, arguments.length, text.length);
        return whole;
    }

    static FuseMessage init() {
        // No write-back cache: sizes are the server's, and O_APPEND means something.
        int flags = FUSE_ASYNC_READ
                | FUSE_ATOMIC_O_TRUNC
                | FUSE_BIG_WRITES
                | FUSE_DO_READDIRPLUS
                | FUSE_READDIRPLUS_AUTO
                | FUSE_MAX_PAGES
                | FUSE_INIT_EXT;
        byte[] in = buffer(FUSE_INIT_IN_SIZE)
                .putInt(FUSE_INIT_IN_MAJOR_OFFSET, FUSE_KERNEL_VERSION)
                .putInt(FUSE_INIT_IN_MINOR_OFFSET, MINOR_VERSION)
                .putInt(FUSE_INIT_IN_MAX_READAHEAD_OFFSET, 128 << 10)
                .putInt(FUSE_INIT_IN_FLAGS_OFFSET, flags)
                .putInt(FUSE_INIT_IN_FLAGS2_OFFSET, (int) (FUSE_SECURITY_CTX >>> 32))
                .array();
        return of(FUSE_INIT, 0, in, FUSE_INIT_OUT_SIZE);
    }

    static FuseMessage lookup(long dir, String name) {
        return of(FUSE_LOOKUP, dir, withNames(NOTHING, name), FUSE_ENTRY_OUT_SIZE);
    }

    static FuseMessage forget(long nodeid, long count) {
        return of(
                FUSE_FORGET,
                nodeid,
                buffer(FUSE_FORGET_IN_SIZE).putLong(0, count).array(),
                0);
    }

    static FuseMessage getattr(long nodeid) {
        return of(FUSE_GETATTR, nodeid, new byte[FUSE_GETATTR_IN_SIZE], FUSE_ATTR_OUT_SIZE);
    }

    static FuseMessage chmod(long nodeid, int mode) {
        byte[] in = buffer(FUSE_SETATTR_IN_SIZE)
                .putInt(FUSE_SETATTR_IN_VALID_OFFSET, FATTR_MODE)
                .putInt(FUSE_SETATTR_IN_MODE_OFFSET, mode)
                .array();
        return of(FUSE_SETATTR, nodeid, in, FUSE_ATTR_OUT_SIZE);
    }

    static FuseMessage truncate(long nodeid, long size) {
        byte[] in = buffer(FUSE_SETATTR_IN_SIZE)
                .putInt(FUSE_SETATTR_IN_VALID_OFFSET, FATTR_SIZE)
                .putLong(FUSE_SETATTR_IN_SIZE_OFFSET, size)
                .array();
        return of(FUSE_SETATTR, nodeid, in, FUSE_ATTR_OUT_SIZE);
    }

    static FuseMessage readlink(long nodeid) {
        return of(FUSE_READLINK, nodeid, NOTHING, 4096);
    }

    static FuseMessage symlink(long dir, String name, String target) {
        return of(FUSE_SYMLINK, dir, withNames(NOTHING, name, target), FUSE_ENTRY_OUT_SIZE);
    }

    static FuseMessage mkdir(long dir, String name, int mode) {
        byte[] in = buffer(FUSE_MKDIR_IN_SIZE).putInt(0, mode).array();
        return of(FUSE_MKDIR, dir, withNames(in, name), FUSE_ENTRY_OUT_SIZE);
    }

    static FuseMessage mknod(long dir, String name, int mode, int device) {
        byte[] in = buffer(FUSE_MKNOD_IN_SIZE)
                .putInt(FUSE_MKNOD_IN_MODE_OFFSET, mode)
                .putInt(FUSE_MKNOD_IN_RDEV_OFFSET, device)
                .array();
        return of(FUSE_MKNOD, dir, withNames(in, name), FUSE_ENTRY_OUT_SIZE);
    }

    static FuseMessage create(long dir, String name, int mode) {
        byte[] in = buffer(FUSE_CREATE_IN_SIZE)
                .putInt(FUSE_CREATE_IN_FLAGS_OFFSET, LibcConstants.O_RDWR | LibcConstants.O_EXCL)
                .putInt(FUSE_CREATE_IN_MODE_OFFSET, mode)
                .array();
        return of(FUSE_CREATE, dir, withNames(in, name), FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
    }

    static FuseMessage tmpfile(long dir, int mode) {
        byte[] in = buffer(FUSE_CREATE_IN_SIZE)
                .putInt(FUSE_CREATE_IN_FLAGS_OFFSET, LibcConstants.O_RDWR)
                .putInt(FUSE_CREATE_IN_MODE_OFFSET, mode)
                .array();
        return of(FUSE_TMPFILE, dir, withNames(in, "/"), FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
    }

    static FuseMessage unlink(long dir, String name) {
        return of(FUSE_UNLINK, dir, withNames(NOTHING, name), 0);
    }

    static FuseMessage rmdir(long dir, String name) {
        return of(FUSE_RMDIR, dir, withNames(NOTHING, name), 0);
    }

    static FuseMessage rename(long dir, String name, long newDir, String newName, int flags) {
        byte[] in = buffer(FUSE_RENAME2_IN_SIZE)
                .putLong(FUSE_RENAME2_IN_NEWDIR_OFFSET, newDir)
                .putInt(FUSE_RENAME2_IN_FLAGS_OFFSET, flags)
                .array();
        return of(FUSE_RENAME2, dir, withNames(in, name, newName), 0);
    }

    static FuseMessage link(long nodeid, long newDir, String newName) {
        byte[] in = buffer(FUSE_LINK_IN_SIZE).putLong(0, nodeid).array();
        return of(FUSE_LINK, newDir, withNames(in, newName), FUSE_ENTRY_OUT_SIZE);
    }

    static FuseMessage open(long nodeid, int flags) {
        return of(FUSE_OPEN, nodeid, buffer(FUSE_OPEN_IN_SIZE).putInt(0, flags).array(), FUSE_OPEN_OUT_SIZE);
    }

    static FuseMessage release(long nodeid, long handle) {
        byte[] in = buffer(FUSE_RELEASE_IN_SIZE).putLong(0, handle).array();
        return of(FUSE_RELEASE, nodeid, in, 0);
    }

    static FuseMessage read(long nodeid, long handle, long offset, int size) {
        return new FuseMessage(FUSE_READ, nodeid, readArguments(handle, offset, size), NOTHING, size, true);
    }

    static FuseMessage readdir(long nodeid, long offset, int size, boolean plus) {
        int opcode = plus ? FUSE_READDIRPLUS : FUSE_READDIR;
        return new FuseMessage(opcode, nodeid, readArguments(0, offset, size), NOTHING, size, true);
    }

    private static byte[] readArguments(long handle, long offset, int size) {
        return buffer(FUSE_READ_IN_SIZE)
                .putLong(FUSE_READ_IN_FH_OFFSET, handle)
                .putLong(FUSE_READ_IN_OFFSET_OFFSET, offset)
                .putInt(FUSE_READ_IN_SIZE_OFFSET, size)
                .array();
    }

    static FuseMessage write(long nodeid, long handle, long offset, byte[] data, int flags) {
        byte[] in = buffer(FUSE_WRITE_IN_SIZE)
                .putLong(FUSE_WRITE_IN_FH_OFFSET, handle)
                .putLong(FUSE_WRITE_IN_OFFSET_OFFSET, offset)
                .putInt(FUSE_WRITE_IN_SIZE_OFFSET, data.length)
                .putInt(FUSE_WRITE_IN_FLAGS_OFFSET, flags)
                .array();
        return new FuseMessage(FUSE_WRITE, nodeid, in, data, FUSE_WRITE_OUT_SIZE, false);
    }

    static FuseMessage fsync(long nodeid, boolean directory, boolean dataOnly) {
        byte[] in = buffer(FUSE_FSYNC_IN_SIZE)
                .putInt(FUSE_FSYNC_IN_FSYNC_FLAGS_OFFSET, dataOnly ? FUSE_FSYNC_FDATASYNC : 0)
                .array();
        return of(directory ? FUSE_FSYNCDIR : FUSE_FSYNC, nodeid, in, 0);
    }

    static FuseMessage syncfs(long root) {
        return of(FUSE_SYNCFS, root, new byte[FUSE_SYNCFS_IN_SIZE], 0);
    }

    static FuseMessage fallocate(long nodeid, long handle, int mode, long offset, long length) {
        byte[] in = buffer(FUSE_FALLOCATE_IN_SIZE)
                .putLong(FUSE_FALLOCATE_IN_FH_OFFSET, handle)
                .putLong(FUSE_FALLOCATE_IN_OFFSET_OFFSET, offset)
                .putLong(FUSE_FALLOCATE_IN_LENGTH_OFFSET, length)
                .putInt(FUSE_FALLOCATE_IN_MODE_OFFSET, mode)
                .array();
        return of(FUSE_FALLOCATE, nodeid, in, 0);
    }

    static FuseMessage copyFileRange(
            long nodeid, long handle, long offset, long nodeid2, long handle2, long offset2, long length) {
        byte[] in = buffer(FUSE_COPY_FILE_RANGE_IN_SIZE)
                .putLong(FUSE_COPY_FILE_RANGE_IN_FH_IN_OFFSET, handle)
                .putLong(FUSE_COPY_FILE_RANGE_IN_OFF_IN_OFFSET, offset)
                .putLong(FUSE_COPY_FILE_RANGE_IN_NODEID_OUT_OFFSET, nodeid2)
                .putLong(FUSE_COPY_FILE_RANGE_IN_FH_OUT_OFFSET, handle2)
                .putLong(FUSE_COPY_FILE_RANGE_IN_OFF_OUT_OFFSET, offset2)
                .putLong(FUSE_COPY_FILE_RANGE_IN_LEN_OFFSET, length)
                .array();
        return of(FUSE_COPY_FILE_RANGE_64, nodeid, in, FUSE_COPY_FILE_RANGE_OUT_SIZE);
    }

    static FuseMessage lseek(long nodeid, long offset, int whence) {
        byte[] in = buffer(FUSE_LSEEK_IN_SIZE)
                .putLong(FUSE_LSEEK_IN_OFFSET_OFFSET, offset)
                .putInt(FUSE_LSEEK_IN_WHENCE_OFFSET, whence)
                .array();
        return of(FUSE_LSEEK, nodeid, in, FUSE_LSEEK_OUT_SIZE);
    }

    static FuseMessage setxattr(long nodeid, String name, byte[] value, int flags) {
        byte[] in = buffer(FUSE_COMPAT_SETXATTR_IN_SIZE)
                .putInt(FUSE_SETXATTR_IN_SIZE_OFFSET, value.length)
                .putInt(FUSE_SETXATTR_IN_FLAGS_OFFSET, flags)
                .array();
        byte[] named = withNames(in, name);
        byte[] whole = new byte[named.length + value.length];
        System.arraycopy(named, 0, whole, 0, named.length);
        System.arraycopy(value, 0, whole, named.length, value.length);
        return of(FUSE_SETXATTR, nodeid, whole, 0);
    }

    static FuseMessage getxattr(long nodeid, String name, int room) {
        byte[] in = buffer(FUSE_GETXATTR_IN_SIZE).putInt(0, room).array();
        return new FuseMessage(FUSE_GETXATTR, nodeid, withNames(in, name), NOTHING, room, true);
    }

    static FuseMessage listxattr(long nodeid, int room) {
        byte[] in = buffer(FUSE_GETXATTR_IN_SIZE).putInt(0, room).array();
        return new FuseMessage(FUSE_LISTXATTR, nodeid, in, NOTHING, room, true);
    }

    static FuseMessage removexattr(long nodeid, String name) {
        return of(FUSE_REMOVEXATTR, nodeid, withNames(NOTHING, name), 0);
    }
}

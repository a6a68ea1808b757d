package io.vhostfs.frontend;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * FUSE requests one at a time over one queue of a {@link FrontEnd}: each method sends one request and waits for its reply.
 *
 * <p>Nothing is cached, nothing is forgotten by itself: each nodeid that {@link #lookup} and its like return has one more
 * lookup until {@link #forget}. An error reply is a {@link FuseErrnoException}. Uses the queue's last descriptors, so that
 * load on the same queue may use the first ones when no call is under way. One thread at a time.
 */
public final class FuseClient {
    public static final long ROOT = 1;

    /** What {@link #call} can carry as data, in and out each. */
    public static final int MAX_DATA_BYTES = 1 << 20;

    /** Room for in arguments with names, and for out arguments that are not data. */
    private static final int ARGS_BYTES = 16 << 10;

    private static final int MAX_DESCRIPTORS =
            RequestLayout.MAX_FIXED_PARTS + 2 * (MAX_DATA_BYTES / RequestLayout.PAGE_BYTES);

    /** What Linux 6.1 speaks. */
    private static final int MINOR_VERSION = 38;

    private static final long SPIN_NS = 20_000;
    private static final long TIMEOUT_NS = FrontEndSocket.TIMEOUT_MS * 1_000_000L;

    /** A {@code struct fuse_entry_out}. */
    public record Entry(long nodeid, long generation, FuseAttributes attributes) {}

    /** A {@code struct fuse_open_out}, with the nodeid when the file was created. */
    public record Handle(long nodeid, long fh, int openFlags) {}

    /** A directory entry; without READDIRPLUS, or for {@code .} and {@code ..}, the nodeid is 0. */
    public record DirectoryEntry(String name, long ino, long offset, int type, long nodeid) {}

    /** What INIT agreed on. */
    public record Init(int major, int minor, long flags, int maxReadahead, int maxWrite, int maxPages) {}

    /** A {@code struct fuse_kstatfs}. */
    public record Statfs(long blocks, long bfree, long bavail, long files, long ffree, int bsize, int namelen) {}

    private final FrontEnd frontEnd;
    private final SharedMemory memory;
    private final int queueIndex;
    private final long inHeader;
    private final long inArgs;
    private final long inData;
    private final long outHeader;
    private final long outArgs;
    private final long outData;
    private final long indirectTable;
    private long nextUnique = 2;
    private int uid;
    private int gid;

    /** A client on the first request queue. */
    public FuseClient(FrontEnd frontEnd) {
        this(frontEnd, FrontEnd.REQUEST_QUEUE);
    }

    public FuseClient(FrontEnd frontEnd, int queueIndex) {
        this.frontEnd = frontEnd;
        this.memory = frontEnd.memory();
        this.queueIndex = queueIndex;
        inHeader = memory.allocate(64, 64);
        outHeader = memory.allocate(64, 64);
        inArgs = memory.allocate(ARGS_BYTES, 64);
        outArgs = memory.allocate(ARGS_BYTES, 64);
        inData = memory.allocate(MAX_DATA_BYTES, RequestLayout.PAGE_BYTES);
        outData = memory.allocate(MAX_DATA_BYTES, RequestLayout.PAGE_BYTES);
        indirectTable = memory.allocate((long) MAX_DESCRIPTORS * VRING_DESC_SIZE, 64);
    }

    public FrontEnd frontEnd() {
        return frontEnd;
    }

    /** Whose requests the next ones are; root's at first. */
    public void setCredentials(int newUid, int newGid) {
        uid = newUid;
        gid = newGid;
    }

    /**
     * Sends any request.
     *
     * @param arguments what follows the in header, names included
     * @param data what follows the arguments in pages of its own, as of a WRITE
     * @param outArgumentBytes room for what follows the out header
     * @param outDataBytes room in pages of its own, as of a READ
     */
    public FuseReply call(
            int opcode, long nodeid, byte[] arguments, byte[] data, int outArgumentBytes, int outDataBytes)
            throws IOException {
        int length = FUSE_IN_HEADER_SIZE + arguments.length + data.length;
        long unique = writeInHeader(opcode, nodeid, length);
        Memory.copyFromArray(arguments, 0, inArgs, arguments.length);
        Memory.copyFromArray(data, 0, inData, data.length);
        Memory.zero(outHeader, FUSE_OUT_HEADER_SIZE);
        DriverQueue queue = frontEnd.queue(queueIndex);
        boolean indirect = frontEnd.hasFeature(VIRTIO_RING_F_INDIRECT_DESC);
        int first = queue.size() - descriptors(arguments, data, outArgumentBytes, outDataBytes);
        if (!indirect && first < 0) {
            throw new IllegalArgumentException("request needs more descriptors than the ring has");
        }
        int head = indirect ? queue.size() - 1 : first;
        int count = new RequestLayout(
                        memory, indirect ? indirectTable : queue.descriptorsAddress(), indirect ? 0 : first)
                .readable(inHeader, FUSE_IN_HEADER_SIZE)
                .readable(inArgs, arguments.length)
                .readablePages(inData, data.length)
                .writable(outHeader, FUSE_OUT_HEADER_SIZE)
                .writable(outArgs, outArgumentBytes)
                .writablePages(outData, outDataBytes)
                .end();
        if (indirect) {
            queue.setDescriptor(
                    head, memory.guestAddress(indirectTable), count * VRING_DESC_SIZE, VRING_DESC_F_INDIRECT, 0);
        }
        int usedLength = submitAndWait(queue, head, "opcode " + opcode);
        if (Memory.getLong(outHeader + FUSE_OUT_HEADER_UNIQUE_OFFSET) != unique) {
            throw new FrontEndException("reply to opcode " + opcode + " has another request's unique");
        }
        int replyLength = Memory.getInt(outHeader + FUSE_OUT_HEADER_LEN_OFFSET);
        int bodyLength = replyLength - FUSE_OUT_HEADER_SIZE;
        if (bodyLength < 0 || bodyLength > outArgumentBytes + outDataBytes) {
            throw new FrontEndException("reply to opcode " + opcode + " says that it has " + replyLength + " bytes");
        }
        byte[] body = new byte[bodyLength];
        int inArguments = Math.min(bodyLength, outArgumentBytes);
        Memory.copyToArray(outArgs, body, 0, inArguments);
        Memory.copyToArray(outData, body, inArguments, bodyLength - inArguments);
        return new FuseReply(Memory.getInt(outHeader + FUSE_OUT_HEADER_ERROR_OFFSET), replyLength, usedLength, body);
    }

    /** A request without data in pages; an error throws. */
    private ByteBuffer request(String what, int opcode, long nodeid, byte[] arguments, int outBytes)
            throws IOException {
        FuseReply reply = call(opcode, nodeid, arguments, NOTHING, outBytes, 0);
        if (reply.error() != 0) {
            throw new FuseErrnoException(what, -reply.error());
        }
        return ByteBuffer.wrap(reply.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** INIT as Linux 6.1 sends it. */
    public Init init() throws IOException {
        int flags = FUSE_ASYNC_READ
                | FUSE_POSIX_LOCKS
                | FUSE_ATOMIC_O_TRUNC
                | FUSE_EXPORT_SUPPORT
                | FUSE_BIG_WRITES
                | FUSE_FLOCK_LOCKS
                | FUSE_AUTO_INVAL_DATA
                | FUSE_DO_READDIRPLUS
                | FUSE_READDIRPLUS_AUTO
                | FUSE_ASYNC_DIO
                | FUSE_PARALLEL_DIROPS
                | FUSE_MAX_PAGES
                | FUSE_CACHE_SYMLINKS;
        byte[] arguments = arguments(FUSE_INIT_IN_SIZE)
                .putInt(0, FUSE_KERNEL_VERSION)
                .putInt(4, MINOR_VERSION)
                .putInt(8, 128 << 10)
                .putInt(12, flags)
                .array();
        ByteBuffer out = request("INIT", FUSE_INIT, 0, arguments, FUSE_INIT_OUT_SIZE);
        long outFlags = Integer.toUnsignedLong(out.getInt(12)) | (long) out.getInt(32) << 32;
        return new Init(
                out.getInt(0), out.getInt(4), outFlags, out.getInt(8), out.getInt(20), out.getShort(28) & 0xffff);
    }

    public void destroy() throws IOException {
        request("DESTROY", FUSE_DESTROY, 0, NOTHING, 0);
    }

    /** A name that is not there is ENOENT, also when the server says so by an entry without a node, which may be cached. */
    public Entry lookup(long parent, String name) throws IOException {
        String what = "LOOKUP " + name;
        Entry found = entry(request(what, FUSE_LOOKUP, parent, names(0, name), FUSE_ENTRY_OUT_SIZE));
        if (found.nodeid() == 0) {
            throw new FuseErrnoException(what, Errno.ENOENT);
        }
        return found;
    }

    /** Takes back lookups, through the high priority queue; there is no reply. */
    public void forget(long nodeid, long lookups) throws IOException {
        writeInHeader(FUSE_FORGET, nodeid, FUSE_IN_HEADER_SIZE + FUSE_FORGET_IN_SIZE);
        Memory.putLong(inHeader + FUSE_IN_HEADER_SIZE, lookups);
        DriverQueue queue = frontEnd.queue(FrontEnd.HIPRIO_QUEUE);
        int head = queue.size() - 1;
        queue.setDescriptor(head, memory.guestAddress(inHeader), FUSE_IN_HEADER_SIZE + FUSE_FORGET_IN_SIZE, 0, 0);
        submitAndWait(queue, head, "FORGET");
    }

    public FuseAttributes getattr(long nodeid) throws IOException {
        ByteBuffer out = request("GETATTR", FUSE_GETATTR, nodeid, new byte[FUSE_GETATTR_IN_SIZE], FUSE_ATTR_OUT_SIZE);
        return FuseAttributes.read(out, FUSE_ATTR_OUT_ATTR_OFFSET);
    }

    public FuseAttributes truncate(long nodeid, long size) throws IOException {
        return setattr(nodeid, FATTR_SIZE, size, 0);
    }

    public FuseAttributes chmod(long nodeid, int mode) throws IOException {
        return setattr(nodeid, FATTR_MODE, 0, mode);
    }

    public String readlink(long nodeid) throws IOException {
        return StandardCharsets.UTF_8
                .decode(request("READLINK", FUSE_READLINK, nodeid, NOTHING, 4096))
                .toString();
    }

    public Entry symlink(long parent, String name, String target) throws IOException {
        return entry(request("SYMLINK " + name, FUSE_SYMLINK, parent, names(0, name, target), FUSE_ENTRY_OUT_SIZE));
    }

    public Entry mkdir(long parent, String name, int mode) throws IOException {
        byte[] arguments = names(FUSE_MKDIR_IN_SIZE, name);
        wrap(arguments).putInt(0, mode);
        return entry(request("MKDIR " + name, FUSE_MKDIR, parent, arguments, FUSE_ENTRY_OUT_SIZE));
    }

    public void unlink(long parent, String name) throws IOException {
        request("UNLINK " + name, FUSE_UNLINK, parent, names(0, name), 0);
    }

    public void rmdir(long parent, String name) throws IOException {
        request("RMDIR " + name, FUSE_RMDIR, parent, names(0, name), 0);
    }

    /** RENAME2; {@code flags} are those of renameat2(2). */
    public void rename(long parent, String name, long newParent, String newName, int flags) throws IOException {
        byte[] arguments = names(FUSE_RENAME2_IN_SIZE, name, newName);
        wrap(arguments).putLong(FUSE_RENAME2_IN_NEWDIR_OFFSET, newParent).putInt(FUSE_RENAME2_IN_FLAGS_OFFSET, flags);
        request("RENAME2 " + name, FUSE_RENAME2, parent, arguments, 0);
    }

    public Entry link(long nodeid, long newParent, String newName) throws IOException {
        byte[] arguments = names(8, newName);
        wrap(arguments).putLong(0, nodeid);
        return entry(request("LINK " + newName, FUSE_LINK, newParent, arguments, FUSE_ENTRY_OUT_SIZE));
    }

    public Handle open(long nodeid, int flags) throws IOException {
        return open("OPEN", FUSE_OPEN, nodeid, flags);
    }

    public Handle opendir(long nodeid) throws IOException {
        return open("OPENDIR", FUSE_OPENDIR, nodeid, 0);
    }

    public Handle create(long parent, String name, int flags, int mode) throws IOException {
        byte[] arguments = names(FUSE_CREATE_IN_SIZE, name);
        wrap(arguments).putInt(FUSE_CREATE_IN_FLAGS_OFFSET, flags).putInt(FUSE_CREATE_IN_MODE_OFFSET, mode);
        ByteBuffer out =
                request("CREATE " + name, FUSE_CREATE, parent, arguments, FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE);
        return new Handle(
                out.getLong(FUSE_ENTRY_OUT_NODEID_OFFSET),
                out.getLong(FUSE_ENTRY_OUT_SIZE),
                out.getInt(FUSE_ENTRY_OUT_SIZE + 8));
    }

    /** At most {@code size} bytes; fewer at the end of the file. */
    public byte[] read(long nodeid, long fh, long offset, int size) throws IOException {
        return readData("READ", FUSE_READ, nodeid, fh, offset, size);
    }

    /** Returns the bytes written. */
    public int write(long nodeid, long fh, long offset, byte[] data) throws IOException {
        byte[] arguments = readArguments(fh, offset, data.length);
        FuseReply reply = call(FUSE_WRITE, nodeid, arguments, data, FUSE_WRITE_OUT_SIZE, 0);
        if (reply.error() != 0) {
            throw new FuseErrnoException("WRITE", -reply.error());
        }
        return wrap(reply.bytes()).getInt(0);
    }

    public void flush(long nodeid, long fh) throws IOException {
        byte[] arguments = arguments(FUSE_FLUSH_IN_SIZE).putLong(0, fh).array();
        request("FLUSH", FUSE_FLUSH, nodeid, arguments, 0);
    }

    public void fsync(long nodeid, long fh, boolean dataOnly) throws IOException {
        request("FSYNC", FUSE_FSYNC, nodeid, fsyncArguments(fh, dataOnly), 0);
    }

    public void fsyncdir(long nodeid, long fh) throws IOException {
        request("FSYNCDIR", FUSE_FSYNCDIR, nodeid, fsyncArguments(fh, false), 0);
    }

    public void release(long nodeid, long fh, int flags) throws IOException {
        request("RELEASE", FUSE_RELEASE, nodeid, releaseArguments(fh, flags), 0);
    }

    public void releasedir(long nodeid, long fh) throws IOException {
        request("RELEASEDIR", FUSE_RELEASEDIR, nodeid, releaseArguments(fh, 0), 0);
    }

    public Statfs statfs() throws IOException {
        ByteBuffer out = request("STATFS", FUSE_STATFS, ROOT, NOTHING, FUSE_STATFS_OUT_SIZE);
        return new Statfs(
                out.getLong(0),
                out.getLong(8),
                out.getLong(16),
                out.getLong(24),
                out.getLong(32),
                out.getInt(40),
                out.getInt(44));
    }

    public void syncfs() throws IOException {
        request("SYNCFS", FUSE_SYNCFS, ROOT, new byte[FUSE_SYNCFS_IN_SIZE], 0);
    }

    public void access(long nodeid, int mask) throws IOException {
        byte[] arguments = arguments(FUSE_ACCESS_IN_SIZE).putInt(0, mask).array();
        request("ACCESS", FUSE_ACCESS, nodeid, arguments, 0);
    }

    public void fallocate(long nodeid, long fh, int mode, long offset, long length) throws IOException {
        byte[] arguments = arguments(FUSE_FALLOCATE_IN_SIZE)
                .putLong(0, fh)
                .putLong(8, offset)
                .putLong(16, length)
                .putInt(24, mode)
                .array();
        request("FALLOCATE", FUSE_FALLOCATE, nodeid, arguments, 0);
    }

    public long lseek(long nodeid, long fh, long offset, int whence) throws IOException {
        byte[] arguments = arguments(FUSE_LSEEK_IN_SIZE)
                .putLong(0, fh)
                .putLong(8, offset)
                .putInt(16, whence)
                .array();
        return request("LSEEK", FUSE_LSEEK, nodeid, arguments, FUSE_LSEEK_OUT_SIZE)
                .getLong(0);
    }

    public void setxattr(long nodeid, String name, byte[] value, int flags) throws IOException {
        byte[] head = names(FUSE_COMPAT_SETXATTR_IN_SIZE, name);
        wrap(head).putInt(0, value.length).putInt(4, flags);
        byte[] arguments = Arrays.copyOf(head, head.length + value.length);
        System.arraycopy(value, 0, arguments, head.length, value.length);
        request("SETXATTR " + name, FUSE_SETXATTR, nodeid, arguments, 0);
    }

    public byte[] getxattr(long nodeid, String name, int size) throws IOException {
        byte[] arguments = names(FUSE_GETXATTR_IN_SIZE, name);
        wrap(arguments).putInt(0, size);
        return request("GETXATTR " + name, FUSE_GETXATTR, nodeid, arguments, size)
                .array();
    }

    /** Names, each ended by a NUL. */
    public byte[] listxattr(long nodeid, int size) throws IOException {
        byte[] arguments = arguments(FUSE_GETXATTR_IN_SIZE).putInt(0, size).array();
        return request("LISTXATTR", FUSE_LISTXATTR, nodeid, arguments, size).array();
    }

    public void removexattr(long nodeid, String name) throws IOException {
        request("REMOVEXATTR " + name, FUSE_REMOVEXATTR, nodeid, names(0, name), 0);
    }

    /** One buffer of entries from {@code offset} on; empty at the end. */
    public List<DirectoryEntry> readdir(long nodeid, long fh, long offset, int size) throws IOException {
        return entries(readData("READDIR", FUSE_READDIR, nodeid, fh, offset, size), 0);
    }

    /** The same with a lookup of each entry. */
    public List<DirectoryEntry> readdirplus(long nodeid, long fh, long offset, int size) throws IOException {
        return entries(readData("READDIRPLUS", FUSE_READDIRPLUS, nodeid, fh, offset, size), FUSE_ENTRY_OUT_SIZE);
    }

    // Helpers.

    static final byte[] NOTHING = new byte[0];

    private FuseAttributes setattr(long nodeid, int valid, long size, int mode) throws IOException {
        byte[] arguments = arguments(FUSE_SETATTR_IN_SIZE)
                .putInt(FUSE_SETATTR_IN_VALID_OFFSET, valid)
                .putLong(FUSE_SETATTR_IN_SIZE_OFFSET, size)
                .putInt(FUSE_SETATTR_IN_MODE_OFFSET, mode)
                .array();
        ByteBuffer out = request("SETATTR", FUSE_SETATTR, nodeid, arguments, FUSE_ATTR_OUT_SIZE);
        return FuseAttributes.read(out, FUSE_ATTR_OUT_ATTR_OFFSET);
    }

    private Handle open(String what, int opcode, long nodeid, int flags) throws IOException {
        byte[] arguments = arguments(FUSE_OPEN_IN_SIZE).putInt(0, flags).array();
        ByteBuffer out = request(what, opcode, nodeid, arguments, FUSE_OPEN_OUT_SIZE);
        return new Handle(nodeid, out.getLong(0), out.getInt(8));
    }

    private byte[] readData(String what, int opcode, long nodeid, long fh, long offset, int size) throws IOException {
        FuseReply reply = call(opcode, nodeid, readArguments(fh, offset, size), NOTHING, 0, size);
        if (reply.error() != 0) {
            throw new FuseErrnoException(what, -reply.error());
        }
        return reply.bytes();
    }

    private static List<DirectoryEntry> entries(byte[] bytes, int prefixBytes) throws IOException {
        List<DirectoryEntry> entries = new ArrayList<>();
        ByteBuffer from = wrap(bytes);
        int at = 0;
        while (at < bytes.length) {
            int dirent = at + prefixBytes;
            int nameAt = dirent + FUSE_DIRENT_SIZE;
            int nameLength = nameAt > bytes.length ? -1 : from.getInt(dirent + FUSE_DIRENT_NAMELEN_OFFSET);
            if (nameLength < 1 || nameLength > bytes.length - nameAt) {
                throw new FrontEndException("directory entry at byte " + at + " does not fit in the reply");
            }
            entries.add(new DirectoryEntry(
                    new String(bytes, nameAt, nameLength, StandardCharsets.UTF_8),
                    from.getLong(dirent + FUSE_DIRENT_INO_OFFSET),
                    from.getLong(dirent + FUSE_DIRENT_OFF_OFFSET),
                    from.getInt(dirent + FUSE_DIRENT_TYPE_OFFSET),
                    prefixBytes == 0 ? 0 : from.getLong(at + FUSE_ENTRY_OUT_NODEID_OFFSET)));
            at = (nameAt + nameLength + 7) & ~7;
        }
        return entries;
    }

    private static Entry entry(ByteBuffer out) {
        return new Entry(
                out.getLong(FUSE_ENTRY_OUT_NODEID_OFFSET),
                out.getLong(FUSE_ENTRY_OUT_GENERATION_OFFSET),
                FuseAttributes.read(out, FUSE_ENTRY_OUT_ATTR_OFFSET));
    }

    private static byte[] readArguments(long fh, long offset, int size) {
        return arguments(FUSE_READ_IN_SIZE)
                .putLong(FUSE_READ_IN_FH_OFFSET, fh)
                .putLong(FUSE_READ_IN_OFFSET_OFFSET, offset)
                .putInt(FUSE_READ_IN_SIZE_OFFSET, size)
                .array();
    }

    private static byte[] fsyncArguments(long fh, boolean dataOnly) {
        return arguments(FUSE_FSYNC_IN_SIZE)
                .putLong(0, fh)
                .putInt(FUSE_FSYNC_IN_FSYNC_FLAGS_OFFSET, dataOnly ? 1 : 0)
                .array();
    }

    private static byte[] releaseArguments(long fh, int flags) {
        return arguments(FUSE_RELEASE_IN_SIZE)
                .putLong(0, fh)
                .putInt(FUSE_RELEASE_IN_FLAGS_OFFSET, flags)
                .array();
    }

    private static ByteBuffer arguments(int size) {
        return wrap(new byte[size]);
    }

    /** {@code prefixBytes} zero bytes and then the names, each ended by a NUL. */
    static byte[] names(int prefixBytes, String... names) {
        int length = prefixBytes;
        byte[][] encoded = new byte[names.length][];
        for (int i = 0; i < names.length; i++) {
            encoded[i] = names[i].getBytes(StandardCharsets.UTF_8);
            length += encoded[i].length + 1;
        }
        byte[] arguments = new byte[length];
        int at = prefixBytes;
        for (byte[] name : encoded) {
            System.arraycopy(name, 0, arguments, at, name.length);
            at += name.length + 1;
        }
        return arguments;
    }

    private static ByteBuffer wrap(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int descriptors(byte[] arguments, byte[] data, int outArgumentBytes, int outDataBytes) {
        return 2
                + (arguments.length > 0 ? 1 : 0)
                + pages(data.length)
                + (outArgumentBytes > 0 ? 1 : 0)
                + pages(outDataBytes);
    }

    private static int pages(int bytes) {
        return (bytes + RequestLayout.PAGE_BYTES - 1) / RequestLayout.PAGE_BYTES;
    }

    private long writeInHeader(int opcode, long nodeid, int length) {
        long unique = nextUnique;
        nextUnique += 2;
        Memory.zero(inHeader, FUSE_IN_HEADER_SIZE);
        Memory.putInt(inHeader + FUSE_IN_HEADER_LEN_OFFSET, length);
        Memory.putInt(inHeader + FUSE_IN_HEADER_OPCODE_OFFSET, opcode);
        Memory.putLong(inHeader + FUSE_IN_HEADER_UNIQUE_OFFSET, unique);
        Memory.putLong(inHeader + FUSE_IN_HEADER_NODEID_OFFSET, nodeid);
        Memory.putInt(inHeader + FUSE_IN_HEADER_UID_OFFSET, uid);
        Memory.putInt(inHeader + FUSE_IN_HEADER_GID_OFFSET, gid);
        Memory.putInt(inHeader + FUSE_IN_HEADER_PID_OFFSET, 1);
        return unique;
    }

    /** Submits the chain at {@code head} and waits for it alone; returns the used length. */
    private int submitAndWait(DriverQueue queue, int head, String what) throws IOException {
        queue.push(head);
        queue.publish();
        long start = System.nanoTime();
        while (queue.ready() == 0) {
            long waited = System.nanoTime() - start;
            if (waited < SPIN_NS) {
                Thread.onSpinWait();
            } else if (waited > TIMEOUT_NS) {
                throw new FrontEndException("no reply to " + what + " in " + TIMEOUT_NS / 1_000_000_000 + " s");
            } else if (frontEnd.socket().hungUp()) {
                throw new FrontEndException("the back end closed the connection during " + what);
            } else if (queue.requestCall() == 0) {
                frontEnd.socket().awaitReadable(queue.callFd(), 1000);
                queue.drainCalls();
            }
        }
        queue.suppressCalls();
        int gotHead = queue.usedHead(0);
        int usedLength = queue.usedLength(0);
        queue.consume(1);
        if (gotHead != head) {
            throw new FrontEndException("completion of " + what + " names descriptor " + gotHead + ", not " + head);
        }
        return usedLength;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.fsdev.DirectoryFiller;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Drives a file system by hand: one call per operation, which turns the reactor until the answer is there. */
final class FsTestClient {
    static final int MAX_DATA = 2 << 20;
    private static final int MAX_TURNS = 5_000_000;

    /** A request with memory of its own. */
    static final class Request extends FsRequest {
        private final Arena arena = Arena.ofAuto();
        final long name = arena.allocate(512).address();
        final long name2 = arena.allocate(70_000).address();
        /** Page-aligned, with room before and behind. */
        final long data;

        final long iovecs = arena.allocate(64 * (long) Iovecs.IOVEC_SIZE, 16).address();
        int status = FileSystem.PENDING;
        int completions;

        Request(FsClient client, Reactor origin, int dataBytes) {
            super(client, origin);
            data = arena.allocate(dataBytes + 3 * 4096L, 4096).address() + 4096;
            uid = 1000;
            gid = 100;
        }

        @Override
        public void onComplete(int s) {
            status = s;
            completions++;
        }

        void setName(String s) {
            nameAddress = name;
            nameLength = put(s, name);
        }

        void setName2(String s) {
            name2Address = name2;
            name2Length = put(s, name2);
        }

        private static int put(String s, long to) {
            byte[] bytes = s.getBytes(StandardCharsets.UTF_8);
            Memory.copyFromArray(bytes, 0, to, bytes.length);
            return bytes.length;
        }

        /** One iovec over {@code lengthBytes} from {@code address} on. */
        void setData(long address, long lengthBytes) {
            Iovecs.set(iovecs, 0, address, lengthBytes);
            dataIovecs = iovecs;
            dataIovecCount = 1;
        }
    }

    record Entry(String name, long inode, int type, long cookie) {}

    final BlobFs fileSystem;
    final Reactor reactor;
    final FsClient client;
    final Request request;

    /** Home, when requests come from another reactor that the same thread drives. */
    @Nullable
    Reactor home;

    private final int maxData;

    FsTestClient(BlobFs fileSystem, Reactor reactor) {
        this(fileSystem, reactor, fileSystem.attach(FileSystem.ROOT_INODE));
    }

    FsTestClient(BlobFs fileSystem, Reactor reactor, FsClient client) {
        this(fileSystem, reactor, client, MAX_DATA);
    }

    /** Reads and writes at most {@code maxData} bytes at once. */
    FsTestClient(BlobFs fileSystem, Reactor reactor, FsClient client, int maxData) {
        this.fileSystem = fileSystem;
        this.reactor = reactor;
        this.client = client;
        this.maxData = maxData;
        request = new Request(client, reactor, maxData);
    }

    Request newRequest() {
        return new Request(client, reactor, maxData);
    }

    /** Runs the request to its end. */
    int call(int operation) {
        return call(request, operation);
    }

    int call(Request r, int operation) {
        start(r, operation);
        return await(r);
    }

    void start(Request r, int operation) {
        r.operation = operation;
        r.status = FileSystem.PENDING;
        int status = fileSystem.submit(r);
        if (status != FileSystem.PENDING) {
            r.status = status;
        }
    }

    int await(Request r) {
        for (int i = 0; r.status == FileSystem.PENDING; i++) {
            reactor.runOnce();
            if (home != null) {
                home.runOnce();
            }
            if (i > MAX_TURNS) {
                throw new AssertionError("operation " + r.operation + " does not end");
            }
        }
        return r.status;
    }

    private static void check(int status, String what) {
        if (status != 0) {
            throw new AssertionError(what + ": " + Errno.name(status));
        }
    }

    // --- names: the plain ones throw, the try... ones return the status

    int tryLookup(long dir, String name) {
        request.inode = dir;
        request.setName(name);
        return call(FsOp.LOOKUP);
    }

    long lookup(long dir, String name) {
        check(tryLookup(dir, name), "lookup " + name);
        return request.attributes.inode;
    }

    int tryMkdir(long dir, String name) {
        request.inode = dir;
        request.mode = 0x1ed;
        request.setName(name);
        return call(FsOp.MKDIR);
    }

    long mkdir(long dir, String name) {
        check(tryMkdir(dir, name), "mkdir " + name);
        return request.attributes.inode;
    }

    int tryCreate(long dir, String name, int flags) {
        request.inode = dir;
        request.mode = 0x1a4;
        request.flags = flags;
        request.setName(name);
        return call(FsOp.CREATE);
    }

    /** Creates and closes. */
    long create(long dir, String name) {
        check(tryCreate(dir, name, 0), "create " + name);
        long inode = request.attributes.inode;
        check(release(request.handle), "release " + name);
        return inode;
    }

    int trySymlink(long dir, String name, String target) {
        request.inode = dir;
        request.setName(name);
        request.setName2(target);
        return call(FsOp.SYMLINK);
    }

    String readlink(long inode) {
        request.inode = inode;
        request.setData(request.data, 4096);
        check(call(FsOp.READLINK), "readlink");
        return new String(bytes(request.data, (int) request.count), StandardCharsets.UTF_8);
    }

    int tryUnlink(long dir, String name) {
        request.inode = dir;
        request.setName(name);
        return call(FsOp.UNLINK);
    }

    int tryRmdir(long dir, String name) {
        request.inode = dir;
        request.setName(name);
        return call(FsOp.RMDIR);
    }

    int tryLink(long inode, long dir, String name) {
        request.inode2 = inode;
        request.inode = dir;
        request.setName(name);
        return call(FsOp.LINK);
    }

    int tryRename(long dir, String name, long dir2, String name2, int flags) {
        request.inode = dir;
        request.inode2 = dir2;
        request.flags = flags;
        request.setName(name);
        request.setName2(name2);
        return call(FsOp.RENAME);
    }

    void forget(long inode, long count) {
        request.inode = inode;
        request.count = count;
        check(call(FsOp.FORGET), "forget");
    }

    // --- handles

    int tryOpen(long inode, int flags) {
        request.inode = inode;
        request.flags = flags;
        return call(FsOp.OPEN);
    }

    long open(long inode) {
        check(tryOpen(inode, 2), "open");
        return request.handle;
    }

    int release(long handle) {
        request.handle = handle;
        return call(FsOp.RELEASE);
    }

    // --- attributes

    int tryGetattr(long inode) {
        request.inode = inode;
        return call(FsOp.GETATTR);
    }

    FsAttributes getattr(long inode) {
        check(tryGetattr(inode), "getattr");
        FsAttributes copy = new FsAttributes();
        copy.copyFrom(request.attributes);
        return copy;
    }

    int trySetattr(long inode, int valid) {
        request.inode = inode;
        request.valid = valid;
        return call(FsOp.SETATTR);
    }

    int truncate(long inode, long size) {
        request.newAttributes.sizeBytes = size;
        return trySetattr(inode, FsRequest.SET_SIZE);
    }

    // --- data

    int tryWrite(long inode, long handle, long offset, byte[] bytes, int flags) {
        return tryWriteAt(request.data, inode, handle, offset, bytes, flags);
    }

    /** Writes from memory at a chosen address, to choose its alignment. */
    int tryWriteAt(long address, long inode, long handle, long offset, byte[] bytes, int flags) {
        Memory.copyFromArray(bytes, 0, address, bytes.length);
        request.inode = inode;
        request.handle = handle;
        request.offset = offset;
        request.length = bytes.length;
        request.flags = flags;
        request.setData(address, bytes.length);
        return call(FsOp.WRITE);
    }

    void write(long inode, long offset, byte[] bytes) {
        check(tryWrite(inode, 0, offset, bytes, 0), "write");
        if (request.count != bytes.length) {
            throw new AssertionError("short write: " + request.count);
        }
    }

    int tryRead(long inode, long handle, long offset, int length) {
        request.inode = inode;
        request.handle = handle;
        request.offset = offset;
        request.length = length;
        request.setData(request.data, length);
        return call(FsOp.READ);
    }

    byte[] read(long inode, long offset, int length) {
        check(tryRead(inode, 0, offset, length), "read");
        return bytes(request.data, (int) request.count);
    }

    static byte[] bytes(long address, int length) {
        byte[] b = new byte[length];
        Memory.copyToArray(address, b, 0, length);
        return b;
    }

    int fallocate(long inode, int mode, long offset, long length) {
        request.inode = inode;
        request.handle = 0;
        request.mode = mode;
        request.offset = offset;
        request.length = length;
        return call(FsOp.FALLOCATE);
    }

    /** Status; {@code request.count} says how many bytes the target shares now. */
    int tryClone(long inode, long offset, long inode2, long offset2, long length) {
        request.inode = inode;
        request.handle = 0;
        request.offset = offset;
        request.inode2 = inode2;
        request.handle2 = 0;
        request.offset2 = offset2;
        request.length = length;
        request.count = -1;
        return call(FsOp.CLONE);
    }

    /** How many bytes the target shares now. */
    long cloneRange(long inode, long offset, long inode2, long offset2, long length) {
        check(tryClone(inode, offset, inode2, offset2, length), "clone");
        return request.count;
    }

    int seek(long inode, long offset, int whence) {
        request.inode = inode;
        request.handle = 0;
        request.offset = offset;
        request.flags = whence;
        return call(FsOp.LSEEK);
    }

    int fsync(long inode, boolean dataOnly) {
        request.inode = inode;
        request.handle = 0;
        request.dataOnly = dataOnly;
        return call(FsOp.FSYNC);
    }

    // --- listing

    /** All entries, read in portions of {@code portion}. */
    List<Entry> list(long dir, int portion) {
        List<Entry> all = new ArrayList<>();
        long cookie = 0;
        while (true) {
            List<Entry> some = listFrom(dir, cookie, portion, false);
            if (some.isEmpty()) {
                return all;
            }
            all.addAll(some);
            cookie = some.getLast().cookie();
        }
    }

    List<Entry> listFrom(long dir, long cookie, int max, boolean withAttributes) {
        List<Entry> found = new ArrayList<>();
        check(tryList(dir, cookie, max, withAttributes, found), "readdir");
        return found;
    }

    /** Adds what is found behind the cookie, up to {@code max} entries. */
    int tryList(long dir, long cookie, int max, boolean withAttributes, List<Entry> found) {
        request.inode = dir;
        request.handle = 0;
        request.offset = cookie;
        request.wantAttributes = withAttributes;
        request.filler = new DirectoryFiller() {
            @Override
            public boolean add(
                    long inode,
                    long nameAddress,
                    int nameLength,
                    int type,
                    long nextCookie,
                    @Nullable FsAttributes attributes) {
                if (found.size() == max) {
                    return false;
                }
                String name = new String(bytes(nameAddress, nameLength), StandardCharsets.UTF_8);
                found.add(new Entry(name, inode, type, nextCookie));
                return true;
            }
        };
        return call(FsOp.READDIR);
    }

    // --- extended attributes

    int trySetxattr(long inode, String name, byte[] value, int flags) {
        request.inode = inode;
        request.setName(name);
        Memory.copyFromArray(value, 0, request.name2, Math.min(value.length, 70_000));
        request.name2Address = request.name2;
        request.name2Length = value.length;
        request.flags = flags;
        return call(FsOp.SETXATTR);
    }

    int tryGetxattr(long inode, String name, int room) {
        request.inode = inode;
        request.setName(name);
        request.length = room;
        request.setData(request.data, room);
        return call(FsOp.GETXATTR);
    }

    byte[] getxattr(long inode, String name) {
        check(tryGetxattr(inode, name, 66_000), "getxattr " + name);
        return bytes(request.data, (int) request.count);
    }

    int tryListxattr(long inode, int room) {
        request.inode = inode;
        request.length = room;
        request.setData(request.data, room);
        return call(FsOp.LISTXATTR);
    }

    int removexattr(long inode, String name) {
        request.inode = inode;
        request.setName(name);
        return call(FsOp.REMOVEXATTR);
    }
}

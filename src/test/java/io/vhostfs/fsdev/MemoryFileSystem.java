package io.vhostfs.fsdev;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A file system in the Java heap for tests: small, with the semantics that {@link FsOp} asks for. It completes within the
 * call, or keeps every request until {@link #completeWaiting} when {@link #pending} is set. One thread.
 */
public final class MemoryFileSystem implements FileSystem {
    /** Whether requests wait. */
    public boolean pending;

    /** Requests that reached the file system. */
    public int submitted;

    /** When not 0, what every request fails with. */
    public int failure;

    private static final int MAX_FILE_BYTES = 1 << 26;

    private final Reactor home;
    private final Map<Long, Node> nodes = new HashMap<>();
    private final ArrayDeque<FsRequest> waiting = new ArrayDeque<>();
    private final long nameBuffer = Arena.global().allocate(256).address();
    private long lastInode;
    private long lastHandle;
    private long lastCookie;
    private long clock = 1_700_000_000_000_000_000L;

    /** 0: no range is cloned. */
    public int cloneBlockBytes;

    /** One CLONE takes no more. */
    public long mostToClone = Long.MAX_VALUE;

    /** What was cloned, in order. */
    public final List<String> clones = new ArrayList<>();

    private static final class Node {
        final FsAttributes attributes = new FsAttributes();
        final Map<String, Entry> children = new TreeMap<>();
        final Map<String, byte[]> extendedAttributes = new TreeMap<>();
        byte[] data = new byte[0];
        long parent;
        int references;

        boolean isDirectory() {
            return (attributes.mode & LibcConstants.S_IFMT) == LibcConstants.S_IFDIR;
        }
    }

    private record Entry(long inode, long cookie) {}

    private static final class Client extends FsClient {
        final Map<Long, Long> references = new HashMap<>();
        final Map<Long, Long> handles = new HashMap<>();

        Client(long rootInode) {
            super(rootInode);
        }

        @Override
        public boolean holds(long inode) {
            return inode == rootInode() || references.containsKey(inode);
        }
    }

    public MemoryFileSystem(Reactor home) {
        this.home = home;
        Node root = makeNode(LibcConstants.S_IFDIR | 0755);
        root.parent = root.attributes.inode;
        root.attributes.linkCount = 2;
    }

    // --- for tests

    /** Completes what waits, and what these completions submit; returns how many completed. */
    public int completeWaiting() {
        int completed = 0;
        for (FsRequest request = waiting.poll(); request != null; request = waiting.poll()) {
            request.onComplete(perform(request));
            completed++;
        }
        return completed;
    }

    /** Makes a directory by path from the root, with its parents. */
    public long makeDirectories(String... names) {
        long inode = ROOT_INODE;
        for (String name : names) {
            Node parent = node(inode);
            Entry entry = parent.children.get(name);
            if (entry == null) {
                Node made = makeNode(LibcConstants.S_IFDIR | 0755);
                made.parent = inode;
                made.attributes.linkCount = 2;
                parent.attributes.linkCount++;
                entry = link(parent, name, made);
            }
            inode = entry.inode();
        }
        return inode;
    }

    /** References that a client holds to an inode. */
    public long references(FsClient client, long inode) {
        return ((Client) client).references.getOrDefault(inode, 0L);
    }

    /** References to other inodes than its root. */
    public long references(FsClient client) {
        long sum = 0;
        for (var reference : ((Client) client).references.entrySet()) {
            sum += reference.getKey() == client.rootInode() ? 0 : reference.getValue();
        }
        return sum;
    }

    public int openHandles(FsClient client) {
        return ((Client) client).handles.size();
    }

    // --- FileSystem

    @Override
    public int submit(FsRequest request) {
        submitted++;
        if (pending) {
            waiting.add(request);
            return PENDING;
        }
        return perform(request);
    }

    @Override
    public Reactor home() {
        return home;
    }

    @Override
    public FsClient attach(long rootInode) {
        Client client = new Client(rootInode);
        refer(client, node(rootInode));
        return client;
    }

    @Override
    public void detach(FsClient client) {
        Client c = (Client) client;
        c.handles.clear();
        for (var reference : List.copyOf(c.references.entrySet())) {
            forget(c, reference.getKey(), reference.getValue());
        }
    }

    private int perform(FsRequest r) {
        if (failure != 0) {
            return failure;
        }
        Client client = (Client) r.client;
        if (r.operation == FsOp.FORGET) {
            return forget(client, r.inode, r.count);
        }
        Node node = client.references.containsKey(r.inode) ? nodes.get(r.inode) : null;
        if (node == null) {
            return -Errno.ESTALE;
        }
        return switch (r.operation) {
            case FsOp.LOOKUP -> lookup(client, r, node);
            case FsOp.GETATTR -> attributes(r, node);
            case FsOp.SETATTR -> setAttributes(r, node);
            case FsOp.READLINK -> readLink(r, node);
            case FsOp.SYMLINK, FsOp.MKNOD, FsOp.MKDIR -> make(client, r, node);
            case FsOp.UNLINK, FsOp.RMDIR -> remove(r, node, r.operation == FsOp.RMDIR);
            case FsOp.RENAME -> rename(client, r, node);
            case FsOp.LINK -> link(client, r, node);
            case FsOp.OPEN -> open(client, r, node);
            case FsOp.CREATE -> create(client, r, node);
            case FsOp.READ -> read(client, r, node);
            case FsOp.WRITE -> write(client, r, node);
            case FsOp.STATFS -> statistics(r);
            case FsOp.RELEASE, FsOp.RELEASEDIR -> release(client, r);
            case FsOp.FSYNC, FsOp.FLUSH -> checkHandle(client, r);
            case FsOp.SETXATTR -> setExtendedAttribute(r, node);
            case FsOp.GETXATTR -> getExtendedAttribute(r, node);
            case FsOp.LISTXATTR -> listExtendedAttributes(r, node);
            case FsOp.REMOVEXATTR ->
                node.extendedAttributes.remove(name(r.nameAddress, r.nameLength)) == null ? -Errno.ENODATA : 0;
            case FsOp.OPENDIR -> node.isDirectory() ? openHandle(client, r) : -Errno.ENOTDIR;
            case FsOp.READDIR -> list(client, r, node);
            case FsOp.FALLOCATE -> allocate(client, r, node);
            case FsOp.LSEEK -> seek(client, r, node);
            case FsOp.CLONE -> cloneRange(client, r, node);
            case FsOp.SYNCFS -> 0;
            default -> -Errno.ENOSYS;
        };
    }

    // --- inodes

    private Node makeNode(int mode) {
        Node node = new Node();
        FsAttributes a = node.attributes;
        a.inode = ++lastInode;
        a.generation = 7;
        a.mode = mode;
        a.linkCount = 0;
        a.blockSize = 4096;
        a.accessTimeNs = a.modifyTimeNs = a.changeTimeNs = a.birthTimeNs = ++clock;
        nodes.put(a.inode, node);
        return node;
    }

    private Node node(long inode) {
        Node node = nodes.get(inode);
        if (node == null) {
            throw new IllegalStateException("no inode " + inode);
        }
        return node;
    }

    private int entry(Client client, FsRequest r, Node node) {
        refer(client, node);
        return attributes(r, node);
    }

    private static void refer(Client client, Node node) {
        client.references.merge(node.attributes.inode, 1L, Long::sum);
        node.references++;
    }

    private int forget(Client client, long inode, long count) {
        Long held = client.references.get(inode);
        if (held == null) {
            return 0;
        }
        long dropped = Long.compareUnsigned(count, held) < 0 ? count : held;
        if (dropped == held) {
            client.references.remove(inode);
        } else {
            client.references.put(inode, held - dropped);
        }
        Node node = node(inode);
        node.references -= (int) dropped;
        if (node.references == 0 && node.attributes.linkCount == 0) {
            nodes.remove(inode);
        }
        return 0;
    }

    private static int attributes(FsRequest r, Node node) {
        r.attributes.copyFrom(node.attributes);
        return 0;
    }

    private int setAttributes(FsRequest r, Node node) {
        FsAttributes a = node.attributes;
        FsAttributes n = r.newAttributes;
        int valid = r.valid;
        if ((valid & FsRequest.SET_MODE) != 0) {
            a.mode = (a.mode & LibcConstants.S_IFMT) | (n.mode & 07777);
        }
        if ((valid & FsRequest.SET_KILL_PRIVILEGES) != 0) {
            a.mode &= ~(LibcConstants.S_ISUID | LibcConstants.S_ISGID);
        }
        a.uid = (valid & FsRequest.SET_UID) != 0 ? n.uid : a.uid;
        a.gid = (valid & FsRequest.SET_GID) != 0 ? n.gid : a.gid;
        if ((valid & FsRequest.SET_SIZE) != 0) {
            if (n.sizeBytes > MAX_FILE_BYTES) {
                return -Errno.EFBIG;
            }
            resize(node, (int) n.sizeBytes);
        }
        if ((valid & FsRequest.SET_ATIME) != 0) {
            a.accessTimeNs = (valid & FsRequest.SET_ATIME_NOW) != 0 ? ++clock : n.accessTimeNs;
        }
        if ((valid & FsRequest.SET_MTIME) != 0) {
            a.modifyTimeNs = (valid & FsRequest.SET_MTIME_NOW) != 0 ? ++clock : n.modifyTimeNs;
        }
        a.changeTimeNs = (valid & FsRequest.SET_CTIME) != 0 ? n.changeTimeNs : ++clock;
        return attributes(r, node);
    }

    private static void resize(Node node, int size) {
        node.data = Arrays.copyOf(node.data, size);
        node.attributes.sizeBytes = size;
        node.attributes.blocks = (size + 511L) / 512;
    }

    // --- names

    private int lookup(Client client, FsRequest r, Node directory) {
        String name = name(r.nameAddress, r.nameLength);
        if (name.equals(".")) {
            return entry(client, r, directory);
        }
        if (!directory.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        if (name.equals("..")) {
            return entry(client, r, node(directory.parent));
        }
        Entry found = directory.children.get(name);
        return found == null ? -Errno.ENOENT : entry(client, r, node(found.inode()));
    }

    private int make(Client client, FsRequest r, Node directory) {
        int status = checkNew(directory, r);
        if (status != 0) {
            return status;
        }
        boolean symlink = r.operation == FsOp.SYMLINK;
        Node made = makeNode(symlink ? LibcConstants.S_IFLNK | 0777 : r.mode & ~r.umask);
        made.attributes.uid = r.uid;
        made.attributes.gid = r.gid;
        made.attributes.deviceNumber = r.operation == FsOp.MKNOD ? r.deviceNumber : 0;
        if (symlink) {
            made.data = bytes(r.name2Address, r.name2Length);
            made.attributes.sizeBytes = r.name2Length;
        }
        if (made.isDirectory()) {
            made.parent = directory.attributes.inode;
            made.attributes.linkCount = 1;
            directory.attributes.linkCount++;
        }
        link(directory, name(r.nameAddress, r.nameLength), made);
        return entry(client, r, made);
    }

    private static int checkNew(Node directory, FsRequest r) {
        if (!directory.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        return directory.children.containsKey(name(r.nameAddress, r.nameLength)) ? -Errno.EEXIST : 0;
    }

    private Entry link(Node directory, String name, Node node) {
        Entry entry = new Entry(node.attributes.inode, ++lastCookie);
        directory.children.put(name, entry);
        node.attributes.linkCount++;
        directory.attributes.modifyTimeNs = ++clock;
        return entry;
    }

    private int remove(FsRequest r, Node directory, boolean wantsDirectory) {
        String name = name(r.nameAddress, r.nameLength);
        Entry entry = directory.children.get(name);
        if (entry == null) {
            return directory.isDirectory() ? -Errno.ENOENT : -Errno.ENOTDIR;
        }
        Node node = node(entry.inode());
        if (node.isDirectory() != wantsDirectory) {
            return wantsDirectory ? -Errno.ENOTDIR : -Errno.EISDIR;
        }
        if (!node.children.isEmpty()) {
            return -Errno.ENOTEMPTY;
        }
        unlink(directory, name, node);
        return 0;
    }

    private void unlink(Node directory, String name, Node node) {
        directory.children.remove(name);
        node.attributes.linkCount -= node.isDirectory() ? 2 : 1;
        directory.attributes.linkCount -= node.isDirectory() ? 1 : 0;
        if (node.references == 0 && node.attributes.linkCount == 0) {
            nodes.remove(node.attributes.inode);
        }
    }

    private int rename(Client client, FsRequest r, Node from) {
        Node to = client.references.containsKey(r.inode2) ? node(r.inode2) : null;
        if (to == null) {
            return -Errno.ESTALE;
        }
        String name = name(r.nameAddress, r.nameLength);
        String name2 = name(r.name2Address, r.name2Length);
        Entry entry = from.children.get(name);
        Entry target = to.children.get(name2);
        if (entry == null) {
            return -Errno.ENOENT;
        }
        if ((r.flags & LibcConstants.RENAME_NOREPLACE) != 0 && target != null) {
            return -Errno.EEXIST;
        }
        if ((r.flags & LibcConstants.RENAME_EXCHANGE) != 0) {
            if (target == null) {
                return -Errno.ENOENT;
            }
            from.children.put(name, target);
            to.children.put(name2, entry);
            return 0;
        }
        if (target != null && target.inode() == entry.inode()) {
            return 0;
        }
        if (target != null) {
            Node old = node(target.inode());
            if (!old.children.isEmpty()) {
                return -Errno.ENOTEMPTY;
            }
            unlink(to, name2, old);
        }
        from.children.remove(name);
        to.children.put(name2, new Entry(entry.inode(), ++lastCookie));
        node(entry.inode()).parent = r.inode2;
        return 0;
    }

    private int link(Client client, FsRequest r, Node directory) {
        Node node = client.references.containsKey(r.inode2) ? node(r.inode2) : null;
        if (node == null) {
            return -Errno.ESTALE;
        }
        if (node.isDirectory()) {
            return -Errno.EPERM;
        }
        int status = checkNew(directory, r);
        if (status != 0) {
            return status;
        }
        link(directory, name(r.nameAddress, r.nameLength), node);
        return entry(client, r, node);
    }

    private static int readLink(FsRequest r, Node node) {
        if ((node.attributes.mode & LibcConstants.S_IFMT) != LibcConstants.S_IFLNK) {
            return -Errno.EINVAL;
        }
        r.count = scatter(r, node.data, 0, node.data.length);
        return 0;
    }

    // --- files

    private int openHandle(Client client, FsRequest r) {
        r.handle = ++lastHandle;
        client.handles.put(r.handle, r.inode);
        return 0;
    }

    private int open(Client client, FsRequest r, Node node) {
        if (node.isDirectory()) {
            return -Errno.EISDIR;
        }
        if ((r.flags & LibcConstants.O_TRUNC) != 0) {
            resize(node, 0);
        }
        return openHandle(client, r);
    }

    private int create(Client client, FsRequest r, Node directory) {
        String name = name(r.nameAddress, r.nameLength);
        Entry entry = directory.children.get(name);
        if (entry != null && (r.flags & LibcConstants.O_EXCL) != 0) {
            return -Errno.EEXIST;
        }
        if (!directory.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        Node node;
        if (entry != null) {
            node = node(entry.inode());
        } else {
            node = makeNode(r.mode & ~r.umask);
            node.attributes.uid = r.uid;
            node.attributes.gid = r.gid;
            link(directory, name, node);
        }
        int status = openHandle(client, r);
        client.handles.put(r.handle, node.attributes.inode);
        return status != 0 ? status : entry(client, r, node);
    }

    private static int checkHandle(Client client, FsRequest r) {
        return client.handles.containsKey(r.handle) ? 0 : -Errno.EBADF;
    }

    private static int release(Client client, FsRequest r) {
        return client.handles.remove(r.handle) == null ? -Errno.EBADF : 0;
    }

    private static int read(Client client, FsRequest r, Node node) {
        int status = checkHandle(client, r);
        if (status == 0) {
            long length = Math.max(0, Math.min(r.length, node.data.length - r.offset));
            r.count = length == 0 ? 0 : scatter(r, node.data, (int) r.offset, (int) length);
        }
        return status;
    }

    @Override
    public int cloneBlockBytes() {
        return cloneBlockBytes;
    }

    private int cloneRange(Client client, FsRequest r, Node node) {
        Node target = client.references.containsKey(r.inode2) ? nodes.get(r.inode2) : null;
        if (target == null) {
            return -Errno.ESTALE;
        }
        int status = client.handles.containsKey(r.handle2) ? checkHandle(client, r) : -Errno.EBADF;
        if (status != 0) {
            return status;
        }
        if (((r.offset | r.offset2 | r.length) & (cloneBlockBytes - 1)) != 0) {
            return -Errno.EINVAL;
        }
        long length = Math.min(mostToClone, Math.min(r.length, node.data.length - r.offset));
        r.count = Math.max(0, length) & -cloneBlockBytes;
        clones.add(r.offset + "+" + r.count + " to " + r.offset2);
        if (r.count > 0 && r.offset2 + r.count > target.data.length) {
            resize(target, (int) (r.offset2 + r.count));
        }
        System.arraycopy(node.data, (int) r.offset, target.data, (int) r.offset2, (int) r.count);
        return 0;
    }

    private int write(Client client, FsRequest r, Node node) {
        int status = checkHandle(client, r);
        if (status != 0) {
            return status;
        }
        long offset = (r.flags & LibcConstants.O_APPEND) != 0 ? node.data.length : r.offset;
        if (offset + r.length > MAX_FILE_BYTES) {
            return -Errno.EFBIG;
        }
        if (offset + r.length > node.data.length) {
            resize(node, (int) (offset + r.length));
        }
        if (r.killPrivileges) {
            node.attributes.mode &= ~(LibcConstants.S_ISUID | LibcConstants.S_ISGID);
        }
        int at = (int) offset;
        for (int i = 0; i < r.dataIovecCount; i++) {
            int piece = (int) Iovecs.length(r.dataIovecs, i);
            Memory.copyToArray(Iovecs.base(r.dataIovecs, i), node.data, at, piece);
            at += piece;
        }
        node.attributes.modifyTimeNs = ++clock;
        r.count = r.length;
        return 0;
    }

    private int allocate(Client client, FsRequest r, Node node) {
        int status = checkHandle(client, r);
        if (status != 0) {
            return status;
        }
        if (r.mode != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (r.offset + r.length > MAX_FILE_BYTES) {
            return -Errno.ENOSPC;
        }
        resize(node, (int) Math.max(node.data.length, r.offset + r.length));
        return 0;
    }

    private static int seek(Client client, FsRequest r, Node node) {
        int status = checkHandle(client, r);
        if (status != 0) {
            return status;
        }
        if (r.offset >= node.data.length) {
            return -Errno.ENXIO;
        }
        r.count = r.flags == LibcConstants.SEEK_HOLE ? node.data.length : r.offset;
        return 0;
    }

    private int statistics(FsRequest r) {
        FsStatistics s = r.statistics;
        s.blockSize = 4096;
        s.blocks = 1000;
        s.freeBlocks = 900;
        s.availableBlocks = 800;
        s.files = 700;
        s.freeFiles = 600;
        s.maxNameLength = 255;
        return 0;
    }

    // --- extended attributes

    private static int setExtendedAttribute(FsRequest r, Node node) {
        String name = name(r.nameAddress, r.nameLength);
        boolean exists = node.extendedAttributes.containsKey(name);
        if (exists && (r.flags & LibcConstants.XATTR_CREATE) != 0) {
            return -Errno.EEXIST;
        }
        if (!exists && (r.flags & LibcConstants.XATTR_REPLACE) != 0) {
            return -Errno.ENODATA;
        }
        node.extendedAttributes.put(name, bytes(r.name2Address, r.name2Length));
        return 0;
    }

    private static int getExtendedAttribute(FsRequest r, Node node) {
        byte[] value = node.extendedAttributes.get(name(r.nameAddress, r.nameLength));
        return value == null ? -Errno.ENODATA : give(r, value);
    }

    private static int listExtendedAttributes(FsRequest r, Node node) {
        StringBuilder names = new StringBuilder();
        for (String name : node.extendedAttributes.keySet()) {
            names.append(name).append('\0');
        }
        return give(r, names.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static int give(FsRequest r, byte[] value) {
        r.count = value.length;
        if (r.length == 0) {
            return 0;
        }
        if (r.length < value.length) {
            return -Errno.ERANGE;
        }
        scatter(r, value, 0, value.length);
        return 0;
    }

    // --- directories

    private record Listed(String name, long inode, long cookie) {}

    private int list(Client client, FsRequest r, Node directory) {
        int status = checkHandle(client, r);
        if (status != 0) {
            return status;
        }
        DirectoryFiller filler = r.filler;
        if (filler == null) {
            return -Errno.EINVAL;
        }
        for (Listed listed : listing(directory)) {
            if (listed.cookie() <= r.offset) {
                continue;
            }
            boolean dots = listed.name().equals(".") || listed.name().equals("..");
            Node node = node(listed.inode());
            byte[] name = listed.name().getBytes(StandardCharsets.UTF_8);
            Memory.copyFromArray(name, 0, nameBuffer, name.length);
            FsAttributes attributes = dots ? null : node.attributes;
            int type = (node.attributes.mode & LibcConstants.S_IFMT) >> 12;
            if (!filler.add(listed.inode(), nameBuffer, name.length, type, listed.cookie(), attributes)) {
                break;
            }
            if (r.wantAttributes && !dots) {
                refer(client, node);
            }
        }
        return 0;
    }

    /** "." and ".." have the first two cookies, names follow by theirs. */
    private static List<Listed> listing(Node directory) {
        List<Listed> all = new ArrayList<>();
        all.add(new Listed(".", directory.attributes.inode, 1));
        all.add(new Listed("..", directory.parent, 2));
        directory.children.forEach((name, entry) -> all.add(new Listed(name, entry.inode(), entry.cookie() + 2)));
        all.sort((a, b) -> Long.compare(a.cookie(), b.cookie()));
        return all;
    }

    // --- memory

    private static String name(long address, int length) {
        return new String(bytes(address, length), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(long address, int length) {
        byte[] bytes = new byte[length];
        Memory.copyToArray(address, bytes, 0, length);
        return bytes;
    }

    /** Copies to the request's data, as much as it takes; returns the bytes copied. */
    private static long scatter(FsRequest r, byte[] from, int start, int length) {
        int done = 0;
        for (int i = 0; i < r.dataIovecCount && done < length; i++) {
            int piece = (int) Math.min(Iovecs.length(r.dataIovecs, i), length - done);
            Memory.copyFromArray(from, start + done, Iovecs.base(r.dataIovecs, i), piece);
            done += piece;
        }
        return done;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.fsdev.FsStatistics;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import java.util.Arrays;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The file system: takes requests apart by operation and brings them to an end.
 *
 * <p>Invariant: metadata is read and changed on the home reactor only, an operation that must wait for a node of the tree
 * has changed nothing and runs again from its start. A request of another reactor travels home and back, unless a
 * snapshot of the inode answers it where it is ({@link RemoteAccess}).
 */
public final class BlobFs implements FileSystem {
    private final BlobStore store;
    private final Reactor home;
    private final BlockDevice device;
    private final Volume volume;
    private final IoContext homeContext;
    private final Attributes attributes;
    private final Orphans orphans;
    private final FileChanges changes;
    private final FileQueries queries;
    private final Directory directory;
    private final Namespace namespace;
    private final Renames renames;
    private final Xattrs xattrs;
    private final Locks locks;

    private volatile IoContext[] contexts;
    private @Nullable ParkedRequest freeParked;

    BlobFs(
            BlobStore store,
            Reactor home,
            BlockDevice device,
            BlockChannel channel,
            NameHash hash,
            Quotas quotas,
            long nextInode,
            boolean hasShared) {
        this.store = store;
        this.home = home;
        this.device = device;
        volume = new Volume(store, home, hash, quotas, nextInode, hasShared);
        homeContext = new IoContext(this, store, home, 0, device, channel);
        contexts = new IoContext[] {homeContext};
        xattrs = new Xattrs(volume);
        attributes = new Attributes(volume, xattrs.acls());
        orphans = new Orphans(volume);
        changes = new FileChanges(volume, homeContext, attributes, orphans);
        queries = new FileQueries(volume);
        directory = new Directory(volume);
        NewXattrs newXattrs = new NewXattrs(xattrs, xattrs.acls());
        namespace = new Namespace(volume, directory, orphans, attributes, changes, newXattrs);
        renames = new Renames(volume, directory, namespace, orphans);
        locks = new Locks(this);
        orphans.scan(inode -> changes.start(null, inode, FileOp.FINISH_TRUNCATION), nextInode);
    }

    // --- life cycle

    /** Told how {@link #mount} ended; on the home reactor. */
    public interface MountListener {
        void onMounted(BlobFs fileSystem);

        /** A negative errno, and what is wrong. */
        void onFailed(int errno, String why);
    }

    /**
     * Makes an empty file system in an empty store, in memory; the caller commits the store.
     *
     * @throws IllegalStateException when the store refuses: it is too small, or not empty
     */
    public static void format(BlobStore store, long nowNs, int uid, int gid) {
        Formatter.format(store, nowNs, uid, gid);
    }

    /** Opens the file system of a store whose data lies on {@code device}; home reactor. */
    public static void mount(
            BlobStore store, Reactor home, BlockDevice device, BlockChannel channel, MountListener listener) {
        new Mounter(store, home, device, channel, listener).run();
    }

    /**
     * Writes back what is only in memory and commits; {@code done} gets 0 or a negative errno. Home reactor; no request may
     * be under way and none may come.
     */
    public void unmount(IntConsumer done) {
        new Unmounter(volume, orphans, done).run();
    }

    /**
     * Limits what a directory and all below it may use: it becomes a project of its own, unless it is one. The first time
     * everything below is counted; nobody may be at work there meanwhile. Home reactor.
     *
     * @param maxBytes 0 for no limit
     * @param maxInodes 0 for no limit
     * @param done gets 0 when it is durable, or a negative errno
     */
    public void setQuota(long directory, long maxBytes, long maxInodes, IntConsumer done) {
        new QuotaSetter(volume, orphans, directory, maxBytes, maxInodes, done).run();
    }

    /** Lets another reactor send requests, with its own channel to the device. Home reactor, before that one's first. */
    public void addReactor(Reactor reactor, BlockChannel channel) {
        IoContext[] old = contexts;
        if (old.length == Limits.MAX_REACTORS) {
            throw new IllegalStateException("a file system serves at most " + Limits.MAX_REACTORS + " reactors");
        }
        IoContext[] grown = Arrays.copyOf(old, old.length + 1);
        grown[old.length] = new IoContext(this, store, reactor, old.length, device, channel);
        contexts = grown;
    }

    @Override
    public Reactor home() {
        return home;
    }

    @Override
    public FsClient attach(long rootInode) {
        return attach(rootInode, Limits.MAX_CLIENT_REFERENCES, Limits.MAX_CLIENT_HANDLES);
    }

    BlobFsClient attach(long rootInode, int maxReferences, int maxHandles) {
        BlobFsClient client = new BlobFsClient(this, rootInode, maxReferences, maxHandles);
        volume.addClient(client);
        return client;
    }

    @Override
    public void detach(FsClient fsClient) {
        BlobFsClient client = (BlobFsClient) fsClient;
        if (client.detached) {
            return;
        }
        client.detached = true;
        locks.detach(client);
        volume.removeClient(client);
        for (int i = 0; i < client.fileCount(); i++) {
            OpenFile file = client.fileAt(i);
            Inode inode = file.inode;
            if (inode != null) {
                close(client, file, inode);
            }
        }
        Inode orphan = volume.firstOrphan();
        while (orphan != null) {
            Inode next = orphan.orphanNext;
            orphans.released(orphan);
            orphan = next;
        }
    }

    @Override
    public void interruptWaiting(FsClient client) {
        locks.interruptAll((BlobFsClient) client, -Errno.EINTR);
    }

    /** Shared state, for tests. */
    Volume volume() {
        return volume;
    }

    /** Whether inodes without links are still being removed in the background. */
    public boolean isCleaning() {
        return orphans.isBusy();
    }

    // --- requests

    @Override
    public int submit(FsRequest r) {
        if (r.origin != home) {
            return submitElsewhere(r);
        }
        return runAtHome(r);
    }

    private int submitElsewhere(FsRequest r) {
        IoContext[] all = contexts;
        for (IoContext context : all) {
            if (context.reactor == r.origin) {
                return RemoteAccess.submit(context, volume, r);
            }
        }
        return -Errno.ENODEV;
    }

    /** Runs a request from its start: PENDING or the final status. */
    int runAtHome(FsRequest r) {
        int status;
        try {
            status = execute(r);
        } catch (RuntimeException e) {
            status = store.onUnexpected(e);
        }
        if (status == BlobStore.NOT_RESIDENT) {
            store.park(parked(r));
            return PENDING;
        }
        if (status == Volume.NEXT_TURN) {
            volume.inNextTurn(parked(r));
            return PENDING;
        }
        return status;
    }

    /** Ends a request that was pending; home reactor. */
    void complete(FsRequest r, int status) {
        if (r.origin == home) {
            r.onComplete(status);
        } else {
            RemoteAccess.complete(r, status);
        }
    }

    /** After a wait: goes on with an operation. On the reactor of its context. */
    void resume(FileOp op) {
        if (op.context != homeContext) {
            RemoteAccess.ended(op);
            return;
        }
        FileOp clone = op.kind == FileOp.CLONE_SOURCE ? op.partner : null;
        if (clone != null) {
            // The range that it holds, or waits for, is the clone's business.
            resume(clone);
            return;
        }
        FsRequest r = op.request;
        int status;
        try {
            status = goOn(op);
        } catch (RuntimeException e) {
            status = store.onUnexpected(e);
        }
        if (status != PENDING && r != null) {
            complete(r, status);
        }
    }

    private int goOn(FileOp op) {
        return switch (op.kind) {
            case FileOp.READ -> FileData.finishRead(op, op.ioStatus);
            case FileOp.SYNC -> {
                int status = op.ioStatus;
                op.context.release(op);
                yield status;
            }
            case FileOp.OVERWRITE -> changes.finishOverwrite(op);
            default -> changes.run(op);
        };
    }

    private int execute(FsRequest r) {
        if (!(r.client instanceof BlobFsClient client) || client.fileSystem != this || client.detached) {
            return -Errno.ESTALE;
        }
        return switch (r.operation) {
            case FsOp.LOOKUP -> namespace.lookup(r, client);
            case FsOp.FORGET -> forget(r, client);
            case FsOp.READ -> read(r, client);
            case FsOp.WRITE -> write(r, client);
            case FsOp.SYMLINK -> durable(r, namespace.symlink(r, client));
            case FsOp.MKNOD -> durable(r, namespace.mknod(r, client));
            case FsOp.MKDIR -> durable(r, namespace.mkdir(r, client));
            case FsOp.UNLINK -> durable(r, namespace.remove(r, client, false));
            case FsOp.RMDIR -> durable(r, namespace.remove(r, client, true));
            case FsOp.RENAME -> durable(r, renames.rename(r, client));
            case FsOp.LINK -> durable(r, namespace.link(r, client));
            case FsOp.CREATE -> durable(r, namespace.create(r, client));
            case FsOp.TMPFILE -> namespace.makeNameless(r, client);
            case FsOp.RELEASE, FsOp.RELEASEDIR -> release(r, client);
            case FsOp.STATFS -> statistics(r, client);
            case FsOp.SYNCFS -> syncAll(r);
            case FsOp.CLONE -> cloneRange(r, client);
            case FsOp.INTERRUPT -> {
                locks.interrupt(client, r.key);
                yield BlobStore.OK;
            }
            default -> executeOnInode(r, client);
        };
    }

    private int executeOnInode(FsRequest r, BlobFsClient client) {
        Inode inode = volume.opened(client, r.inode, hasHandle(r) ? r.handle : 0);
        if (inode == null) {
            return volume.status;
        }
        if (inode.isModifiedElsewhere()) {
            volume.takeModification(inode);
        }
        return switch (r.operation) {
            case FsOp.GETATTR -> {
                inode.fill(r.attributes);
                yield BlobStore.OK;
            }
            case FsOp.SETATTR -> setAttributes(r, inode);
            case FsOp.READLINK -> {
                volume.accessed(inode, client);
                yield namespace.readlink(r, inode);
            }
            case FsOp.OPEN -> namespace.open(r, client, inode);
            case FsOp.OPENDIR -> openDirectory(r, client, inode);
            case FsOp.READDIR -> {
                volume.accessed(inode, client);
                yield inode.isDirectory() ? directory.list(r, client, inode) : -Errno.ENOTDIR;
            }
            case FsOp.FSYNC -> sync(r, inode);
            case FsOp.FLUSH -> {
                locks.release(inode, client, r.lockOwner, false);
                yield BlobStore.OK;
            }
            case FsOp.GETLK -> locks.get(r, inode, client);
            case FsOp.SETLK -> locks.set(r, inode, client);
            case FsOp.SETXATTR -> xattrs.set(r, inode);
            case FsOp.GETXATTR -> xattrs.get(r, inode);
            case FsOp.LISTXATTR -> xattrs.list(r, inode);
            case FsOp.REMOVEXATTR -> xattrs.remove(r, inode);
            case FsOp.FALLOCATE -> allocate(r, inode);
            case FsOp.LSEEK -> queries.seek(r, inode, homeContext.cursor);
            default -> -Errno.ENOSYS;
        };
    }

    /** Whether the operation's {@code handle} field is an argument. */
    private static boolean hasHandle(FsRequest r) {
        return switch (r.operation) {
            case FsOp.READDIR, FsOp.FSYNC, FsOp.FLUSH, FsOp.FALLOCATE, FsOp.LSEEK, FsOp.GETLK, FsOp.SETLK -> true;
            case FsOp.SETATTR -> (r.valid & FsRequest.SET_HANDLE) != 0;
            default -> false;
        };
    }

    private int forget(FsRequest r, BlobFsClient client) {
        if (client.dropReferences(r.inode, r.count)) {
            Inode inode = volume.inodes.get(r.inode);
            if (inode != null && inode.links == 0) {
                orphans.released(inode);
            }
        }
        return BlobStore.OK;
    }

    private int release(FsRequest r, BlobFsClient client) {
        OpenFile file = client.file(r.handle);
        Inode inode = file == null ? null : file.inode;
        if (file == null || inode == null) {
            return -Errno.EBADF;
        }
        if (r.isFlock) {
            locks.release(inode, client, r.lockOwner, true);
        }
        close(client, file, inode);
        if (inode.links == 0) {
            orphans.released(inode);
        }
        return BlobStore.OK;
    }

    private void close(BlobFsClient client, OpenFile file, Inode inode) {
        client.close(file, inode);
        if (inode.handles == 0) {
            locks.closed(inode);
        }
    }

    private int openDirectory(FsRequest r, BlobFsClient client, Inode inode) {
        if (!inode.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        if (!client.hasRoomForHandle()) {
            return -Errno.ENFILE;
        }
        attributes.setOpened(r, inode, client.open(inode, LibcConstants.O_RDONLY));
        return BlobStore.OK;
    }

    // --- data

    private int read(FsRequest r, BlobFsClient client) {
        Inode inode = volume.opened(client, r.inode, r.handle);
        if (inode == null) {
            return volume.status;
        }
        if (!inode.isRegular()) {
            return inode.isDirectory() ? -Errno.EISDIR : -Errno.EINVAL;
        }
        if (r.offset < 0 || r.length < 0) {
            return -Errno.EINVAL;
        }
        volume.accessed(inode, client);
        if (inode.isInline()) {
            return queries.readInline(r, inode);
        }
        ExtentMap map = volume.map(inode);
        return map == null ? volume.status : FileData.read(homeContext.obtain(), r, map, inode.size);
    }

    private int write(FsRequest r, BlobFsClient client) {
        Inode inode = volume.opened(client, r.inode, r.handle);
        if (inode == null) {
            return volume.status;
        }
        if (!inode.isRegular()) {
            return inode.isDirectory() ? -Errno.EISDIR : -Errno.EINVAL;
        }
        if (r.handle == 0 && InodeFlags.isFixed(inode.flags)) {
            return -Errno.EPERM;
        }
        if (r.offset < 0 || r.length < 0) {
            return -Errno.EINVAL;
        }
        if (store.isReadOnly()) {
            return -Errno.EROFS;
        }
        if (r.isCopy && InodeFlags.isImmutable(inode)) {
            return -Errno.EPERM;
        }
        if (InodeFlags.isSync(inode.flags) || (r.isCopy && isSync(client, r.handle))) {
            r.flags |= LibcConstants.O_DSYNC;
        }
        ExtentMap map = inode.map;
        if (map == null
                || inode.hasExclusives()
                || inode.isInline()
                || (r.killPrivileges && Modes.withoutPrivileges(inode.mode, r.gid == inode.gid) != inode.mode)
                || !FileData.isOverwrite(homeContext, r, map, inode.size)) {
            return changes.start(r, inode, FileOp.WRITE);
        }
        return overwrite(r, inode, map);
    }

    private int overwrite(FsRequest r, Inode inode, ExtentMap map) {
        FileOp op = homeContext.obtain();
        op.kind = FileOp.OVERWRITE;
        op.phase = FileChanges.LOCK;
        op.request = r;
        int status = FileData.overwrite(op, map);
        if (status == PENDING || (status == BlobStore.OK && (r.flags & LibcConstants.O_DSYNC) != 0)) {
            changes.watchOverwrite(op, inode);
            return status == PENDING ? status : changes.finishOverwrite(op);
        }
        homeContext.release(op);
        if (status == BlobStore.OK) {
            r.count = r.length;
            volume.dataWritten(inode, r);
        }
        return status;
    }

    private int setAttributes(FsRequest r, Inode inode) {
        if ((r.valid & FsRequest.SET_SIZE) == 0) {
            return attributes.set(r, inode);
        }
        if (!inode.isRegular()) {
            return inode.isDirectory() ? -Errno.EISDIR : -Errno.EINVAL;
        }
        long size = r.newAttributes.sizeBytes;
        if (size < 0 || size > Limits.MAX_FILE_BYTES) {
            return size < 0 ? -Errno.EINVAL : -Errno.EFBIG;
        }
        int allowed = InodeFlags.checkAttributes(r, inode);
        if (allowed != BlobStore.OK) {
            return allowed;
        }
        if ((r.valid & FsRequest.SET_MODE) != 0 && (inode.flags & Items.FLAG_XATTRS) != 0) {
            // No kernel asks for both at once. An access list follows the mode here, the truncation sets it once more.
            int status = attributes.set(r, inode);
            if (status != BlobStore.OK) {
                return status;
            }
        }
        return changes.start(r, inode, FileOp.TRUNCATE);
    }

    private int allocate(FsRequest r, Inode inode) {
        if (!inode.isRegular()) {
            return inode.isDirectory() ? -Errno.EISDIR : -Errno.ENODEV;
        }
        int status = SpaceSteps.check(r);
        status = status == BlobStore.OK ? InodeFlags.checkAllocation(r, inode) : status;
        return status == BlobStore.OK ? changes.start(r, inode, FileOp.FALLOCATE) : status;
    }

    private int cloneRange(FsRequest r, BlobFsClient client) {
        Inode source = volume.opened(client, r.inode, r.handle);
        if (source == null) {
            return volume.status;
        }
        source.pins++;
        Inode target = volume.opened(client, r.inode2, r.handle2);
        source.pins--;
        if (target == null) {
            return volume.status;
        }
        if (!source.isRegular() || !target.isRegular()) {
            return source.isDirectory() || target.isDirectory() ? -Errno.EISDIR : -Errno.EINVAL;
        }
        int status = InodeFlags.isImmutable(target) ? -Errno.EPERM : CloneSteps.check(r);
        r.flags = InodeFlags.isSync(target.flags) || isSync(client, r.handle2) ? LibcConstants.O_DSYNC : 0;
        return status == BlobStore.OK ? changes.startClone(r, source, target) : status;
    }

    private static boolean isSync(BlobFsClient client, long handle) {
        OpenFile file = handle == 0 ? null : client.file(handle);
        return file != null && file.isSync;
    }

    @Override
    public int cloneBlockBytes() {
        return Items.BLOCK_SIZE;
    }

    // --- durability

    private int sync(FsRequest r, Inode inode) {
        if (store.failure() != 0) {
            // Whether this inode's data reached the disk is no longer known.
            return store.failure();
        }
        if (!r.dataOnly) {
            int s = volume.writeBack(inode);
            if (s != BlobStore.OK) {
                return s;
            }
        }
        return commit(r, inode.changedSequence > store.committedSequence());
    }

    private int syncAll(FsRequest r) {
        if (store.failure() != 0) {
            return store.failure();
        }
        int s = volume.writeBackAll();
        return s == BlobStore.OK ? commit(r, true) : s;
    }

    /** After a change of names: waits for a commit where a directory asks for that. */
    private int durable(FsRequest r, int status) {
        if (status != BlobStore.OK || !volume.changedSynchronous) {
            return status;
        }
        volume.changedSynchronous = false;
        return commit(r, true);
    }

    private int commit(FsRequest r, boolean metadata) {
        FileOp op = homeContext.obtain();
        op.kind = FileOp.SYNC;
        op.request = r;
        int status = op.waiter.sync(store, metadata);
        if (status != PENDING) {
            homeContext.release(op);
        }
        return status;
    }

    private int statistics(FsRequest r, BlobFsClient client) {
        if (!client.holds(r.inode)) {
            return -Errno.ESTALE;
        }
        FsStatistics s = r.statistics;
        s.blockSize = Items.BLOCK_SIZE;
        s.blocks = store.totalBlocks();
        s.freeBlocks = store.availableBlocks();
        s.availableBlocks = s.freeBlocks;
        // No table of inodes limits their number.
        s.files = 0;
        s.freeFiles = 0;
        s.maxNameLength = Limits.MAX_NAME_BYTES;
        if (!volume.quotas.isEmpty()) {
            Inode inode = volume.load(r.inode);
            if (inode == null) {
                return volume.status;
            }
            Quotas.limit(inode.quota, s);
        }
        return BlobStore.OK;
    }

    // --- requests that wait for a node of the tree, or for their next turn

    private ParkedRequest parked(FsRequest r) {
        ParkedRequest parked = freeParked;
        if (parked == null) {
            parked = new ParkedRequest();
        } else {
            freeParked = parked.nextFree;
        }
        parked.request = r;
        return parked;
    }

    private final class ParkedRequest extends BlobStore.Parkable implements Message {
        @Nullable
        FsRequest request;

        @Nullable
        ParkedRequest nextFree;

        @Override
        public void unpark() {
            run();
        }

        @Override
        public void run() {
            FsRequest r = request;
            if (r == null) {
                throw new IllegalStateException("unparked twice");
            }
            request = null;
            nextFree = freeParked;
            freeParked = this;
            int status = runAtHome(r);
            if (status != PENDING) {
                complete(r, status);
            }
        }
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.AccessTimes;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Message;
import org.jspecify.annotations.Nullable;

/**
 * Requests of reactors other than home: answered from a snapshot of the inode where that is possible, else brought home
 * and back.
 *
 * <p>Invariant: what is answered here was true at some moment between submission and completion. The I/O epoch is entered
 * before the snapshot is taken, so that blocks the snapshot names are not used for anything else before the I/O ends. Runs
 * on the origin's reactor.
 */
final class RemoteAccess {
    /** Tries for attributes that hold still. */
    private static final int MAX_TRIES = 8;

    private RemoteAccess() {}

    /** On the context's reactor: PENDING or the final status. */
    static int submit(IoContext context, Volume volume, FsRequest r) {
        if (r.client instanceof BlobFsClient client && client.fileSystem == context.fileSystem && !client.detached) {
            switch (r.operation) {
                case FsOp.READ -> {
                    return read(context, volume, client, r);
                }
                case FsOp.WRITE -> {
                    return overwrite(context, volume, client, r);
                }
                case FsOp.GETATTR -> {
                    return attributes(context, volume, client, r);
                }
                default -> {}
            }
        }
        return sendHome(context, r);
    }

    private static int sendHome(IoContext context, FsRequest r) {
        Route route = context.obtainRoute();
        route.request = r;
        route.isBack = false;
        r.route = route;
        context.fileSystem.home().send(r);
        return FileSystem.PENDING;
    }

    /** The inode in memory that the client means, or null: then home knows more. */
    private static @Nullable Inode find(Volume volume, BlobFsClient client, long number, long handle) {
        if (handle != 0) {
            OpenFile file = client.file(handle);
            return file == null ? null : file.inode;
        }
        return client.holds(number) ? volume.inodes.get(number) : null;
    }

    // --- reads

    private static int read(IoContext c, Volume volume, BlobFsClient client, FsRequest r) {
        Inode inode = find(volume, client, r.inode, r.handle);
        if (inode == null || r.offset < 0) {
            return sendHome(c, r);
        }
        FileOp op = c.obtain();
        op.enterEpoch();
        int version = inode.readVersion();
        ExtentMap map = inode.map;
        long size = inode.size;
        boolean isPlain = inode.number == r.inode && inode.isRegular() && !inode.isInline();
        boolean isChange = client.accessTimes() != AccessTimes.OFF
                && (inode.isModifiedElsewhere()
                        || inode.isAccessTimeDue(client.accessTimes(), c.reactor.wallClockNs()));
        if (map == null || !isPlain || isChange || (version & 1) != 0 || !inode.isVersion(version)) {
            return sendHomeInstead(c, op, r);
        }
        return FileData.read(op, r, map, size);
    }

    private static int sendHomeInstead(IoContext c, FileOp op, FsRequest r) {
        op.leaveEpoch();
        c.release(op);
        return sendHome(c, r);
    }

    // --- overwrites

    private static int overwrite(IoContext c, Volume volume, BlobFsClient client, FsRequest r) {
        Inode inode = find(volume, client, r.inode, r.handle);
        if (inode == null
                || r.offset < 0
                || r.isCopy
                || (r.flags & LibcConstants.O_DSYNC) != 0
                || c.store.isReadOnly()) {
            return sendHome(c, r);
        }
        if (!inode.tryEnterRemoteWriter(volume.home)) {
            return sendHome(c, r);
        }
        FileOp op = c.obtain();
        op.enterEpoch();
        int version = inode.readVersion();
        ExtentMap map = inode.map;
        long size = inode.size;
        int mode = inode.mode;
        int gid = inode.gid;
        boolean isPlain = inode.number == r.inode && inode.isRegular() && !inode.isInline();
        if (map == null
                || !isPlain
                || InodeFlags.isSync(inode.flags)
                || InodeFlags.isFixed(inode.flags)
                || (r.killPrivileges && Modes.withoutPrivileges(mode, r.gid == gid) != mode)
                || (version & 1) != 0
                || !inode.isVersion(version)
                || !FileData.isOverwrite(c, r, map, size)) {
            inode.leaveRemoteWriter(volume.home);
            return sendHomeInstead(c, op, r);
        }
        op.kind = FileOp.OVERWRITE;
        op.request = r;
        op.inode = inode;
        int status = FileData.overwrite(op, map);
        return status == FileSystem.PENDING ? status : finishOverwrite(op, status);
    }

    private static int finishOverwrite(FileOp op, int status) {
        Inode inode = op.inode();
        FsRequest r = op.request();
        IoContext c = op.context;
        if (status == BlobStore.OK) {
            r.count = r.length;
            if (!r.keepsTimes) {
                inode.noteRemoteModification(c.fileSystem.home(), c.reactor.wallClockNs());
            }
        }
        op.leaveEpoch();
        inode.leaveRemoteWriter(c.fileSystem.home());
        c.release(op);
        return status;
    }

    /** The I/O of an operation that was pending here has ended. */
    static void ended(FileOp op) {
        FsRequest r = op.request();
        int status = op.kind == FileOp.READ ? FileData.finishRead(op, op.ioStatus) : finishOverwrite(op, op.ioStatus);
        r.onComplete(status);
    }

    // --- attributes

    private static int attributes(IoContext c, Volume volume, BlobFsClient client, FsRequest r) {
        Inode inode = find(volume, client, r.inode, 0);
        if (inode == null) {
            return sendHome(c, r);
        }
        FsAttributes a = r.attributes;
        for (int i = 0; i < MAX_TRIES; i++) {
            int version = inode.readVersion();
            inode.fill(a);
            boolean isNews = inode.isModifiedElsewhere();
            long modifiedNs = inode.remoteModifiedNs();
            if ((version & 1) == 0 && inode.isVersion(version)) {
                if (a.inode != r.inode) {
                    break;
                }
                if (isNews && modifiedNs > a.modifyTimeNs) {
                    a.modifyTimeNs = modifiedNs;
                    a.changeTimeNs = modifiedNs;
                }
                return BlobStore.OK;
            }
        }
        return sendHome(c, r);
    }

    // --- the way home and back

    /** At home: sends the request back to where it came from. */
    static void complete(FsRequest r, int status) {
        if (!(r.route instanceof Route route)) {
            throw new IllegalStateException("request without a way back");
        }
        route.status = status;
        route.isBack = true;
        r.origin.send(r);
    }

    /** What a travelling request does where it arrives. Belongs to the context of its origin. */
    static final class Route implements Message {
        private final IoContext context;
        private @Nullable FsRequest request;
        private int status;
        private boolean isBack;

        @Nullable
        Route nextFree;

        Route(IoContext context) {
            this.context = context;
        }

        @Override
        public void run() {
            FsRequest r = request;
            if (r == null) {
                throw new IllegalStateException("route without a request");
            }
            if (!isBack) {
                int result = context.fileSystem.runAtHome(r);
                if (result != FileSystem.PENDING) {
                    complete(r, result);
                }
                return;
            }
            int result = status;
            request = null;
            r.route = null;
            context.releaseRoute(this);
            r.onComplete(result);
        }
    }
}

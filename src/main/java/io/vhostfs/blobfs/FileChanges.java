package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockIo;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import org.jspecify.annotations.Nullable;

/**
 * Changes of a file's blocks or size, one phase after another; each phase may wait and is then entered again.
 *
 * <p>Invariant: an operation holds its range of the file exclusively from {@link #LOCK} to its end; data reaches the disk
 * before an extent that points to it enters the tree; an operation that fails before its group has changed nothing but
 * the content of blocks it was asked to overwrite. Home reactor.
 */
final class FileChanges {
    /** A phase's result: go on with the next one at once. Other results are those of {@link BlobStore} and errnos. */
    static final int CONTINUE = 3;

    static final int LOCK = 0;
    static final int LOAD = 1;
    static final int INLINE = 2;
    static final int EXPEL_WRITE = 3;
    static final int EXPEL_COMMIT = 4;
    static final int PATCH_PLAN = 5;
    static final int PATCH_WRITE = 6;
    static final int PATCHED = 7;
    static final int PLAN = 8;
    static final int MERGE = 9;
    static final int COMMIT = 10;
    static final int CUT = 11;
    static final int ALLOCATE = 12;
    static final int SPACE_END = 13;
    static final int SYNC = 14;
    static final int SYNCED = 15;
    static final int UNSHARE_READ = 16;
    static final int UNSHARE_WRITE = 17;
    static final int UNSHARE_COMMIT = 18;
    static final int SHARE = 19;

    private final Volume volume;
    private final BlobStore store;
    private final Attributes attributes;
    private final WriteSteps writes;
    private final SpaceSteps space;
    private final CloneSteps clones;
    private final ExtentEdit edit = new ExtentEdit();
    private final SharedBlocks shared;
    private final Orphans orphans;

    private final IoContext homeContext;

    FileChanges(Volume volume, IoContext homeContext, Attributes attributes, Orphans orphans) {
        this.volume = volume;
        this.homeContext = homeContext;
        this.store = volume.store;
        this.attributes = attributes;
        this.orphans = orphans;
        shared = new SharedBlocks(volume);
        writes = new WriteSteps(volume, edit, shared);
        space = new SpaceSteps(volume, edit, shared, attributes);
        clones = new CloneSteps(volume, edit, shared);
        volume.setChanges(this);
    }

    /** Starts an exclusive operation: PENDING, or its final status. */
    int start(@Nullable FsRequest r, Inode inode, int kind) {
        return start(r, inode, kind, null);
    }

    /** As above; {@code opened} is the handle the request gets, closed again on failure. */
    int start(@Nullable FsRequest r, Inode inode, int kind, @Nullable OpenFile opened) {
        if (store.isReadOnly()) {
            // Before any data is touched, not only when the group is opened.
            if (opened != null && r != null) {
                ((BlobFsClient) r.client).close(opened, inode);
            }
            return -Errno.EROFS;
        }
        FileOp op = homeContext.obtain();
        op.request = r;
        op.inode = inode;
        op.kind = kind;
        op.opened = opened;
        op.phase = LOCK;
        op.exclusive = true;
        inode.pins++;
        inode.addExclusive(1);
        if (r != null) {
            op.offset = r.offset;
            op.length = r.length;
            op.newSize = kind == FileOp.TRUNCATE && r.operation == FsOp.SETATTR ? r.newAttributes.sizeBytes : 0;
        }
        RangeLocks.await(inode, op);
        return run(op);
    }

    /** Starts a CLONE: PENDING, or its final status. Both ranges are taken at once, so that two clones never wait for each other. */
    int startClone(FsRequest r, Inode source, Inode target) {
        if (store.isReadOnly()) {
            return -Errno.EROFS;
        }
        FileOp op = homeContext.obtain();
        op.request = r;
        op.inode = target;
        op.kind = FileOp.CLONE;
        op.phase = LOCK;
        op.exclusive = true;
        op.offset = r.offset2;
        op.length = r.length;
        op.position = 0;
        target.pins++;
        target.addExclusive(1);
        RangeLocks.await(target, op);
        if (source.number != target.number) {
            FileOp holder = homeContext.obtain();
            holder.kind = FileOp.CLONE_SOURCE;
            holder.inode = source;
            holder.exclusive = true;
            holder.partner = op;
            op.partner = holder;
            source.pins++;
            source.addExclusive(1);
            RangeLocks.await(source, holder);
        }
        return run(op);
    }

    /** An overwrite that did not end within the call; see {@link FileData}. */
    void watchOverwrite(FileOp op, Inode inode) {
        FsRequest r = op.request();
        inode.pins++;
        op.inode = inode;
        op.exclusive = false;
        op.rangeStart = r.offset >>> Items.BLOCK_SHIFT;
        op.rangeEnd = (r.offset + r.length + Items.BLOCK_MASK) >>> Items.BLOCK_SHIFT;
        RangeLocks.activate(inode, op);
    }

    /** Goes on: PENDING, or the final status when the operation is over. */
    int run(FileOp op) {
        int r;
        try {
            do {
                r = op.ioStatus < 0 ? op.ioStatus : step(op);
            } while (r == CONTINUE);
        } catch (RuntimeException e) {
            op.ioStatus = store.onUnexpected(e);
            r = op.pending > 0 ? FileSystem.PENDING : op.ioStatus;
        }
        if (r == BlobStore.NOT_RESIDENT) {
            store.park(op);
            return FileSystem.PENDING;
        }
        if (r == Volume.NEXT_TURN) {
            volume.inNextTurn(op);
            return FileSystem.PENDING;
        }
        return r == FileSystem.PENDING ? r : finish(op, r);
    }

    private int step(FileOp op) {
        return switch (op.phase) {
            case LOCK -> lock(op);
            case LOAD -> load(op);
            case INLINE -> inline(op);
            case EXPEL_WRITE -> expelWrite(op);
            case EXPEL_COMMIT -> expelCommit(op);
            case PATCH_PLAN -> patchPlan(op);
            case PATCH_WRITE -> patchWrite(op);
            case PATCHED -> patched(op);
            case PLAN -> writes.plan(op);
            case MERGE -> writes.merge(op);
            case COMMIT -> op.kind == FileOp.WRITE ? writes.commit(op) : space.commitTruncate(op);
            case CUT -> space.cut(op);
            case ALLOCATE -> space.allocate(op);
            case SPACE_END -> space.end(op);
            case SYNC -> sync(op);
            case UNSHARE_READ -> unshareRead(op);
            case UNSHARE_WRITE -> unshareWrite(op);
            case UNSHARE_COMMIT -> unshareCommit(op);
            case SHARE -> clones.share(op);
            default -> op.ioStatus;
        };
    }

    // --- the range

    private int lock(FileOp op) {
        Inode inode = op.inode();
        FileOp holder = op.partner;
        int r = setRange(op, inode);
        if (r < 0) {
            acquire(inode, op);
            if (holder != null) {
                acquire(holder.inode(), holder);
            }
            return r;
        }
        if (mustWait(inode, op) || (holder != null && mustWait(holder.inode(), holder))) {
            return FileSystem.PENDING;
        }
        acquire(inode, op);
        if (holder != null) {
            acquire(holder.inode(), holder);
        }
        if ((op.kind == FileOp.WRITE || op.kind == FileOp.CLONE) && op.length == 0) {
            return BlobStore.OK;
        }
        op.phase = LOAD;
        return CONTINUE;
    }

    /** Those who overwrite elsewhere see that they must not, and wake us when the last of them has ended. */
    private static boolean mustWait(Inode inode, FileOp op) {
        return inode.hasRemoteWriters() || !RangeLocks.tryAcquire(inode, op);
    }

    private static void acquire(Inode inode, FileOp op) {
        RangeLocks.stopWaiting(inode, op);
        RangeLocks.activate(inode, op);
    }

    /** What the operation must hold, as the inode is now. */
    private static int setRange(FileOp op, Inode inode) {
        long size = inode.size;
        long sizeBlock = size >>> Items.BLOCK_SHIFT;
        if (op.kind == FileOp.TRUNCATE || op.kind == FileOp.FINISH_TRUNCATION) {
            op.rangeStart = op.kind == FileOp.TRUNCATE ? Math.min(size, op.newSize) >>> Items.BLOCK_SHIFT : sizeBlock;
            op.rangeEnd = Long.MAX_VALUE;
        } else {
            FsRequest r = op.request();
            int status =
                    switch (op.kind) {
                        case FileOp.WRITE -> clipWrite(op, r, size);
                        case FileOp.CLONE -> CloneSteps.clip(op, r);
                        default -> BlobStore.OK;
                    };
            if (status < 0) {
                return status;
            }
            long end = op.offset + op.length;
            op.rangeStart = op.offset >>> Items.BLOCK_SHIFT;
            op.rangeEnd = (end + Items.BLOCK_MASK) >>> Items.BLOCK_SHIFT;
            if (op.kind == FileOp.CLONE) {
                CloneSteps.setSourceRange(op, r);
            }
            boolean append = op.kind == FileOp.WRITE && (r.flags & LibcConstants.O_APPEND) != 0;
            if (end > size && (append || op.kind == FileOp.FALLOCATE || (inode.flags & Items.FLAG_STALE_TAIL) != 0)) {
                op.rangeStart = Math.min(op.rangeStart, sizeBlock);
                op.rangeEnd = Long.MAX_VALUE;
            }
        }
        if ((inode.flags & Items.FLAG_TRUNCATING) != 0) {
            op.rangeStart = Math.min(op.rangeStart, sizeBlock);
            op.rangeEnd = Long.MAX_VALUE;
        }
        if (inode.isInline()) {
            op.rangeStart = 0;
            op.rangeEnd = Long.MAX_VALUE;
        }
        return BlobStore.OK;
    }

    private static int clipWrite(FileOp op, FsRequest r, long size) {
        if ((r.flags & LibcConstants.O_APPEND) != 0) {
            op.offset = size;
        }
        if (op.offset >= Limits.MAX_FILE_BYTES) {
            return -Errno.EFBIG;
        }
        long room = Math.min(Limits.MAX_IO_BYTES, Iovecs.totalLength(r.dataIovecs, r.dataIovecCount));
        op.length = Math.min(Math.min(r.length, room), Limits.MAX_FILE_BYTES - op.offset);
        return BlobStore.OK;
    }

    // --- what comes first whatever the operation

    private int load(FileOp op) {
        Inode inode = op.inode();
        if (volume.map(inode) == null) {
            return volume.status;
        }
        if ((inode.flags & Items.FLAG_TRUNCATING) != 0 && op.rangeEnd == Long.MAX_VALUE) {
            return space.finishTruncation(op);
        }
        if (op.kind == FileOp.FINISH_TRUNCATION) {
            return BlobStore.OK;
        }
        if (op.kind == FileOp.CLONE) {
            Inode source = CloneSteps.source(op);
            if (source.isInline()) {
                // There is no block to share.
                return BlobStore.OK;
            }
            if (volume.map(source) == null) {
                return volume.status;
            }
        }
        op.phase = inode.isInline() ? INLINE : PATCH_PLAN;
        return CONTINUE;
    }

    /** Does the operation on inline content, or moves the content to a block first. */
    private int inline(FileOp op) {
        Inode inode = op.inode();
        if (op.kind == FileOp.WRITE && Math.max(inode.size, op.offset + op.length) <= Limits.MAX_INLINE_BYTES) {
            return writes.writeInline(op);
        }
        if (op.kind == FileOp.TRUNCATE && op.newSize <= Limits.MAX_INLINE_BYTES) {
            return space.truncateInline(op);
        }
        int r = store.find(inode.number, Items.INLINE_KEY);
        if (r == BlobStore.OK) {
            return expelPlan(op);
        }
        if (r != BlobStore.NOT_FOUND) {
            return r;
        }
        // Nothing in the tree contradicts it: the flag alone can go now and reach the tree with the next change.
        inode.beginChange();
        inode.flags &= ~Items.FLAG_INLINE;
        inode.endChange();
        op.phase = PATCH_PLAN;
        return CONTINUE;
    }

    private int expelPlan(FileOp op) {
        int length = store.valueLength - Items.INLINE_DATA_OFFSET;
        if (length < 0 || length > Items.BLOCK_SIZE) {
            return -Errno.EIO;
        }
        if (!op.obtainBounce(Items.BLOCK_SIZE)) {
            return FileOp.noMemory();
        }
        Memory.copy(store.valueAddress + Items.INLINE_DATA_OFFSET, op.bounceAddress(), length);
        Memory.zero(op.bounceAddress() + length, Items.BLOCK_SIZE - length);
        int r = store.reserve(0, 1);
        if (r != BlobStore.OK) {
            return r;
        }
        op.addPiece(0, store.reservedBlock, 1, true);
        op.phase = EXPEL_WRITE;
        return CONTINUE;
    }

    private int expelWrite(FileOp op) {
        op.phase = EXPEL_COMMIT;
        return bounceIo(op, BlockIo.WRITE, op.pieceDisk[0], 0);
    }

    private int expelCommit(FileOp op) {
        Inode inode = op.inode();
        int r = store.find(inode.number, Items.INLINE_KEY);
        if (r != BlobStore.OK) {
            return r == BlobStore.NOT_FOUND ? -Errno.EIO : r;
        }
        int inlineBytes = Quotas.bytesOf(store.valueLength);
        edit.begin(ExtentMap.EMPTY, 0, 1);
        edit.add(0, op.pieceDisk[0], 1);
        edit.compute();
        r = Quotas.check(inode.quota, Items.BLOCK_SIZE - inlineBytes, 0);
        if (r == BlobStore.OK) {
            r = edit.prepare(store, inode.number, false);
        }
        if (r == BlobStore.OK) {
            r = store.prepareDelete(inode.number, Items.INLINE_KEY);
        }
        if (r == BlobStore.OK) {
            r = volume.prepareInode(inode.number);
        }
        if (r == BlobStore.OK) {
            r = store.begin(edit.logBytes() + BlobStore.logBytes(Items.INODE_SIZE) + BlobStore.logBytes(0));
        }
        if (r != BlobStore.OK) {
            return r;
        }
        store.markUsed(op.pieceDisk[0], 1);
        op.pieceCount = 0;
        edit.put(store, inode.number, volume.scratch);
        store.delete(inode.number, Items.INLINE_KEY);
        volume.quotas.charge(inode.quota, -inlineBytes, 0);
        inode.beginChange();
        volume.setMap(inode, edit.apply());
        inode.blocks = 1;
        inode.flags &= ~Items.FLAG_INLINE;
        inode.endChange();
        volume.putInode(inode);
        r = store.end();
        volume.changed(inode);
        op.phase = PATCH_PLAN;
        return r == BlobStore.OK ? CONTINUE : r;
    }

    // --- parts of blocks zeroed in place

    private int patchPlan(FileOp op) {
        if (writesBehindSize(op) && op.inode().changedSequence > store.committedSequence()) {
            int r = op.waiter.sync(store, true);
            return r == BlobStore.OK ? CONTINUE : r;
        }
        op.patchCount = 0;
        op.unshareBlock = -1;
        boolean grows =
                switch (op.kind) {
                    case FileOp.WRITE, FileOp.CLONE -> op.offset + op.length > op.inode().size;
                    case FileOp.TRUNCATE -> op.newSize > op.inode().size;
                    default -> space.planPatches(op);
                };
        if (grows && (op.inode().flags & Items.FLAG_STALE_TAIL) != 0) {
            patchTail(op);
        }
        if (op.unshareBlock >= 0) {
            op.phase = UNSHARE_READ;
            return CONTINUE;
        }
        if (op.patchCount == 0) {
            return patched(op);
        }
        if (!op.obtainBounce((long) op.patchCount << Items.BLOCK_SHIFT)) {
            return FileOp.noMemory();
        }
        op.phase = PATCH_WRITE;
        return patchIo(op, BlockIo.READ);
    }

    /**
     * Whether it changes, in place, what its block holds behind the end of file. After a truncation these bytes are part of
     * the file again if a crash comes before its commit: they must stay until then.
     */
    private boolean writesBehindSize(FileOp op) {
        Inode inode = op.inode();
        long end = op.kind == FileOp.TRUNCATE ? op.newSize : op.offset + op.length;
        ExtentMap map = inode.map;
        if ((inode.flags & Items.FLAG_STALE_TAIL) == 0
                || (inode.size & Items.BLOCK_MASK) == 0
                || end <= inode.size
                || map == null) {
            return false;
        }
        map.seek(inode.size >>> Items.BLOCK_SHIFT, op.context.cursor);
        return op.context.cursor.state == ExtentCursor.WRITTEN;
    }

    /** Stale bytes behind the end of file are zeroed before the file grows over them, unless the write itself does it. */
    private void patchTail(FileOp op) {
        long size = op.inode().size;
        long block = size >>> Items.BLOCK_SHIFT;
        boolean covers = op.kind == FileOp.WRITE || op.kind == FileOp.CLONE;
        if (!covers || op.offset >>> Items.BLOCK_SHIFT > block) {
            space.patch(op, block, (int) (size & Items.BLOCK_MASK), Items.BLOCK_SIZE);
        }
    }

    private int patchWrite(FileOp op) {
        op.zeroPatches();
        op.phase = PATCHED;
        return patchIo(op, BlockIo.WRITE);
    }

    private int patchIo(FileOp op, int operation) {
        op.clearIo();
        op.reserveIovecs(op.patchCount);
        for (int i = 0; i < op.patchCount; i++) {
            addBounceIo(op, operation, op.patchDisk[i], i);
        }
        return submitted(op);
    }

    private static int patched(FileOp op) {
        op.releaseBounce();
        op.phase = switch (op.kind) {
            case FileOp.WRITE -> PLAN;
            case FileOp.TRUNCATE -> COMMIT;
            case FileOp.CLONE -> SHARE;
            default -> ALLOCATE;
        };
        return CONTINUE;
    }

    // --- a block that others may hold, too, gets a place of its own before a part of it is zeroed

    private int unshareRead(FileOp op) {
        if (!op.obtainBounce(Items.BLOCK_SIZE)) {
            return FileOp.noMemory();
        }
        int r = store.reserve(0, 1);
        if (r != BlobStore.OK) {
            return r;
        }
        op.addPiece(op.unshareBlock, store.reservedBlock, 1, true);
        ExtentCursor cursor = op.context.cursor;
        space.seek(op, op.unshareBlock);
        op.phase = UNSHARE_WRITE;
        return bounceIo(op, BlockIo.READ, cursor.diskBlock, 0);
    }

    private int unshareWrite(FileOp op) {
        op.phase = UNSHARE_COMMIT;
        return bounceIo(op, BlockIo.WRITE, op.pieceDisk[0], 0);
    }

    private int unshareCommit(FileOp op) {
        Inode inode = op.inode();
        int r = writes.prepareMap(op, inode, 1);
        if (r == BlobStore.OK) {
            r = store.begin(writes.mapLogBytes());
        }
        if (r != BlobStore.OK) {
            return r;
        }
        writes.putPieces(op, inode, 1, true);
        inode.beginChange();
        volume.setMap(inode, edit.apply());
        inode.endChange();
        r = store.end();
        volume.changed(inode);
        op.phase = PATCH_PLAN;
        return r == BlobStore.OK ? CONTINUE : r;
    }

    /** One block of the bounce buffer to or from the disk. */
    private static int bounceIo(FileOp op, int operation, long diskBlock, int bounceBlock) {
        op.clearIo();
        op.reserveIovecs(1);
        addBounceIo(op, operation, diskBlock, bounceBlock);
        return submitted(op);
    }

    static void addBounceIo(FileOp op, int operation, long diskBlock, int bounceBlock) {
        long iovec = op.iovecsAddress() + (long) op.iovecCount() * Iovecs.IOVEC_SIZE;
        op.addIovec(op.bounceAddress() + ((long) bounceBlock << Items.BLOCK_SHIFT), Items.BLOCK_SIZE);
        op.submit(operation, diskBlock << Items.BLOCK_SHIFT, Items.BLOCK_SIZE, iovec, 1);
    }

    /** PENDING, CONTINUE or a negative errno. */
    static int submitted(FileOp op) {
        int r = op.submitted();
        return r == BlobStore.OK ? CONTINUE : r;
    }

    // --- the end

    /** O_SYNC and O_DSYNC. */
    private int sync(FileOp op) {
        FsRequest r = op.request();
        if ((r.operation != FsOp.WRITE && r.operation != FsOp.CLONE) || (r.flags & LibcConstants.O_DSYNC) == 0) {
            return BlobStore.OK;
        }
        op.phase = SYNCED;
        return op.waiter.sync(store, true);
    }

    private int finish(FileOp op, int status) {
        Inode inode = op.inode();
        FsRequest r = op.request;
        OpenFile opened = op.opened;
        if (status < 0) {
            op.unreservePieces();
            if (opened != null && r != null && opened.inode == inode) {
                ((BlobFsClient) r.client).close(opened, inode);
            }
        } else if (r != null) {
            setResult(op, r, inode, opened);
        }
        RangeLocks.release(inode, op);
        if (op.exclusive) {
            inode.addExclusive(-1);
        }
        FileOp holder = op.partner;
        op.context.release(op);
        if (holder != null) {
            releaseHolder(holder);
        }
        wakeWaiting(inode);
        inode.pins--;
        orphans.released(inode);
        return status;
    }

    private void releaseHolder(FileOp holder) {
        Inode source = holder.inode();
        RangeLocks.release(source, holder);
        source.addExclusive(-1);
        holder.context.release(holder);
        wakeWaiting(source);
        source.pins--;
        orphans.released(source);
    }

    private void setResult(FileOp op, FsRequest r, Inode inode, @Nullable OpenFile opened) {
        switch (r.operation) {
            case FsOp.WRITE -> r.count = op.length;
            case FsOp.CLONE -> r.count = op.position << Items.BLOCK_SHIFT;
            case FsOp.SETATTR -> inode.fill(r.attributes);
            case FsOp.OPEN, FsOp.CREATE -> attributes.setOpened(r, inode, opened);
            default -> {}
        }
    }

    /** Lets waiting operations go on, in their order. */
    void wakeWaiting(Inode inode) {
        if (inode.waking) {
            // The loop that is under way looks again.
            return;
        }
        inode.waking = true;
        FileOp w = inode.firstWaiting;
        while (w != null) {
            FileOp next = w.nextRange;
            int before = inode.rangeChanges;
            resume(w);
            // When it went on, the lists are no longer what they were.
            w = before == inode.rangeChanges ? next : inode.firstWaiting;
        }
        inode.waking = false;
    }

    private void resume(FileOp op) {
        op.context.fileSystem.resume(op);
    }

    // --- overwrites

    /** Ends an overwrite that waited; a second time when it was to be durable. */
    int finishOverwrite(FileOp op) {
        Inode inode = op.inode();
        if (op.ioStatus == BlobStore.OK && op.phase == LOCK) {
            int r = overwritten(op, inode);
            if (r == FileSystem.PENDING) {
                return r;
            }
            op.ioStatus = r;
        }
        return finish(op, op.ioStatus);
    }

    /** After an overwrite's data is on the disk: PENDING while it is made durable, or the status. */
    int overwritten(FileOp op, Inode inode) {
        FsRequest r = op.request();
        op.length = r.length;
        volume.dataWritten(inode, r);
        if ((r.flags & LibcConstants.O_DSYNC) == 0) {
            return BlobStore.OK;
        }
        op.phase = SYNCED;
        return op.waiter.sync(store, inode.changedSequence > store.committedSequence());
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;

/**
 * The phases of truncation and of fallocate; see {@link FileChanges}.
 *
 * <p>What concerns many extents goes in groups of at most {@link Limits#MAX_GROUP_ITEMS}, other work runs in between. A
 * truncation that needs several is marked in the tree and ended after a crash before anything else happens to the file.
 */
final class SpaceSteps {
    private static final long END = Limits.MAX_FILE_BYTES >> Items.BLOCK_SHIFT;
    /** Instead of a file block: it failed, for the reason in the volume's status. */
    private static final long FAILED = -1;

    private final Volume volume;
    private final BlobStore store;
    private final ExtentEdit edit;
    private final SharedBlocks shared;
    private final Attributes attributes;

    SpaceSteps(Volume volume, ExtentEdit edit, SharedBlocks shared, Attributes attributes) {
        this.shared = shared;
        this.volume = volume;
        this.store = volume.store;
        this.edit = edit;
        this.attributes = attributes;
    }

    private ExtentMap map(FileOp op) {
        ExtentMap map = op.inode().map;
        if (map == null) {
            throw new IllegalStateException("extents were dropped while an operation uses them");
        }
        return map;
    }

    void seek(FileOp op, long block) {
        map(op).seek(block, op.context.cursor);
    }

    // --- truncation

    int truncateInline(FileOp op) {
        Inode inode = op.inode();
        int s = store.find(inode.number, Items.INLINE_KEY);
        if (s != BlobStore.OK && s != BlobStore.NOT_FOUND) {
            return s;
        }
        int old = s == BlobStore.OK ? store.valueLength - Items.INLINE_DATA_OFFSET : 0;
        int keep = (int) Math.min(old, op.newSize);
        if (old < 0 || old > Limits.MAX_INLINE_BYTES) {
            return -Errno.EIO;
        }
        boolean cuts = keep < old;
        if (cuts) {
            Memory.copy(store.valueAddress, volume.scratch2, Items.INLINE_DATA_OFFSET + keep);
            s = store.prepareDelete(inode.number, Items.INLINE_KEY);
        } else {
            s = BlobStore.OK;
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInodeInReserve(inode.number);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE) + BlobStore.logBytes(Items.INLINE_DATA_OFFSET + keep));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        int keptBytes = keep == 0 ? 0 : Quotas.bytesOf(Items.INLINE_DATA_OFFSET + keep);
        if (cuts) {
            volume.quotas.charge(inode.quota, keptBytes - Quotas.bytesOf(Items.INLINE_DATA_OFFSET + old), 0);
        }
        if (cuts && keep == 0) {
            store.delete(inode.number, Items.INLINE_KEY);
        } else if (cuts) {
            store.put(inode.number, Items.INLINE_KEY, volume.scratch2, Items.INLINE_DATA_OFFSET + keep);
        }
        inode.beginChange();
        resize(op, inode);
        inode.endChange();
        return endGroup(inode);
    }

    private void resize(FileOp op, Inode inode) {
        inode.size = op.newSize;
        inode.dataVersion++;
        attributes.applyTruncation(op.request(), inode, volume.now());
    }

    private int endGroup(Inode inode) {
        volume.putInode(inode);
        int s = store.end();
        volume.changed(inode);
        return s;
    }

    private static long blocksOf(long size) {
        return (size + Items.BLOCK_MASK) >>> Items.BLOCK_SHIFT;
    }

    /**
     * Up to where one group can remove what lies from {@code start} on: {@code end} when that is all; {@link #FAILED}. Begins
     * a change of shared blocks.
     */
    private long groupEnd(ExtentMap map, long start, long end) {
        shared.begin();
        long blocks = 0;
        long p = map.firstEndingBehind(start);
        for (int i = 0; !map.isEnd(p) && map.fileBlock(p) < end; i++) {
            long from = Math.max(start, map.fileBlock(p));
            if (i == Limits.MAX_GROUP_ITEMS || blocks >= Limits.MAX_GROUP_BLOCKS) {
                return from;
            }
            long to = Math.min(end, map.fileBlock(p) + ExtentMap.blocks(map.length(p)));
            if (ExtentMap.isShared(map.length(p))) {
                int room = shared.room(map.diskBlock(p) + (from - map.fileBlock(p)), (int) (to - from));
                if (room < to - from) {
                    return room < 0 ? FAILED : from + room;
                }
            }
            blocks += to - from;
            p = map.next(p);
        }
        return end;
    }

    /** The new size; and the extents behind it, when one group can remove them. */
    int commitTruncate(FileOp op) {
        Inode inode = op.inode();
        ExtentMap map = map(op);
        long keep = blocksOf(op.newSize);
        boolean shrinks = op.newSize <= inode.size;
        long end = shrinks ? groupEnd(map, keep, END) : END;
        if (end == FAILED) {
            return volume.status;
        }
        boolean inOneGroup = end == END;
        boolean cuts = shrinks && inOneGroup && map.endBlock() > keep;
        int s = volume.prepareInodeInReserve(inode.number);
        int logBytes = BlobStore.logBytes(Items.INODE_SIZE);
        if (s == BlobStore.OK && cuts) {
            s = prepareCut(inode, map, keep, END);
            logBytes += cutLogBytes();
        }
        if (s == BlobStore.OK && !inOneGroup) {
            s = volume.prepareInReserve(Items.SYSTEM, Items.orphanKey(inode.number), Items.ORPHAN_SIZE);
            logBytes += BlobStore.logBytes(Items.ORPHAN_SIZE);
        }
        if (s == BlobStore.OK) {
            s = store.begin(logBytes);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        inode.beginChange();
        setTail(op, inode, map, shrinks);
        resize(op, inode);
        if (!inOneGroup) {
            inode.flags |= Items.FLAG_TRUNCATING;
            // Without a link the same item is there already and says more.
            if (inode.links != 0) {
                Items.encodeOrphan(volume.scratch, Items.ORPHAN_TRUNCATING);
                store.put(Items.SYSTEM, Items.orphanKey(inode.number), volume.scratch, Items.ORPHAN_SIZE);
            }
        }
        if (cuts) {
            applyCut(inode);
        }
        inode.endChange();
        s = endGroup(inode);
        op.phase = FileChanges.CUT;
        return s == BlobStore.OK && !inOneGroup ? FileChanges.CONTINUE : s;
    }

    /** Whether the block at the new end of file keeps bytes behind it. */
    private static void setTail(FileOp op, Inode inode, ExtentMap map, boolean shrinks) {
        if (!shrinks) {
            inode.flags &= ~Items.FLAG_STALE_TAIL;
            return;
        }
        if (op.newSize == inode.size) {
            return;
        }
        inode.flags &= ~Items.FLAG_STALE_TAIL;
        map.seek(op.newSize >>> Items.BLOCK_SHIFT, op.context.cursor);
        if ((op.newSize & Items.BLOCK_MASK) != 0 && op.context.cursor.state >= ExtentCursor.WRITTEN) {
            inode.flags |= Items.FLAG_STALE_TAIL;
        }
    }

    /** After {@link #groupEnd}: the removal of what lies between. */
    private int prepareCut(Inode inode, ExtentMap map, long from, long to) {
        edit.begin(map, from, to);
        edit.compute();
        edit.dropShared(shared);
        int s = shared.compute();
        if (s == BlobStore.OK) {
            s = shared.prepare(SharedBlocks.PREPARE_IN_HALF_RESERVE);
        }
        if (s == -Errno.ENOSPC && shared.narrow()) {
            return Volume.NEXT_TURN;
        }
        // Cutting a hole into one extent makes two: that needs room, which a cut of a whole extent does not.
        return s == BlobStore.OK ? edit.prepare(store, inode.number, true) : s;
    }

    private int cutLogBytes() {
        return edit.logBytes() + shared.logBytes();
    }

    /** Within the group and the inode's change. */
    private void applyCut(Inode inode) {
        edit.put(store, inode.number, volume.scratch);
        volume.setMap(inode, edit.apply());
        inode.blocks += edit.blocksDelta;
        edit.freeRange(store);
        shared.put(volume.scratch);
    }

    int cut(FileOp op) {
        return finishTruncation(op);
    }

    /** One more group of a truncation that was begun, by this operation or before a crash. */
    int finishTruncation(FileOp op) {
        Inode inode = op.inode();
        ExtentMap map = map(op);
        long keep = blocksOf(inode.size);
        long end = groupEnd(map, keep, END);
        if (end == FAILED) {
            return volume.status;
        }
        boolean last = end == END;
        int s = prepareCut(inode, map, keep, end);
        if (s == BlobStore.OK) {
            s = volume.prepareInodeInReserve(inode.number);
        }
        if (s == BlobStore.OK && last) {
            s = store.prepareDelete(Items.SYSTEM, Items.orphanKey(inode.number));
        }
        if (s == BlobStore.OK) {
            s = store.begin(cutLogBytes() + BlobStore.logBytes(Items.INODE_SIZE) + BlobStore.logBytes(0));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        inode.beginChange();
        applyCut(inode);
        if (last) {
            inode.flags &= ~Items.FLAG_TRUNCATING;
            // Without a link the same item says so, and stays.
            if (inode.links != 0) {
                store.delete(Items.SYSTEM, Items.orphanKey(inode.number));
            }
        }
        inode.endChange();
        s = endGroup(inode);
        if (s != BlobStore.OK) {
            return s;
        }
        if (last) {
            return op.phase == FileChanges.CUT ? BlobStore.OK : FileChanges.CONTINUE;
        }
        volume.inNextTurn(op);
        return FileSystem.PENDING;
    }

    // --- fallocate

    /** The errno of a request that cannot be, or OK. */
    static int check(FsRequest r) {
        int mode = r.mode;
        int known = LibcConstants.FALLOC_FL_KEEP_SIZE
                | LibcConstants.FALLOC_FL_PUNCH_HOLE
                | LibcConstants.FALLOC_FL_ZERO_RANGE;
        if ((mode & ~known) != 0
                || (isPunch(mode) && (mode & LibcConstants.FALLOC_FL_KEEP_SIZE) == 0)
                || (isPunch(mode) && isZero(mode))) {
            return -Errno.EOPNOTSUPP;
        }
        if (r.offset < 0 || r.length <= 0) {
            return -Errno.EINVAL;
        }
        return r.offset > Limits.MAX_FILE_BYTES - r.length || r.length > Limits.MAX_FILE_BYTES
                ? -Errno.EFBIG
                : BlobStore.OK;
    }

    private static boolean isPunch(int mode) {
        return (mode & LibcConstants.FALLOC_FL_PUNCH_HOLE) != 0;
    }

    private static boolean isZero(int mode) {
        return (mode & LibcConstants.FALLOC_FL_ZERO_RANGE) != 0;
    }

    private static boolean grows(FileOp op) {
        return (op.request().mode & LibcConstants.FALLOC_FL_KEEP_SIZE) == 0 && op.offset + op.length > op.inode().size;
    }

    /** Sets the range of whole blocks and the patches at its ends; whether the file grows. */
    boolean planPatches(FileOp op) {
        int mode = op.request().mode;
        long end = op.offset + op.length;
        op.unsharedEnd = 0;
        if (!isPunch(mode) && !isZero(mode)) {
            op.position = op.offset >>> Items.BLOCK_SHIFT;
            op.endPosition = blocksOf(end);
            return grows(op);
        }
        long first = op.offset >>> Items.BLOCK_SHIFT;
        long last = end >>> Items.BLOCK_SHIFT;
        int head = (int) (op.offset & Items.BLOCK_MASK);
        int tail = (int) (end & Items.BLOCK_MASK);
        op.position = head == 0 ? first : first + 1;
        op.endPosition = Math.max(op.position, last);
        if (head != 0) {
            patch(op, first, head, first == last ? tail : Items.BLOCK_SIZE);
        }
        if (tail != 0 && (first != last || head == 0)) {
            patch(op, last, 0, tail);
        }
        return grows(op);
    }

    /** Zeroes a part of a block in place, once it is the file's own; holes and unwritten blocks read as zeroes already. */
    void patch(FileOp op, long block, int from, int to) {
        map(op).seek(block, op.context.cursor);
        if (op.context.cursor.state == ExtentCursor.WRITTEN && from < to) {
            op.addPatch(block, op.context.cursor.diskBlock, from, to);
        } else if (op.context.cursor.state == ExtentCursor.SHARED && from < to) {
            op.unshareBlock = block;
        }
    }

    /** One group: a batch of the range punched out, allocated, or turned to zeroes. */
    int allocate(FileOp op) {
        if (op.position >= op.endPosition) {
            op.phase = FileChanges.SPACE_END;
            return FileChanges.CONTINUE;
        }
        int mode = op.request().mode;
        if (!op.committed && !isPunch(mode) && isSurelyTooMuch(op)) {
            return -Errno.ENOSPC;
        }
        if (isZero(mode) && op.unsharedEnd < op.endPosition) {
            return punchShared(op);
        }
        return isPunch(mode) ? punch(op) : allocateBatch(op, isZero(mode));
    }

    /** What is to become zeroes and may be others', too, becomes a hole first, which then gets blocks like any. */
    private int punchShared(FileOp op) {
        ExtentMap map = map(op);
        long start = Math.max(op.position, op.unsharedEnd);
        long p = map.firstEndingBehind(start);
        for (int i = 0; !map.isEnd(p) && map.fileBlock(p) < op.endPosition; i++, p = map.next(p)) {
            long from = Math.max(start, map.fileBlock(p));
            if (i == Limits.MAX_EXTENTS_PER_TURN) {
                op.unsharedEnd = from;
                return Volume.NEXT_TURN;
            }
            if (ExtentMap.isShared(map.length(p))) {
                long to = Math.min(op.endPosition, map.fileBlock(p) + ExtentMap.blocks(map.length(p)));
                long end = groupEnd(map, from, to);
                int s = end == FAILED ? volume.status : cutOut(op, map, from, end);
                if (s != BlobStore.OK) {
                    return s;
                }
                op.unsharedEnd = end;
                op.committed = true;
                volume.inNextTurn(op);
                return FileSystem.PENDING;
            }
        }
        op.unsharedEnd = op.endPosition;
        return FileChanges.CONTINUE;
    }

    /** Whether more blocks are missing than are available, as far as a look at not too many extents tells. */
    private boolean isSurelyTooMuch(FileOp op) {
        ExtentMap map = map(op);
        long available = volume.availableBlocks(op.inode());
        long missing = op.endPosition - op.position;
        int extents = 0;
        for (long p = map.firstEndingBehind(op.position);
                missing > available && !map.isEnd(p) && map.fileBlock(p) < op.endPosition;
                p = map.next(p)) {
            if (++extents > Limits.MAX_EXTENTS_PER_TURN) {
                return false;
            }
            long from = Math.max(op.position, map.fileBlock(p));
            long to = Math.min(op.endPosition, map.fileBlock(p) + ExtentMap.blocks(map.length(p)));
            missing -= to - from;
        }
        return missing > available;
    }

    private int punch(FileOp op) {
        ExtentMap map = map(op);
        long end = groupEnd(map, op.position, op.endPosition);
        if (end == FAILED) {
            return volume.status;
        }
        int s = cutOut(op, map, op.position, end);
        return s == BlobStore.OK ? nextBatch(op, end) : s;
    }

    /** One group: a hole, after {@link #groupEnd}. */
    private int cutOut(FileOp op, ExtentMap map, long from, long end) {
        Inode inode = op.inode();
        int s = prepareCut(inode, map, from, end);
        if (s != BlobStore.OK || edit.blocksDelta == 0) {
            return s;
        }
        s = volume.prepareInodeInReserve(inode.number);
        if (s == BlobStore.OK) {
            s = store.begin(cutLogBytes() + BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s == BlobStore.OK) {
            inode.beginChange();
            applyCut(inode);
            inode.endChange();
            s = endGroup(inode);
        }
        return s;
    }

    private int nextBatch(FileOp op, long end) {
        op.position = end;
        op.committed = true;
        if (end >= op.endPosition) {
            op.phase = FileChanges.SPACE_END;
            return FileChanges.CONTINUE;
        }
        volume.inNextTurn(op);
        return FileSystem.PENDING;
    }

    private int allocateBatch(FileOp op, boolean zero) {
        int s = planBatch(op, zero);
        if (s != BlobStore.OK) {
            return s;
        }
        Inode inode = op.inode();
        long end = WriteSteps.pieceEnd(op, op.pieceCount - 1);
        edit.begin(map(op), op.position, end);
        for (int i = 0; i < op.pieceCount; i++) {
            edit.add(op.pieceFile[i], op.pieceDisk[i], op.pieceLength[i]);
        }
        edit.compute();
        s = volume.checkBlocks(inode, edit.blocksDelta);
        if (s == BlobStore.OK) {
            s = edit.prepare(store, inode.number, false);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(inode.number);
        }
        if (s == BlobStore.OK) {
            s = store.begin(edit.logBytes() + BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        for (int i = 0; i < op.pieceCount; i++) {
            if (op.pieceNew[i]) {
                store.markUsed(op.pieceDisk[i], ExtentMap.blocks(op.pieceLength[i]));
            }
        }
        op.pieceCount = 0;
        edit.put(store, inode.number, volume.scratch);
        inode.beginChange();
        volume.setMap(inode, edit.apply());
        inode.blocks += edit.blocksDelta;
        inode.endChange();
        s = endGroup(inode);
        return s == BlobStore.OK ? nextBatch(op, end) : s;
    }

    /** Pieces from the position on, holes reserved; entered again it goes on behind the last piece. */
    private int planBatch(FileOp op, boolean zero) {
        ExtentMap map = map(op);
        ExtentCursor cursor = op.context.cursor;
        long block = op.pieceCount == 0 ? op.position : WriteSteps.pieceEnd(op, op.pieceCount - 1);
        int reserves = 0;
        while (block < op.endPosition
                && op.pieceCount < Limits.MAX_GROUP_ITEMS
                && block - op.position < Limits.MAX_GROUP_BLOCKS) {
            map.seek(block, cursor);
            int run = (int) Math.min(Math.min(cursor.runBlocks, op.endPosition - block), Limits.MAX_EXTENT_BLOCKS);
            if (cursor.state == ExtentCursor.HOLE) {
                if (reserves++ == Limits.MAX_RESERVES_PER_TURN) {
                    return Volume.NEXT_TURN;
                }
                int s = volume.checkBlocks(op.inode(), op.newBlocks() + run);
                if (s == BlobStore.OK) {
                    s = store.reserve(WriteSteps.goal(op, map, block), run);
                }
                if (s != BlobStore.OK) {
                    return s;
                }
                op.addPiece(block, store.reservedBlock, store.reservedBlocks | ExtentMap.UNWRITTEN, true);
            } else {
                boolean unwritten = zero || cursor.state == ExtentCursor.UNWRITTEN;
                int flags =
                        unwritten ? ExtentMap.UNWRITTEN : cursor.state == ExtentCursor.SHARED ? ExtentMap.SHARED : 0;
                op.addPiece(block, cursor.diskBlock, run | flags, false);
            }
            block = WriteSteps.pieceEnd(op, op.pieceCount - 1);
        }
        return BlobStore.OK;
    }

    /** The size, when the file grows, and the times. */
    int end(FileOp op) {
        Inode inode = op.inode();
        FsRequest r = op.request();
        boolean grows = grows(op);
        int s = volume.prepareInodeInReserve(inode.number);
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        long now = volume.now();
        inode.beginChange();
        if (grows) {
            inode.size = op.offset + op.length;
            inode.flags &= ~Items.FLAG_STALE_TAIL;
        }
        if (grows || isPunch(r.mode) || isZero(r.mode)) {
            inode.modifyTimeNs = now;
        }
        if (r.killPrivileges) {
            inode.mode = Modes.withoutPrivileges(inode.mode, r.gid == inode.gid);
        }
        inode.changeTimeNs = now;
        inode.dataVersion++;
        inode.endChange();
        return endGroup(inode);
    }
}

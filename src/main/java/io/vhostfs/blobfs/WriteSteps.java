package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockIo;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The phases of a write that allocates, extends, or covers blocks only in part; see {@link FileChanges}.
 *
 * <p>Pieces of the range: blocks that have data (written in place), unwritten ones (written in place, then made data), and
 * newly reserved ones, for holes and in the place of blocks that others may hold, too.
 */
final class WriteSteps {
    private final Volume volume;
    private final BlobStore store;
    private final ExtentEdit edit;
    private final SharedBlocks shared;

    WriteSteps(Volume volume, ExtentEdit edit, SharedBlocks shared) {
        this.shared = shared;
        this.volume = volume;
        this.store = volume.store;
        this.edit = edit;
    }

    private static long startBlock(FileOp op) {
        return op.offset >>> Items.BLOCK_SHIFT;
    }

    private static long endBlock(FileOp op) {
        return (op.offset + op.length + Items.BLOCK_MASK) >>> Items.BLOCK_SHIFT;
    }

    // --- inline content

    int writeInline(FileOp op) {
        Inode inode = op.inode();
        FsRequest r = op.request();
        int r0 = store.find(inode.number, Items.INLINE_KEY);
        if (r0 != BlobStore.OK && r0 != BlobStore.NOT_FOUND) {
            return r0;
        }
        long data = volume.scratch2 + Items.INLINE_DATA_OFFSET;
        int old = r0 == BlobStore.OK ? store.valueLength - Items.INLINE_DATA_OFFSET : 0;
        int end = (int) (op.offset + op.length);
        if (old < 0 || old > Limits.MAX_INLINE_BYTES) {
            return -Errno.EIO;
        }
        if (old > 0) {
            Memory.copy(store.valueAddress + Items.INLINE_DATA_OFFSET, data, old);
        }
        if (op.offset > old) {
            Memory.zero(data + old, op.offset - old);
        }
        Items.encodeInlineHeader(volume.scratch2);
        long taken = Iovecs.gatherShared(r.dataIovecs, r.dataIovecCount, 0, data + op.offset, op.length);
        if (taken < 0) {
            return (int) taken;
        }
        int valueLength = Items.INLINE_DATA_OFFSET + Math.max(old, end);
        int usedBytes =
                Quotas.bytesOf(valueLength) - (r0 == BlobStore.OK ? Quotas.bytesOf(Items.INLINE_DATA_OFFSET + old) : 0);
        int s = Quotas.check(inode.quota, usedBytes, 0);
        if (s == BlobStore.OK) {
            s = store.prepare(inode.number, Items.INLINE_KEY, valueLength);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(inode.number);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(valueLength) + BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        store.put(inode.number, Items.INLINE_KEY, volume.scratch2, valueLength);
        volume.quotas.charge(inode.quota, usedBytes, 0);
        return written(op, inode, r, null);
    }

    /** The end of a write's group, with the inode as it is now: CONTINUE or a negative errno. */
    private int written(FileOp op, Inode inode, FsRequest r, @Nullable ExtentMap map) {
        inode.beginChange();
        if (op.offset + op.length > inode.size) {
            inode.size = op.offset + op.length;
            inode.flags &= ~Items.FLAG_STALE_TAIL;
        }
        if (map != null) {
            volume.setMap(inode, map);
            inode.blocks += edit.blocksDelta;
        }
        if (r.killPrivileges) {
            inode.mode = Modes.withoutPrivileges(inode.mode, r.gid == inode.gid);
        }
        if (!r.keepsTimes) {
            long now = volume.now();
            inode.modifyTimeNs = now;
            inode.changeTimeNs = now;
        }
        inode.dataVersion++;
        inode.endChange();
        volume.putInode(inode);
        int s = store.end();
        volume.changed(inode);
        op.phase = FileChanges.SYNC;
        return s == BlobStore.OK ? FileChanges.CONTINUE : s;
    }

    // --- blocks

    /** Finds the pieces and reserves blocks for holes; entered again it goes on behind the last piece. */
    int plan(FileOp op) {
        ExtentMap map = volume.map(op.inode());
        if (map == null) {
            return volume.status;
        }
        ExtentCursor cursor = op.context.cursor;
        long end = endBlock(op);
        long block = op.pieceCount == 0 ? startBlock(op) : pieceEnd(op, op.pieceCount - 1);
        int reserves = 0;
        while (block < end) {
            map.seek(block, cursor);
            int run = (int) Math.min(cursor.runBlocks, end - block);
            if (cursor.state == ExtentCursor.HOLE || cursor.state == ExtentCursor.SHARED) {
                if (reserves++ == Limits.MAX_RESERVES_PER_TURN) {
                    return Volume.NEXT_TURN;
                }
                int r = reserve(op, map, block, run, cursor.state == ExtentCursor.SHARED ? ExtentMap.SHARED : 0);
                if (r != BlobStore.OK) {
                    return r;
                }
            } else {
                boolean unwritten = cursor.state == ExtentCursor.UNWRITTEN;
                op.addPiece(block, cursor.diskBlock, run | (unwritten ? ExtentMap.UNWRITTEN : 0), false);
            }
            block = pieceEnd(op, op.pieceCount - 1);
        }
        return readPartial(op, map);
    }

    static long pieceEnd(FileOp op, int piece) {
        return op.pieceFile[piece] + ExtentMap.blocks(op.pieceLength[piece]);
    }

    private int reserve(FileOp op, ExtentMap map, long block, int run, int flags) {
        // The commit asks again: others may use up meanwhile what is left. What is replaced is counted already.
        int r = flags != 0 ? BlobStore.OK : volume.checkBlocks(op.inode(), op.newBlocks() + run);
        if (r == BlobStore.OK) {
            r = store.reserve(goal(op, map, block), run);
        }
        if (r == BlobStore.OK) {
            op.addPiece(block, store.reservedBlock, store.reservedBlocks | flags, true);
        }
        return r;
    }

    /** Where to allocate: behind the piece, else the extent, before it. */
    static long goal(FileOp op, ExtentMap map, long block) {
        if (op.pieceCount > 0) {
            int last = op.pieceCount - 1;
            return op.pieceDisk[last] + ExtentMap.blocks(op.pieceLength[last]);
        }
        long position = map.firstEndingBehind(block);
        long previous = map.extentCount() == 0 ? -1 : map.previous(position);
        return previous < 0 ? 0 : map.diskBlock(previous) + ExtentMap.blocks(map.length(previous));
    }

    /** Reads the first and the last block when the write keeps some of their content. */
    private int readPartial(FileOp op, ExtentMap map) {
        FsRequest r = op.request();
        long first = startBlock(op);
        long last = endBlock(op) - 1;
        boolean headPartial = isPartial(op, first);
        boolean tailPartial = last != first && isPartial(op, last);
        op.clearIo();
        int iovecsNeeded = r.dataIovecCount + 2;
        op.reserveIovecs(2 * iovecsNeeded + op.pieceCount);
        boolean whole = !isMiddleAligned(op, r, headPartial);
        if (headPartial || tailPartial || whole) {
            long blocks = whole ? last - first + 1 : 2;
            if (!op.obtainBounce(blocks << Items.BLOCK_SHIFT)) {
                return FileOp.noMemory();
            }
        }
        op.position = whole ? last - first : 1;
        if (headPartial) {
            readKept(op, map, first, 0);
        }
        if (tailPartial) {
            readKept(op, map, last, (int) op.position);
        }
        op.alignedIovecs = whole ? -1 : 0;
        op.phase = FileChanges.MERGE;
        return FileChanges.submitted(op);
    }

    private static boolean isPartial(FileOp op, long block) {
        long start = block << Items.BLOCK_SHIFT;
        return op.offset > start || op.offset + op.length < start + Items.BLOCK_SIZE;
    }

    /** Whether the device takes the client's memory as it is, once the first block's part is cut off. */
    private static boolean isMiddleAligned(FileOp op, FsRequest r, boolean headPartial) {
        int mask = op.context.memoryMask;
        if (mask == 0) {
            return true;
        }
        boolean cutFits = !headPartial || (op.offset & mask) == 0;
        return cutFits && FileData.isAligned(op.context, r);
    }

    /** Reads a block into the bounce buffer, or zeroes it there when nothing of it is kept. */
    private static void readKept(FileOp op, ExtentMap map, long block, int bounceBlock) {
        long start = block << Items.BLOCK_SHIFT;
        ExtentCursor cursor = op.context.cursor;
        map.seek(block, cursor);
        boolean isData = cursor.state >= ExtentCursor.WRITTEN;
        long blockEnd = start + Items.BLOCK_SIZE;
        long validEnd = keepsTail(op) ? blockEnd : Math.min(op.inode().size, blockEnd);
        boolean covered = (op.offset <= start && op.offset + op.length >= validEnd) || validEnd <= start;
        if (isData && !covered) {
            FileChanges.addBounceIo(op, BlockIo.READ, cursor.diskBlock, bounceBlock);
        } else {
            Memory.zero(op.bounceAddress() + ((long) bounceBlock << Items.BLOCK_SHIFT), Items.BLOCK_SIZE);
        }
    }

    /** Puts the client's bytes over what was read and writes all pieces. */
    int merge(FileOp op) {
        long first = startBlock(op);
        long last = endBlock(op) - 1;
        boolean whole = op.alignedIovecs < 0;
        FsRequest r = op.request();
        noteTail(op);
        op.clearIo();
        if (whole) {
            zeroBehindSize(op, first, 0);
            if (last != first) {
                zeroBehindSize(op, last, last - first);
            }
            long to = op.bounceAddress() + (op.offset & Items.BLOCK_MASK);
            take(op, r, 0, to, op.length);
            op.addIovec(op.bounceAddress(), (last - first + 1) << Items.BLOCK_SHIFT);
        } else {
            buildAligned(op, r, first, last);
        }
        if (op.ioStatus < 0) {
            return op.ioStatus;
        }
        writePieces(op, first);
        op.phase = FileChanges.COMMIT;
        return FileChanges.submitted(op);
    }

    /** Until the commit, which may fail, what is written behind the end of file in its block is stale. */
    private static void noteTail(FileOp op) {
        Inode inode = op.inode();
        if (op.offset >>> Items.BLOCK_SHIFT <= inode.size >>> Items.BLOCK_SHIFT
                && op.offset + op.length > inode.size
                && (inode.flags & Items.FLAG_STALE_TAIL) == 0) {
            inode.beginChange();
            inode.flags |= Items.FLAG_STALE_TAIL;
            inode.endChange();
        }
    }

    /** Whether bytes behind the end of file, which a crash may make part of the file again, are none of its business. */
    private static boolean keepsTail(FileOp op) {
        Inode inode = op.inode();
        return (inode.flags & Items.FLAG_STALE_TAIL) != 0 && op.offset + op.length <= inode.size;
    }

    private static void zeroBehindSize(FileOp op, long block, long bounceBlock) {
        if (keepsTail(op)) {
            return;
        }
        long keep = op.inode().size - (block << Items.BLOCK_SHIFT);
        if (keep < Items.BLOCK_SIZE && isPartial(op, block)) {
            int from = (int) Math.max(0, keep);
            long at = op.bounceAddress() + (bounceBlock << Items.BLOCK_SHIFT);
            Memory.zero(at + from, Items.BLOCK_SIZE - from);
        }
    }

    /** The iovecs of whole blocks: head in the bounce buffer, the client's memory, tail in the bounce buffer. */
    private static void buildAligned(FileOp op, FsRequest r, long first, long last) {
        long end = op.offset + op.length;
        long at = op.offset;
        if (isPartial(op, first)) {
            at = Math.min(end, (first + 1) << Items.BLOCK_SHIFT);
            mergeBlock(op, r, first, 0, op.offset, at);
        }
        boolean tailPartial = last != first && isPartial(op, last);
        long middleEnd = tailPartial ? last << Items.BLOCK_SHIFT : end;
        if (middleEnd > at) {
            op.addSlice(r.dataIovecs, r.dataIovecCount, at - op.offset, middleEnd - at);
        }
        if (tailPartial) {
            mergeBlock(op, r, last, 1, last << Items.BLOCK_SHIFT, end);
        }
    }

    private static void mergeBlock(FileOp op, FsRequest r, long block, int bounceBlock, long from, long to) {
        zeroBehindSize(op, block, bounceBlock);
        long at = op.bounceAddress() + ((long) bounceBlock << Items.BLOCK_SHIFT);
        take(op, r, from - op.offset, at + (from & Items.BLOCK_MASK), to - from);
        op.addIovec(at, Items.BLOCK_SIZE);
    }

    /** Copies some of the client's bytes; fails the operation when they are gone. */
    private static void take(FileOp op, FsRequest r, long skipBytes, long to, long lengthBytes) {
        long taken = Iovecs.gatherShared(r.dataIovecs, r.dataIovecCount, skipBytes, to, lengthBytes);
        if (taken < 0) {
            op.ioStatus = (int) taken;
        }
    }

    private static void writePieces(FileOp op, long first) {
        long aligned = op.iovecsAddress();
        int count = op.iovecCount();
        for (int i = 0; i < op.pieceCount; i++) {
            long bytes = (long) ExtentMap.blocks(op.pieceLength[i]) << Items.BLOCK_SHIFT;
            long disk = op.pieceDisk[i] << Items.BLOCK_SHIFT;
            if (op.pieceCount == 1) {
                op.submit(BlockIo.WRITE, disk, bytes, aligned, count);
                return;
            }
            int before = op.iovecCount();
            long slice = op.addSlice(aligned, count, (op.pieceFile[i] - first) << Items.BLOCK_SHIFT, bytes);
            op.submit(BlockIo.WRITE, disk, bytes, slice, op.iovecCount() - before);
        }
    }

    /**
     * The group that makes the new blocks, the size and the times part of the file; before it, where many shared blocks are
     * replaced, groups that do so with the first of them.
     */
    int commit(FileOp op) {
        op.releaseBounce();
        Inode inode = op.inode();
        FsRequest r = op.request();
        boolean mapChanges = false;
        for (int i = 0; i < op.pieceCount; i++) {
            mapChanges |= op.pieceNew[i] || op.pieceLength[i] < 0;
        }
        boolean killsPrivileges =
                r.killPrivileges && Modes.withoutPrivileges(inode.mode, r.gid == inode.gid) != inode.mode;
        if (!mapChanges && !killsPrivileges && op.offset + op.length <= inode.size) {
            volume.dataWritten(inode, r);
            op.phase = FileChanges.SYNC;
            return FileChanges.CONTINUE;
        }
        int s = volume.prepareInode(inode.number);
        int logBytes = BlobStore.logBytes(Items.INODE_SIZE);
        int pieces = op.pieceCount;
        if (s == BlobStore.OK && mapChanges) {
            ExtentMap map = volume.map(inode);
            pieces = map == null ? -1 : piecesOfGroup(op, map);
            s = map == null || pieces < 0 ? volume.status : prepareMap(op, inode, map, pieces);
            logBytes += mapLogBytes();
        }
        if (s == BlobStore.OK && mapChanges) {
            s = volume.checkBlocks(inode, edit.blocksDelta);
        }
        if (s == BlobStore.OK) {
            s = store.begin(logBytes);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        boolean isLast = pieces == op.pieceCount;
        putPieces(op, inode, pieces, mapChanges);
        if (!isLast) {
            return partWritten(op, inode);
        }
        return written(op, inode, r, mapChanges ? edit.apply() : null);
    }

    /** How many of the first pieces one group takes; the last of them is cut when need be. Negative: see the volume's status. */
    private int piecesOfGroup(FileOp op, ExtentMap map) {
        shared.begin();
        ExtentCursor cursor = op.context.cursor;
        for (int i = 0; i < op.pieceCount; i++) {
            if (ExtentMap.isShared(op.pieceLength[i])) {
                map.seek(op.pieceFile[i], cursor);
                int blocks = ExtentMap.blocks(op.pieceLength[i]);
                int room = shared.room(cursor.diskBlock, blocks);
                if (room <= 0) {
                    return room < 0 ? room : i;
                }
                if (room < blocks) {
                    op.splitPiece(i, room);
                    return i + 1;
                }
            }
        }
        return op.pieceCount;
    }

    /** As {@link #commit} does, for the first pieces only: OK, NOT_RESIDENT or a negative errno. */
    int prepareMap(FileOp op, Inode inode, int pieces) {
        ExtentMap map = volume.map(inode);
        if (map == null) {
            return volume.status;
        }
        shared.begin();
        return prepareMap(op, inode, map, pieces);
    }

    int mapLogBytes() {
        return edit.logBytes() + shared.logBytes();
    }

    private int prepareMap(FileOp op, Inode inode, ExtentMap map, int pieces) {
        edit.begin(map, op.pieceFile[0], pieceEnd(op, pieces - 1));
        for (int i = 0; i < pieces; i++) {
            edit.add(op.pieceFile[i], op.pieceDisk[i], ExtentMap.blocks(op.pieceLength[i]));
        }
        edit.compute();
        edit.dropShared(shared);
        int s = shared.compute();
        if (s == BlobStore.OK) {
            s = shared.prepare(SharedBlocks.PREPARE);
        }
        return s == BlobStore.OK ? edit.prepare(store, inode.number, false) : s;
    }

    /** Between begin and end. */
    void putPieces(FileOp op, Inode inode, int pieces, boolean mapChanges) {
        for (int i = 0; i < pieces; i++) {
            if (op.pieceNew[i]) {
                store.markUsed(op.pieceDisk[i], ExtentMap.blocks(op.pieceLength[i]));
            }
        }
        op.dropPieces(pieces);
        if (mapChanges) {
            edit.put(store, inode.number, volume.scratch);
            shared.put(volume.scratch);
        }
    }

    /** The first of several groups: the rest of the pieces comes in the next turns. */
    private int partWritten(FileOp op, Inode inode) {
        inode.beginChange();
        volume.setMap(inode, edit.apply());
        inode.blocks += edit.blocksDelta;
        inode.endChange();
        volume.putInode(inode);
        int s = store.end();
        volume.changed(inode);
        if (s != BlobStore.OK) {
            return s;
        }
        volume.inNextTurn(op);
        return FileSystem.PENDING;
    }
}

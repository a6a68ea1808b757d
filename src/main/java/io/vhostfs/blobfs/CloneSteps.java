package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The phase of a CLONE that makes a range of one file hold the blocks of another range; see {@link FileChanges}.
 *
 * <p>Invariant: only whole blocks within the source's size are shared, and only written ones: a hole or unwritten blocks
 * become a hole. A group marks the source's extents as shared, counts the references, puts the target's extents and gives up
 * what these held before, all at once; a long range takes several, in the order of the file. Home reactor.
 */
final class CloneSteps {
    private final Volume volume;
    private final BlobStore store;
    private final ExtentEdit targetEdit;
    private final ExtentEdit sourceEdit = new ExtentEdit();
    private final SharedBlocks shared;
    private final ExtentCursor from = new ExtentCursor();
    private final ExtentCursor to = new ExtentCursor();

    CloneSteps(Volume volume, ExtentEdit edit, SharedBlocks shared) {
        this.volume = volume;
        this.store = volume.store;
        this.targetEdit = edit;
        this.shared = shared;
    }

    /** The errno of a request that cannot be, or OK. */
    static int check(FsRequest r) {
        boolean isAligned = ((r.offset | r.offset2 | r.length) & Items.BLOCK_MASK) == 0;
        if (!isAligned || r.offset < 0 || r.offset2 < 0 || r.length < 0) {
            return -Errno.EINVAL;
        }
        return r.offset2 >= Limits.MAX_FILE_BYTES ? -Errno.EFBIG : BlobStore.OK;
    }

    /** The file that is taken from, perhaps the same. */
    static Inode source(FileOp op) {
        FileOp holder = op.partner;
        return holder == null ? op.inode() : holder.inode();
    }

    /** Sets the length to what the source has now: OK or a negative errno. */
    static int clip(FileOp op, FsRequest r) {
        Inode source = source(op);
        long room = Math.min(source.size - r.offset, Limits.MAX_FILE_BYTES - r.offset2);
        op.length = Math.max(0, Math.min(r.length, room)) & ~Items.BLOCK_MASK;
        boolean overlap = r.offset < r.offset2 + op.length && r.offset2 < r.offset + op.length;
        return op.partner == null && overlap ? -Errno.EINVAL : BlobStore.OK;
    }

    /** What is to be held of the source, once the range of the target is set. */
    static void setSourceRange(FileOp op, FsRequest r) {
        long start = r.offset >>> Items.BLOCK_SHIFT;
        long end = start + (op.length >>> Items.BLOCK_SHIFT);
        FileOp holder = op.partner;
        if (holder == null) {
            op.rangeStart = Math.min(op.rangeStart, start);
            op.rangeEnd = Math.max(op.rangeEnd, end);
        } else {
            holder.rangeStart = start;
            holder.rangeEnd = end;
        }
    }

    /** One group; what went before it counts when it fails. */
    int share(FileOp op) {
        boolean isDone = op.position == op.length >>> Items.BLOCK_SHIFT;
        int s = isDone ? BlobStore.OK : shareSome(op);
        if (isDone || (s < 0 && op.position > 0)) {
            op.phase = FileChanges.SYNC;
            return FileChanges.CONTINUE;
        }
        return s;
    }

    private int shareSome(FileOp op) {
        Inode source = source(op);
        Inode target = op.inode();
        ExtentMap sourceMap = volume.map(source);
        ExtentMap targetMap = sourceMap == null ? null : volume.map(target);
        if (sourceMap == null || targetMap == null) {
            return volume.status;
        }
        boolean isSame = op.partner == null;
        long start = (op.request().offset >>> Items.BLOCK_SHIFT) + op.position;
        long targetStart = (op.offset >>> Items.BLOCK_SHIFT) + op.position;
        long left = (op.length >>> Items.BLOCK_SHIFT) - op.position;
        long blocks = blocksOfGroup(sourceMap, start, targetMap, targetStart, left);
        if (blocks < 0) {
            return volume.status;
        }
        edit(sourceMap, start, isSame ? null : targetMap, targetStart, blocks);
        int s = prepare(source, target);
        if (s == BlobStore.OK) {
            s = beginGroup();
        }
        if (s != BlobStore.OK) {
            return s;
        }
        put(source, target, isSame);
        s = end(op, target, (targetStart + blocks) << Items.BLOCK_SHIFT);
        if (s != BlobStore.OK) {
            return s;
        }
        op.position += blocks;
        volume.inNextTurn(op);
        return FileSystem.PENDING;
    }

    /** How many blocks one group takes; negative: see the volume's status. */
    private long blocksOfGroup(ExtentMap source, long start, ExtentMap target, long targetStart, long left) {
        shared.begin();
        long most = Math.min(left, Limits.MAX_GROUP_BLOCKS);
        long blocks = 0;
        for (int i = 0; i < Limits.MAX_GROUP_ITEMS && blocks < most; i++) {
            source.seek(start + blocks, from);
            target.seek(targetStart + blocks, to);
            long run = Math.min(most - blocks, Math.min(from.runBlocks, to.runBlocks));
            if (from.state >= ExtentCursor.WRITTEN) {
                run = shared.room(from.diskBlock, (int) run);
            }
            if (run > 0 && to.state == ExtentCursor.SHARED) {
                run = shared.room(to.diskBlock, (int) run);
            }
            if (run <= 0) {
                return run < 0 ? run : blocks;
            }
            blocks += run;
        }
        return blocks;
    }

    /** Both files' changes; without a map of its own the target is the source as it is with its change. */
    private void edit(ExtentMap source, long start, @Nullable ExtentMap target, long targetStart, long blocks) {
        long end = start + blocks;
        sourceEdit.begin(source, start, end);
        for (long at = start; at < end; at += from.runBlocks) {
            int run = seek(source, at, end);
            if (from.state >= ExtentCursor.WRITTEN) {
                sourceEdit.add(at, from.diskBlock, run | ExtentMap.SHARED);
                shared.change(from.diskBlock, run, true);
            } else if (from.state == ExtentCursor.UNWRITTEN) {
                sourceEdit.add(at, from.diskBlock, run | ExtentMap.UNWRITTEN);
            }
        }
        sourceEdit.compute();
        targetEdit.begin(target == null ? sourceEdit.apply() : target, targetStart, targetStart + blocks);
        for (long at = start; at < end; at += from.runBlocks) {
            int run = seek(source, at, end);
            if (from.state >= ExtentCursor.WRITTEN) {
                targetEdit.add(targetStart + (at - start), from.diskBlock, run | ExtentMap.SHARED);
            }
        }
        targetEdit.compute();
        targetEdit.dropShared(shared);
    }

    private int seek(ExtentMap source, long at, long end) {
        source.seek(at, from);
        from.runBlocks = Math.min(from.runBlocks, end - at);
        return (int) from.runBlocks;
    }

    private int prepare(Inode source, Inode target) {
        int s = volume.checkBlocks(target, targetEdit.blocksDelta);
        if (s == BlobStore.OK) {
            s = shared.compute();
        }
        if (s == BlobStore.OK) {
            s = shared.prepare(SharedBlocks.PREPARE);
        }
        if (s == BlobStore.OK) {
            s = sourceEdit.prepare(store, source.number, false);
        }
        if (s == BlobStore.OK) {
            s = targetEdit.prepare(store, target.number, false);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(target.number);
        }
        return s == BlobStore.OK && isFirst() ? prepareFeature() : s;
    }

    private boolean isFirst() {
        return !volume.hasShared && !shared.isEmpty();
    }

    /** The first blocks that are shared: programs that know nothing of that must leave the file system alone from now on. */
    private int prepareFeature() {
        int s = store.find(Items.SYSTEM, Items.SUPER_KEY);
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.EIO : s;
        }
        if (store.valueLength != Items.SUPER_SIZE) {
            return -Errno.EIO;
        }
        long at = volume.scratch2;
        Memory.copy(store.valueAddress, at, Items.SUPER_SIZE);
        long features = Memory.getLong(at + Items.SUPER_INCOMPATIBLE_OFFSET);
        Memory.putLong(at + Items.SUPER_INCOMPATIBLE_OFFSET, features | Items.FEATURE_SHARED);
        return store.prepare(Items.SYSTEM, Items.SUPER_KEY, Items.SUPER_SIZE);
    }

    private int beginGroup() {
        return store.begin(sourceEdit.logBytes()
                + targetEdit.logBytes()
                + shared.logBytes()
                + BlobStore.logBytes(Items.INODE_SIZE)
                + BlobStore.logBytes(Items.SUPER_SIZE));
    }

    private void put(Inode source, Inode target, boolean isSame) {
        if (isFirst()) {
            store.put(Items.SYSTEM, Items.SUPER_KEY, volume.scratch2, Items.SUPER_SIZE);
            volume.hasShared = true;
        }
        sourceEdit.put(store, source.number, volume.scratch);
        targetEdit.put(store, target.number, volume.scratch);
        targetEdit.freeRange(store);
        shared.put(volume.scratch);
        if (!isSame && sourceEdit.isChange()) {
            source.beginChange();
            volume.setMap(source, sourceEdit.apply());
            source.endChange();
        }
    }

    private int end(FileOp op, Inode target, long endBytes) {
        long now = volume.now();
        target.beginChange();
        volume.setMap(target, targetEdit.apply());
        target.blocks += targetEdit.blocksDelta;
        if (endBytes > target.size) {
            target.size = endBytes;
            target.flags &= ~Items.FLAG_STALE_TAIL;
        }
        if (op.request().killPrivileges) {
            target.mode = Modes.withoutPrivileges(target.mode, op.request().gid == target.gid);
        }
        target.modifyTimeNs = now;
        target.changeTimeNs = now;
        target.dataVersion++;
        target.endChange();
        volume.putInode(target);
        int s = store.end();
        volume.changed(target);
        return s;
    }
}

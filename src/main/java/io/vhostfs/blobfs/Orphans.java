package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Message;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Removes inodes that have no link and no user, and ends what a crash cut short.
 *
 * <p>Invariant: an inode without links has an ORPHAN item until the group that deletes its INODE item. What takes more
 * than one group goes on in the background, one inode at a time. Home reactor.
 */
final class Orphans {
    /** Another group is needed. */
    private static final int AGAIN = 3;

    private final Volume volume;
    private final BlobStore store;
    private final ArrayDeque<Inode> queue = new ArrayDeque<>();
    private final Worker worker = new Worker();

    private final long[] keys = new long[Limits.MAX_GROUP_ITEMS];
    private final long[] extentBlocks = new long[Limits.MAX_GROUP_ITEMS];
    /** With the flags of {@link ExtentMap}. */
    private final int[] extentLengths = new int[Limits.MAX_GROUP_ITEMS];
    /** What is left of the last extent for the next group, or of length 0. */
    private long restFile;

    private long restBlock;
    private int restLength;
    private final SharedBlocks shared;
    private int keyCount;
    private boolean allKeys;
    /** What the collected items take of a quota, without INODE. */
    private long collectedBytes;

    private @Nullable TruncationFinisher finisher;
    private boolean scanning;
    private long scanned;
    /** Orphans met while mounting: one inode more than was known at the last mount. */
    private long scanLimit;

    /** Ends an interrupted truncation of an inode in memory. */
    interface TruncationFinisher {
        void finish(Inode inode);
    }

    Orphans(Volume volume) {
        this.volume = volume;
        this.store = volume.store;
        shared = new SharedBlocks(volume);
    }

    /** To be called when something that kept an inode has gone: a link, a reference, a handle, an operation. */
    void released(Inode inode) {
        if (inode.links != 0 || inode.purging || inode.handles != 0 || inode.pins != 0 || inode.number == 0) {
            return;
        }
        if (volume.isReferenced(inode.number)) {
            return;
        }
        inode.purging = true;
        int r = queue.isEmpty() ? purge(inode) : AGAIN;
        if (r == BlobStore.OK) {
            volume.dropOrphan(inode);
        } else {
            queue.add(inode);
            worker.start(r);
        }
    }

    /** Leaves what the scan has not met yet to the next mount. */
    void stopScan() {
        scanning = false;
    }

    /** Whether background work is left. */
    boolean isBusy() {
        return scanning || !queue.isEmpty();
    }

    // --- after a mount

    /** Looks, in the background, for what the last mount left. */
    void scan(TruncationFinisher truncationFinisher, long nextInode) {
        finisher = truncationFinisher;
        scanLimit = nextInode;
        scanning = true;
        scanned = 0;
        worker.start(AGAIN);
    }

    /** One orphan of an earlier mount: OK when there is none left, else AGAIN, NOT_RESIDENT or a negative errno. */
    private int scanOne() {
        int r = store.ceiling(Items.SYSTEM, Items.orphanKey(scanned + 1));
        if (r == BlobStore.NOT_FOUND
                || (r == BlobStore.OK
                        && (store.foundK0 != Items.SYSTEM
                                || Items.type(store.foundK1) != Items.TYPE_ORPHAN
                                || Items.sub(store.foundK1) >= scanLimit))) {
            return BlobStore.OK;
        }
        if (r != BlobStore.OK) {
            return r;
        }
        long number = Items.sub(store.foundK1);
        if (store.valueLength != Items.ORPHAN_SIZE) {
            // fsck tells of it, too.
            scanned = number;
            return AGAIN;
        }
        int reason = Memory.getUnsignedByte(store.valueAddress + Items.ORPHAN_REASON_OFFSET);
        Inode inode = volume.load(number);
        if (inode == null) {
            if (volume.status == BlobStore.NOT_RESIDENT) {
                return volume.status;
            }
            // fsck reports an orphan without an inode; it hurts nobody.
            scanned = number;
            return AGAIN;
        }
        scanned = number;
        if (reason == Items.ORPHAN_UNLINKED && inode.links != 0) {
            // Of an earlier mount: the orphans of this one have no links in memory.
            inode.beginChange();
            inode.links = 0;
            inode.endChange();
            volume.addOrphan(inode);
            released(inode);
        } else if (reason == Items.ORPHAN_UNLINKED && !isKnownOrphan(inode)) {
            volume.addOrphan(inode);
            released(inode);
        } else if (reason == Items.ORPHAN_TRUNCATING && finisher != null && inode.activeRanges == null) {
            finisher.finish(inode);
        }
        return AGAIN;
    }

    private boolean isKnownOrphan(Inode inode) {
        return inode.orphanNext != null || inode.orphanPrevious != null || volume.firstOrphan() == inode;
    }

    // --- removal

    /** One group of an inode's removal: OK when it is gone, else AGAIN, NOT_RESIDENT or a negative errno. */
    private int purge(Inode inode) {
        int r = collect(inode);
        if (r != BlobStore.OK) {
            return r;
        }
        long number = inode.number;
        for (int i = 0; i < keyCount && r == BlobStore.OK; i++) {
            r = store.prepareDelete(number, keys[i]);
        }
        if (r == BlobStore.OK && allKeys) {
            r = store.prepareDelete(number, Items.INODE_KEY);
        }
        if (r == BlobStore.OK && allKeys) {
            r = store.prepareDelete(Items.SYSTEM, Items.orphanKey(number));
        }
        if (r == BlobStore.OK && !allKeys) {
            r = volume.prepareInodeInReserve(number);
        }
        if (r == BlobStore.OK) {
            r = volume.quotas.prepareInReserve(inode.quota);
        }
        if (r == BlobStore.OK) {
            r = prepareShared(number);
        }
        if (r == -Errno.ENOSPC && shared.narrow()) {
            return AGAIN;
        }
        if (r == BlobStore.OK) {
            r = store.begin((keyCount + 2) * (BlobStore.logBytes(0) + BlobStore.RANGE_LOG_BYTES)
                    + BlobStore.logBytes(Items.EXTENT_SIZE)
                    + BlobStore.logBytes(Items.INODE_SIZE)
                    + shared.logBytes());
        }
        if (r != BlobStore.OK) {
            return r;
        }
        for (int i = 0; i < keyCount; i++) {
            store.delete(number, keys[i]);
            if (extentLengths[i] != 0 && !ExtentMap.isShared(extentLengths[i])) {
                store.free(extentBlocks[i], ExtentMap.blocks(extentLengths[i]));
            }
        }
        shared.put(volume.scratch);
        if (restLength != 0) {
            Items.encodeExtent(volume.scratch, restBlock, restLength);
            store.put(number, Items.extentKey(restFile), volume.scratch, Items.EXTENT_SIZE);
        }
        if (allKeys) {
            store.delete(number, Items.INODE_KEY);
            store.delete(Items.SYSTEM, Items.orphanKey(number));
        } else {
            putRest(inode);
        }
        volume.quotas.charge(inode.quota, -collectedBytes - (allKeys ? Quotas.INODE_BYTES : 0), allKeys ? -1 : 0);
        r = store.end();
        return r == BlobStore.OK && !allKeys ? AGAIN : r;
    }

    /** What is left of an inode after a group is whole by itself: a crash may leave it so. */
    private void putRest(Inode inode) {
        inode.beginChange();
        for (int i = 0; i < keyCount; i++) {
            inode.blocks -= ExtentMap.blocks(extentLengths[i]);
        }
        inode.endChange();
        // The group's charge has them.
        inode.chargedBlocks = inode.blocks;
        volume.putInode(inode);
    }

    private int prepareShared(long number) {
        for (int i = 0; i < keyCount; i++) {
            if (ExtentMap.isShared(extentLengths[i])) {
                shared.change(extentBlocks[i], ExtentMap.blocks(extentLengths[i]), false);
            }
        }
        int r = shared.compute();
        if (r == BlobStore.OK) {
            r = shared.prepare(SharedBlocks.PREPARE_IN_RESERVE);
        }
        return r == BlobStore.OK && restLength != 0
                ? store.prepareInReserve(number, Items.extentKey(restFile), Items.EXTENT_SIZE)
                : r;
    }

    /** The inode's items but INODE, as many as go into one group. */
    private int collect(Inode inode) {
        keyCount = 0;
        allKeys = true;
        collectedBytes = 0;
        restLength = 0;
        shared.begin();
        boolean isLink = (inode.mode & Modes.S_IFMT) == Modes.S_IFLNK;
        if (inode.blocks == 0 && (inode.flags & Items.FLAG_XATTRS) == 0 && inode.quota == null) {
            if (isLink || (inode.isInline() && inode.size > 0)) {
                addKey(Items.INLINE_KEY, 0, 0);
            }
            if (isLink && inode.size > Items.SYMLINK_PIECE_BYTES) {
                addKey(Items.INLINE_KEY2, 0, 0);
            }
            return BlobStore.OK;
        }
        long next = Items.INODE_KEY + 1;
        long blocks = 0;
        while (true) {
            int r = store.ceiling(inode.number, next);
            if (r == BlobStore.NOT_FOUND || (r == BlobStore.OK && store.foundK0 != inode.number)) {
                return BlobStore.OK;
            }
            if (r != BlobStore.OK) {
                return r;
            }
            if (keyCount == keys.length || blocks >= Limits.MAX_GROUP_BLOCKS) {
                allKeys = false;
                return BlobStore.OK;
            }
            next = store.foundK1 + 1;
            r = addFound();
            if (r != BlobStore.OK || !allKeys) {
                return r;
            }
            blocks += ExtentMap.blocks(extentLengths[keyCount - 1]);
        }
    }

    /** OK, NOT_RESIDENT or a negative errno; not all keys any more when the group is full. */
    private int addFound() {
        long k1 = store.foundK1;
        if (Items.type(k1) != Items.TYPE_EXTENT) {
            addKey(k1, 0, 0);
            collectedBytes += Quotas.bytesOf(store.valueLength);
            return BlobStore.OK;
        }
        if (!Items.isOwnExtent(store)) {
            return -Errno.EIO;
        }
        long block = Memory.getLong(store.valueAddress + Items.EXTENT_BLOCK_OFFSET);
        int length = Items.extentLength(store.valueAddress);
        int blocks = ExtentMap.blocks(length);
        int room = ExtentMap.isShared(length) ? shared.room(block, blocks) : blocks;
        if (room < 0) {
            return volume.status;
        }
        allKeys = room == blocks;
        if (room > 0) {
            addKey(k1, block, room | ExtentMap.flags(length));
            collectedBytes += (long) room << Items.BLOCK_SHIFT;
        }
        if (room > 0 && room < blocks) {
            restFile = Items.sub(k1) + room;
            restBlock = block + room;
            restLength = length - room;
        }
        return BlobStore.OK;
    }

    private void addKey(long k1, long block, int length) {
        keys[keyCount] = k1;
        extentBlocks[keyCount] = block;
        extentLengths[keyCount++] = length;
    }

    /** Runs what is left, a group per turn of the reactor. */
    private final class Worker extends BlobStore.Parkable implements Message {
        private boolean scheduled;

        void start(int why) {
            if (scheduled) {
                return;
            }
            scheduled = true;
            if (why == BlobStore.NOT_RESIDENT) {
                store.park(this);
            } else {
                volume.inNextTurn(this);
            }
        }

        @Override
        public void unpark() {
            run();
        }

        @Override
        public void run() {
            scheduled = false;
            if (isBusy()) {
                int r = step();
                if (isBusy()) {
                    start(r);
                }
            }
        }

        /** As {@link #purge} and {@link #scanOne}. */
        private int step() {
            Inode inode = queue.peek();
            int r;
            try {
                r = inode == null ? scanOne() : purge(inode);
            } catch (RuntimeException e) {
                r = store.onUnexpected(e);
            }
            if (inode == null) {
                scanning &= r > BlobStore.OK;
                return r;
            }
            if (r == BlobStore.OK) {
                volume.dropOrphan(inode);
            }
            if (r <= BlobStore.OK) {
                // After an error the inode stays an orphan: the next mount tries again.
                queue.remove();
            }
            return r;
        }
    }
}

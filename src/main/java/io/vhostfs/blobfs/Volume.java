package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.AccessTimes;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What all operations share: the store, the inodes in memory, the clients, scratch memory.
 *
 * <p>Methods that may fail return null or a status other than {@link BlobStore#OK} and leave the reason in {@link
 * #status}: {@link BlobStore#NOT_RESIDENT} (park the request and run it again) or a negative errno. Home reactor.
 */
final class Volume {
    final BlobStore store;
    final Reactor home;
    final InodeTable inodes = new InodeTable(this);
    final NameHash hash;
    final Quotas quotas;

    /** Room for a value being put. */
    final long scratch;
    /** Room for a name or a value copied out of the store. */
    final long scratch2;

    private static final int SCRATCH_BYTES = 4096;

    /** Run the request again in the next turn: it has done its share of this one. */
    static final int NEXT_TURN = 4;

    /** Why the last call failed. */
    int status;

    /** A directory's names have changed that is to be durable at once. */
    boolean changedSynchronous;

    private BlobFsClient[] clients = new BlobFsClient[4];
    private int clientCount;

    private long nextInode;
    /** Durably reserved up to here. */
    private long inodeLimit;

    @Nullable
    private Inode firstDirty;

    private int dirtyCount;

    @Nullable
    private Inode firstOrphan;

    private final WriteBackTimer writeBackTimer = new WriteBackTimer();
    private boolean stopped;
    private long cachedExtents;
    private long maxCachedExtents = Limits.MAX_CACHED_EXTENTS;
    private int mapHand;
    private @Nullable FileChanges changes;

    /** Whether the file system's header says that extents may share blocks. */
    boolean hasShared;

    @SuppressWarnings("unused") // holds the scratch memory
    private final Arena arena = Arena.ofAuto();

    Volume(BlobStore store, Reactor home, NameHash hash, Quotas quotas, long nextInode, boolean hasShared) {
        this.store = store;
        this.quotas = quotas;
        this.hasShared = hasShared;
        this.home = home;
        this.hash = hash;
        this.nextInode = nextInode;
        this.inodeLimit = nextInode;
        scratch = arena.allocate(SCRATCH_BYTES, 64).address();
        scratch2 = arena.allocate(SCRATCH_BYTES, 64).address();
    }

    long now() {
        return home.wallClockNs();
    }

    /** More of a long job, after everybody else had a turn: what is sent may run within the same one. */
    void inNextTurn(Message message) {
        home.schedule(0, message);
    }

    // --- clients

    void addClient(BlobFsClient client) {
        if (clientCount == clients.length) {
            clients = Arrays.copyOf(clients, 2 * clientCount);
        }
        clients[clientCount++] = client;
    }

    void removeClient(BlobFsClient client) {
        for (int i = 0; i < clientCount; i++) {
            if (clients[i] == client) {
                System.arraycopy(clients, i + 1, clients, i, --clientCount - i);
                return;
            }
        }
    }

    boolean isReferenced(long inode) {
        for (int i = 0; i < clientCount; i++) {
            if (clients[i].holds(inode)) {
                return true;
            }
        }
        return false;
    }

    /**
     * Whether a client must not get a reference: another one has the file, by a name elsewhere, and one of the two takes for
     * granted that it is alone.
     */
    boolean isKeptFrom(BlobFsClient client, long inode, int mode, int links) {
        if (links <= 1 || (mode & Modes.S_IFMT) == Modes.S_IFDIR) {
            return false;
        }
        for (int i = 0; i < clientCount; i++) {
            BlobFsClient other = clients[i];
            if (other != client && (client.isAlone() || other.isAlone()) && other.holds(inode)) {
                return true;
            }
        }
        return false;
    }

    // --- inodes

    /** The inode a client names, or null: -ESTALE when it has no reference to it. */
    @Nullable
    Inode inode(BlobFsClient client, long number) {
        if (!client.holds(number)) {
            status = -Errno.ESTALE;
            return null;
        }
        return load(number);
    }

    /** As {@link #inode}; -ENOTDIR when it is not a directory. */
    @Nullable
    Inode directory(BlobFsClient client, long number) {
        Inode inode = inode(client, number);
        if (inode != null && !inode.isDirectory()) {
            status = -Errno.ENOTDIR;
            return null;
        }
        return inode;
    }

    /** The inode by handle when there is one, else by number. */
    @Nullable
    Inode opened(BlobFsClient client, long number, long handle) {
        if (handle == 0) {
            return inode(client, number);
        }
        OpenFile file = client.file(handle);
        Inode inode = file == null ? null : file.inode;
        if (inode == null || inode.number != number) {
            status = -Errno.EBADF;
            return null;
        }
        return inode;
    }

    @Nullable
    Inode load(long number) {
        Inode inode = inodes.get(number);
        if (inode != null) {
            inode.touched = true;
            return inode;
        }
        return loadSlow(number);
    }

    @Nullable
    private Inode loadSlow(long number) {
        if (number <= 0 || number >= Items.SYSTEM) {
            status = -Errno.ESTALE;
            return null;
        }
        int r = store.find(number, Items.INODE_KEY);
        if (r != BlobStore.OK) {
            status = r == BlobStore.NOT_FOUND ? -Errno.ESTALE : r;
            return null;
        }
        if (!Inode.isValidItem(store.valueAddress, store.valueLength)) {
            status = -Errno.EIO;
            return null;
        }
        Inode inode = inodes.obtain();
        inode.decode(number, store.valueAddress);
        inode.changedSequence = store.sequence();
        inodes.put(inode);
        return inode;
    }

    /** The parent of a directory, without making an inode object; 0 with {@link #status} when it fails. */
    long parentOf(long directory) {
        Inode inode = inodes.get(directory);
        if (inode != null) {
            return inode.parent;
        }
        int r = store.find(directory, Items.INODE_KEY);
        if (r == BlobStore.OK && Inode.isValidItem(store.valueAddress, store.valueLength)) {
            return Memory.getLong(store.valueAddress + Items.INODE_PARENT_OFFSET);
        }
        status = r == BlobStore.NOT_RESIDENT ? r : -Errno.EIO;
        return 0;
    }

    /** The extents, read when need be. */
    @Nullable
    ExtentMap map(Inode inode) {
        ExtentMap map = inode.map;
        return map != null ? map : loadMap(inode);
    }

    @Nullable
    private ExtentMap loadMap(Inode inode) {
        ExtentMap.Builder builder = inode.loading;
        if (builder == null) {
            builder = new ExtentMap.Builder();
            inode.loading = builder;
        }
        for (int n = 0; ; n++) {
            if (n == Limits.MAX_EXTENTS_PER_TURN) {
                status = NEXT_TURN;
                return null;
            }
            int r = store.ceiling(inode.number, Items.extentKey(builder.end()));
            if (r == BlobStore.NOT_FOUND
                    || (r == BlobStore.OK
                            && (store.foundK0 != inode.number || Items.type(store.foundK1) != Items.TYPE_EXTENT))) {
                break;
            }
            if (r == BlobStore.OK && !Items.isOwnExtent(store)) {
                r = -Errno.EIO;
            }
            if (r != BlobStore.OK) {
                status = r;
                return null;
            }
            long value = store.valueAddress;
            builder.add(
                    Items.sub(store.foundK1),
                    Memory.getLong(value + Items.EXTENT_BLOCK_OFFSET),
                    Items.extentLength(value));
        }
        ExtentMap map = builder.build();
        inode.loading = null;
        inode.beginChange();
        setMap(inode, map);
        inode.endChange();
        return map;
    }

    /** Within the inode's change: its new extents. */
    void setMap(Inode inode, ExtentMap map) {
        countExtents(inode, -1);
        inode.map = map;
        countExtents(inode, 1);
        if (cachedExtents > maxCachedExtents) {
            dropMaps(inode);
        }
    }

    /** Before and after an inode's extents come into memory or leave it. */
    void countExtents(Inode inode, int sign) {
        ExtentMap map = inode.map;
        if (map != null) {
            cachedExtents += (long) sign * map.extentCount();
        }
    }

    /** Drops extents that nobody works with; they are read again when they are needed. */
    private void dropMaps(Inode keep) {
        for (int n = Math.min(inodes.poolSize(), Limits.MAX_EXTENTS_PER_TURN); n > 0; n--) {
            mapHand = mapHand + 1 >= inodes.poolSize() ? 0 : mapHand + 1;
            Inode inode = inodes.pooled(mapHand);
            ExtentMap map = inode.map;
            if (inode != keep && map != null && map.extentCount() > 0 && !inode.hasExclusives()) {
                countExtents(inode, -1);
                inode.beginChange();
                inode.map = null;
                inode.endChange();
            }
        }
    }

    long cachedExtents() {
        return cachedExtents;
    }

    void setMaxCachedExtents(long max) {
        maxCachedExtents = max;
    }

    // --- new inode numbers

    /** The number the next inode gets; taken by {@link #takeInodeNumber}. */
    long nextInodeNumber() {
        return nextInode;
    }

    /** Whether the group that makes the next inode must also put the counter. */
    private boolean needsCounter() {
        return nextInode == inodeLimit;
    }

    int prepareInodeNumber() {
        if (nextInode > Limits.MAX_INODE) {
            return -Errno.ENOSPC;
        }
        return needsCounter() ? store.prepare(Items.SYSTEM, Items.NEXT_INODE_KEY, Items.COUNTER_SIZE) : BlobStore.OK;
    }

    int inodeNumberLogBytes() {
        return needsCounter() ? BlobStore.logBytes(Items.COUNTER_SIZE) : 0;
    }

    /** Between begin and end. */
    long takeInodeNumber() {
        if (needsCounter()) {
            inodeLimit += Limits.INODE_BATCH;
            putCounter(inodeLimit);
        }
        return nextInode++;
    }

    /** Between begin and end: at an orderly end no number is skipped. */
    void putCounter(long value) {
        Items.encodeCounter(scratch, value);
        store.put(Items.SYSTEM, Items.NEXT_INODE_KEY, scratch, Items.COUNTER_SIZE);
    }

    // --- changes of inodes

    int prepareInode(long number) {
        int s = store.prepare(number, Items.INODE_KEY, Items.INODE_SIZE);
        return s == BlobStore.OK ? quotas.prepare(quotaOf(number)) : s;
    }

    /** The quota that an inode in memory is counted for, or null. */
    private @Nullable Quota quotaOf(long number) {
        Inode inode = quotas.isEmpty() ? null : inodes.get(number);
        return inode == null ? null : inode.quota;
    }

    /** Blocks that a file may still get. */
    long availableBlocks(Inode inode) {
        Quota quota = inode.quota;
        long available = store.availableBlocks();
        return quota == null ? available : Math.min(available, quota.freeBytes() >>> Items.BLOCK_SHIFT);
    }

    /** Whether a file may have so many blocks more: OK or -ENOSPC. */
    int checkBlocks(Inode inode, long blocks) {
        return Quotas.check(inode.quota, blocks << Items.BLOCK_SHIFT, 0);
    }

    /** For what frees space, or takes little when there is none: may use the reserve kept for deletes. */
    int prepareInReserve(long k0, long k1, int valueBytes) {
        return store.prepareInReserve(k0, k1, valueBytes);
    }

    int prepareInodeInReserve(long number) {
        int s = prepareInReserve(number, Items.INODE_KEY, Items.INODE_SIZE);
        return s == BlobStore.OK ? quotas.prepareInReserve(quotaOf(number)) : s;
    }

    /** Between begin and end; its quota learns how many blocks it has now. */
    void putInode(Inode inode) {
        inode.encode(scratch);
        store.put(inode.number, Items.INODE_KEY, scratch, Items.INODE_SIZE);
        if (inode.quota != null) {
            quotas.charge(inode.quota, (inode.blocks - inode.chargedBlocks) << Items.BLOCK_SHIFT, 0);
            inode.chargedBlocks = inode.blocks;
        }
        clean(inode);
    }

    /** After end: what a later fsync of this inode must wait for. */
    void changed(Inode inode) {
        inode.changedSequence = store.sequence();
    }

    /** A write changed blocks that the inode has already: sets its times, unless the client does. */
    void dataWritten(Inode inode, FsRequest r) {
        if (!r.keepsTimes) {
            touchModified(inode, now());
        }
    }

    /** Sets mtime and ctime in memory only. */
    void touchModified(Inode inode, long nowNs) {
        inode.beginChange();
        inode.modifyTimeNs = nowNs;
        inode.changeTimeNs = nowNs;
        inode.endChange();
        markDirty(inode);
        if (InodeFlags.isSynchronous(inode) && inode.isDirectory()) {
            changedSynchronous = true;
        }
    }

    /** Sets atime in memory only, where it is due. */
    void accessed(Inode inode, BlobFsClient client) {
        if (client.accessTimes() != AccessTimes.OFF && !store.isReadOnly()) {
            if (inode.isModifiedElsewhere()) {
                takeModification(inode);
            }
            long nowNs = now();
            if (inode.isAccessTimeDue(client.accessTimes(), nowNs)) {
                inode.beginChange();
                inode.accessTimeNs = nowNs;
                inode.endChange();
                markDirty(inode);
            }
        }
    }

    /** Data was overwritten by another reactor: its time becomes the inode's. */
    void takeModification(Inode inode) {
        long when = inode.remoteModifiedNs();
        if (inode.number != 0 && when > inode.modifyTimeNs) {
            touchModified(inode, when);
        }
    }

    /** Lets operations go on that waited for other reactors. */
    void wakeWaiting(Inode inode) {
        FileChanges c = changes;
        if (c != null) {
            c.wakeWaiting(inode);
        }
    }

    void setChanges(FileChanges fileChanges) {
        changes = fileChanges;
    }

    void markDirty(Inode inode) {
        if (inode.dirty) {
            return;
        }
        inode.dirty = true;
        inode.dirtyPrevious = null;
        inode.dirtyNext = firstDirty;
        if (firstDirty != null) {
            firstDirty.dirtyPrevious = inode;
        }
        firstDirty = inode;
        dirtyCount++;
        if (!writeBackTimer.armed) {
            writeBackTimer.arm();
        }
        if (dirtyCount > Limits.MAX_DIRTY_INODES) {
            writeBackTimer.hurry();
        }
    }

    void clean(Inode inode) {
        if (!inode.dirty) {
            return;
        }
        inode.dirty = false;
        dirtyCount--;
        Inode next = inode.dirtyNext;
        Inode previous = inode.dirtyPrevious;
        if (previous == null) {
            firstDirty = next;
        } else {
            previous.dirtyNext = next;
        }
        if (next != null) {
            next.dirtyPrevious = previous;
        }
        inode.dirtyNext = null;
        inode.dirtyPrevious = null;
    }

    int dirtyCount() {
        return dirtyCount;
    }

    /** Writes one inode's time stamps to the tree when they are newer than it: OK, NOT_RESIDENT or a negative errno. */
    int writeBack(Inode inode) {
        if (!inode.dirty) {
            return BlobStore.OK;
        }
        if (inode.links == 0) {
            // Nobody will read it after a crash.
            clean(inode);
            return BlobStore.OK;
        }
        int r = prepareInodeInReserve(inode.number);
        if (r == BlobStore.OK) {
            r = store.begin(BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (r != BlobStore.OK) {
            return r;
        }
        putInode(inode);
        int s = store.end();
        changed(inode);
        return s;
    }

    /** Writes back inodes; OK when none is left, {@link #NEXT_TURN} when this turn has done its share. */
    int writeBackAll() {
        for (int n = 0; firstDirty != null; n++) {
            if (n == Limits.MAX_WRITE_BACKS_PER_TURN) {
                return NEXT_TURN;
            }
            int r = writeBack(firstDirty);
            if (r != BlobStore.OK) {
                return r;
            }
        }
        return BlobStore.OK;
    }

    /** Writes time stamps back some time after they changed, a few inodes per turn. */
    private final class WriteBackTimer extends BlobStore.Parkable implements Message {
        private boolean armed;
        private boolean hurried;

        void arm() {
            armed = true;
            home.schedule(Limits.WRITE_BACK_NS, this);
        }

        /** Does not wait for the time to come. */
        void hurry() {
            if (!hurried) {
                hurried = true;
                inNextTurn(this);
            }
        }

        @Override
        public void unpark() {
            run();
        }

        @Override
        public void run() {
            armed = false;
            hurried = false;
            int r = BlobStore.OK;
            for (int i = 0; i < Limits.MAX_GROUP_ITEMS && firstDirty != null && r == BlobStore.OK; i++) {
                r = writeBack(firstDirty);
            }
            if (stopped) {
                return;
            }
            if (r == BlobStore.NOT_RESIDENT) {
                armed = true;
                store.park(this);
            } else if (firstDirty != null) {
                // After an error (a store gone read-only) there is no hurry.
                armed = true;
                home.schedule(r == BlobStore.OK ? 0 : Limits.WRITE_BACK_NS, this);
            }
        }
    }

    /** No more background work: the file system is being unmounted. */
    void stop() {
        stopped = true;
    }

    // --- inodes without links

    /** To be called when the last link is gone, after the inode's links are set to 0. */
    void addOrphan(Inode inode) {
        inode.orphanPrevious = null;
        inode.orphanNext = firstOrphan;
        if (firstOrphan != null) {
            firstOrphan.orphanPrevious = inode;
        }
        firstOrphan = inode;
    }

    @Nullable
    Inode firstOrphan() {
        return firstOrphan;
    }

    /** The inode is gone from the tree: forgets it. */
    void dropOrphan(Inode inode) {
        unlistOrphan(inode);
        clean(inode);
        inodes.remove(inode);
    }

    /** The inode has got a link, or goes. */
    void unlistOrphan(Inode inode) {
        Inode next = inode.orphanNext;
        Inode previous = inode.orphanPrevious;
        if (previous == null) {
            firstOrphan = next;
        } else {
            previous.orphanNext = next;
        }
        if (next != null) {
            next.orphanPrevious = previous;
        }
        inode.orphanNext = null;
        inode.orphanPrevious = null;
    }
}

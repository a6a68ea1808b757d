package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorTimer;
import java.util.UUID;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The transactional key-value store and block allocator under the file system.
 *
 * <p>Keys are pairs of unsigned 64-bit numbers ({@code k0} then {@code k1}). With {@code k0 == 0} those whose {@code k1}
 * is below {@link #FIRST_USER_K1} (unsigned) are the store's own; the pair of all ones is no key. Values are up to {@link
 * #MAX_VALUE_BYTES}. All methods run on the home reactor and none blocks, except where said.
 *
 * <p>Protocol of a change, which cannot fail half-way: (1) look up everything needed; any call that returns {@link
 * #NOT_RESIDENT} has started to read the missing node: {@link #park} the request, which is run again from its start when
 * the node is there. (2) {@link #prepare} every key to be put or deleted; this makes the path resident and pins it until
 * the running call ends. (3) {@link #begin} with the number of log bytes. (4) {@link #put}, {@link #delete}, {@link
 * #markUsed}, {@link #free}: none can fail. (5) {@link #end}. Between begin and end no other operation runs, so what lies
 * between is atomic across a crash. What cannot fail can still turn out to contradict what is on the disk, when that is
 * damaged and has right checksums: then end says so, nothing of the group reaches the disk, and the store is read-only.
 *
 * <p>Life: {@link #open} on any thread, which may use the store at once in blocking style ({@link #driveUntil}); then
 * {@link #start} on the home reactor; then {@link #close(CommitWaiter)}.
 */
public final class BlobStore {
    public static final int BLOCK_SIZE = 4096;
    public static final int MAX_VALUE_BYTES = 4000;

    /** With {@code k0 == 0}: keys from here on are the user's. */
    public static final long FIRST_USER_K1 = 1L << 63;

    /** Most log bytes that one group may announce: 64 KiB of values with their keys; below an eighth of the least log. */
    public static final int MAX_GROUP_LOG_BYTES = 80 << 10;

    /** Log bytes that a {@link #markUsed} or a {@link #free} takes. */
    public static final int RANGE_LOG_BYTES = LogRecord.RANGE_ENTRY_SIZE;

    /** Found, or done. */
    public static final int OK = 0;
    /** No such key. */
    public static final int NOT_FOUND = 1;
    /** Park the request: a node is being read, or the log or a checkpoint must make room first. */
    public static final int NOT_RESIDENT = 2;

    /** Something to run again, on the home reactor, after what it waited for. */
    public abstract static class Parkable {
        @Nullable
        Parkable nextParked;

        public abstract void unpark();
    }

    /** Called when all that was applied before the call to {@link #commit} is durable, or with a negative errno. */
    public abstract static class CommitWaiter {
        @Nullable
        CommitWaiter nextWaiter;

        long targetGroup;
        long flushTicket;

        public abstract void onCommitted(int status);
    }

    /** {@code k1} of the items that hold the bitmaps of free space: this type in the top byte, the group below. */
    private static final long SPACE_TYPE = 1L << 56;

    /** Ranges, and four short counters, that a group may log without having announced them. */
    private static final int GROUP_SLACK_BYTES = 32 * RANGE_LOG_BYTES + 4 * logBytes(64);

    private static final int SPINS_BEFORE_PAUSE = 1000;
    private static final long PAUSE_NS = 20_000;

    /** Refusals in a row that may be due to what others prepared. */
    private static final int MAX_RETRIES = 4;

    private static final int WAIT_RETRY = 0;
    private static final int WAIT_TREE = 1;
    private static final int WAIT_LOG = 2;
    private static final int WAIT_CHECKPOINT = 3;
    private static final int WAIT_THROTTLE = 4;

    /** Requests run again, and waiters called, in one turn: each takes a few microseconds. */
    private static final int READY_PER_TURN = 256;

    /** Slowed-down changes that one turn runs: with what a catching-up reactor lets pass it takes about 100 µs. */
    private static final int THROTTLED_PER_TURN = 64;

    private static final Logger LOG = LoggerFactory.getLogger(BlobStore.class);

    // --- results of the last find, ceiling or floor; valid until the next call into the store

    public long valueAddress;
    public int valueLength;
    public long foundK0;
    public long foundK1;

    // --- result of the last reserve

    public long reservedBlock;
    public int reservedBlocks;

    private final Tree tree;
    private final Log log;
    private final NodeCache cache;
    private final SpaceMap space;
    private final Flusher flusher;
    private final Checkpoint checkpoint;
    private final Discarder discarder;
    private final StoreGrowth growth;
    private final IoEpochs ioEpochs;
    private final Node nodes;
    private final Crc32c crc32c = new Crc32c();
    private final StoreMemory memory;
    private final Superblock superblock;
    private final BlockDevice device;
    private final StoreOptions options;
    private final StorePoller poller = new StorePoller();
    private final Tick tick = new Tick();
    private final Throttle throttle = new Throttle();
    private final ReactorTimer throttleTimer = new ReactorTimer(() -> {});

    /** Frames kept free for new nodes beyond what was prepared, and the number eviction aims at. */
    private final int frameMargin;

    private final int frameTarget;
    /** Frames that a refused change asked for. */
    private int wantedFrames;

    private final int dirtyTrigger;
    private final int dirtyLimit;

    private Reactor reactor;
    private @Nullable BlockChannel channel;

    private final NodeIoPool nodeIos;

    private int groupEntries;
    private boolean inGroup;
    private int retries;
    private int waitKind;

    private final ReplayState replay = new ReplayState();
    private final ReadyQueue ready = new ReadyQueue();
    private final ParkedList frameWaiters = new ParkedList();
    private final ParkedList logWaiters = new ParkedList();
    private final ParkedList checkpointWaiters = new ParkedList();
    private final Commits commits;
    private boolean tickScheduled;
    private long lastCheckpointNs;

    private final StoreHealth health;
    private String tornRecordText = "";

    private @Nullable CommitWaiter closing;
    private boolean closed;

    BlobStore(
            BlockDevice device, Superblock superblock, long totalBlocks, StoreOptions options, Reactor openingReactor) {
        this.device = device;
        this.superblock = superblock;
        this.options = options;
        health = new StoreHealth(device.name(), this::endChanges);
        reactor = openingReactor;
        memory = new StoreMemory(Log.memoryBytes(superblock.logBlocks()) + (1 << 18));
        UUID uuid = superblock.uuid();
        nodes = new Node(uuid.getMostSignificantBits(), memory.allocate(Node.SIZE));
        cache = new NodeCache(this, nodes, options.metaCacheBytes());
        ioEpochs = new IoEpochs(options.ioSlots());
        space = new SpaceMap(totalBlocks, superblock.firstDataBlock(), ioEpochs);
        tree = new Tree(cache, nodes, space);
        boolean volatileCache = device.hasVolatileCache();
        flusher = new Flusher(this, ioEpochs, volatileCache);
        log = new Log(this, flusher, crc32c, superblock, volatileCache, memory);
        commits = new Commits(log, flusher, health);
        checkpoint = new Checkpoint(this, tree, cache, nodes, space, flusher, crc32c, uuid, memory);
        discarder = new Discarder(this, space, device.name());
        growth = new StoreGrowth(device, space, checkpoint, health);
        int frames = cache.frames();
        frameMargin = Math.min(64, frames / 16);
        frameTarget = 2 * frameMargin;
        dirtyTrigger = frames * 3 / 8;
        dirtyLimit = frames * 3 / 4;
        nodeIos = new NodeIoPool(this, memory, frames);
        setClock();
    }

    /** Makes a store on a device, whose content is lost. Blocks; not on a reactor. */
    public static void format(BlockDevice device, FormatOptions options) {
        StoreFormat.format(device, options);
    }

    /**
     * Opens the store on a device: finds the last checkpoint and replays the log. Blocks; not on a reactor.
     *
     * @throws StoreException when there is none, or it is damaged
     */
    public static BlobStore open(BlockDevice device, StoreOptions options) {
        return Recovery.open(
                device,
                options,
                true,
                text -> LOG.error("{}: {}; what it holds is answered with EIO", device.name(), text));
    }

    /**
     * How many blocks the store on a device covers, also while somebody else changes it: then what is read may be torn
     * and found damaged, and is right a moment later. Blocks; not on a reactor.
     *
     * @throws StoreException when there is none, or it is damaged
     */
    public static long coveredBlocks(BlockDevice device) {
        return Recovery.coveredBlocks(device);
    }

    /**
     * Checks every structure and checksum of the store on a device, and its map of free space; writes nothing. Blocks; not
     * on a reactor.
     *
     * @param visitor the user's part of the check; without it blocks of data cannot be told from lost ones
     * @return the number of problems
     */
    public static long check(BlockDevice device, StoreReporter reporter, @Nullable StoreVisitor visitor) {
        return StoreChecker.check(device, reporter, visitor);
    }

    /**
     * Makes the store on a device whole again, as far as that goes; for one that does not mount as well as for one that does.
     * Blocks; not on a reactor. A cut in between leaves the store as it was.
     *
     * @param options of which only the size of the metadata cache counts; it is exceeded when the log needs it
     * @return the number of repairs
     * @throws StoreException when nothing can be done
     */
    public static long repair(BlockDevice device, StoreOptions options, RepairReporter reporter, StoreMender mender) {
        return StoreRepair.repair(device, options, reporter, mender);
    }

    // --- looking up

    /** Looks a key up: OK (value fields set), NOT_FOUND, NOT_RESIDENT or a negative errno (-EIO: damaged). */
    public int find(long k0, long k1) {
        return found(tree.find(k0, k1));
    }

    /** The first key not less than the given one: OK (found and value fields set), NOT_FOUND (none), NOT_RESIDENT, -EIO. */
    public int ceiling(long k0, long k1) {
        return found(tree.ceiling(k0, k1));
    }

    /** The last key not greater than the given one. */
    public int floor(long k0, long k1) {
        return found(tree.floor(k0, k1));
    }

    /**
     * After a lookup that failed with -EIO: sets the found key to the first one behind the damaged node; false when that
     * was the last node.
     */
    public boolean skipDamage() {
        foundK0 = tree.damageEndK0();
        foundK1 = tree.damageEndK1();
        return (foundK0 & foundK1) != -1L;
    }

    private int found(int status) {
        if (status == OK) {
            valueAddress = tree.valueAddress;
            valueLength = tree.valueLength;
            foundK0 = tree.foundK0;
            foundK1 = tree.foundK1;
        } else if (status == NOT_RESIDENT) {
            waitKind = WAIT_TREE;
        }
        return status;
    }

    // --- changing

    /**
     * Makes a later put of up to {@code valueBytes}, or a delete, of this key certain to succeed: OK, NOT_RESIDENT,
     * -ENOSPC, -EROFS, -EIO.
     */
    public int prepare(long k0, long k1, int valueBytes) {
        return prepare(k0, k1, valueBytes, SpaceMap.NO_RESERVE);
    }

    /**
     * As {@link #prepare}, for changes that free space: may use the reserve kept for them. The key may then be deleted, or
     * have a shorter value put.
     */
    public int prepareDelete(long k0, long k1) {
        return prepare(k0, k1, Tree.NO_VALUE, SpaceMap.WHOLE_RESERVE);
    }

    /**
     * As {@link #prepare}, for a small put that is part of a change that frees space, or that replaces a value of the same
     * length: may use the reserve, too.
     */
    public int prepareInReserve(long k0, long k1, int valueBytes) {
        return prepare(k0, k1, valueBytes, SpaceMap.WHOLE_RESERVE);
    }

    /** As {@link #prepare}, for an item that stays when its change has freed blocks: may use half of the reserve. */
    public int prepareInHalfReserve(long k0, long k1, int valueBytes) {
        return prepare(k0, k1, valueBytes, SpaceMap.HALF_RESERVE);
    }

    private int prepare(long k0, long k1, int valueBytes, int reserveUse) {
        if (health.hasFailed() || options.readOnly()) {
            return -Errno.EROFS;
        }
        int before = tree.preparedNodes();
        int status = tree.prepare(k0, k1, valueBytes);
        if (status != OK) {
            tree.forgetPrepared();
            waitKind = WAIT_TREE;
            return status;
        }
        int needed = tree.preparedNodes();
        if (needed == 0
                || (needed <= cache.freeFrames() - frameMargin
                        && needed <= space.chunksFor(reserveUse)
                        && cache.dirtyFrames() + needed <= dirtyLimit)) {
            return OK;
        }
        return refuse(needed, before, reserveUse);
    }

    /** Why the nodes cannot be set aside now, and who is to be waited for. */
    private int refuse(int needed, int before, int reserveUse) {
        tree.forgetPrepared();
        if (before > 0 && retries < MAX_RETRIES) {
            // What other calls prepared and then did not use may count here: try again with nothing prepared.
            retries++;
            waitKind = WAIT_RETRY;
            return NOT_RESIDENT;
        }
        if (needed <= space.chunksFor(reserveUse)) {
            if (cache.dirtyFrames() + needed > dirtyLimit) {
                return waitForCheckpoint();
            }
            wantedFrames = Math.max(wantedFrames, needed + frameMargin);
            tree.waitFrame = NodeCache.NONE;
            waitKind = WAIT_TREE;
            return NOT_RESIDENT;
        }
        return space.hasPending() ? waitForSpace() : -Errno.ENOSPC;
    }

    /** Blocks that are free but for a discard come first, a checkpoint that frees more next. */
    private int waitForSpace() {
        if (space.releaseUndiscarded()) {
            waitKind = WAIT_RETRY;
            return NOT_RESIDENT;
        }
        return waitForCheckpoint();
    }

    private int waitForCheckpoint() {
        waitKind = WAIT_CHECKPOINT;
        if (checkpoint.isIdle() && space.hasFreedSinceFreeze()) {
            checkpoint.request();
        }
        return NOT_RESIDENT;
    }

    /**
     * Opens an atomic group of changes of at most {@code logBytes} log bytes: OK, NOT_RESIDENT (no log room now), -EROFS.
     */
    public int begin(int logBytes) {
        if (health.hasFailed() || options.readOnly()) {
            return -Errno.EROFS;
        }
        if (logBytes > MAX_GROUP_LOG_BYTES || inGroup) {
            throw new IllegalStateException(
                    inGroup
                            ? "a group is open"
                            : "a group of " + logBytes + " log bytes; at most " + MAX_GROUP_LOG_BYTES);
        }
        long gapNs = gapNs();
        if ((gapNs > 0 || throttle.hasWaiters()) && !throttle.mayPass(gapNs, reactor.nowNs())) {
            tree.forgetPrepared();
            waitKind = WAIT_THROTTLE;
            return NOT_RESIDENT;
        }
        int needed = logBytes + GROUP_SLACK_BYTES;
        if (log.begin(needed) != OK) {
            tree.forgetPrepared();
            if (log.isRingFull(needed)) {
                return waitForLogTrim();
            }
            waitKind = WAIT_LOG;
            return NOT_RESIDENT;
        }
        inGroup = true;
        groupEntries = 0;
        return OK;
    }

    /** The gap that is to lie between changes, by how full the log and the cache's part for dirty nodes are. */
    private long gapNs() {
        if (checkpoint.holdsChanges()) {
            return Throttle.HOLD;
        }
        return Math.max(log.gapNs(), Throttle.gapNs(cache.dirtyFrames(), dirtyLimit * 3L / 4, dirtyLimit, 1));
    }

    private int waitForLogTrim() {
        waitKind = WAIT_CHECKPOINT;
        if (checkpoint.isIdle()) {
            checkpoint.request();
        }
        return NOT_RESIDENT;
    }

    /** Log bytes that a put of a value this long takes; a delete is a put of 0 bytes. */
    public static int logBytes(int valueBytes) {
        return LogRecord.KEY_ENTRY_SIZE + Node.round8(valueBytes);
    }

    /** The value must not lie in the store's own memory (a value found): it may move while it is copied. */
    public void put(long k0, long k1, long valueAddress, int valueLength) {
        groupEntries++;
        log.put(k0, k1, valueAddress, valueLength);
        tree.put(k0, k1, valueAddress, valueLength);
    }

    /** Deletes a key that may or may not be there. */
    public void delete(long k0, long k1) {
        groupEntries++;
        log.delete(k0, k1);
        tree.delete(k0, k1);
    }

    /**
     * Ends the group: OK, or -EIO when it has shown that the store is damaged. Then the group is in memory only, where all
     * stays readable, and no other change will follow it.
     */
    public int end() {
        inGroup = false;
        tree.forgetPrepared();
        retries = 0;
        if (space.contradiction() != null) {
            log.dropGroup();
            failContradicted();
            return health.failure();
        }
        if (groupEntries == 0) {
            return OK;
        }
        log.endGroup();
        checkpointIfDue();
        if (!tickScheduled) {
            scheduleTick();
        }
        return OK;
    }

    /** Long before the log or the cache is full: what fills them while the checkpoint runs must have room, too. */
    private void checkpointIfDue() {
        if (log.usedBlocks() > log.ringBlocks() / 3 || cache.dirtyFrames() > dirtyTrigger) {
            requestCheckpointIfIdle();
        }
    }

    private void requestCheckpointIfIdle() {
        if (checkpoint.isIdle()) {
            checkpoint.request();
        }
    }

    // --- space

    /**
     * Takes up to {@code maxBlocks} contiguous free blocks, near {@code goalBlock} (0: anywhere), in memory only: OK
     * (reserved fields set; possibly fewer blocks than asked for), NOT_RESIDENT (freed blocks await a checkpoint, which
     * was started), -ENOSPC. A crash, or {@link #unreserve}, gives them back.
     */
    public int reserve(long goalBlock, int maxBlocks) {
        if (health.hasFailed() || options.readOnly()) {
            return -Errno.EROFS;
        }
        if (space.reserve(goalBlock, maxBlocks)) {
            reservedBlock = space.runBlock;
            reservedBlocks = space.runBlocks;
            return OK;
        }
        return space.hasPending() ? waitForSpace() : -Errno.ENOSPC;
    }

    public void unreserve(long block, int blocks) {
        space.unreserve(block, blocks);
    }

    /** Within begin and end: makes reserved blocks allocated, durable with the group. */
    public void markUsed(long block, int blocks) {
        groupEntries++;
        log.range(LogRecord.USED, block, blocks);
        space.markUsed(block, blocks);
    }

    /**
     * Within begin and end: frees allocated blocks. They are reused only after the checkpoint that follows and after all
     * I/O that was in flight now ({@link #ioStarted}) has ended.
     */
    public void free(long block, int blocks) {
        groupEntries++;
        log.range(LogRecord.FREED, block, blocks);
        space.free(block, blocks);
    }

    /**
     * The epoch in which an I/O to data blocks starts, to be called before the blocks are looked up; pass it to {@link
     * #ioEnded}. Any reactor with its own slot.
     */
    public int ioStarted(int reactorSlot) {
        return ioEpochs.started(reactorSlot);
    }

    public void ioEnded(int reactorSlot, int epoch) {
        ioEpochs.ended(reactorSlot, epoch);
    }

    /**
     * A data write has completed: it becomes durable with the next commit or flush. To be called before the extent that
     * points to the data is put, and before the write is acknowledged. Any reactor with its own slot.
     */
    public void noteDataWrite(int reactorSlot) {
        ioEpochs.noteWrite(reactorSlot);
    }

    public long totalBlocks() {
        return space.totalBlocks();
    }

    /** Free for data, without the reserve for metadata and deletes; includes what a checkpoint would give back. */
    public long availableBlocks() {
        return space.availableBlocks();
    }

    /** Whether a block lies where data may lie: behind what is the store's own for ever. */
    public boolean isData(long block) {
        return block >= superblock.firstDataBlock();
    }

    /** Whether a block is allocated. */
    public boolean isUsed(long block) {
        return space.isUsed(block);
    }

    /** Allocated, for data and for the store's own structures. */
    public long usedBlocks() {
        return space.usedBlocks();
    }

    // --- durability

    /** Everything ended so far becomes durable, and so does all data whose write has completed; then the waiter is called. */
    public void commit(CommitWaiter waiter) {
        commits.commit(waiter);
    }

    /** All data writes completed so far become durable; the cheaper commit when the caller changed no metadata. */
    public void flush(CommitWaiter waiter) {
        commits.flush(waiter);
    }

    /** Number of the last ended group; with {@link #committedSequence} tells whether something still needs a commit. */
    public long sequence() {
        return log.endedGroup();
    }

    public long committedSequence() {
        return log.durableGroup();
    }

    /** The memory that a larger store needs, taken beforehand by {@link #prepareGrowth}. */
    public static final class Growth {
        final SpaceMap.Maps maps;

        private Growth(SpaceMap.Maps maps) {
            this.maps = maps;
        }
    }

    /**
     * The first step of growing, which may take long: memory for the maps of {@code blocks} blocks. Any thread.
     *
     * @throws StoreException when the store or its device does not grow to that size, or memory is short
     */
    public Growth prepareGrowth(long blocks) {
        return new Growth(growth.prepare(blocks));
    }

    /**
     * The second step: the store covers what was prepared, with a checkpoint that says so. When that is durable the new
     * blocks can be allocated and the waiter is called; until then, and after a crash before, the store has its old size.
     *
     * @return PENDING style: true when the waiter will be called, false when another growth is under way, or a larger one
     *     has been, or the store is read-only
     */
    public boolean grow(Growth newGrowth, CommitWaiter waiter) {
        return !isReadOnly() && growth.start(newGrowth.maps, waiter);
    }

    /** As {@link #grow}, in blocking style. */
    public void growBlocking(long blocks) {
        BlockingWaiter waiter = new BlockingWaiter();
        if (!grow(prepareGrowth(blocks), waiter)) {
            throw new StoreException(StoreException.Kind.UNUSABLE, device.name() + ": is read-only");
        }
        driveUntil(() -> waiter.status <= 0);
        if (waiter.status < 0) {
            throw new StoreException(StoreException.Kind.IO, device.name() + ": " + health.failureText());
        }
    }

    /**
     * Discards all that is free, in blocking style, between {@link #open} and {@link #close}: the store must not be changed
     * otherwise.
     *
     * @return how many blocks
     * @throws StoreException when the device cannot do it
     */
    public long trimBlocking() {
        if (!device.supportsDiscard() || isReadOnly()) {
            throw new StoreException(
                    StoreException.Kind.UNUSABLE, device.name() + ": it cannot be told of blocks that are free");
        }
        // What the log has freed comes back, and nothing is allocated after it.
        checkpoint.request();
        driveUntil(() -> (checkpoint.isIdle() && !space.isDraining()) || health.hasFailed());
        long before = discarder.discardedBlocks;
        for (boolean more = discarder.trim(0); more; more = discarder.trim(discarder.end())) {
            driveUntil(discarder::isIdle);
            if (discarder.lastStatus() < 0) {
                throw new StoreException(
                        StoreException.Kind.IO,
                        device.name() + ": a discard failed with " + Errno.name(discarder.lastStatus()));
            }
        }
        return discarder.discardedBlocks - before;
    }

    /** What the next checkpoint says that the store covers. */
    long blocksToCover() {
        return growth.blocksToCover();
    }

    /** Starts a checkpoint now. */
    public void requestCheckpoint() {
        checkpoint.request();
    }

    // --- state

    String deviceName() {
        return device.name();
    }

    public UUID uuid() {
        return superblock.uuid();
    }

    public String label() {
        return superblock.label();
    }

    /** Seed for the directories' name hash. */
    public long hashSeed() {
        return superblock.hashSeed();
    }

    /** Whether nothing is changed any more; any reactor. */
    public boolean isReadOnly() {
        return options.readOnly() || health.hasFailed();
    }

    /** 0, or the negative errno of the device error that ended all changes. */
    public int failure() {
        return health.failure();
    }

    /** What failed; empty when nothing did. */
    public String failureText() {
        return health.failureText();
    }

    /** The first exception that {@link #onUnexpected} dealt with, or null; home reactor. */
    public @Nullable RuntimeException unexpected() {
        return health.unexpected();
    }

    /** How it is doing; home reactor. */
    public StoreStatus status() {
        return new StoreStatus(
                isReadOnly(),
                health.failureText(),
                health.damagedReads(),
                totalBlocks(),
                availableBlocks(),
                tree.nodeCount,
                cache.frames(),
                cache.dirtyFrames(),
                log.ringBlocks(),
                log.usedBlocks(),
                log.endedGroup(),
                log.recordsWritten,
                checkpoint.completed,
                throttle.delayed);
    }

    /** Nodes found damaged when they were read. */
    public long damagedReads() {
        return health.damagedReads();
    }

    /** The block of the node found damaged last and what is wrong with it; empty when none was. */
    public String damageText() {
        return health.damageText();
    }

    /** The record at the log's end that is there in part only, as a crash leaves it; empty when there is none. */
    String tornRecordText() {
        return tornRecordText;
    }

    void noteTornRecord(String text) {
        tornRecordText = text;
    }

    /** Blocks discarded since the store was opened. */
    public long discardedBlocks() {
        return discarder.discardedBlocks;
    }

    public long checkpointsCompleted() {
        return checkpoint.completed;
    }

    public long nodesWritten() {
        return checkpoint.nodesWritten;
    }

    public long nodesRead() {
        return cache.readsStarted();
    }

    public long logRecordsWritten() {
        return log.recordsWritten;
    }

    public long logBytesWritten() {
        return log.bytesWritten;
    }

    public long treeNodes() {
        return tree.nodeCount;
    }

    public int treeHeight() {
        return tree.rootLevel + 1;
    }

    // --- waiting

    /** Runs {@code request} again when what the last NOT_RESIDENT waited for is there (or failed: it will see the error). */
    public void park(Parkable request) {
        switch (waitKind) {
            case WAIT_TREE -> parkOnTree(request);
            case WAIT_LOG -> logWaiters.add(request);
            case WAIT_CHECKPOINT -> checkpointWaiters.add(request);
            case WAIT_THROTTLE -> throttle.park(request);
            default -> ready.add(request);
        }
    }

    void parkOnTree(Parkable request) {
        int frame = tree.waitFrame;
        if (frame != NodeCache.NONE && cache.state(frame) == NodeCache.READING) {
            cache.park(frame, request);
        } else if (frame != NodeCache.NONE) {
            ready.add(request);
        } else {
            frameWaiters.add(request);
        }
    }

    // --- for the parts of the store

    NodeCache cache() {
        return cache;
    }

    Tree tree() {
        return tree;
    }

    SpaceMap space() {
        return space;
    }

    Log log() {
        return log;
    }

    Superblock superblock() {
        return superblock;
    }

    Crc32c crc32c() {
        return crc32c;
    }

    static long spaceKey(int group) {
        return SPACE_TYPE | group;
    }

    static boolean isSpaceKey(long k0, long k1) {
        return k0 == 0 && k1 >>> 56 == SPACE_TYPE >>> 56;
    }

    static int groupOfSpaceKey(long k1) {
        return (int) k1;
    }

    int rootFrame() {
        return tree.rootFrame;
    }

    long epoch() {
        return tree.epoch;
    }

    int framesSetAside() {
        return frameMargin + tree.preparedNodes();
    }

    /** Whether a tree node may lie there. */
    boolean isNodePlace(long block) {
        return block >= superblock.firstDataBlock()
                && block % Node.BLOCKS == 0
                && block <= space.totalBlocks() - Node.BLOCKS;
    }

    /** A node was read, and is whole. */
    void noteNodeRead(long block) {
        if (!space.noteNode(block) && !inGroup) {
            failContradicted();
        }
    }

    int submit(BlockIo io) {
        BlockChannel c = channel;
        if (c == null || (io.operation != BlockIo.READ && (options.readOnly() || health.isLost()))) {
            return -Errno.EROFS;
        }
        return c.submit(io);
    }

    NodeIoPool nodeIos() {
        return nodeIos;
    }

    ReadyQueue ready() {
        return ready;
    }

    void onNodeWritten(NodeCache.NodeIo io, int status) {
        checkpoint.onNodeWritten(io, status);
    }

    StoreHealth health() {
        return health;
    }

    private void failContradicted() {
        health.failDamaged(String.valueOf(space.contradiction()));
    }

    /** Whether a change went against what was known of its blocks; the store is read-only then. */
    boolean hasContradiction() {
        if (space.contradiction() == null) {
            return false;
        }
        failContradicted();
        return true;
    }

    /**
     * An exception that nobody foresaw came out of an operation or a part of the store: -EIO. It ends the store's changes
     * instead of the reactor, which serves others, too.
     */
    public int onUnexpected(RuntimeException thrown) {
        health.noteUnexpected(thrown);
        if (inGroup) {
            inGroup = false;
            log.dropGroup();
        }
        tree.forgetPrepared();
        health.failDamaged("an unexpected " + thrown);
        return -Errno.EIO;
    }

    private void endChanges() {
        if (health.isDraining()) {
            commits.setDue();
        }
        checkpoint.abandon();
        discarder.turnOff();
        blocksCameBack();
        logHasRoom();
    }

    void logHasRoom() {
        ready.addAll(logWaiters.takeAll());
    }

    /** Where the log goes on after the checkpoint that is being frozen. */
    void noteLogPosition(RootSlot slot) {
        if (replay.isRunning()) {
            replay.fill(slot);
            return;
        }
        log.seal();
        slot.logSequence = log.nextSequence();
        slot.logPosition = log.head();
        slot.logChain = log.chain();
        slot.groupSequence = log.endedGroup();
    }

    void onCheckpoint(RootSlot slot) {
        if (replay.isRunning()) {
            replay.onCheckpoint(slot);
        } else {
            log.trim(slot.logPosition);
        }
        lastCheckpointNs = reactor.nowNs();
        growth.onCheckpoint(slot.totalBlocks);
        blocksCameBack();
    }

    // --- recovery

    void beginReplay(RootSlot slot, long runningEpoch) {
        tree.epoch = runningEpoch;
        tree.nodeCount = slot.nodeCount;
        checkpoint.setLastSlot(slot.index);
        replay.begin(slot);
    }

    void noteReplayed(long sequence, long position, int chain, long group) {
        replay.note(sequence, position, chain, group);
    }

    void endReplay() {
        replay.end(log);
        if (cache.dirtyFrames() > 0) {
            scheduleTick();
        }
    }

    /**
     * As prepare; but there is no checkpoint to wait for within a record, so that each is applied whole or not at all:
     * -ENOMEM when the cache, -ENOSPC when the device has no room.
     */
    int prepareReplay(long k0, long k1, int valueBytes) {
        int status = tree.prepare(k0, k1, valueBytes);
        if (status != OK) {
            tree.forgetPrepared();
            waitKind = WAIT_TREE;
            boolean noFrame = status == NOT_RESIDENT && tree.waitFrame == NodeCache.NONE;
            return noFrame && nodeIos.hasForRead() && !cache.replenishFully(frameTarget) ? -Errno.ENOMEM : status;
        }
        int needed = tree.preparedNodes();
        if (needed > space.chunksFor(SpaceMap.WHOLE_RESERVE)) {
            return -Errno.ENOSPC;
        }
        if (needed > cache.freeFrames() - frameMargin) {
            tree.forgetPrepared();
            waitKind = WAIT_RETRY;
            return cache.replenishFully(frameTarget) ? NOT_RESIDENT : -Errno.ENOMEM;
        }
        return OK;
    }

    /** Between two records: makes room with a checkpoint when the next one, of that many entries, may need it. */
    void makeRoomForReplay(int entries) {
        boolean room = cache.dirtyFrames() + 2L * entries <= dirtyTrigger
                && space.chunksFor(SpaceMap.WHOLE_RESERVE) > 2L * entries;
        if (!room && cache.dirtyFrames() > 0 && !options.readOnly()) {
            checkpoint.request();
            driveUntil(() -> checkpoint.isIdle() || health.hasFailed());
        }
    }

    void attach() {
        BlockChannel c = device.openChannel(reactor);
        channel = c;
        reactor.addPoller(poller);
    }

    private void setClock() {
        lastCheckpointNs = reactor.nowNs();
        throttle.setClock(lastCheckpointNs);
    }

    private void detach() {
        reactor.removePoller(poller);
        BlockChannel c = channel;
        if (c != null) {
            c.close();
            channel = null;
        }
    }

    /** Blocking style, between {@link #open} and {@link #start}: turns the crank until {@code done}. */
    public void driveUntil(BooleanSupplier done) {
        int idle = 0;
        while (!done.getAsBoolean()) {
            if (reactor.runOnce() > 0) {
                idle = 0;
            } else if (++idle > SPINS_BEFORE_PAUSE) {
                reactor.checkFailure();
                LockSupport.parkNanos(PAUSE_NS);
            } else {
                Thread.onSpinWait();
            }
        }
    }

    // --- life

    /** The thread that opened the store is done with it; {@link #start} comes next. Nothing may be under way. */
    public void handOver() {
        detach();
    }

    /** From now on the store belongs to {@code home}; called on its thread, once, after {@link #handOver}. */
    public void start(Reactor home) {
        reactor = home;
        setClock();
        attach();
        if (options.discard() && device.supportsDiscard() && !options.readOnly()) {
            discarder.turnOn();
        }
        tickScheduled = false;
        scheduleTick();
    }

    /**
     * Makes all durable in a last checkpoint, leaves the reactor, frees the memory, then calls {@code done}. No operation
     * may be under way or follow.
     */
    public void close(CommitWaiter done) {
        closing = done;
        discarder.turnOff();
        if (!health.hasFailed() && !options.readOnly() && (cache.dirtyFrames() > 0 || !log.isEmpty())) {
            checkpoint.request();
        }
    }

    /** Blocking style, for a store that was opened and not started: {@link #close(CommitWaiter)} and wait. */
    public void closeBlocking() {
        BlockingWaiter waiter = new BlockingWaiter();
        close(waiter);
        driveUntil(() -> waiter.status <= 0);
        if (waiter.status < 0) {
            throw new StoreException(StoreException.Kind.IO, device.name() + ": " + health.failureText());
        }
    }

    /** Leaves the reactor and frees the memory without writing anything: what a crash does. */
    public void abandon() {
        if (!closed) {
            closed = true;
            detach();
            cache.close();
            memory.close();
        }
    }

    private boolean isQuiet() {
        return checkpoint.hasNothingInFlight()
                && log.isIdle()
                && flusher.isIdle()
                && discarder.isIdle()
                && nodeIos.isWhole()
                && !health.isDraining()
                && (health.hasFailed() || (checkpoint.isIdle() && log.isEmpty()));
    }

    private int finishClosing(CommitWaiter done) {
        if (!isQuiet() || !commits.isEmpty()) {
            return 0;
        }
        closing = null;
        abandon();
        done.onCommitted(health.failure());
        return 1;
    }

    // --- the turn

    private int poll() {
        if (closed) {
            return 0;
        }
        tree.forgetPrepared();
        throttle.startTurn();
        int work = makeFrames();
        work += ready.run(READY_PER_TURN, tree);
        work += runThrottled();
        cache.forgetFailures();
        tree.forgetPrepared();
        boolean wanted = commits.isWanted();
        work += log.pump(wanted);
        work += flusher.pump();
        work += log.pump(false);
        work += checkpoint.step();
        work += commits.complete(READY_PER_TURN);
        if (health.isDraining() && log.durableGroup() == log.endedGroup() && commits.isEmpty()) {
            health.endDraining();
        }
        work += growth.complete();
        work += discarder.pump();
        if (space.isDraining()) {
            drain();
        }
        CommitWaiter done = closing;
        if (done != null) {
            work += finishClosing(done);
        }
        return work;
    }

    private int makeFrames() {
        int wanted = Math.max(frameTarget, wantedFrames);
        boolean enough = cache.freeFrames() >= wanted || cache.replenish(wanted);
        if (frameWaiters.isEmpty()) {
            return 0;
        }
        if (enough) {
            if (!nodeIos.hasForRead()) {
                return 0;
            }
            wantedFrames = 0;
            ready.addAll(frameWaiters.takeAll());
            return 1;
        }
        if (cache.isExhausted()
                && cache.dirtyFrames() > 0
                && !options.readOnly()
                && !replay.isRunning()
                && !health.hasFailed()) {
            requestCheckpointIfIdle();
        }
        return 0;
    }

    /** Changes that were slowed down and may go on now. After an error they see it when they go on. */
    private int runThrottled() {
        int n = 0;
        if (throttle.hasWaiters()) {
            checkpointIfDue();
            long nowNs = reactor.nowNs();
            Parkable change;
            while (n < THROTTLED_PER_TURN
                    && (change = throttle.next(health.hasFailed() ? 0 : gapNs(), nowNs)) != null) {
                tree.forgetPrepared();
                change.unpark();
                n++;
            }
        }
        return n;
    }

    private void drain() {
        if (space.giveBack()) {
            blocksCameBack();
        }
    }

    void blocksCameBack() {
        ready.addAll(checkpointWaiters.takeAll());
    }

    private void scheduleTick() {
        tickScheduled = true;
        reactor.schedule(options.commitIntervalNs(), tick);
    }

    /** Commits what nobody asked to be committed, and checkpoints now and then. */
    private void onTick() {
        tickScheduled = false;
        if (closed || health.hasFailed() || options.readOnly()) {
            return;
        }
        if (log.sealedGroup() != log.endedGroup()) {
            commits.setDue();
        }
        if (cache.dirtyFrames() > 0 && reactor.nowNs() - lastCheckpointNs >= options.checkpointIntervalNs()) {
            requestCheckpointIfIdle();
        }
        if (cache.dirtyFrames() > 0 || commits.isSetDue()) {
            scheduleTick();
        }
    }

    private boolean mustNotSleep() {
        return !ready.isEmpty()
                || flusher.hasWork()
                || log.hasWork(commits.isWanted())
                || checkpoint.hasWork()
                || commits.hasDue()
                || growth.hasEnded()
                || discarder.hasWork()
                || space.isDraining()
                || !frameWaiters.isEmpty()
                || closing != null;
    }

    /** With changes waiting for time to pass: sees to it that the reactor wakes up by then. */
    private boolean throttleLetsSleep() {
        if (!throttle.hasWaiters() || gapNs() == Throttle.HOLD) {
            return true;
        }
        long waitNs = throttle.waitNs(reactor.nowNs());
        if (waitNs <= 0) {
            return false;
        }
        reactor.schedule(throttleTimer, waitNs);
        return true;
    }

    private final class StorePoller implements Poller {
        @Override
        public int poll() {
            return BlobStore.this.poll();
        }

        @Override
        public boolean onError(Throwable thrown) {
            if (!(thrown instanceof RuntimeException e) || closed || health.throwsForEver()) {
                return false;
            }
            onUnexpected(e);
            return true;
        }

        @Override
        public boolean prepareToSleep() {
            return closed || (!mustNotSleep() && throttleLetsSleep());
        }

        @Override
        public void wake() {}
    }

    private final class Tick implements Message {
        @Override
        public void run() {
            onTick();
        }
    }

    private static final class BlockingWaiter extends CommitWaiter {
        private int status = 1;

        @Override
        public void onCommitted(int result) {
            status = result;
        }
    }
}

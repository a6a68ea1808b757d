package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Iovecs;
import java.util.UUID;

/**
 * Checkpoints: the dirty nodes go to their new blocks, then the root slot is switched, then the log is trimmed.
 *
 * <p>Invariant: a root slot is written only when every node it leads to is durable; blocks freed by a checkpoint and log
 * records before it are given free only when its slot and the copy of it are durable. Work goes on meanwhile: only the
 * switch of the epoch is one step. Home reactor only.
 *
 * <p>Steps: SPACE stores the bitmaps of changed groups in the tree, which changes bitmaps again, until none is left; that
 * last round and the switch of the epoch are one step, so the tree that is frozen describes itself. WRITE walks the frozen
 * dirty nodes from the leaves up, for a parent holds the checksums of its children.
 */
final class Checkpoint {
    private static final int IDLE = 0;
    private static final int SPACE = 1;
    private static final int WRITE = 2;
    private static final int FLUSH = 3;
    private static final int SLOT = 4;
    private static final int COPY = 5;

    /** Bitmaps stored, or nodes sealed, before other work has its turn. */
    private static final int STEP_BITMAPS = 64;

    private static final int STEP_NODES = 32;

    /** Rounds of SPACE beside new work before changes wait until it is done. */
    private static final int MAX_SPACE_ROUNDS = 4;

    private final BlobStore store;
    private final Tree tree;
    private final NodeCache cache;
    private final Node nodes;
    private final SpaceMap space;
    private final Flusher flusher;
    private final Crc32c crc32c;
    private final UUID uuid;
    private final long slotAddress;
    private final SlotIo slotIo;

    /** A bitmap to put before its content is known. */
    private final long emptyBitmap;

    private final Resume resume = new Resume();

    private int state = IDLE;
    private boolean wanted;
    private boolean waiting;
    private int groupCursor;
    private int spaceRounds;
    private final RootSlot slot = new RootSlot();
    private int slotIndex;
    private long flushTicket;
    private int nodesInFlight;
    private boolean slotInFlight;

    // The walk over the frozen nodes.
    private final int[] walkFrame = new int[Node.MAX_LEVEL + 1];
    private final int[] walkSlot = new int[Node.MAX_LEVEL + 1];
    private int walkDepth;

    long completed;
    long nodesWritten;

    Checkpoint(
            BlobStore store,
            Tree tree,
            NodeCache cache,
            Node nodes,
            SpaceMap space,
            Flusher flusher,
            Crc32c crc32c,
            UUID uuid,
            StoreMemory memory) {
        this.store = store;
        this.tree = tree;
        this.cache = cache;
        this.nodes = nodes;
        this.space = space;
        this.flusher = flusher;
        this.crc32c = crc32c;
        this.uuid = uuid;
        slotAddress = memory.allocate(BlobStore.BLOCK_SIZE);
        emptyBitmap = memory.allocate(SpaceMap.BITMAP_BYTES);
        slotIo = new SlotIo(memory);
    }

    /** The slot that the store was opened from; the next checkpoint takes the other one. */
    void setLastSlot(int index) {
        slotIndex = index;
    }

    /** Starts a checkpoint, or another one when one is past the point where it would hold what has been changed by now. */
    void request() {
        wanted = true;
    }

    boolean isIdle() {
        return state == IDLE && !wanted;
    }

    /** Whether {@link #step} has something to do without waiting for I/O. */
    boolean hasWork() {
        if (waiting) {
            return false;
        }
        return switch (state) {
            case IDLE -> wanted;
            case SPACE -> !space.isReleasing();
            case WRITE -> walkDepth >= 0 ? store.nodeIos().hasForWrite() : nodesInFlight == 0;
            case FLUSH -> flusher.isDone(flushTicket);
            default -> false;
        };
    }

    int step() {
        if (!hasWork()) {
            return 0;
        }
        switch (state) {
            case IDLE -> startSpace();
            case SPACE -> storeBitmaps();
            case WRITE -> writeNodes();
            case FLUSH -> writeSlot();
            default -> throw new IllegalStateException("checkpoint in state " + state);
        }
        return 1;
    }

    // --- SPACE

    private void startSpace() {
        wanted = false;
        state = SPACE;
        groupCursor = 0;
        spaceRounds = 0;
    }

    private void storeBitmaps() {
        // Storing the last ones changes a few others.
        if (storeChanged(space.changedGroups() <= STEP_BITMAPS ? 4 * STEP_BITMAPS : STEP_BITMAPS)) {
            freeze();
        }
    }

    /**
     * Whether changes must wait for a moment: they change bitmaps as fast as these are stored, and the last ones must be
     * stored in the step that freezes the tree.
     */
    boolean holdsChanges() {
        return state == SPACE && spaceRounds > MAX_SPACE_ROUNDS;
    }

    /** Stores bitmaps of changed groups; true when none is left. */
    private boolean storeChanged(int limit) {
        for (int n = 0; n < limit; n++) {
            int group = space.nextChanged(groupCursor);
            if (group < 0) {
                if (space.changedGroups() == 0) {
                    return true;
                }
                groupCursor = 0;
                spaceRounds++;
                continue;
            }
            if (!storeBitmap(group)) {
                return false;
            }
            groupCursor = group + 1;
        }
        return false;
    }

    private boolean storeBitmap(int group) {
        tree.forgetPrepared();
        int status = tree.prepare(0, BlobStore.spaceKey(group), SpaceMap.BITMAP_BYTES);
        if (status == BlobStore.NOT_RESIDENT) {
            waiting = true;
            store.parkOnTree(resume);
            return false;
        }
        if (status < 0) {
            store.health().fail("reading the bitmap of group " + group, status);
            return false;
        }
        if (tree.preparedNodes() > Math.min(space.freeChunks(), cache.freeFrames())) {
            // The reserves are enough for any tree that was grown by changes.
            store.health().failDamaged("the tree is not of a shape that leaves room for its bitmaps");
            return false;
        }
        long value = tree.putPlaceholder(0, BlobStore.spaceKey(group), emptyBitmap, SpaceMap.BITMAP_BYTES);
        space.store(group, value);
        space.clearChanged(group);
        tree.forgetPrepared();
        return !store.hasContradiction();
    }

    /** The switch of the epoch: what is dirty now belongs to the checkpoint, what changes from now on does not. */
    private void freeze() {
        long epoch = tree.epoch;
        slot.epoch = epoch;
        slot.rootBlock = cache.block(tree.rootFrame);
        slot.rootLevel = tree.rootLevel;
        slot.rootGeneration = Node.generation(cache.address(tree.rootFrame));
        slot.rootCrc = tree.rootCrc;
        slot.usedBlocks = space.usedBlocks();
        slot.nodeCount = tree.nodeCount;
        slot.totalBlocks = store.blocksToCover();
        store.noteLogPosition(slot);
        tree.epoch = epoch + 1;
        cache.freeze();
        space.freeze();
        state = WRITE;
        walkDepth = -1;
        if (slot.rootGeneration == epoch) {
            pushNode(tree.rootFrame);
        }
    }

    // --- WRITE

    private void pushNode(int frame) {
        walkDepth++;
        walkFrame[walkDepth] = frame;
        walkSlot[walkDepth] = 0;
    }

    private void writeNodes() {
        if (walkDepth < 0) {
            flushTicket = flusher.ticket();
            state = FLUSH;
            return;
        }
        for (int n = 0; n < STEP_NODES && walkDepth >= 0 && store.nodeIos().hasForWrite() && state == WRITE; n++) {
            advanceWalk();
        }
    }

    /** Goes down to the next frozen node without frozen children, seals it and starts to write it. */
    private void advanceWalk() {
        while (true) {
            int frame = walkFrame[walkDepth];
            long node = cache.address(frame);
            int child = nextFrozenChild(node);
            if (child == NodeCache.NONE) {
                sealAndWrite(frame, node);
                return;
            }
            pushNode(child);
        }
    }

    private int nextFrozenChild(long node) {
        if (Node.level(node) == 0) {
            return NodeCache.NONE;
        }
        int count = Node.count(node);
        while (walkSlot[walkDepth] < count) {
            int i = walkSlot[walkDepth];
            if (Node.childGeneration(node, i) == slot.epoch && cache.state(childFrame(node, i)) == NodeCache.FROZEN) {
                return childFrame(node, i);
            }
            walkSlot[walkDepth]++;
        }
        return NodeCache.NONE;
    }

    private int childFrame(long node, int index) {
        int frame = cache.lookup(Node.childBlock(node, index));
        if (frame == NodeCache.NONE) {
            throw new IllegalStateException(
                    "block " + Node.childBlock(node, index) + " of this checkpoint is in no frame");
        }
        return frame;
    }

    private void sealAndWrite(int frame, long node) {
        int crc = nodes.seal(node);
        walkDepth--;
        if (walkDepth >= 0) {
            int parent = walkFrame[walkDepth];
            Node.setChild(cache.address(parent), walkSlot[walkDepth], cache.block(frame), slot.epoch, crc);
            walkSlot[walkDepth]++;
            if (cache.isSuperseded(parent) && !cache.isSuperseded(frame) && !tree.setCrcInParent(frame, crc)) {
                store.health()
                        .failDamaged("the tree node at block " + cache.block(frame) + " is not where its keys lead");
                return;
            }
        } else {
            slot.rootCrc = crc;
        }
        if (frame == tree.rootFrame) {
            tree.rootCrc = crc;
        }
        cache.setState(frame, NodeCache.WRITING);
        nodesInFlight++;
        nodesWritten++;
        NodeCache.NodeIo io = store.nodeIos().takeForWrite();
        io.frame = frame;
        io.prepare(BlockIo.WRITE, cache.block(frame), cache.address(frame));
        int status = store.submit(io);
        if (status != BlockChannel.PENDING) {
            onNodeWritten(io, status);
        }
    }

    void onNodeWritten(NodeCache.NodeIo io, int status) {
        int frame = io.frame;
        store.nodeIos().give(io);
        nodesInFlight--;
        if (status < 0) {
            store.health().fail("a write of the tree node at block " + cache.block(frame), status);
            return;
        }
        flusher.noteOwnWrite();
        cache.setState(frame, NodeCache.CLEAN);
        if (cache.isSuperseded(frame)) {
            cache.drop(frame);
        }
    }

    // --- SLOT and COPY

    private void writeSlot() {
        slotIndex = 1 - slotIndex;
        submitSlot(SLOT, RootSlot.primaryBlock(slotIndex));
    }

    private void submitSlot(int newState, long block) {
        state = newState;
        slot.encode(slotAddress, block, uuid, crc32c);
        slotIo.operation = BlockIo.WRITE;
        slotIo.flags = BlockIo.FLAG_FUA;
        slotIo.offsetBytes = block * BlobStore.BLOCK_SIZE;
        slotIo.lengthBytes = BlobStore.BLOCK_SIZE;
        slotInFlight = true;
        int status = store.submit(slotIo);
        if (status != BlockChannel.PENDING) {
            onSlotWritten(status);
        }
    }

    private void onSlotWritten(int status) {
        slotInFlight = false;
        if (status < 0) {
            store.health().fail("a write of root slot " + slotIndex, status);
        } else if (state == SLOT) {
            submitSlot(COPY, RootSlot.copyBlock(slotIndex));
        } else if (state == COPY) {
            state = IDLE;
            completed++;
            space.release();
            store.onCheckpoint(slot);
        }
    }

    /** After an error no checkpoint is written any more. */
    void abandon() {
        state = IDLE;
        wanted = false;
        waiting = true;
        walkDepth = -1;
    }

    boolean hasNothingInFlight() {
        return nodesInFlight == 0 && !slotInFlight;
    }

    private final class Resume extends BlobStore.Parkable {
        @Override
        public void unpark() {
            waiting = false;
        }
    }

    private final class SlotIo extends BlockIo {
        SlotIo(StoreMemory memory) {
            iovecsAddress = memory.allocate(Iovecs.IOVEC_SIZE);
            iovecCount = 1;
            Iovecs.set(iovecsAddress, 0, slotAddress, BlobStore.BLOCK_SIZE);
        }

        @Override
        public void onComplete(int status) {
            onSlotWritten(status);
        }
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.os.Errno;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The nodes in memory: frames of 16 KiB, found by block number.
 *
 * <p>Invariant: a block is in at most one frame. A frame is evicted only by {@link #replenish}, which the store calls
 * between operations, so what an operation has found stays where it is until the operation ends. A dirty frame is never
 * evicted. Home reactor only.
 *
 * <p>Life of a frame: FREE, READING, CLEAN (or FAILED); DIRTY (changed in the running epoch); FROZEN (its epoch is being
 * written by a checkpoint); WRITING; CLEAN. A frozen frame whose node changes again is superseded by a copy under a new
 * block, and is dropped once written.
 */
final class NodeCache {
    static final byte FREE = 0;
    static final byte READING = 1;
    static final byte CLEAN = 2;
    static final byte FAILED = 3;
    static final byte DIRTY = 4;
    static final byte FROZEN = 5;
    static final byte WRITING = 6;

    static final int NONE = -1;

    /** Below this nothing works: paths of several keys, their copies and the nodes that a checkpoint writes at once. */
    static final int MIN_FRAMES = 256;

    /** Long enough for those who waited to see the error. */
    private static final int FAILURE_TURNS = 256;

    /** Frames that one turn looks at for one to evict, or for a failed read to forget. */
    private static final int FRAMES_PER_TURN = 4096;

    private static final long NO_KEY_LOW = -1L;
    private static final int FENCE_SHIFT = 2;
    private static final int HINTS = 1 << 14;

    private final HugepageMemory memory;
    private final long baseAddress;
    private final int frames;

    private final long[] blocks;
    /** As the constants say, but that {@link #flip} tells which of DIRTY and FROZEN is which. */
    private final byte[] states;

    private final boolean[] referenced;
    private final boolean[] superseded;

    /** Per leaf that is part of the tree: the keys [low, high) it holds. Narrower than the truth is safe, wider is not. */
    private final long[] fences;

    /** Error of a FAILED frame. */
    private final int[] errors;

    private final BlobStore.@Nullable Parkable[] waiters;
    private final @Nullable NodeIo[] requests;

    private final int[] table;
    private final int tableMask;
    private final int[] hints = new int[HINTS];

    private final int[] freeList;
    private int freeCount;
    private int hand;
    private int dirtyCount;

    /** Dirty frames of the epoch that a checkpoint writes. */
    private int frozenCount;

    /** Changes with every {@link #freeze}, which thus need not look at every frame. */
    private int flip;

    private final Node nodes;
    private final BlobStore store;

    private long readsStarted;

    /** Frames in state FAILED, and turns that they have been there. */
    private int failures;

    private int failureTurns;
    private int failureCursor;

    /** Frames that eviction has looked at since it found one. */
    private long vainSteps;

    NodeCache(BlobStore store, Node nodes, long cacheBytes) {
        this.store = store;
        this.nodes = nodes;
        frames = (int) Math.max(MIN_FRAMES, cacheBytes / Node.SIZE);
        memory = HugepageMemory.reserve((long) frames * Node.SIZE, "metadata cache");
        baseAddress = memory.address();
        blocks = new long[frames];
        states = new byte[frames];
        referenced = new boolean[frames];
        superseded = new boolean[frames];
        fences = new long[frames << FENCE_SHIFT];
        errors = new int[frames];
        waiters = new BlobStore.@Nullable Parkable[frames];
        requests = new @Nullable NodeIo[frames];
        int size = Integer.highestOneBit(frames * 2 - 1) * 2;
        table = new int[size];
        Arrays.fill(table, NONE);
        tableMask = size - 1;
        freeList = new int[frames];
        for (int i = 0; i < frames; i++) {
            freeList[i] = frames - 1 - i;
            clearFences(i);
        }
        freeCount = frames;
    }

    void close() {
        memory.close();
    }

    int frames() {
        return frames;
    }

    int freeFrames() {
        return freeCount;
    }

    int dirtyFrames() {
        return dirtyCount;
    }

    long readsStarted() {
        return readsStarted;
    }

    long address(int frame) {
        return baseAddress + ((long) frame << 14);
    }

    byte state(int frame) {
        byte raw = states[frame];
        return raw == DIRTY || raw == FROZEN ? (byte) (raw ^ flip) : raw;
    }

    private byte raw(byte state) {
        return state == DIRTY || state == FROZEN ? (byte) (state ^ flip) : state;
    }

    long block(int frame) {
        return blocks[frame];
    }

    boolean isSuperseded(int frame) {
        return superseded[frame];
    }

    int error(int frame) {
        return errors[frame];
    }

    void touch(int frame) {
        referenced[frame] = true;
    }

    // --- hash of blocks

    private int bucket(long block) {
        return (int) ((block * 0x9e3779b97f4a7c15L) >>> 40) & tableMask;
    }

    /** The frame that holds a block, in whatever state, or NONE. */
    int lookup(long block) {
        for (int i = bucket(block); ; i = (i + 1) & tableMask) {
            int frame = table[i];
            if (frame == NONE || blocks[frame] == block) {
                return frame;
            }
        }
    }

    private void insert(long block, int frame) {
        blocks[frame] = block;
        int i = bucket(block);
        while (table[i] != NONE) {
            i = (i + 1) & tableMask;
        }
        table[i] = frame;
    }

    private void remove(int frame) {
        int i = bucket(blocks[frame]);
        while (table[i] != frame) {
            i = (i + 1) & tableMask;
        }
        // Close the gap, or a later search would stop at it.
        int gap = i;
        for (int j = (i + 1) & tableMask; table[j] != NONE; j = (j + 1) & tableMask) {
            int home = bucket(blocks[table[j]]);
            if (((j - home) & tableMask) >= ((j - gap) & tableMask)) {
                table[gap] = table[j];
                gap = j;
            }
        }
        table[gap] = NONE;
    }

    // --- frames

    /** Takes a frame for a block that is in no frame; the caller has seen to it that one is free. */
    int take(long block, byte state) {
        if (freeCount == 0) {
            throw new IllegalStateException("no free frame although some were set aside: prepare() was not called");
        }
        int frame = freeList[--freeCount];
        insert(block, frame);
        states[frame] = raw(state);
        referenced[frame] = true;
        if (state == DIRTY) {
            dirtyCount++;
        }
        return frame;
    }

    /** The frame's node is no longer part of anything. */
    void drop(int frame) {
        if (states[frame] >= DIRTY) {
            leaveDirty(frame);
        } else if (states[frame] == FAILED) {
            failures--;
        }
        remove(frame);
        clearFences(frame);
        states[frame] = FREE;
        superseded[frame] = false;
        freeList[freeCount++] = frame;
    }

    /** A clean frame's node is about to change: it continues under a new block. */
    void moveToDirty(int frame, long newBlock) {
        remove(frame);
        insert(newBlock, frame);
        states[frame] = raw(DIRTY);
        dirtyCount++;
    }

    private void leaveDirty(int frame) {
        dirtyCount--;
        if (state(frame) != DIRTY) {
            frozenCount--;
        }
    }

    /** Keeps the frame only until a checkpoint has written it. */
    void supersede(int frame) {
        superseded[frame] = true;
        clearFences(frame);
    }

    void setState(int frame, byte state) {
        if (states[frame] >= DIRTY && state < DIRTY) {
            leaveDirty(frame);
        }
        states[frame] = raw(state);
    }

    /** Turns all dirty frames into frozen ones; of those frozen before none may be left. */
    void freeze() {
        if (frozenCount != 0) {
            throw new IllegalStateException(frozenCount + " nodes of the last checkpoint were not written");
        }
        flip ^= DIRTY ^ FROZEN;
        frozenCount = dirtyCount;
    }

    // --- fences and hints: the way to a leaf without the way down

    private void clearFences(int frame) {
        int at = frame << FENCE_SHIFT;
        fences[at] = NO_KEY_LOW;
        fences[at + 1] = NO_KEY_LOW;
        fences[at + 2] = 0;
        fences[at + 3] = 0;
    }

    void setFences(int frame, long low0, long low1, long high0, long high1) {
        int at = frame << FENCE_SHIFT;
        fences[at] = low0;
        fences[at + 1] = low1;
        fences[at + 2] = high0;
        fences[at + 3] = high1;
    }

    void clearAllFences() {
        for (int frame = 0; frame < frames; frame++) {
            clearFences(frame);
        }
    }

    void moveFences(int from, int to) {
        System.arraycopy(fences, from << FENCE_SHIFT, fences, to << FENCE_SHIFT, 1 << FENCE_SHIFT);
    }

    void setHighFence(int frame, long high0, long high1) {
        int at = frame << FENCE_SHIFT;
        fences[at + 2] = high0;
        fences[at + 3] = high1;
    }

    /** Whether the frame is surely the leaf for this key. */
    boolean covers(int frame, long k0, long k1) {
        int at = frame << FENCE_SHIFT;
        long low0 = fences[at];
        long high0 = fences[at + 2];
        boolean notBelow =
                k0 == low0 ? Long.compareUnsigned(k1, fences[at + 1]) >= 0 : Long.compareUnsigned(k0, low0) > 0;
        boolean below =
                k0 == high0 ? Long.compareUnsigned(k1, fences[at + 3]) < 0 : Long.compareUnsigned(k0, high0) < 0;
        return notBelow && below;
    }

    private static int hintIndex(long k0, long k1) {
        return (int) (((k0 * 0x9e3779b97f4a7c15L) ^ ((k1 >>> 44) * 0xc2b2ae3d27d4eb4fL)) >>> 50);
    }

    /** A frame that probably is the leaf for this key; {@link #covers} tells. */
    int hint(long k0, long k1) {
        return hints[hintIndex(k0, k1)];
    }

    void setHint(long k0, long k1, int frame) {
        hints[hintIndex(k0, k1)] = frame;
    }

    // --- reading

    /**
     * Starts to read a node.
     *
     * @return its frame, CLEAN, READING or FAILED; NONE when no frame is free
     */
    int load(long block, long generation, int crc, int level, long low0, long low1, long high0, long high1) {
        // What is set aside for changes that were prepared must not be used up by reads.
        if (freeCount <= store.framesSetAside()) {
            return NONE;
        }
        NodeIo io = store.nodeIos().takeForRead();
        if (io == null) {
            return NONE;
        }
        int frame = take(block, READING);
        requests[frame] = io;
        readsStarted++;
        io.frame = frame;
        io.generation = generation;
        io.crc = crc;
        io.level = level;
        io.low0 = low0;
        io.low1 = low1;
        io.high0 = high0;
        io.high1 = high1;
        io.prepare(BlockIo.READ, block, address(frame));
        int status = store.submit(io);
        if (status != BlockChannel.PENDING) {
            finishRead(io, status);
        }
        return frame;
    }

    private void finishRead(NodeIo io, int status) {
        int frame = io.frame;
        long node = address(frame);
        String problem = status == 0 ? verify(io, node) : "cannot be read: " + Errno.name(status);
        if (problem == null) {
            states[frame] = CLEAN;
            store.noteNodeRead(blocks[frame]);
        } else {
            states[frame] = FAILED;
            errors[frame] = -Errno.EIO;
            failures++;
            store.health().reportDamage(blocks[frame], problem);
        }
        requests[frame] = null;
        store.nodeIos().give(io);
        BlobStore.Parkable parked = waiters[frame];
        waiters[frame] = null;
        store.ready().addAll(parked);
    }

    /** Tells the map of free space of all nodes that were read before it was there. */
    void noteNodesRead() {
        for (int frame = 0; frame < frames; frame++) {
            if (states[frame] == CLEAN) {
                store.noteNodeRead(blocks[frame]);
            }
        }
    }

    /** A node that is in memory and whole turned up where it does not belong. */
    void reportMisplaced(int frame, int level) {
        store.health()
                .reportDamage(
                        blocks[frame],
                        "has level " + Node.level(address(frame)) + ", one of its parents expects " + level);
    }

    private @Nullable String verify(NodeIo io, long node) {
        if (!store.isNodePlace(blocks[io.frame])) {
            return "lies outside the place for nodes";
        }
        String problem = nodes.structureError(node, blocks[io.frame]);
        if (problem != null) {
            return problem;
        }
        if (Node.crc(node) != io.crc || Node.generation(node) != io.generation) {
            return "is of generation " + Node.generation(node) + ", its parent expects " + io.generation
                    + " with another checksum: a write was lost";
        }
        if (Node.level(node) != io.level) {
            return "has level " + Node.level(node) + ", its parent expects " + io.level;
        }
        return Node.keysWithin(node, io.low0, io.low1, io.high0, io.high1)
                ? null
                : "holds keys outside the range that its parent gives it";
    }

    /** Runs {@code request} again when the frame is read. */
    void park(int frame, BlobStore.Parkable request) {
        request.nextParked = waiters[frame];
        waiters[frame] = request;
    }

    // --- eviction

    /** Lets the failed reads go after a while, so that the next one who asks reads anew: the device may have recovered. */
    void forgetFailures() {
        if (failures == 0 || ++failureTurns < FAILURE_TURNS) {
            return;
        }
        int end = Math.min(frames, failureCursor + FRAMES_PER_TURN);
        for (int i = failureCursor; i < end; i++) {
            if (states[i] == FAILED && waiters[i] == null) {
                drop(i);
            }
        }
        failureCursor = end;
        if (end == frames) {
            failureCursor = 0;
            failureTurns = 0;
        }
    }

    /**
     * Evicts clean frames, least recently used first in the approximation of a clock, until {@code wanted} are free; looks
     * at as many frames as a turn may, so that it is to be called again.
     *
     * @return whether that many are free
     */
    boolean replenish(int wanted) {
        return replenish(wanted, Math.min(FRAMES_PER_TURN, 2 * frames));
    }

    /** As {@link #replenish}, but whoever calls it has all the time that it takes: false means that it cannot be done. */
    boolean replenishFully(int wanted) {
        // Twice round: the first takes the marks away.
        return replenish(wanted, 2 * frames);
    }

    private boolean replenish(int wanted, int maxSteps) {
        for (int steps = maxSteps; freeCount < wanted && steps > 0; steps--) {
            int frame = hand;
            hand = hand + 1 == frames ? 0 : hand + 1;
            vainSteps++;
            byte state = states[frame];
            if ((state == CLEAN || state == FAILED) && frame != store.rootFrame()) {
                if (referenced[frame]) {
                    referenced[frame] = false;
                } else {
                    drop(frame);
                    vainSteps = 0;
                }
            }
        }
        return freeCount >= wanted;
    }

    /** Whether eviction has gone round twice, which takes all marks away, and found nothing. */
    boolean isExhausted() {
        return vainSteps > 2L * frames;
    }

    /** A read or write of one node. */
    static final class NodeIo extends BlockIo {
        private final BlobStore store;
        int frame;
        long generation;
        int crc;
        int level;
        long low0;
        long low1;
        long high0;
        long high1;

        @Nullable
        NodeIo nextFree;

        NodeIo(BlobStore store, StoreMemory memory) {
            this.store = store;
            iovecsAddress = memory.allocate(Iovecs.IOVEC_SIZE);
            iovecCount = 1;
        }

        void prepare(int op, long block, long address) {
            operation = op;
            flags = 0;
            offsetBytes = block * BlobStore.BLOCK_SIZE;
            lengthBytes = Node.SIZE;
            Iovecs.set(iovecsAddress, 0, address, Node.SIZE);
        }

        @Override
        public void onComplete(int status) {
            if (operation == READ) {
                store.cache().finishRead(this, status);
            } else {
                store.onNodeWritten(this, status);
            }
        }
    }
}

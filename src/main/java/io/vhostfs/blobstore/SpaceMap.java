package io.vhostfs.blobstore;

import io.vhostfs.memory.Memory;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Which blocks are free: two bitmaps in memory, and the counts that make allocation quick.
 *
 * <p>Invariant: {@code used} is what the store's persistent state is after all groups ended so far; {@code busy} covers it
 * and adds blocks reserved but not yet used and blocks freed but not yet reusable. Only blocks that are not busy are handed
 * out. A freed block leaves {@code busy} after the checkpoint that no longer refers to it is durable and, for data, after
 * every I/O that started before that checkpoint has ended. Home reactor only.
 *
 * <p>Nodes take aligned chunks of 4 blocks. So that a chunk can always be found when one is due, data never breaks the
 * last {@code chunk} reserve; it then fills chunks already broken. See {@link #computeReserves}.
 */
final class SpaceMap {
    /** Blocks to a group: one persistent bitmap of 2 KiB, 64 MiB of the device. */
    static final int GROUP_BLOCKS = 16384;

    static final int GROUP_SHIFT = 14;
    static final int BITMAP_BYTES = GROUP_BLOCKS / 8;
    static final int GROUP_WORDS = GROUP_BLOCKS / 64;
    private static final int CHUNK_SHIFT = 2;
    private static final long CHUNK_BITS = 0x1111_1111_1111_1111L;
    private static final long NODE_BITS = (1L << Node.BLOCKS) - 1;

    /** Groups whose bitmaps one reservation may search for a run of the length asked for, before it takes a shorter one. */
    private static final int GROUPS_SEARCHED = 8;

    private static final int GOOD_RUN_BLOCKS = 64;

    /** Work of one {@link #giveBack}: ranges, each of which may touch a cold word of the map: less than half a millisecond. */
    static final int RANGES_PER_STEP = 4096;

    /** Of a longer range so much is given back at a time, and counts as so many ranges as its words take time. */
    private static final int PIECE_BLOCKS = 1 << 18;

    private static final int BLOCKS_PER_UNIT = 1 << 11;

    /** For changes that take space. */
    static final int NO_RESERVE = 0;

    /** For changes that free blocks but leave more items than before: however many come, deletes still find room. */
    static final int HALF_RESERVE = 1;

    /** For changes that take chunks only until the next checkpoint. */
    static final int WHOLE_RESERVE = 2;

    private int groups;
    private long[] used;
    private long[] busy;
    private int[] groupFree;
    private int[] groupFreeChunks;

    /** Groups that hold nodes: data goes elsewhere while there is room elsewhere. */
    private boolean[] nodeGroup;

    private long[] changed;
    private int changedGroups;

    private long totalBlocks;

    private long freeBlocks;
    private long freeChunks;
    private long usedBlocks;
    private long pendingBlocks;

    private long nodeCursor;
    private long dataCursor;

    /** Chunks kept for a checkpoint's own nodes. */
    private int checkpointReserve;

    /** On top of that, kept for changes that free space. */
    private int deleteReserve;

    /** On top of that, kept for other changes of metadata when data has filled the device. */
    private int metadataReserve;

    private RangeList freedData = new RangeList();
    private RangeList freedNodes = new RangeList();
    private RangeList frozenData = new RangeList();
    private RangeList frozenNodes = new RangeList();

    /** Freed by a durable checkpoint, still waiting for I/O that was in flight; and the same, next to wait. */
    private RangeList drainingData = new RangeList();

    private RangeList waitingData = new RangeList();
    /** Nobody's any more, and busy until they are discarded; from {@code undiscardedAt} on. */
    private final RangeList undiscarded = new RangeList();

    private int undiscardedAt;
    private boolean holdForDiscard;

    private final IoEpochs ioEpochs;
    private int drainEpoch;
    private boolean releasing;

    long runBlock;
    int runBlocks;

    private boolean isLoaded;
    private @Nullable String contradiction;

    SpaceMap(long totalBlocks, long firstDataBlock, IoEpochs ioEpochs) {
        this.ioEpochs = ioEpochs;
        Maps maps = new Maps(totalBlocks);
        take(maps);
        nodeCursor = firstDataBlock;
        dataCursor = firstDataBlock + (totalBlocks - firstDataBlock) / 8;
        for (int g = 0; g < groups; g++) {
            recount(g);
        }
        computeReserves();
    }

    /** Maps of a store of that many blocks, all free; blocks behind the end in the last group are busy. */
    static final class Maps {
        final long totalBlocks;
        private final int groups;
        private final long[] used;
        private final long[] busy;
        private final int[] groupFree;
        private final int[] groupFreeChunks;
        private final boolean[] nodeGroup;
        private final long[] changed;

        Maps(long totalBlocks) {
            this.totalBlocks = totalBlocks;
            groups = (int) ((totalBlocks + GROUP_BLOCKS - 1) >>> GROUP_SHIFT);
            used = new long[groups * GROUP_WORDS];
            busy = new long[groups * GROUP_WORDS];
            groupFree = new int[groups];
            groupFreeChunks = new int[groups];
            nodeGroup = new boolean[groups];
            changed = new long[(groups + 63) >>> 6];
            for (long b = totalBlocks; b < (long) groups << GROUP_SHIFT; b++) {
                busy[(int) (b >>> 6)] |= 1L << b;
            }
        }
    }

    private void take(Maps maps) {
        totalBlocks = maps.totalBlocks;
        groups = maps.groups;
        used = maps.used;
        busy = maps.busy;
        groupFree = maps.groupFree;
        groupFreeChunks = maps.groupFreeChunks;
        nodeGroup = maps.nodeGroup;
        changed = maps.changed;
    }

    /**
     * The store covers more from now on: what is known moves to larger maps, and the blocks behind the old end are free.
     * Copies 64 KiB for each GiB that the store had, so a reactor stands still for some 30 ms when it had a TiB.
     */
    void grow(Maps larger) {
        long oldTotal = totalBlocks;
        int oldGroups = groups;
        System.arraycopy(used, 0, larger.used, 0, used.length);
        System.arraycopy(groupFree, 0, larger.groupFree, 0, oldGroups);
        System.arraycopy(groupFreeChunks, 0, larger.groupFreeChunks, 0, oldGroups);
        System.arraycopy(nodeGroup, 0, larger.nodeGroup, 0, oldGroups);
        System.arraycopy(changed, 0, larger.changed, 0, changed.length);
        // The last group may be the larger map's last, too: what is busy behind its end stays so.
        int lastWord = (int) ((oldTotal - 1) >>> 6);
        System.arraycopy(busy, 0, larger.busy, 0, lastWord);
        long inStore = -1L >>> (63 - ((oldTotal - 1) & 63));
        larger.busy[lastWord] |= busy[lastWord] & inStore;
        take(larger);
        for (int g = oldGroups - 1; g < groups; g++) {
            recount(g);
        }
        computeReserves();
    }

    /**
     * Why a checkpoint always finds the chunks it needs. Its own writes, besides nodes already dirty, are the items that
     * hold the bitmaps. A leaf holds at least 3 of them, so they take at most {@code leaves = groups / 3 + 1} leaves and
     * {@code inner} nodes above. One checkpoint copies each of these at most once; in the whole life of a store they are
     * added, by splits, at most once each. So {@code 2 * (leaves + inner)} chunks that nothing else takes are enough: half
     * for the copies, whose originals come back when the checkpoint is durable, half for growth. Checkpoints do not
     * overlap, and nothing else takes a chunk below this reserve: every change asks in {@code prepare} for the nodes it
     * may need on top of it.
     */
    private void computeReserves() {
        int leaves = groups / 3 + 1;
        int inner = leaves / (Node.INNER_CAPACITY / 2) + Node.MAX_LEVEL + 1;
        checkpointReserve = 2 * (leaves + inner);
        long chunks = totalBlocks >>> CHUNK_SHIFT;
        deleteReserve = Math.clamp(chunks / 512, 16, 2048);
        metadataReserve = Math.clamp(chunks / 256, 24, 8192);
    }

    // --- loading

    /** Takes a group's bitmap from its item. */
    void load(int group, long bitmapAddress) {
        int word = group * GROUP_WORDS;
        for (int i = 0; i < GROUP_WORDS; i++) {
            long bits = Memory.getLong(bitmapAddress + i * 8L);
            usedBlocks += Long.bitCount(bits) - Long.bitCount(used[word + i]);
            used[word + i] = bits;
            busy[word + i] |= bits;
        }
        recount(group);
    }

    /** Writes a group's bitmap as its item holds it. */
    void store(int group, long bitmapAddress) {
        int word = group * GROUP_WORDS;
        for (int i = 0; i < GROUP_WORDS; i++) {
            Memory.putLong(bitmapAddress + i * 8L, used[word + i]);
        }
    }

    /** In a repair: takes what a group's item says is used, without keeping it from being allocated. */
    void loadUsed(int group, long bitmapAddress) {
        for (int i = 0; i < GROUP_WORDS; i++) {
            long bits = Memory.getLong(bitmapAddress + i * 8L);
            usedBlocks += Long.bitCount(bits) - Long.bitCount(used[group * GROUP_WORDS + i]);
            used[group * GROUP_WORDS + i] = bits;
        }
    }

    /** In a repair: what a log record says of blocks that lie within the store; what it cannot say is a {@link #contradiction}. */
    void noteUsed(long block, int blocks, boolean isUsed) {
        long before = usedBlocks;
        setUsed(block, blocks, isUsed);
        if (Math.abs(usedBlocks - before) != blocks) {
            contradict(block, blocks, isUsed ? "come into use and are in use" : "are freed and free");
        }
    }

    /** In a repair: groups in which others are used than {@code blocks}. */
    int countWrongGroups(BlockSet blocks) {
        int wrong = 0;
        for (int group = 0; group < groups; group++) {
            boolean differs = false;
            for (int word = group * GROUP_WORDS; word < (group + 1) * GROUP_WORDS; word++) {
                differs |= blocks.word(word) != used[word];
            }
            wrong += differs ? 1 : 0;
        }
        return wrong;
    }

    /**
     * In a repair: makes {@code blocks} those that are used; none of them is allocated from here on.
     *
     * @return groups in which others were
     */
    int replaceUsed(BlockSet blocks) {
        int different = 0;
        for (int group = 0; group < groups; group++) {
            boolean differs = false;
            for (int word = group * GROUP_WORDS; word < (group + 1) * GROUP_WORDS; word++) {
                long bits = blocks.word(word);
                differs |= bits != used[word];
                usedBlocks += Long.bitCount(bits) - Long.bitCount(used[word]);
                used[word] = bits;
                busy[word] |= bits;
            }
            if (differs) {
                noteChanged(group);
                different++;
            }
            recount(group);
        }
        contradiction = null;
        return different;
    }

    private void recount(int group) {
        freeBlocks -= groupFree[group];
        freeChunks -= groupFreeChunks[group];
        int free = 0;
        int chunks = 0;
        for (int i = group * GROUP_WORDS; i < (group + 1) * GROUP_WORDS; i++) {
            free += Long.bitCount(~busy[i]);
            chunks += Long.bitCount(freeChunkMask(busy[i]));
        }
        groupFree[group] = free;
        groupFreeChunks[group] = chunks;
        freeBlocks += free;
        freeChunks += chunks;
    }

    /** Bit 4n is set when bits 4n to 4n + 3 are clear. */
    private static long freeChunkMask(long busyWord) {
        long b = busyWord | busyWord >>> 1;
        return ~(b | b >>> 2) & CHUNK_BITS;
    }

    // --- bits

    private void setBusy(long block, int blocks) {
        changeBusy(block, blocks, true);
    }

    private void clearBusy(long block, int blocks) {
        changeBusy(block, blocks, false);
    }

    private void changeBusy(long block, int blocks, boolean set) {
        long at = block;
        int left = blocks;
        while (left > 0) {
            int word = (int) (at >>> 6);
            int n = Math.min(left, 64 - (int) (at & 63));
            long mask = (n == 64 ? -1L : (1L << n) - 1) << at;
            long before = busy[word];
            long after = set ? before | mask : before & ~mask;
            busy[word] = after;
            int group = (int) (at >>> GROUP_SHIFT);
            int free = Long.bitCount(before) - Long.bitCount(after);
            int chunks = Long.bitCount(freeChunkMask(after)) - Long.bitCount(freeChunkMask(before));
            groupFree[group] += free;
            freeBlocks += free;
            groupFreeChunks[group] += chunks;
            freeChunks += chunks;
            at += n;
            left -= n;
        }
    }

    private void setUsed(long block, int blocks, boolean set) {
        long at = block;
        int left = blocks;
        while (left > 0) {
            int word = (int) (at >>> 6);
            int n = Math.min(left, 64 - (int) (at & 63));
            long mask = (n == 64 ? -1L : (1L << n) - 1) << at;
            long before = used[word];
            long after = set ? before | mask : before & ~mask;
            used[word] = after;
            usedBlocks += Long.bitCount(after) - Long.bitCount(before);
            noteChanged((int) (at >>> GROUP_SHIFT));
            at += n;
            left -= n;
        }
    }

    private void noteChanged(int group) {
        long bit = 1L << group;
        if ((changed[group >>> 6] & bit) == 0) {
            changed[group >>> 6] |= bit;
            changedGroups++;
        }
    }

    int changedGroups() {
        return changedGroups;
    }

    /** The first group at or after {@code from} whose bitmap changed since it was last stored, or -1. */
    int nextChanged(int from) {
        for (int word = from >>> 6; word < changed.length; word++) {
            long bits = changed[word];
            if (word == from >>> 6) {
                bits &= -1L << from;
            }
            if (bits != 0) {
                return (word << 6) + Long.numberOfTrailingZeros(bits);
            }
        }
        return -1;
    }

    void clearChanged(int group) {
        long bit = 1L << group;
        if ((changed[group >>> 6] & bit) != 0) {
            changed[group >>> 6] &= ~bit;
            changedGroups--;
        }
    }

    boolean isUsed(long block) {
        return (used[(int) (block >>> 6)] & 1L << block) != 0;
    }

    long totalBlocks() {
        return totalBlocks;
    }

    int groups() {
        return groups;
    }

    // --- nodes

    long freeChunks() {
        return freeChunks;
    }

    /** Chunks that changes may still take which use so much of what is kept for deletes: one of the constants. */
    long chunksFor(int reserveUse) {
        long kept =
                switch (reserveUse) {
                    case NO_RESERVE -> deleteReserve;
                    case HALF_RESERVE -> deleteReserve / 2;
                    default -> 0;
                };
        return freeChunks - checkpointReserve - kept;
    }

    /** Takes a chunk for a node of the running epoch. */
    long allocateNode() {
        long block = findChunk();
        setBusy(block, Node.BLOCKS);
        setUsed(block, Node.BLOCKS, true);
        nodeCursor = block + Node.BLOCKS;
        return block;
    }

    private long findChunk() {
        int start = (int) (nodeCursor >>> GROUP_SHIFT) % groups;
        if (groupFreeChunks[start] > 0) {
            return chunkIn(start, (int) (nodeCursor >>> 6) % GROUP_WORDS);
        }
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 1; i <= groups; i++) {
                int group = (start + i) % groups;
                if (groupFreeChunks[group] > 0 && (pass == 1 || nodeGroup[group])) {
                    return chunkIn(group, 0);
                }
            }
        }
        throw new IllegalStateException("no chunk is free for a node although a reserve was kept");
    }

    private long chunkIn(int group, int fromWord) {
        nodeGroup[group] = true;
        int base = group * GROUP_WORDS;
        for (int i = 0; i < GROUP_WORDS; i++) {
            int word = base + (fromWord + i) % GROUP_WORDS;
            long mask = freeChunkMask(busy[word]);
            if (mask != 0) {
                return ((long) word << 6) + Long.numberOfTrailingZeros(mask);
            }
        }
        throw new IllegalStateException("group " + group + " has no free chunk although its count says so");
    }

    /** New nodes go near this one. */
    void setNodeCursor(long block) {
        nodeCursor = block;
    }

    /** A node was read: its group holds nodes. False: the map says that it is free, once there is a map, a {@link #contradiction}. */
    boolean noteNode(long block) {
        nodeGroup[(int) (block >>> GROUP_SHIFT)] = true;
        boolean isFree = isLoaded && (used[(int) (block >>> 6)] >>> block & NODE_BITS) != NODE_BITS;
        if (isFree) {
            contradict(block, Node.BLOCKS, "are of a tree node and free");
        }
        return !isFree;
    }

    /** All bitmaps have been taken, and the log has been replayed. */
    void endLoading() {
        isLoaded = true;
    }

    /** The first block below {@code end} that is not in use, or -1. */
    long firstUnused(long end) {
        for (long block = 0; block < end; block++) {
            if (!isUsed(block)) {
                return block;
            }
        }
        return -1;
    }

    /**
     * Frees a node; one that is free already is a {@link #contradiction}.
     *
     * @param everDurable false when it was allocated in the running epoch: nothing durable can refer to it
     */
    void freeNode(long block, boolean everDurable) {
        long before = usedBlocks;
        setUsed(block, Node.BLOCKS, false);
        if (before - usedBlocks != Node.BLOCKS) {
            contradict(block, Node.BLOCKS, "are of a tree node and free");
        }
        if (everDurable) {
            freedNodes.add(block, Node.BLOCKS);
            pendingBlocks += Node.BLOCKS;
        } else {
            clearBusy(block, Node.BLOCKS);
        }
    }

    // --- data

    long availableBlocks() {
        long kept = (long) (checkpointReserve + deleteReserve + metadataReserve) << CHUNK_SHIFT;
        return Math.max(0, freeBlocks + pendingBlocks - kept);
    }

    long usedBlocks() {
        return usedBlocks;
    }

    /** Whether a checkpoint would give blocks back. */
    boolean hasPending() {
        return pendingBlocks > 0;
    }

    /** Whether the next checkpoint would. */
    boolean hasFreedSinceFreeze() {
        return freedData.size + freedNodes.size > 0;
    }

    /** Finds and reserves a run of at most {@code maxBlocks} blocks; false when there is none for data now. */
    boolean reserve(long goalBlock, int maxBlocks) {
        // A run that starts and ends within chunks breaks up to two more than its length tells.
        long chunksToSpare = freeChunks - checkpointReserve - deleteReserve - metadataReserve - 2;
        boolean found = chunksToSpare > 0
                ? findRun(goalBlock, (int) Math.min(maxBlocks, chunksToSpare << CHUNK_SHIFT))
                : findBroken(goalBlock, maxBlocks);
        if (!found) {
            return false;
        }
        setBusy(runBlock, runBlocks);
        dataCursor = runBlock + runBlocks;
        return true;
    }

    private boolean findRun(long goalBlock, int maxBlocks) {
        boolean near = goalBlock > 0 && goalBlock < totalBlocks;
        long start = near ? goalBlock : dataCursor % totalBlocks;
        int first = (int) (start >>> GROUP_SHIFT);
        if (near && freeAt(goalBlock)) {
            take(goalBlock, maxBlocks);
            return true;
        }
        int want = Math.min(maxBlocks, GOOD_RUN_BLOCKS);
        for (int pass = 0; pass < 2; pass++) {
            runBlocks = 0;
            int searched = 0;
            for (int i = 0; i <= groups && searched < GROUPS_SEARCHED; i++) {
                int group = (first + i) % groups;
                if (groupFree[group] > 0 && (pass == 1 || !nodeGroup[group])) {
                    searched++;
                    if (searchGroup(group, i == 0 ? start : (long) group << GROUP_SHIFT, want, maxBlocks)) {
                        return true;
                    }
                }
            }
            if (runBlocks > 0) {
                return true;
            }
        }
        return false;
    }

    private boolean freeAt(long block) {
        return (busy[(int) (block >>> 6)] & 1L << block) == 0;
    }

    private void take(long block, int maxBlocks) {
        runBlock = block;
        runBlocks = (int) Math.min(runLength(block, maxBlocks), maxBlocks);
    }

    /** Free blocks from {@code block} on, counted up to {@code limit} or a little more. */
    private long runLength(long block, int limit) {
        long at = block;
        long end = Math.min((long) busy.length << 6, block + limit);
        while (at < end) {
            long word = busy[(int) (at >>> 6)] >>> at;
            if (word != 0) {
                return at + Long.numberOfTrailingZeros(word) - block;
            }
            at = (at | 63) + 1;
        }
        return end - block;
    }

    /** Keeps the longest run seen in {@code run*}; true when one of {@code want} was found. */
    private boolean searchGroup(int group, long from, int want, int maxBlocks) {
        long end = (long) (group + 1) << GROUP_SHIFT;
        long at = from;
        while (at < end) {
            long free = ~busy[(int) (at >>> 6)] >>> at;
            if (free == 0) {
                at = (at | 63) + 1;
                continue;
            }
            at += Long.numberOfTrailingZeros(free);
            int length = (int) runLength(at, maxBlocks);
            if (length > runBlocks) {
                runBlock = at;
                runBlocks = Math.min(length, maxBlocks);
                if (runBlocks >= want) {
                    return true;
                }
            }
            at += length;
        }
        return false;
    }

    /** Only blocks of chunks already broken may be taken. */
    private boolean findBroken(long goalBlock, int maxBlocks) {
        if (freeBlocks == freeChunks << CHUNK_SHIFT) {
            return false;
        }
        int first = (int)
                ((goalBlock > 0 && goalBlock < totalBlocks ? goalBlock : dataCursor % totalBlocks) >>> GROUP_SHIFT);
        for (int i = 0; i < groups; i++) {
            int group = (first + i) % groups;
            if (groupFree[group] == groupFreeChunks[group] << CHUNK_SHIFT) {
                continue;
            }
            for (int word = group * GROUP_WORDS; word < (group + 1) * GROUP_WORDS; word++) {
                long whole = freeChunkMask(busy[word]) * 0xf;
                long broken = ~busy[word] & ~whole;
                if (broken != 0) {
                    int bit = Long.numberOfTrailingZeros(broken);
                    runBlock = ((long) word << 6) + bit;
                    runBlocks = Math.min(maxBlocks, Long.numberOfTrailingZeros(~(broken >>> bit)));
                    return true;
                }
            }
        }
        return false;
    }

    void unreserve(long block, int blocks) {
        clearBusy(block, blocks);
    }

    /** Blocks that are in use already are a {@link #contradiction}. */
    void markUsed(long block, int blocks) {
        long before = usedBlocks;
        setUsed(block, blocks, true);
        if (usedBlocks - before != blocks) {
            contradict(block, blocks, "come into use and are in use");
        }
    }

    /** At mount: a record not yet applied uses these blocks, so nodes must not be put there. */
    void markBusy(long block, int blocks) {
        setBusy(block, blocks);
    }

    /** Blocks that are free already are a {@link #contradiction}. */
    void free(long block, int blocks) {
        long before = usedBlocks;
        setUsed(block, blocks, false);
        if (before - usedBlocks != blocks) {
            contradict(block, blocks, "are freed and free");
        }
        freedData.add(block, blocks);
        pendingBlocks += blocks;
    }

    private void contradict(long block, int blocks, String how) {
        if (contradiction == null) {
            contradiction = "of blocks " + block + " to " + (block + blocks - 1) + " some " + how + " already";
        }
    }

    /**
     * The first change that went against what was known of its blocks, or null: the tree and the map of free space do not
     * belong together, and nothing that was changed since may reach the disk.
     */
    @Nullable
    String contradiction() {
        return contradiction;
    }

    // --- checkpoints

    /** What was freed up to now comes back with the checkpoint that starts. */
    void freeze() {
        RangeList list = frozenData;
        frozenData = freedData;
        freedData = list;
        list = frozenNodes;
        frozenNodes = freedNodes;
        freedNodes = list;
    }

    /** The checkpoint is durable: what was frozen comes back, in steps of {@link #giveBack}. */
    void release() {
        releasing = true;
    }

    /** What the last checkpoint gives back has not all been counted in: the next must not be frozen yet. */
    boolean isReleasing() {
        return releasing;
    }

    /** Whether {@link #giveBack} is to be called again. */
    boolean isDraining() {
        return releasing || waitingData.size + drainingData.size > 0;
    }

    /**
     * A step of giving back what a durable checkpoint has freed: nodes at once, data when no I/O can still touch it. Called
     * once a turn while {@link #isDraining}.
     *
     * @return whether blocks became free
     */
    boolean giveBack() {
        long before = pendingBlocks;
        int budget = RANGES_PER_STEP;
        if (releasing) {
            budget = free(frozenNodes, false, budget);
            budget = frozenNodes.size > 0 ? 0 : moveFrozenData(budget);
        }
        if (drainingData.size > 0 && ioEpochs.hasDrained(drainEpoch)) {
            budget = free(drainingData, true, budget);
        }
        if (drainingData.size == 0 && waitingData.size > 0 && !releasing && ioEpochs.canAdvance()) {
            RangeList list = drainingData;
            drainingData = waitingData;
            waitingData = list;
            drainEpoch = ioEpochs.advance();
            if (ioEpochs.hasDrained(drainEpoch)) {
                free(drainingData, true, budget);
            }
        }
        return pendingBlocks != before;
    }

    /** Makes ranges of a list free, from its end on; returns what is left of the budget. */
    private int free(RangeList list, boolean isData, int budget) {
        int left = budget;
        while (left > 0 && list.size > 0) {
            int last = list.size - 1;
            int blocks = Math.min(list.counts[last], PIECE_BLOCKS);
            list.counts[last] -= blocks;
            if (isData) {
                release(list.blocks[last] + list.counts[last], blocks);
            } else {
                clearBusy(list.blocks[last] + list.counts[last], blocks);
                pendingBlocks -= blocks;
            }
            left -= 1 + blocks / BLOCKS_PER_UNIT;
            if (list.counts[last] == 0) {
                list.size = last;
            }
        }
        return left;
    }

    private int moveFrozenData(int budget) {
        int left = budget;
        if (waitingData.size == 0) {
            RangeList list = waitingData;
            waitingData = frozenData;
            frozenData = list;
        }
        while (left > 0 && frozenData.size > 0) {
            int last = --frozenData.size;
            waitingData.add(frozenData.blocks[last], frozenData.counts[last]);
            left--;
        }
        releasing = frozenData.size > 0;
        return left;
    }

    // --- discarding

    private void release(long block, int blocks) {
        if (holdForDiscard && blocks >= Discarder.MIN_BLOCKS) {
            undiscarded.add(block, blocks);
            return;
        }
        clearBusy(block, blocks);
        pendingBlocks -= blocks;
        if (holdForDiscard) {
            gather(block, blocks);
        }
    }

    /**
     * Short runs are discarded when the aligned {@link Discarder#MIN_BLOCKS} around them have become free; that takes
     * chunks, so it is left when there is nothing to spare beside the reserves.
     */
    private void gather(long block, int blocks) {
        long end = block + blocks;
        int kept = checkpointReserve + deleteReserve + metadataReserve;
        if (freeChunks - ((blocks + 2L * Discarder.MIN_BLOCKS) >>> CHUNK_SHIFT) < kept) {
            return;
        }
        for (long at = block & -Discarder.MIN_BLOCKS; at < end; at += Discarder.MIN_BLOCKS) {
            long bits = (busy[(int) (at >>> 6)] >>> at) & ((1L << Discarder.MIN_BLOCKS) - 1);
            if (bits == 0) {
                hold(at, Discarder.MIN_BLOCKS);
                undiscarded.add(at, Discarder.MIN_BLOCKS);
            }
        }
    }

    /** Whether blocks that are given back are held for {@link #takeUndiscarded}; what is held now comes back when not. */
    void holdForDiscard(boolean hold) {
        holdForDiscard = hold;
        if (!hold) {
            releaseUndiscarded();
        }
    }

    boolean hasUndiscarded() {
        return undiscardedAt < undiscarded.size;
    }

    /** Gives back what still waits to be discarded; whether that was anything. */
    boolean releaseUndiscarded() {
        boolean any = hasUndiscarded();
        for (int i = undiscardedAt; i < undiscarded.size; i++) {
            clearBusy(undiscarded.blocks[i], undiscarded.counts[i]);
            pendingBlocks -= undiscarded.counts[i];
        }
        undiscarded.size = 0;
        undiscardedAt = 0;
        return any;
    }

    /** Keeps free blocks from being allocated until they are {@link #discarded}. */
    void hold(long block, int blocks) {
        setBusy(block, blocks);
        pendingBlocks += blocks;
    }

    /** The next run to discard, from {@code runBlock} on; its length. It stays busy until {@link #discarded}. */
    int takeUndiscarded(int maxBlocks) {
        int at = undiscardedAt;
        int count = Math.min(maxBlocks, undiscarded.counts[at]);
        runBlock = undiscarded.blocks[at];
        undiscarded.blocks[at] += count;
        undiscarded.counts[at] -= count;
        if (undiscarded.counts[at] == 0) {
            undiscardedAt++;
            if (undiscardedAt == undiscarded.size) {
                undiscarded.size = 0;
                undiscardedAt = 0;
            }
        }
        return count;
    }

    /** Finds the first run of free blocks that is worth a discard, from {@code from} on; false when there is none. */
    boolean findFreeRun(long from, int maxBlocks) {
        long at = from;
        while (at < totalBlocks) {
            int length = (int) Math.min(runLength(at, maxBlocks), maxBlocks);
            if (length >= Discarder.MIN_BLOCKS) {
                runBlock = at;
                runBlocks = length;
                return true;
            }
            at += Math.max(1, length);
        }
        return false;
    }

    void discarded(long block, int blocks) {
        clearBusy(block, blocks);
        pendingBlocks -= blocks;
    }

    /** Ranges of blocks, in arrays that grow to what the workload needs and stay. */
    private static final class RangeList {
        long[] blocks = new long[1024];
        int[] counts = new int[1024];
        int size;

        void add(long block, int count) {
            if (size > 0 && blocks[size - 1] + counts[size - 1] == block && count < (1 << 30) - counts[size - 1]) {
                counts[size - 1] += count;
                return;
            }
            if (size == blocks.length) {
                blocks = Arrays.copyOf(blocks, size * 2);
                counts = Arrays.copyOf(counts, size * 2);
            }
            blocks[size] = block;
            counts[size++] = count;
        }
    }
}

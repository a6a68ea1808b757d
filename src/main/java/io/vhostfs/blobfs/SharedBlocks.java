package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.Arrays;

/**
 * One change to the counts of references of blocks that extents share, as a difference of SHARED items and a list of
 * blocks that nobody holds any more.
 *
 * <p>Invariant: a block of which no item says anything has one reference if an extent holds it, and one whose last
 * reference goes is freed in the same group. Use: {@link #begin}, {@link #change} in any order, {@link #compute}; then
 * prepare and, within the group, {@link #put}. {@link #room} says beforehand how much of a range one group takes. Home
 * reactor; reused.
 */
final class SharedBlocks {
    // What visit does with each item that changes.
    private static final int COUNT = 0;
    /** Prepare without, with half, or with all of what is kept for changes that free space. */
    static final int PREPARE = 1;

    static final int PREPARE_IN_HALF_RESERVE = 2;
    static final int PREPARE_IN_RESERVE = 3;
    private static final int PUT = 4;

    private final Volume volume;
    private final BlobStore store;
    private int rangesLeft;
    /** The next group changes one range only. */
    private boolean isNarrow;

    /** Where the number of references that are taken changes: the block, and in the lowest bit whether it rises. */
    private long[] events = new long[32];

    private int eventCount;

    // The items concerned, and what takes their place.
    private final Counts before = new Counts();
    private final Counts after = new Counts();
    /** Of references 0. */
    private final Counts freed = new Counts();

    // The last of the items concerned, which is the first that ends behind what was looked at; what lies before
    // itemDone
    // is in its new place already. All NONE: there is no more. While room looks: the item found.
    private static final long NONE = Long.MAX_VALUE;
    private long itemStart;
    private long itemEnd;
    private long itemReferences;
    private long itemDone;

    private int puts;
    private int deletes;

    SharedBlocks(Volume volume) {
        this.volume = volume;
        this.store = volume.store;
    }

    void begin() {
        eventCount = 0;
        rangesLeft = isNarrow ? 1 : Limits.MAX_GROUP_SHARED_RANGES;
    }

    /** After -ENOSPC: whether a smaller group, with less nodes of the tree, is worth a try; the next one is. */
    boolean narrow() {
        boolean wasWide = !isNarrow && eventCount > 2;
        isNarrow = wasWide;
        return wasWide;
    }

    /**
     * How many blocks from {@code disk} on, at most {@code blocks}, the group can change besides what it was asked for; 0
     * when it is full, which it is not at first. Negative: it failed for the reason in {@link Volume#status}.
     */
    int room(long disk, int blocks) {
        if (rangesLeft == 0) {
            return 0;
        }
        long end = disk + blocks;
        long at = disk;
        int s = findBehind(disk);
        for (int items = 0; s == BlobStore.OK && itemStart < end; items++) {
            if (items == Limits.MAX_SHARED_ITEMS_PER_RANGE) {
                end = at;
                break;
            }
            at = itemEnd;
            s = at < end ? findFrom(at) : BlobStore.NOT_FOUND;
        }
        if (s != BlobStore.OK && s != BlobStore.NOT_FOUND) {
            volume.status = s;
            return -1;
        }
        rangesLeft--;
        return (int) (end - disk);
    }

    /** An extent more, or one less, holds a range of blocks. */
    void change(long disk, long blocks, boolean more) {
        if (eventCount + 2 > events.length) {
            events = Arrays.copyOf(events, 2 * events.length);
        }
        events[eventCount++] = disk << 1 | (more ? 1 : 0);
        events[eventCount++] = (disk + blocks) << 1 | (more ? 0 : 1);
    }

    /** Whether no count changes; then nothing needs to be prepared. */
    boolean isEmpty() {
        return eventCount == 0;
    }

    /** Finds what the counts become: OK, NOT_RESIDENT or a negative errno. */
    int compute() {
        before.size = 0;
        after.size = 0;
        freed.size = 0;
        itemStart = 0;
        itemEnd = 0;
        itemDone = 0;
        Arrays.sort(events, 0, eventCount);
        long net = 0;
        long from = 0;
        for (int i = 0; i < eventCount; i++) {
            long at = events[i] >>> 1;
            if (net != 0 && at > from) {
                int s = change(from, at, net);
                if (s != BlobStore.OK) {
                    return s;
                }
            }
            net += (events[i] & 1) == 0 ? -1 : 1;
            from = at;
        }
        finishItem(itemEnd);
        puts = 0;
        deletes = 0;
        return visit(COUNT, 0);
    }

    /** All blocks of a range have so many references more, or less. */
    private int change(long from, long to, long net) {
        int s = enter(from);
        long at = from;
        while (s == BlobStore.OK && at < to) {
            s = itemEnd <= at ? next(at) : s;
            if (s == BlobStore.OK) {
                boolean isCounted = itemStart <= at;
                long end = Math.min(to, isCounted ? itemEnd : itemStart);
                s = become(at, end - at, (isCounted ? itemReferences : 1) + net);
                itemDone = isCounted ? end : itemDone;
                at = end;
            }
        }
        // The neighbour behind may have the same count now.
        return s == BlobStore.OK && itemEnd <= to ? next(to) : s;
    }

    private int become(long block, long blocks, long references) {
        if (references < 0) {
            // Fewer than hold them: the counts are damaged.
            return -Errno.EIO;
        }
        if (references == 0) {
            freed.add(block, blocks, 0);
        } else if (references > 1) {
            after.add(block, blocks, references);
        }
        return BlobStore.OK;
    }

    /** Puts what lies before {@code from} in its new place, and takes up the item that ends there or behind. */
    private int enter(long from) {
        finishItem(from);
        if (itemEnd >= from) {
            return BlobStore.OK;
        }
        int s = take(findBehind(from - 1));
        finishItem(from);
        return s;
    }

    /** Goes on with the item that starts at {@code at}, or the first one behind. */
    private int next(long at) {
        finishItem(itemEnd);
        return take(findFrom(at));
    }

    private int take(int found) {
        if (found == BlobStore.OK) {
            itemDone = itemStart;
            before.append(itemStart, itemEnd - itemStart, itemReferences);
        } else if (found == BlobStore.NOT_FOUND) {
            itemStart = NONE;
            itemEnd = NONE;
            itemDone = NONE;
            return BlobStore.OK;
        }
        return found;
    }

    /** What of the item lies before {@code end} stays as it is. */
    private void finishItem(long end) {
        long to = Math.min(end, itemEnd);
        if (to > itemDone) {
            after.add(itemDone, to - itemDone, itemReferences);
            itemDone = to;
        }
    }

    // --- looking up

    /** The item that holds {@code block}, else the first one behind: OK, NOT_FOUND, NOT_RESIDENT or a negative errno. */
    private int findBehind(long block) {
        int s = store.floor(Items.SYSTEM, Items.sharedKey(block));
        if (s == BlobStore.OK && isSharedKey()) {
            s = decode();
            if (s != BlobStore.OK || itemEnd > block) {
                return s;
            }
        } else if (s != BlobStore.OK && s != BlobStore.NOT_FOUND) {
            return s;
        }
        return findFrom(block + 1);
    }

    private int findFrom(long block) {
        int s = store.ceiling(Items.SYSTEM, Items.sharedKey(block));
        if (s != BlobStore.OK) {
            return s;
        }
        return isSharedKey() ? decode() : BlobStore.NOT_FOUND;
    }

    private boolean isSharedKey() {
        return store.foundK0 == Items.SYSTEM && Items.type(store.foundK1) == Items.TYPE_SHARED;
    }

    private int decode() {
        long value = store.valueAddress;
        if (!Items.isShared(store.foundK1, value, store.valueLength, store.totalBlocks())) {
            return -Errno.EIO;
        }
        itemStart = Items.sub(store.foundK1);
        itemEnd = itemStart + Memory.getInt(value + Items.SHARED_LENGTH_OFFSET);
        itemReferences = Memory.getLong(value + Items.SHARED_REFERENCES_OFFSET);
        return BlobStore.OK;
    }

    // --- changing the tree

    /** Prepares every item in the tree, in one of the ways PREPARE…: OK, NOT_RESIDENT or a negative errno. */
    int prepare(int way) {
        return visit(way, 0);
    }

    int logBytes() {
        return puts * BlobStore.logBytes(Items.SHARED_SIZE)
                + deletes * BlobStore.logBytes(0)
                + freed.size * BlobStore.RANGE_LOG_BYTES;
    }

    /** Between begin and end: the new counts, and the blocks without a reference freed; {@code scratch} takes one value. */
    void put(long scratch) {
        isNarrow = false;
        visit(PUT, scratch);
        for (int i = 0; i < freed.size; i++) {
            store.free(freed.start[i], freed.blocks[i]);
        }
    }

    /** Walks both lists by block; what is the same on both sides stays. */
    private int visit(int what, long scratch) {
        int o = 0;
        int n = 0;
        int s = BlobStore.OK;
        while (s == BlobStore.OK && (o < before.size || n < after.size)) {
            long old = o < before.size ? before.start[o] : Long.MAX_VALUE;
            long made = n < after.size ? after.start[n] : Long.MAX_VALUE;
            if (old < made) {
                s = delete(what, old);
            } else if (old > made
                    || before.blocks[o] != after.blocks[n]
                    || before.references[o] != after.references[n]) {
                s = putOne(what, n, old == made, scratch);
            }
            o += old <= made ? 1 : 0;
            n += made <= old ? 1 : 0;
        }
        return s;
    }

    private int delete(int what, long block) {
        long key = Items.sharedKey(block);
        switch (what) {
            case COUNT -> deletes++;
            case PUT -> store.delete(Items.SYSTEM, key);
            default -> {
                return store.prepareDelete(Items.SYSTEM, key);
            }
        }
        return BlobStore.OK;
    }

    private int putOne(int what, int n, boolean replaces, long scratch) {
        long key = Items.sharedKey(after.start[n]);
        switch (what) {
            case PREPARE -> {
                return store.prepare(Items.SYSTEM, key, Items.SHARED_SIZE);
            }
            case PREPARE_IN_HALF_RESERVE -> {
                return replaces
                        ? store.prepareInReserve(Items.SYSTEM, key, Items.SHARED_SIZE)
                        : store.prepareInHalfReserve(Items.SYSTEM, key, Items.SHARED_SIZE);
            }
            case PREPARE_IN_RESERVE -> {
                return store.prepareInReserve(Items.SYSTEM, key, Items.SHARED_SIZE);
            }
            case PUT -> {
                Items.encodeShared(scratch, after.blocks[n], after.references[n]);
                store.put(Items.SYSTEM, key, scratch, Items.SHARED_SIZE);
            }
            default -> puts++;
        }
        return BlobStore.OK;
    }

    /** Runs of blocks in ascending order, each with the references of its blocks. */
    private static final class Counts {
        long[] start = new long[16];
        int[] blocks = new int[16];
        long[] references = new long[16];
        int size;

        /** As {@link #append}; one run with the run before when that is possible. */
        void add(long block, long count, long referencesOfEach) {
            int last = size - 1;
            if (size > 0
                    && start[last] + blocks[last] == block
                    && references[last] == referencesOfEach
                    && blocks[last] + count <= Limits.MAX_ITEM_EXTENT_BLOCKS) {
                blocks[last] += (int) count;
                return;
            }
            append(block, count, referencesOfEach);
        }

        void append(long block, long count, long referencesOfEach) {
            if (size == start.length) {
                start = Arrays.copyOf(start, 2 * size);
                blocks = Arrays.copyOf(blocks, 2 * size);
                references = Arrays.copyOf(references, 2 * size);
            }
            start[size] = block;
            blocks[size] = (int) count;
            references[size++] = referencesOfEach;
        }
    }
}

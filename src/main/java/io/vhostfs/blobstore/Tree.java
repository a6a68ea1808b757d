package io.vhostfs.blobstore;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;

/**
 * The B+tree over the node cache.
 *
 * <p>Invariant: a node whose generation is the running epoch is dirty and its parent is too; any other node of the tree is
 * as it is, or as the checkpoint in progress writes it, on disk, and is never changed in place: its first change in an
 * epoch moves it to a new block. Changes never wait and never fail: {@link #prepare} has made the path resident and has
 * set aside the frames and chunks they may need. Home reactor only.
 */
final class Tree {
    private static final int LEAF_MERGE_BYTES = Node.LEAF_CAPACITY / 4;
    private static final int LEAF_MERGED_BYTES = Node.LEAF_CAPACITY * 3 / 4;
    private static final int INNER_MERGE_COUNT = Node.INNER_CAPACITY / 4;
    private static final int INNER_MERGED_COUNT = Node.INNER_CAPACITY * 3 / 4;

    /** Frames and chunks that must be left over before two half-empty nodes are merged, which is optional. */
    private static final int MERGE_MARGIN = 16;

    /** Instead of the length of a value to {@link #prepare}: the key will be deleted, or its value becomes shorter. */
    static final int NO_VALUE = -1;

    private final NodeCache cache;
    private final Node nodes;
    private final SpaceMap space;

    long epoch;
    int rootFrame = NodeCache.NONE;
    int rootLevel;
    long rootGeneration;
    int rootCrc;
    long nodeCount;

    /** A change did not come to its end: what is in memory is no tree any more. */
    private boolean isLost;

    // --- result of find, ceiling, floor
    long valueAddress;
    int valueLength;
    long foundK0;
    long foundK1;

    /** After NOT_RESIDENT: the frame that is being read, or NONE when no frame was free. */
    int waitFrame;

    // --- the way down that was taken last
    private final int[] pathFrame = new int[Node.MAX_LEVEL + 1];
    private final int[] pathSlot = new int[Node.MAX_LEVEL + 1];
    private long high0;
    private long high1;
    private long low0;
    private long low1;

    /** The leaf that {@link #locate} or {@link #descend} found. */
    private int leaf;

    private int lastLeaf;
    private int lastSlot;

    // --- what was prepared since the last operation ended
    private int preparedNodes;
    private int preparedBytes;
    private int preparedSplits;

    /** By frame: the preparation that has counted a copy of the node. Keys that are neighbours share their path. */
    private final long[] countedIn;

    private long preparation = 1;

    Tree(NodeCache cache, Node nodes, SpaceMap space) {
        this.cache = cache;
        countedIn = new long[cache.frames()];
        this.nodes = nodes;
        this.space = space;
    }

    /** A new tree: one empty leaf, dirty. */
    void create(long runningEpoch) {
        epoch = runningEpoch;
        rootLevel = 0;
        rootFrame = newNode(0);
        cache.setFences(rootFrame, 0, 0, -1, -1);
    }

    // --- finding

    /** Finds the leaf for a key by a hint or from the root: OK, NOT_RESIDENT or -EIO. */
    private int locate(long k0, long k1) {
        int frame = lastLeaf;
        if (!cache.covers(frame, k0, k1)) {
            frame = cache.hint(k0, k1);
            if (!cache.covers(frame, k0, k1)) {
                return descend(k0, k1);
            }
            lastLeaf = frame;
            lastSlot = 0;
        }
        cache.touch(frame);
        leaf = frame;
        return BlobStore.OK;
    }

    /** Goes from the root to the leaf for a key and notes the path: OK, NOT_RESIDENT or -EIO. */
    private int descend(long k0, long k1) {
        int frame = rootFrame;
        low0 = 0;
        low1 = 0;
        high0 = -1;
        high1 = -1;
        if (isLost) {
            return -Errno.EIO;
        }
        for (int level = rootLevel; level > 0; level--) {
            long node = cache.address(frame);
            int slot = Node.innerFind(node, k0, k1);
            pathFrame[level] = frame;
            pathSlot[level] = slot;
            if (slot > 0) {
                low0 = Node.innerK0(node, slot);
                low1 = Node.innerK1(node, slot);
            }
            if (slot + 1 < Node.count(node)) {
                high0 = Node.innerK0(node, slot + 1);
                high1 = Node.innerK1(node, slot + 1);
            }
            frame = child(node, slot, level - 1);
            if (frame == NodeCache.NONE) {
                waitFrame = NodeCache.NONE;
                return BlobStore.NOT_RESIDENT;
            }
            byte state = cache.state(frame);
            if (state == NodeCache.READING) {
                waitFrame = frame;
                return BlobStore.NOT_RESIDENT;
            }
            if (state == NodeCache.FAILED) {
                return cache.error(frame);
            }
            if (Node.level(cache.address(frame)) != level - 1) {
                // It was read by another way: two nodes claim it for a child.
                cache.reportMisplaced(frame, level - 1);
                return -Errno.EIO;
            }
            cache.touch(frame);
        }
        pathFrame[0] = frame;
        leaf = frame;
        cache.setFences(frame, low0, low1, high0, high1);
        cache.setHint(k0, k1, frame);
        lastLeaf = frame;
        lastSlot = 0;
        return BlobStore.OK;
    }

    private int child(long node, int slot, int level) {
        long block = Node.childBlock(node, slot);
        int frame = cache.lookup(block);
        if (frame != NodeCache.NONE) {
            return frame;
        }
        return cache.load(
                block, Node.childGeneration(node, slot), Node.childCrc(node, slot), level, low0, low1, high0, high1);
    }

    /** After -EIO: the first key behind the node that could not be read; all ones when there is none. */
    long damageEndK0() {
        return high0;
    }

    long damageEndK1() {
        return high1;
    }

    /** Lower bound within the leaf found; tries where the last search ended first. */
    private int lowerBound(long node, long k0, long k1) {
        int next = lastSlot + 1;
        if (next < Node.count(node) && Node.leafEquals(node, next, k0, k1)) {
            lastSlot = next;
            return next;
        }
        int slot = Node.leafLowerBound(node, k0, k1);
        lastSlot = slot;
        return slot;
    }

    int find(long k0, long k1) {
        int status = locate(k0, k1);
        if (status != BlobStore.OK) {
            return status;
        }
        long node = cache.address(leaf);
        int slot = lowerBound(node, k0, k1);
        if (slot == Node.count(node) || !Node.leafEquals(node, slot, k0, k1)) {
            return BlobStore.NOT_FOUND;
        }
        return found(node, slot);
    }

    private int found(long node, int slot) {
        foundK0 = Node.leafK0(node, slot);
        foundK1 = Node.leafK1(node, slot);
        valueAddress = Node.valueAddress(node, slot);
        valueLength = Node.valueLength(node, slot);
        return BlobStore.OK;
    }

    int ceiling(long k0, long k1) {
        int status = locate(k0, k1);
        if (status != BlobStore.OK) {
            return status;
        }
        long node = cache.address(leaf);
        int slot = ceilingSlot(node, k0, k1);
        if (slot < Node.count(node)) {
            return found(node, slot);
        }
        // The fences of a leaf may be narrower than the truth: the way down tells where the next leaf starts.
        status = descend(k0, k1);
        while (status == BlobStore.OK) {
            node = cache.address(leaf);
            slot = Node.leafLowerBound(node, k0, k1);
            if (slot < Node.count(node)) {
                lastSlot = slot;
                return found(node, slot);
            }
            if ((high0 & high1) == -1L) {
                return BlobStore.NOT_FOUND;
            }
            status = descend(high0, high1);
        }
        return status;
    }

    /** Readers of a directory ask for the key after the one they saw last. */
    private int ceilingSlot(long node, long k0, long k1) {
        int last = lastSlot;
        if (last + 1 < Node.count(node)
                && Node.leafLess(node, last, k0, k1)
                && !Node.leafLess(node, last + 1, k0, k1)) {
            lastSlot = last + 1;
            return last + 1;
        }
        return lowerBound(node, k0, k1);
    }

    int floor(long k0, long k1) {
        int status = locate(k0, k1);
        if (status != BlobStore.OK) {
            return status;
        }
        long node = cache.address(leaf);
        int slot = floorSlot(node, k0, k1);
        if (slot >= 0) {
            return found(node, slot);
        }
        status = descend(k0, k1);
        while (status == BlobStore.OK) {
            node = cache.address(leaf);
            slot = floorSlot(node, k0, k1);
            if (slot >= 0) {
                return found(node, slot);
            }
            if ((low0 | low1) == 0) {
                return BlobStore.NOT_FOUND;
            }
            status = low1 == 0 ? descend(low0 - 1, -1) : descend(low0, low1 - 1);
        }
        return status;
    }

    private int floorSlot(long node, long k0, long k1) {
        int slot = Node.leafLowerBound(node, k0, k1);
        return slot < Node.count(node) && Node.leafEquals(node, slot, k0, k1) ? slot : slot - 1;
    }

    // --- preparing

    void forgetPrepared() {
        preparation++;
        preparedNodes = 0;
        preparedBytes = 0;
        preparedSplits = 0;
    }

    int preparedNodes() {
        return preparedNodes;
    }

    /** Makes the path to a key resident and adds what a change of it may need to {@link #preparedNodes}. */
    int prepare(long k0, long k1, int valueBytes) {
        int status = locate(k0, k1);
        if (status != BlobStore.OK) {
            return status;
        }
        boolean grows = valueBytes != NO_VALUE;
        if (grows) {
            preparedBytes += Node.SLOT_SIZE + Node.round8(valueBytes);
        }
        long node = cache.address(leaf);
        if (Node.generation(node) == epoch && (!grows || Node.leafFree(node) >= preparedBytes)) {
            return BlobStore.OK;
        }
        status = descend(k0, k1);
        if (status == BlobStore.OK) {
            addNeeds(grows && Node.leafFree(cache.address(leaf)) < preparedBytes);
        }
        return status;
    }

    /** The path may have to be copied and, when the leaf may split, so may every node above that is nearly full. */
    private void addNeeds(boolean leafMaySplit) {
        boolean maySplit = leafMaySplit;
        if (maySplit) {
            preparedSplits++;
        }
        for (int level = 0; level <= rootLevel; level++) {
            int frame = level == rootLevel ? rootFrame : pathFrame[level];
            long node = cache.address(frame);
            if (Node.generation(node) != epoch && countedIn[frame] != preparation) {
                countedIn[frame] = preparation;
                preparedNodes++;
            }
            maySplit &= level == 0 || Node.INNER_CAPACITY - Node.count(node) <= preparedSplits;
            if (maySplit) {
                preparedNodes += level == rootLevel ? 2 : 1;
            }
        }
    }

    // --- changing

    private void descendForChange(long k0, long k1) {
        int status = descend(k0, k1);
        if (status != BlobStore.OK) {
            throw new IllegalStateException(
                    "the path to key " + Long.toHexString(k0) + ":" + Long.toHexString(k1) + " is not there ("
                            + (status < 0 ? Errno.name(status) : "not read") + "): prepare() was not called");
        }
        makePathWritable();
    }

    private void makePathWritable() {
        for (int level = rootLevel; level >= 0; level--) {
            int frame = level == rootLevel ? rootFrame : pathFrame[level];
            if (Node.generation(cache.address(frame)) == epoch) {
                pathFrame[level] = frame;
                continue;
            }
            int copy = makeWritable(frame);
            pathFrame[level] = copy;
            if (level == rootLevel) {
                rootFrame = copy;
            } else {
                Node.setChild(cache.address(pathFrame[level + 1]), pathSlot[level + 1], cache.block(copy), epoch, 0);
            }
        }
        leaf = pathFrame[0];
        lastLeaf = leaf;
    }

    /** Moves a node of an older epoch to a new block; its frame goes along unless a checkpoint still has to write it. */
    private int makeWritable(int frame) {
        long oldBlock = cache.block(frame);
        long newBlock = space.allocateNode();
        int result = frame;
        if (cache.state(frame) == NodeCache.CLEAN) {
            cache.moveToDirty(frame, newBlock);
        } else {
            result = cache.take(newBlock, NodeCache.DIRTY);
            Memory.copy(cache.address(frame), cache.address(result), Node.SIZE);
            cache.moveFences(frame, result);
            cache.supersede(frame);
        }
        space.freeNode(oldBlock, true);
        Node.stamp(cache.address(result), newBlock, epoch);
        return result;
    }

    int newNode(int level) {
        long block = space.allocateNode();
        int frame = cache.take(block, NodeCache.DIRTY);
        nodes.initialise(cache.address(frame), level, block, epoch);
        nodeCount++;
        return frame;
    }

    /** The node is no longer part of the tree. */
    private void discard(int frame) {
        boolean thisEpoch = Node.generation(cache.address(frame)) == epoch;
        space.freeNode(cache.block(frame), !thisEpoch);
        byte state = cache.state(frame);
        if (state == NodeCache.FROZEN || state == NodeCache.WRITING) {
            cache.supersede(frame);
        } else {
            cache.drop(frame);
        }
        nodeCount--;
    }

    void put(long k0, long k1, long address, int length) {
        try {
            doPut(k0, k1, address, length);
        } catch (RuntimeException e) {
            lose();
            throw e;
        }
    }

    /** After what should be impossible: there is nothing to be found any more, but errors. */
    private void lose() {
        isLost = true;
        cache.clearAllFences();
    }

    private void doPut(long k0, long k1, long address, int length) {
        if (locate(k0, k1) == BlobStore.OK && Node.generation(cache.address(leaf)) == epoch) {
            if (putInLeaf(k0, k1, address, length)) {
                return;
            }
        }
        descendForChange(k0, k1);
        if (!putInLeaf(k0, k1, address, length)) {
            splitLeaf(k0, k1, address, length);
        }
    }

    /** Where {@link #put} left the value, so that the caller can fill it in. */
    long putPlaceholder(long k0, long k1, long address, int length) {
        put(k0, k1, address, length);
        find(k0, k1);
        return valueAddress;
    }

    private boolean putInLeaf(long k0, long k1, long address, int length) {
        long node = cache.address(leaf);
        int slot = lowerBound(node, k0, k1);
        if (slot < Node.count(node) && Node.leafEquals(node, slot, k0, k1)) {
            return nodes.leafReplace(node, slot, address, length);
        }
        if (Node.leafFree(node) < Node.SLOT_SIZE + Node.round8(length)) {
            return false;
        }
        nodes.leafInsert(node, slot, k0, k1, address, length);
        return true;
    }

    private void splitLeaf(long k0, long k1, long address, int length) {
        int left = leaf;
        long node = cache.address(left);
        int slot = Node.leafLowerBound(node, k0, k1);
        if (slot < Node.count(node) && Node.leafEquals(node, slot, k0, k1)) {
            Node.leafRemove(node, slot);
        }
        int count = Node.count(node);
        int right = newNode(0);
        long rightNode = cache.address(right);
        // Keys that come in order fill their leaves.
        int keep = slot == count ? count : splitPoint(node, slot, Node.SLOT_SIZE + Node.round8(length));
        nodes.leafAppend(rightNode, node, keep, count);
        Node.leafTruncate(node, keep);
        boolean goesLeft = slot <= keep
                && keep < count
                && Node.leafFree(node) >= Node.SLOT_SIZE + Node.round8(length)
                && (slot < keep || Node.leafFree(node) >= Node.leafFree(rightNode));
        if (goesLeft) {
            nodes.leafInsert(node, slot, k0, k1, address, length);
        } else {
            nodes.leafInsert(rightNode, slot - keep, k0, k1, address, length);
        }
        long s0 = Node.leafK0(rightNode, 0);
        long s1 = Node.leafK1(rightNode, 0);
        cache.setFences(right, s0, s1, high0, high1);
        cache.setHighFence(left, s0, s1);
        lastSlot = 0;
        insertChild(1, s0, s1, cache.block(right));
    }

    /** How many slots stay on the left so that both halves, the new item included, take about as many bytes. */
    private static int splitPoint(long node, int newSlot, int newBytes) {
        int half = (Node.leafUsed(node) + newBytes) / 2;
        int bytes = 0;
        int count = Node.count(node);
        for (int i = 0; i < count; i++) {
            if (i == newSlot) {
                bytes += newBytes;
                if (bytes > half) {
                    // The new item tips the scales: it goes to the side where it fits.
                    return i == 0 ? 0 : i;
                }
            }
            bytes += Node.SLOT_SIZE + Node.round8(Node.valueLength(node, i));
            if (bytes >= half) {
                return i + 1;
            }
        }
        return count;
    }

    /** Adds a child to the path's node at {@code level}, behind the slot that the path goes through. */
    private void insertChild(int level, long k0, long k1, long block) {
        if (level > rootLevel) {
            growRoot(k0, k1, block);
            return;
        }
        long node = cache.address(pathFrame[level]);
        int at = pathSlot[level] + 1;
        int count = Node.count(node);
        if (count < Node.INNER_CAPACITY) {
            Node.innerInsert(node, at, k0, k1, block, epoch, 0);
            return;
        }
        int right = newNode(level);
        long rightNode = cache.address(right);
        int keep = at == count ? count : count / 2;
        Node.innerAppend(rightNode, node, keep, count);
        Node.innerTruncate(node, keep);
        if (at <= keep && keep < count) {
            Node.innerInsert(node, at, k0, k1, block, epoch, 0);
        } else {
            Node.innerInsert(rightNode, at - keep, k0, k1, block, epoch, 0);
        }
        insertChild(level + 1, Node.innerK0(rightNode, 0), Node.innerK1(rightNode, 0), cache.block(right));
    }

    private void growRoot(long k0, long k1, long block) {
        long oldRootBlock = cache.block(rootFrame);
        int frame = newNode(rootLevel + 1);
        long node = cache.address(frame);
        Node.innerInsert(node, 0, 0, 0, oldRootBlock, epoch, 0);
        Node.innerInsert(node, 1, k0, k1, block, epoch, 0);
        rootFrame = frame;
        rootLevel++;
    }

    void delete(long k0, long k1) {
        try {
            doDelete(k0, k1);
        } catch (RuntimeException e) {
            lose();
            throw e;
        }
    }

    private void doDelete(long k0, long k1) {
        if (locate(k0, k1) == BlobStore.OK) {
            long node = cache.address(leaf);
            int slot = lowerBound(node, k0, k1);
            if (slot == Node.count(node) || !Node.leafEquals(node, slot, k0, k1)) {
                return;
            }
            int left = Node.leafUsed(node) - Node.SLOT_SIZE - Node.round8(Node.valueLength(node, slot));
            if (Node.generation(node) == epoch && left >= LEAF_MERGE_BYTES) {
                Node.leafRemove(node, slot);
                return;
            }
        }
        descendForChange(k0, k1);
        long node = cache.address(leaf);
        int slot = Node.leafLowerBound(node, k0, k1);
        if (slot == Node.count(node) || !Node.leafEquals(node, slot, k0, k1)) {
            return;
        }
        Node.leafRemove(node, slot);
        if (rootLevel > 0) {
            if (Node.count(node) == 0) {
                removeChild(1);
            } else if (Node.leafUsed(node) < LEAF_MERGE_BYTES) {
                mergeChild(1);
            }
        }
    }

    /** Takes the child that the path goes through, which is empty, out of the path's node at {@code level}. */
    private void removeChild(int level) {
        discard(pathFrame[level - 1]);
        int frame = pathFrame[level];
        long node = cache.address(frame);
        Node.innerRemove(node, pathSlot[level]);
        afterRemoval(level);
    }

    private void afterRemoval(int level) {
        long node = cache.address(pathFrame[level]);
        int count = Node.count(node);
        if (level < rootLevel) {
            if (count == 0) {
                removeChild(level + 1);
            } else if (count < INNER_MERGE_COUNT) {
                mergeChild(level + 1);
            }
        } else if (count == 0) {
            Node.becomeEmptyLeaf(node);
            rootLevel = 0;
            cache.setFences(rootFrame, 0, 0, -1, -1);
        } else {
            shrinkRoot();
        }
    }

    /** A root with one child is not needed, if the child is there to take its place. */
    private void shrinkRoot() {
        while (rootLevel > 0) {
            long node = cache.address(rootFrame);
            int only = Node.count(node) == 1 ? cache.lookup(Node.childBlock(node, 0)) : NodeCache.NONE;
            if (only == NodeCache.NONE
                    || cache.state(only) == NodeCache.READING
                    || cache.state(only) == NodeCache.FAILED
                    || Node.level(cache.address(only)) != rootLevel - 1) {
                return;
            }
            rootGeneration = Node.childGeneration(node, 0);
            rootCrc = Node.childCrc(node, 0);
            discard(rootFrame);
            rootFrame = only;
            rootLevel--;
        }
    }

    /** Merges the child that the path goes through with a neighbour, if that is there and both fit well into one node. */
    private void mergeChild(int level) {
        if (cache.freeFrames() < preparedNodes + MERGE_MARGIN
                || space.chunksFor(SpaceMap.WHOLE_RESERVE) < preparedNodes + MERGE_MARGIN) {
            return;
        }
        long parent = cache.address(pathFrame[level]);
        int slot = pathSlot[level];
        if (slot + 1 < Node.count(parent) && mergeable(parent, slot, slot + 1)) {
            merge(level, parent, slot);
        } else if (slot > 0 && mergeable(parent, slot - 1, slot)) {
            merge(level, parent, slot - 1);
        }
    }

    private boolean mergeable(long parent, int leftSlot, int rightSlot) {
        int left = residentChild(parent, leftSlot);
        int right = residentChild(parent, rightSlot);
        if (left == NodeCache.NONE || right == NodeCache.NONE || left == right) {
            return false;
        }
        long leftNode = cache.address(left);
        long rightNode = cache.address(right);
        if (Node.level(leftNode) != Node.level(rightNode)) {
            return false;
        }
        return Node.level(leftNode) == 0
                ? Node.leafUsed(leftNode) + Node.leafUsed(rightNode) <= LEAF_MERGED_BYTES
                : Node.count(leftNode) + Node.count(rightNode) <= INNER_MERGED_COUNT;
    }

    private int residentChild(long parent, int slot) {
        int frame = cache.lookup(Node.childBlock(parent, slot));
        if (frame == NodeCache.NONE
                || cache.state(frame) == NodeCache.READING
                || cache.state(frame) == NodeCache.FAILED) {
            return NodeCache.NONE;
        }
        return frame;
    }

    private void merge(int level, long parent, int leftSlot) {
        int left = residentChild(parent, leftSlot);
        int right = residentChild(parent, leftSlot + 1);
        if (Node.generation(cache.address(left)) != epoch) {
            left = makeWritable(left);
            Node.setChild(parent, leftSlot, cache.block(left), epoch, 0);
        }
        long leftNode = cache.address(left);
        long rightNode = cache.address(right);
        int count = Node.count(rightNode);
        if (Node.level(leftNode) == 0) {
            nodes.leafAppend(leftNode, rightNode, 0, count);
        } else {
            int joint = Node.count(leftNode);
            Node.innerAppend(leftNode, rightNode, 0, count);
            // The first key of the right node may be greater than what its first child has come to hold.
            Node.setInnerKey(leftNode, joint, Node.innerK0(parent, leftSlot + 1), Node.innerK1(parent, leftSlot + 1));
        }
        discard(right);
        Node.innerRemove(parent, leftSlot + 1);
        pathFrame[level - 1] = left;
        pathSlot[level] = leftSlot;
        lastSlot = 0;
        afterRemoval(level);
    }

    // --- for checkpoints

    /**
     * The checksum of a node that a checkpoint has sealed, for its parent, which has meanwhile been copied or merged in the
     * running epoch. The way to it is dirty and so it is in memory.
     *
     * @return false when the keys of the node do not lead to it
     */
    boolean setCrcInParent(int child, int crc) {
        if (child == rootFrame) {
            return true;
        }
        long node = cache.address(child);
        int childLevel = Node.level(node);
        long k0 = childLevel == 0 ? Node.leafK0(node, 0) : Node.innerK0(node, 0);
        long k1 = childLevel == 0 ? Node.leafK1(node, 0) : Node.innerK1(node, 0);
        int frame = rootFrame;
        for (int level = rootLevel; level > childLevel; level--) {
            long at = cache.address(frame);
            int slot = Node.innerFind(at, k0, k1);
            if (level == childLevel + 1) {
                if (Node.childBlock(at, slot) != cache.block(child)) {
                    return false;
                }
                Node.setChild(at, slot, cache.block(child), Node.generation(node), crc);
                return true;
            }
            frame = cache.lookup(Node.childBlock(at, slot));
            if (frame == NodeCache.NONE || Node.level(cache.address(frame)) != level - 1) {
                return false;
            }
        }
        return false;
    }
}

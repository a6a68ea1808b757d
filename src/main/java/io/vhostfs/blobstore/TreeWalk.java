package io.vhostfs.blobstore;

import io.vhostfs.memory.Memory;

/**
 * Goes through all nodes of an open store's tree that can be read, in the order of keys.
 *
 * <p>Invariant: a node is visited by way of its parent's range of keys; what the visitor declines is not gone into. Reads
 * through the node cache, in blocking style, and keeps one copy per level. Control threads.
 */
final class TreeWalk {
    /** Turns without a free frame before the walk is given up: all of them are dirty. */
    private static final int MAX_TURNS = 100_000;

    /** Is shown every node. */
    interface Visitor {
        /** Whether to go on below this node, whose content is valid during the call. */
        boolean node(long block, long node, int level);
    }

    private final long[] copies = new long[Node.MAX_LEVEL + 1];

    /** The keys that a node may hold. */
    private record Range(long low0, long low1, long high0, long high1) {}

    TreeWalk(StoreMemory memory) {
        for (int level = 0; level <= Node.MAX_LEVEL; level++) {
            copies[level] = memory.allocate(Node.SIZE);
        }
    }

    static long memoryBytes() {
        return Node.SIZE * (Node.MAX_LEVEL + 1L);
    }

    void run(BlobStore store, Visitor visitor) {
        Tree tree = store.tree();
        walk(store, visitor, tree.rootFrame, tree.rootLevel, new Range(0, 0, -1, -1));
    }

    private void walk(BlobStore store, Visitor visitor, int frame, int level, Range range) {
        NodeCache cache = store.cache();
        // A copy, for the frame may be evicted while the children are read.
        long node = copies[level];
        Memory.copy(cache.address(frame), node, Node.SIZE);
        if (!visitor.node(cache.block(frame), node, level) || level == 0) {
            return;
        }
        int count = Node.count(node);
        for (int i = 0; i < count; i++) {
            boolean last = i + 1 == count;
            Range childRange = new Range(
                    i == 0 ? range.low0 : Node.innerK0(node, i),
                    i == 0 ? range.low1 : Node.innerK1(node, i),
                    last ? range.high0 : Node.innerK0(node, i + 1),
                    last ? range.high1 : Node.innerK1(node, i + 1));
            int child = childFrame(store, node, i, level - 1, childRange);
            if (child != NodeCache.NONE) {
                walk(store, visitor, child, level - 1, childRange);
            }
        }
    }

    /** The frame of a child, read when need be; NONE when it is damaged, which the cache has reported. */
    private static int childFrame(BlobStore store, long node, int index, int level, Range range) {
        NodeCache cache = store.cache();
        long block = Node.childBlock(node, index);
        int[] frame = {cache.lookup(block)};
        for (int turns = 0; frame[0] == NodeCache.NONE; turns++) {
            frame[0] = cache.load(
                    block,
                    Node.childGeneration(node, index),
                    Node.childCrc(node, index),
                    level,
                    range.low0,
                    range.low1,
                    range.high0,
                    range.high1);
            if (frame[0] == NodeCache.NONE) {
                if (turns == MAX_TURNS) {
                    throw new StoreException(
                            StoreException.Kind.UNUSABLE, "the metadata cache is too small for what is to be changed");
                }
                cache.replenishFully(NodeCache.MIN_FRAMES / 2);
                turn(store);
            }
        }
        store.driveUntil(() -> cache.state(frame[0]) != NodeCache.READING);
        return cache.state(frame[0]) == NodeCache.FAILED ? NodeCache.NONE : frame[0];
    }

    private static void turn(BlobStore store) {
        int[] left = {1};
        store.driveUntil(() -> left[0]-- <= 0);
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.memory.Memory;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Finds the leaves of a damaged tree: those that its root still leads to, and for the ranges of keys that it does not lead
 * to any more, those that the device still holds.
 *
 * <p>Invariant: what it gives are valid nodes of this store in the order of their keys, and no key comes from two of them.
 * A leaf found on the device is used only where an inner node, or the root, was lost: where a leaf itself is damaged, what
 * else is there for its keys is older and may be wrong. Where the map of free space is known for sure, a node in blocks that
 * it calls free is older, too. Reads only. Control threads.
 */
final class TreeSalvage {
    /** Blocks read at once while the device is searched: 1 MiB. */
    private static final int SCAN_BLOCKS = 256;

    /** A whole leaf, and the least key that it is to hold. */
    record Leaf(long block, long generation, int crc, Key low) {}

    /** The keys of a leaf in {@code [low, high)} only: something newer holds the others. */
    record Piece(long block, Key low, Key high) {}

    /** Keys in {@code [low, high)} that cannot be read. */
    record Hole(Key low, Key high, boolean isLeaf) {}

    /** A leaf found on the device. */
    private record Candidate(long block, long generation, int crc, Key first, Key last) {}

    /** Hears of every item in a leaf that the root leads to. */
    interface ItemVisitor {
        void item(long k0, long k1, long valueAddress, int valueLength);
    }

    /** A key; the greatest one, all ones, stands for no bound. */
    record Key(long k0, long k1) implements Comparable<Key> {
        static final Key LEAST = new Key(0, 0);
        static final Key END = new Key(-1, -1);

        @Override
        public int compareTo(Key other) {
            return Node.compare(k0, k1, other.k0, other.k1);
        }

        /** The key that comes next. */
        Key next() {
            return k1 == -1 ? new Key(k0 + 1, 0) : new Key(k0, k1 + 1);
        }
    }

    private final BlockingIo io;
    private final Superblock superblock;
    private final long totalBlocks;
    private final Node nodes;
    private final StoreReporter reporter;
    /** Blocks of nodes that are kept, and of what their items refer to. */
    private final BlockSet kept;

    private final ItemVisitor visitor;
    private final long[] levelBuffers = new long[Node.MAX_LEVEL + 1];
    private final long scanBuffer;

    private final List<Leaf> leaves = new ArrayList<>();
    private final List<Piece> pieces = new ArrayList<>();
    private final List<Hole> holes = new ArrayList<>();
    private final List<Candidate> candidates = new ArrayList<>();

    /** A bit per aligned group of 4 blocks: the root leads to a node there. */
    private final long[] reached;

    private final int groups;

    /** Bitmaps of free space by group, as the leaves hold them. */
    private final Map<Integer, long[]> bitmaps = new HashMap<>();

    private long maxGeneration;
    private final List<Hole> guesses = new ArrayList<>();

    /** Blocks of inner nodes that were found on the device. */
    private final BlockSet innerNodes;

    TreeSalvage(
            BlockingIo io,
            Superblock superblock,
            long totalBlocks,
            StoreMemory memory,
            StoreReporter reporter,
            BlockSet kept,
            ItemVisitor visitor) {
        this.io = io;
        this.superblock = superblock;
        this.totalBlocks = totalBlocks;
        this.reporter = reporter;
        this.kept = kept;
        this.visitor = visitor;
        nodes = new Node(superblock.uuid().getMostSignificantBits(), memory.allocate(Node.SIZE));
        for (int level = 0; level < levelBuffers.length; level++) {
            levelBuffers[level] = memory.allocate(Node.SIZE);
        }
        scanBuffer = memory.allocate(SCAN_BLOCKS * BlobStore.BLOCK_SIZE);
        innerNodes = new BlockSet(totalBlocks);
        kept.add(0, superblock.firstDataBlock());
        reached = new long[(int) ((totalBlocks / Node.BLOCKS + 63) >>> 6)];
        groups = (int) ((totalBlocks + SpaceMap.GROUP_BLOCKS - 1) >>> SpaceMap.GROUP_SHIFT);
    }

    static long memoryBytes() {
        return (Node.MAX_LEVEL + 2L) * Node.SIZE + SCAN_BLOCKS * BlobStore.BLOCK_SIZE;
    }

    List<Leaf> leaves() {
        return leaves;
    }

    List<Piece> pieces() {
        return pieces;
    }

    /** What is lost for good. */
    List<Hole> holes() {
        return holes;
    }

    /** The greatest generation of a valid node that was met. */
    long maxGeneration() {
        return maxGeneration;
    }

    /** Ranges of keys of which only the nodes' age says which version of an item is the right one. */
    List<Hole> guesses() {
        return guesses;
    }

    // --- from the root

    /** Goes through the tree below a root; true when all of it can be read. */
    boolean walk(RootSlot slot) {
        maxGeneration = Math.max(maxGeneration, slot.epoch);
        visit(slot.rootBlock, slot.rootGeneration, slot.rootCrc, slot.rootLevel, Key.LEAST, Key.END);
        return holes.isEmpty();
    }

    /** Without a root, everything is to be found on the device. */
    void loseAll() {
        holes.add(new Hole(Key.LEAST, Key.END, false));
    }

    private void visit(long block, long generation, int crc, int level, Key low, Key high) {
        long node = levelBuffers[level];
        String error = read(block, node);
        if (error == null
                && (Node.crc(node) != crc || Node.generation(node) != generation || Node.level(node) != level)) {
            error = "is not the version that its parent expects";
        }
        if (error == null && !Node.keysWithin(node, low.k0, low.k1, high.k0, high.k1)) {
            error = "holds keys outside the range that its parent gives it";
        }
        if (error != null) {
            reporter.problem("the tree node at block " + block + " " + error);
            holes.add(new Hole(low, high, level == 0));
            return;
        }
        reached[chunkWord(block)] |= 1L << (block / Node.BLOCKS);
        kept.add(block, Node.BLOCKS);
        if (level == 0) {
            leaves.add(new Leaf(block, generation, crc, low));
            visitItems(node);
            return;
        }
        int count = Node.count(node);
        for (int i = 0; i < count; i++) {
            Key from = i == 0 ? low : new Key(Node.innerK0(node, i), Node.innerK1(node, i));
            Key to = i + 1 == count ? high : new Key(Node.innerK0(node, i + 1), Node.innerK1(node, i + 1));
            visit(Node.childBlock(node, i), Node.childGeneration(node, i), Node.childCrc(node, i), level - 1, from, to);
        }
    }

    private static int chunkWord(long block) {
        return (int) ((block / Node.BLOCKS) >>> 6);
    }

    private boolean isReached(long block) {
        return (reached[chunkWord(block)] & (1L << (block / Node.BLOCKS))) != 0;
    }

    /** Reads a node; what is wrong with it by itself, or null. */
    private @Nullable String read(long block, long to) {
        if (block < superblock.firstDataBlock() || block % Node.BLOCKS != 0 || block > totalBlocks - Node.BLOCKS) {
            return "lies outside the place for nodes";
        }
        if (isReached(block)) {
            return "belongs to another part of the tree";
        }
        try {
            io.read(block * BlobStore.BLOCK_SIZE, to, Node.SIZE);
        } catch (BlockDeviceException e) {
            return "cannot be read: " + e.getMessage();
        }
        return nodes.structureError(to, block);
    }

    private void visitItems(long node) {
        for (int i = 0; i < Node.count(node); i++) {
            long k0 = Node.leafK0(node, i);
            long k1 = Node.leafK1(node, i);
            if (k0 == 0 && k1 >= 0) {
                takeBitmap(node, i);
            } else {
                visitor.item(k0, k1, Node.valueAddress(node, i), Node.valueLength(node, i));
            }
        }
    }

    private void takeBitmap(long node, int slot) {
        long k1 = Node.leafK1(node, slot);
        int group = BlobStore.groupOfSpaceKey(k1);
        boolean valid = BlobStore.isSpaceKey(0, k1)
                && group >= 0
                && group < groups
                && k1 == BlobStore.spaceKey(group)
                && Node.valueLength(node, slot) == SpaceMap.BITMAP_BYTES;
        if (valid && !bitmaps.containsKey(group)) {
            long[] bits = new long[SpaceMap.GROUP_WORDS];
            for (int i = 0; i < bits.length; i++) {
                bits[i] = Memory.getLong(Node.valueAddress(node, slot) + 8L * i);
            }
            bitmaps.put(group, bits);
        }
    }

    // --- from the device

    /**
     * Fills the holes that inner nodes left with leaves that the device holds.
     *
     * @param slot the root that {@link #walk} went down from; null when there is none
     */
    void search(@Nullable RootSlot slot) {
        scan();
        if (slot != null) {
            candidates.removeIf(c -> c.generation > slot.epoch);
        }
        candidates.sort(
                Comparator.comparingLong(Candidate::generation).reversed().thenComparingLong(Candidate::block));
        boolean sure = findBitmaps(slot);
        TreeMap<Key, Key> claimed = new TreeMap<>();
        for (Hole hole : holes) {
            if (hole.isLeaf) {
                claimed.put(hole.low, hole.high);
            }
        }
        List<Hole> open = holes.stream().filter(h -> !h.isLeaf).toList();
        for (Candidate candidate : candidates) {
            // A file's blocks may still hold a node of before: the file's item is newer than that, and was met before
            // it.
            boolean isFiles = kept.intersects(candidate.block, Node.BLOCKS);
            if (!isFiles && (!sure || isUsed(candidate.block))) {
                boolean taken = false;
                for (Hole hole : open) {
                    taken |= claim(candidate, hole, claimed);
                }
                if (taken) {
                    readPiece(new Piece(candidate.block, Key.LEAST, Key.END), visitor);
                    kept.add(candidate.block, Node.BLOCKS);
                }
            }
        }
        holes.removeAll(open);
        if (!sure) {
            guesses.addAll(open);
        }
        // One node that cannot be read stands for each hole; without a root there is none that is known of.
        boolean isAll = sure && blocksMissing() == (slot == null ? 0 : (long) open.size() * Node.BLOCKS);
        for (Hole hole : isAll ? List.<Hole>of() : open) {
            addRemains(hole, claimed);
        }
        leaves.sort(Comparator.comparing(Leaf::low));
    }

    private void scan() {
        long end = totalBlocks & -Node.BLOCKS;
        for (long at = superblock.firstDataBlock(); at < end; at += SCAN_BLOCKS) {
            int blocks = (int) Math.min(SCAN_BLOCKS, end - at);
            reporter.progress(at, end);
            try {
                io.read(at * BlobStore.BLOCK_SIZE, scanBuffer, (long) blocks * BlobStore.BLOCK_SIZE);
            } catch (BlockDeviceException e) {
                // Somewhere in it; what else is there shall not be lost with it.
                for (int i = 0; i < blocks; i += Node.BLOCKS) {
                    if (read(at + i, scanBuffer) == null) {
                        consider(at + i, scanBuffer);
                    }
                }
                continue;
            }
            for (int i = 0; i < blocks; i += Node.BLOCKS) {
                consider(at + i, scanBuffer + (long) i * BlobStore.BLOCK_SIZE);
            }
        }
    }

    private void consider(long block, long node) {
        if (Memory.getInt(node) != Node.MAGIC || isReached(block) || nodes.structureError(node, block) != null) {
            return;
        }
        maxGeneration = Math.max(maxGeneration, Node.generation(node));
        if (Node.level(node) > 0) {
            innerNodes.add(block, Node.BLOCKS);
        }
        int count = Node.count(node);
        if (Node.level(node) == 0 && count > 0) {
            candidates.add(new Candidate(
                    block,
                    Node.generation(node),
                    Node.crc(node),
                    new Key(Node.leafK0(node, 0), Node.leafK1(node, 0)),
                    new Key(Node.leafK0(node, count - 1), Node.leafK1(node, count - 1))));
        }
    }

    /**
     * Takes the bitmaps that the holes swallowed from the newest leaves that hold them. Whether they are those of the last
     * checkpoint is proved by the root slot's count of used blocks, and without a slot by their generation: every
     * checkpoint writes the bitmaps that it changes.
     *
     * @return whether they are
     */
    private boolean findBitmaps(@Nullable RootSlot slot) {
        long newest = -1;
        for (Candidate candidate : candidates) {
            boolean holdsBitmaps = candidate.first.k0 == 0 && candidate.first.k1 >= 0;
            if (holdsBitmaps && read(candidate.block, scanBuffer) == null) {
                newest = Math.max(newest, candidate.generation);
                for (int i = 0; i < Node.count(scanBuffer); i++) {
                    if (Node.leafK0(scanBuffer, i) == 0 && Node.leafK1(scanBuffer, i) >= 0) {
                        takeBitmap(scanBuffer, i);
                    }
                }
            }
        }
        if (slot == null) {
            return newest == maxGeneration;
        }
        long used = 0;
        for (long[] bits : bitmaps.values()) {
            for (long word : bits) {
                used += Long.bitCount(word);
            }
        }
        return used == slot.usedBlocks;
    }

    /** Blocks that the bitmaps call used and that nothing found accounts for. */
    private long blocksMissing() {
        long missing = 0;
        for (Map.Entry<Integer, long[]> bitmap : bitmaps.entrySet()) {
            for (int i = 0; i < SpaceMap.GROUP_WORDS; i++) {
                int word = bitmap.getKey() * SpaceMap.GROUP_WORDS + i;
                missing += Long.bitCount(bitmap.getValue()[i] & ~kept.word(word) & ~innerNodes.word(word));
            }
        }
        return missing;
    }

    private boolean isUsed(long block) {
        long[] bits = bitmaps.get((int) (block >>> SpaceMap.GROUP_SHIFT));
        int bit = (int) (block & (SpaceMap.GROUP_BLOCKS - 1));
        return bits != null && ((bits[bit >>> 6] >>> bit) & 0xf) == 0xf;
    }

    /** Gives the candidate those of its keys in the hole that nothing newer has taken. */
    private boolean claim(Candidate candidate, Hole hole, NavigableMap<Key, Key> claimed) {
        Key low = max(candidate.first, hole.low);
        Key high = min(candidate.last.next(), hole.high);
        List<Key[]> free = new ArrayList<>();
        Key at = low;
        while (at.compareTo(high) < 0) {
            Map.Entry<Key, Key> before = claimed.floorEntry(at);
            if (before != null && before.getValue().compareTo(at) > 0) {
                at = before.getValue();
                continue;
            }
            Key next = claimed.higherKey(at);
            Key to = next == null ? high : min(next, high);
            free.add(new Key[] {at, to});
            at = to;
        }
        for (Key[] range : free) {
            claimed.put(range[0], range[1]);
            boolean whole = range[0].equals(candidate.first) && range[1].equals(candidate.last.next());
            if (whole) {
                leaves.add(new Leaf(candidate.block, candidate.generation, candidate.crc, candidate.first));
            } else {
                pieces.add(new Piece(candidate.block, range[0], range[1]));
            }
        }
        return !free.isEmpty();
    }

    /** What of a hole nothing was found for: between two leaves there may have been another one, or nothing. */
    private void addRemains(Hole hole, NavigableMap<Key, Key> claimed) {
        Key at = hole.low;
        while (at.compareTo(hole.high) < 0) {
            Map.Entry<Key, Key> before = claimed.floorEntry(at);
            if (before != null && before.getValue().compareTo(at) > 0) {
                at = before.getValue();
                continue;
            }
            Key next = claimed.higherKey(at);
            Key to = next == null ? hole.high : min(next, hole.high);
            holes.add(new Hole(at, to, false));
            at = to;
        }
    }

    private static Key max(Key a, Key b) {
        return a.compareTo(b) >= 0 ? a : b;
    }

    private static Key min(Key a, Key b) {
        return a.compareTo(b) <= 0 ? a : b;
    }

    /** Reads the leaf of a piece again and hands out the items that belong to it. */
    void readPiece(Piece piece, ItemVisitor to) {
        if (read(piece.block, scanBuffer) != null) {
            return;
        }
        for (int i = 0; i < Node.count(scanBuffer); i++) {
            Key key = new Key(Node.leafK0(scanBuffer, i), Node.leafK1(scanBuffer, i));
            if (key.compareTo(piece.low) >= 0 && key.compareTo(piece.high) < 0) {
                to.item(key.k0, key.k1, Node.valueAddress(scanBuffer, i), Node.valueLength(scanBuffer, i));
            }
        }
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.memory.Crc32c;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A read-only check of a store: superblocks, root slots, log, every node of the tree, and the map of free space against
 * what is referred to.
 *
 * <p>Invariant: nothing is written; every structure whose checksum or place is wrong is reported, and every block is
 * either free, or used by exactly one thing, or reported. Control threads.
 */
final class StoreChecker {
    /** More of a kind say nothing new. */
    private static final int MAX_REPORTS = 200;

    private static final int MAX_LOG_MULTIPLE = 4;
    private static final int PROGRESS_NODES = 1024;

    private final BlockDevice device;
    private final StoreReporter reporter;
    private final @Nullable StoreVisitor visitor;
    private final StoreMemory memory = new StoreMemory(TreeWalk.memoryBytes() + 4 * BlobStore.BLOCK_SIZE);
    private final Crc32c crc32c = new Crc32c();
    private long problems;

    /** A damaged node is met by every walk, and is one problem. */
    private final Set<String> told = new HashSet<>();

    /** Blocks that something was found to use. */
    private long[] referred = new long[0];

    private long totalBlocks;
    private long nodes;
    private long referredBlocks;

    private StoreChecker(BlockDevice device, StoreReporter reporter, @Nullable StoreVisitor visitor) {
        this.device = device;
        this.reporter = reporter;
        this.visitor = visitor;
    }

    /** Returns the number of problems found. */
    static long check(BlockDevice device, StoreReporter reporter, @Nullable StoreVisitor visitor) {
        StoreChecker checker = new StoreChecker(device, reporter, visitor);
        try {
            checker.run();
        } catch (BlockDeviceException e) {
            checker.problem(String.valueOf(e.getMessage()));
        } finally {
            checker.memory.close();
        }
        return checker.problems;
    }

    void problem(String text) {
        if (problems < MAX_REPORTS && !told.add(text)) {
            return;
        }
        problems++;
        if (problems <= MAX_REPORTS) {
            reporter.problem(text);
        } else if (problems == MAX_REPORTS + 1) {
            reporter.problem("more problems are counted but not shown");
        }
    }

    private void run() {
        Superblock superblock;
        try (BlockingIo io = new BlockingIo(device)) {
            superblock = checkSuperblocks(io);
            if (superblock == null) {
                return;
            }
            checkSlots(io, superblock);
        }
        long cacheBytes = Math.clamp(
                superblock.logBlocks() * BlobStore.BLOCK_SIZE * MAX_LOG_MULTIPLE,
                StoreOptions.DEFAULT.metaCacheBytes(),
                StoreOptions.MAX_META_CACHE_BYTES);
        StoreOptions options =
                StoreOptions.DEFAULT.withMetaCacheBytes(cacheBytes).withReadOnly();
        BlobStore store = open(options, true);
        if (store == null) {
            // What the log would change cannot be told, but the checkpoint below it can be looked at.
            store = open(options, false);
        }
        if (store != null) {
            try {
                if (!store.tornRecordText().isEmpty()) {
                    reporter.remark(store.tornRecordText());
                }
                checkTree(store);
            } finally {
                store.abandon();
            }
        }
    }

    private @Nullable BlobStore open(StoreOptions options, boolean withLog) {
        try {
            return Recovery.open(device, options, withLog, this::problem);
        } catch (StoreException e) {
            problem(String.valueOf(e.getMessage()));
            return null;
        }
    }

    // --- superblocks and slots

    private @Nullable Superblock checkSuperblocks(BlockingIo io) {
        long deviceBlocks = device.capacityBytes() / BlobStore.BLOCK_SIZE;
        Superblock result = null;
        long block = memory.allocate(BlobStore.BLOCK_SIZE);
        for (long number : new long[] {Superblock.COPY_BLOCK, Superblock.PRIMARY_BLOCK}) {
            io.read(number * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
            String error = Superblock.error(block, number, deviceBlocks, crc32c);
            if (error != null) {
                problem("superblock " + number + " " + error);
                continue;
            }
            Superblock found = Superblock.decode(block);
            if (result != null && !found.equals(result)) {
                problem("the superblocks in blocks " + Superblock.PRIMARY_BLOCK + " and " + Superblock.COPY_BLOCK
                        + " contradict each other");
            }
            result = found;
        }
        return result;
    }

    private void checkSlots(BlockingIo io, Superblock superblock) {
        RootSlots slots = new RootSlots(io, superblock, memory.allocate(BlobStore.BLOCK_SIZE));
        int torn = slots.tornByCrash();
        for (int i = 0; i < RootSlot.BLOCKS; i++) {
            String error = slots.error(i);
            if (error != null) {
                String text =
                        "root slot " + i % RootSlot.COPY_DISTANCE + " in block " + RootSlots.number(i) + " " + error;
                if (i == torn) {
                    reporter.remark(text + "; a crash does that to one block, and the next mount writes it again");
                } else {
                    problem(text);
                }
            }
        }
    }

    // --- tree and space

    private void checkTree(BlobStore store) {
        totalBlocks = store.totalBlocks();
        referred = new long[(int) ((totalBlocks + 63) >>> 6)];
        nodes = 0;
        useBlocks(0, store.superblock().firstDataBlock(), "the store itself");
        StoreVisitor v = visitor;
        if (v != null) {
            v.checker = this;
            v.begin(store);
        }
        long problemsBefore = problems;
        Tree tree = store.tree();
        new TreeWalk(memory).run(store, (block, node, level) -> node(store, block, node, level));
        boolean complete = problems == problemsBefore;
        if (complete && nodes != tree.nodeCount) {
            problem("the tree has " + nodes + " nodes, its root slot says " + tree.nodeCount);
        }
        if (v != null) {
            v.end();
            checkSpace(store, problems == problemsBefore);
        }
    }

    private boolean node(BlobStore store, long block, long node, int level) {
        if (!useBlocks(block, Node.BLOCKS, "the tree node at block " + block)) {
            // Reached by two ways: once is enough, and a node with many ways to it would take for ever.
            return false;
        }
        nodes++;
        if (nodes % PROGRESS_NODES == 0) {
            reporter.progress(referredBlocks, store.usedBlocks());
        }
        if (level == 0) {
            visitItems(node);
        }
        return true;
    }

    private void visitItems(long node) {
        StoreVisitor v = visitor;
        for (int i = 0; i < Node.count(node); i++) {
            long k0 = Node.leafK0(node, i);
            long k1 = Node.leafK1(node, i);
            boolean own = k0 == 0 && k1 >= 0;
            if (own && !BlobStore.isSpaceKey(k0, k1)) {
                problem("the tree holds an item of unknown type 0x" + Long.toHexString(k1 >>> 56));
            } else if (!own && v != null) {
                v.item(k0, k1, Node.valueAddress(node, i), Node.valueLength(node, i));
            }
        }
    }

    /** Notes a use; false when it was reported for being outside the store or not the only one. */
    boolean useBlocks(long block, long blocks, String owner) {
        if (block < 0 || blocks <= 0 || block > totalBlocks - blocks) {
            problem(owner + " refers to " + blocks + " blocks at block " + block + ", outside the store");
            return false;
        }
        long doubleFrom = -1;
        for (long b = block; b < block + blocks; b++) {
            boolean taken = (referred[(int) (b >>> 6)] & 1L << b) != 0;
            referred[(int) (b >>> 6)] |= 1L << b;
            referredBlocks += taken ? 0 : 1;
            if (taken && doubleFrom < 0) {
                doubleFrom = b;
            }
        }
        if (doubleFrom >= 0) {
            problem(owner + " uses blocks that something else uses, from block " + doubleFrom + " on");
        }
        return doubleFrom < 0;
    }

    private void checkSpace(BlobStore store, boolean complete) {
        SpaceMap space = store.space();
        long block = 0;
        while (block < totalBlocks) {
            int kind = kind(space, block);
            long end = block + 1;
            while (end < totalBlocks && kind(space, end) == kind) {
                end++;
            }
            String range =
                    end == block + 1 ? "block " + block + " is" : "blocks " + block + " to " + (end - 1) + " are";
            if (kind == 1) {
                problem(range + " referred to, but marked free");
            } else if (kind == 2 && complete) {
                problem(range + " marked used, but nothing refers to them");
            }
            block = end;
        }
    }

    /** 0: as it should be, 1: referred to and free, 2: used and not referred to. */
    private int kind(SpaceMap space, long block) {
        boolean isReferred = (referred[(int) (block >>> 6)] & 1L << block) != 0;
        boolean isUsed = space.isUsed(block);
        if (isReferred == isUsed) {
            return 0;
        }
        return isReferred ? 1 : 2;
    }
}

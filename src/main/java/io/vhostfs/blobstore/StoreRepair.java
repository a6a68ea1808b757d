package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.blobstore.StoreException.Kind;
import io.vhostfs.blobstore.TreeSalvage.Leaf;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * Makes a damaged store whole again with what is left of it.
 *
 * <p>Invariant: nothing that the old root leads to is overwritten before a new root is durable: leaves stay where they are,
 * new nodes go to blocks that nothing readable uses, and the root slot is switched as by any checkpoint. A cut in between
 * leaves the store as it was. Written in place are only a superblock from its copy and root slots whose twin, or the new
 * root, is whole. Control threads.
 *
 * <p>Steps: find a superblock and a root; collect the leaves ({@link TreeSalvage}); build the levels above them, if any node
 * was lost; apply the log ({@link LogSalvage}); let the user put the items in order ({@link StoreMender}); compute what is
 * used from what the tree refers to; checkpoint.
 */
final class StoreRepair {
    /** Children of a new inner node: room is left for more. */
    private static final int FILL = Node.INNER_CAPACITY * 3 / 4;

    /** Metadata cache per byte of log: its records may change one node for each of their entries. */
    private static final int CACHE_LOG_MULTIPLE = 4;

    private final BlockDevice device;
    private final StoreOptions options;
    private final RepairReporter reporter;
    private final StoreMender mender;
    private final BlockingIo io;
    private final StoreMemory memory = new StoreMemory(
            TreeSalvage.memoryBytes() + TreeWalk.memoryBytes() + LogRecord.MAX_BYTES + 4L * BlobStore.BLOCK_SIZE);
    private final Crc32c crc32c = new Crc32c();
    private final long block;
    private final TreeWalk walk;

    /** Blocks that something readable uses: nothing new is put there before the new root is durable. */
    private BlockSet kept = new BlockSet(0);

    private long totalBlocks;
    private long repairs;

    private StoreRepair(
            BlockDevice device, StoreOptions options, RepairReporter reporter, StoreMender mender, BlockingIo io) {
        this.device = device;
        this.options = options;
        this.reporter = reporter;
        this.mender = mender;
        this.io = io;
        block = memory.allocate(BlobStore.BLOCK_SIZE);
        walk = new TreeWalk(memory);
    }

    /** Returns the number of repairs made. */
    static long repair(BlockDevice device, StoreOptions options, RepairReporter reporter, StoreMender mender) {
        try (BlockingIo io = new BlockingIo(device)) {
            StoreRepair repair = new StoreRepair(device, options, reporter, mender, io);
            try {
                repair.run();
                return repair.repairs;
            } finally {
                repair.memory.close();
            }
        } catch (BlockDeviceException e) {
            throw new StoreException(Kind.IO, String.valueOf(e.getMessage()));
        }
    }

    private void repaired(String text) {
        repairs++;
        reporter.repaired(text);
    }

    private void run() {
        Superblock superblock = mendSuperblocks();
        RootSlots slots = new RootSlots(io, superblock, block);
        mendTwins(slots);
        RootSlot root = slots.choose();
        long deviceBlocks = Math.min(device.capacityBytes() / BlobStore.BLOCK_SIZE, Superblock.MAX_BLOCKS);
        if (root != null && root.totalBlocks > deviceBlocks) {
            throw new StoreException(
                    Kind.DAMAGED,
                    device.name() + ": the store covers " + root.totalBlocks + " blocks, but the device has only "
                            + deviceBlocks + "; give the device its size back");
        }
        // Without a root that can be trusted the store comes to cover all of the device: whatever it was, it was not
        // more.
        totalBlocks = root == null ? deviceBlocks : root.totalBlocks;
        kept = new BlockSet(totalBlocks);
        LogSalvage log = new LogSalvage(io, superblock, totalBlocks, memory);
        RootSlot older = root == null ? slots.newest() : null;
        if (older != null) {
            // Older than what was there; but if the log still has all that came after it, nothing is lost.
            log.select(older);
            root = log.gap() == null ? older : null;
        }
        TreeSalvage salvage = new TreeSalvage(io, superblock, totalBlocks, memory, reporter, kept, this::keep);
        boolean whole = root != null && salvage.walk(root);
        if (root == null) {
            reporter.problem("no root slot can be trusted; the tree is sought on the device");
            salvage.loseAll();
        }
        if (!whole) {
            salvage.search(root);
        }
        BlobStore store =
                new BlobStore(device, superblock, totalBlocks, options(superblock, salvage), new Reactor("repair"));
        try {
            store.health().onDamage(reporter::problem);
            store.attach();
            mend(store, slots, root, log, salvage, whole);
        } catch (IllegalStateException e) {
            throw new StoreException(Kind.UNUSABLE, device.name() + ": the repair cannot go on: " + e.getMessage());
        } finally {
            store.abandon();
        }
    }

    /** The nodes that are built above the leaves stay in memory until the checkpoint. */
    private StoreOptions options(Superblock superblock, TreeSalvage salvage) {
        long inner = salvage.leaves().size() / FILL * 4L + salvage.pieces().size();
        long bytes = superblock.logBlocks() * BlobStore.BLOCK_SIZE * CACHE_LOG_MULTIPLE + inner * Node.SIZE;
        return StoreOptions.DEFAULT.withMetaCacheBytes(
                Math.clamp(bytes, options.metaCacheBytes(), StoreOptions.MAX_META_CACHE_BYTES));
    }

    private void keep(long k0, long k1, long valueAddress, int valueLength) {
        mender.blocksOf(k0, k1, valueAddress, valueLength, totalBlocks, kept::add);
    }

    // --- superblocks and slots

    private void readBlock(long number) {
        io.read(number * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
    }

    private Superblock mendSuperblocks() {
        long deviceBlocks = device.capacityBytes() / BlobStore.BLOCK_SIZE;
        @Nullable String[] errors = new @Nullable String[2];
        Superblock superblock = null;
        boolean ours = false;
        for (int i = 1; i >= 0 && deviceBlocks >= Superblock.MIN_BLOCKS; i--) {
            readBlock(i);
            ours |= Superblock.hasMagic(block);
            errors[i] = Superblock.error(block, i, deviceBlocks, crc32c);
            if (errors[i] == null) {
                Superblock found = Superblock.decode(block);
                // Of two that are whole a mount takes the first.
                errors[1] = superblock != null && !found.equals(superblock) ? "contradicts superblock 0" : errors[1];
                superblock = found;
            }
        }
        if (superblock == null) {
            throw new StoreException(
                    ours ? Kind.DAMAGED : Kind.NOT_A_STORE,
                    device.name()
                            + (ours
                                    ? ": neither superblock is whole (block 0 " + errors[0] + ", block 1 " + errors[1]
                                            + "): without one nothing can be told from anything"
                                    : " holds no store of ours"));
        }
        if ((superblock.incompat() | superblock.roCompat()) != 0) {
            throw new StoreException(
                    Kind.UNSUPPORTED, device.name() + " uses features that this version does not know");
        }
        for (int i = 0; i < 2; i++) {
            if (errors[i] != null) {
                superblock.encode(block, i, crc32c);
                io.writeDurably((long) i * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
                repaired("superblock " + i + " " + errors[i] + ": block " + i + " was written from block " + (1 - i));
            }
        }
        return superblock;
    }

    /** Gives each root slot that has one whole block the other one back. */
    private void mendTwins(RootSlots slots) {
        slots.mendTwins(number -> repaired("root slot block " + number + " was written from its twin"));
    }

    // --- the store

    private void mend(
            BlobStore store,
            RootSlots slots,
            @Nullable RootSlot root,
            LogSalvage log,
            TreeSalvage salvage,
            boolean whole) {
        RootSlot start = root == null ? new RootSlot() : root;
        // A slot of which no block is whole comes first: until it is written the store does not mount.
        int lost = slots.isLost(0) ? 0 : slots.isLost(1) ? 1 : -1;
        start.index = lost >= 0 ? 1 - lost : start.index;
        long epoch = Math.max(salvage.maxGeneration(), root == null ? 0 : root.epoch) + 1;
        store.beginReplay(start, epoch);
        store.space().markBusy(0, (int) store.superblock().firstDataBlock());
        markKept(store);
        List<LogSalvage.Entry> records = root == null ? log.selectNewest() : log.select(root);
        for (LogSalvage.Entry record : records) {
            LogRecord.forEach(log.read(record), (type, entry, length) -> {
                if (type == LogRecord.USED) {
                    store.space().markBusy(Memory.getLong(entry + LogRecord.ENTRY_K0_OFFSET), length);
                }
            });
        }
        if (whole) {
            Recovery.loadRoot(store, start);
        } else {
            build(store, salvage);
        }
        StoreEditor editor = new StoreEditor(store, salvage.holes(), salvage.guesses());
        loadBitmaps(store, editor);
        for (TreeSalvage.Piece piece : salvage.pieces()) {
            salvage.readPiece(piece, (k0, k1, address, length) -> {
                if (k0 != 0 || k1 < 0) {
                    editor.put(k0, k1, address, length);
                }
            });
        }
        // What is wrong here may look right when the log is applied, which takes nodes from elsewhere than a mount
        // does.
        int wrongGroups = whole && !records.isEmpty() ? countWrongGroups(store) : 0;
        applyLog(store, start, records, log, editor);
        boolean isContradicted = store.space().contradiction() != null;
        BlockSet nodeBlocks = new BlockSet(totalBlocks);
        long nodesCounted = store.tree().nodeCount;
        int groups = Math.max(wrongGroups, store.space().replaceUsed(uses(store, nodeBlocks)));
        boolean isWrongCount = whole && nodesCounted != store.tree().nodeCount;
        if (isWrongCount) {
            repaired("the root slot's count of nodes was wrong");
        }
        if (groups > 0 && whole) {
            repaired(
                    "the map of free space was wrong in " + groups + " groups of " + SpaceMap.GROUP_BLOCKS + " blocks");
        } else if (isContradicted && whole) {
            repaired("the log brought blocks into use, or freed them, that were so already; it was applied otherwise");
        }
        editor.allowCheckpoints(nodeBlocks);
        long before = editor.changes();
        mender.mend(editor);
        repairs += editor.changes() - before;
        store.space().replaceUsed(uses(store, nodeBlocks));
        if (!whole) {
            repaired("the tree was built anew above " + salvage.leaves().size() + " leaves");
        }
        boolean isNew = store.cache().dirtyFrames() > 0
                || store.space().changedGroups() > 0
                || !whole
                || lost >= 0
                || wrongGroups > 0
                || isContradicted
                || isWrongCount
                || log.gap() != null;
        if (repairs > 0 && isNew) {
            checkpoint(store);
        }
        if (lost >= 0) {
            mendLostSlots(store.superblock());
        }
    }

    /** Groups in which the map of the checkpoint does not describe its tree. */
    private int countWrongGroups(BlobStore store) {
        long nodeCount = store.tree().nodeCount;
        int wrong = store.space().countWrongGroups(uses(store, new BlockSet(totalBlocks)));
        store.tree().nodeCount = nodeCount;
        return wrong;
    }

    private void markKept(BlobStore store) {
        for (int word = 0; word < (store.totalBlocks() + 63) >>> 6; word++) {
            for (long bits = kept.word(word); bits != 0; bits &= bits - 1) {
                store.space().markBusy(((long) word << 6) + Long.numberOfTrailingZeros(bits), 1);
            }
        }
    }

    /** A tree above leaves that stay where they are. */
    private static void build(BlobStore store, TreeSalvage salvage) {
        List<Leaf> level = new ArrayList<>(salvage.leaves());
        Tree tree = store.tree();
        tree.nodeCount = level.size();
        if (level.isEmpty()) {
            tree.create(tree.epoch);
            return;
        }
        if (level.size() == 1) {
            RootSlot only = new RootSlot();
            only.rootBlock = level.getFirst().block();
            only.rootGeneration = level.getFirst().generation();
            only.rootCrc = level.getFirst().crc();
            Recovery.loadRoot(store, only);
            return;
        }
        for (int height = 1; level.size() > 1; height++) {
            List<Leaf> above = new ArrayList<>();
            for (int from = 0; from < level.size(); from += FILL) {
                List<Leaf> children = level.subList(from, Math.min(level.size(), from + FILL));
                int frame = tree.newNode(height);
                long node = store.cache().address(frame);
                for (Leaf child : children) {
                    TreeSalvage.Key low = child.low();
                    Node.innerInsert(
                            node, Node.count(node), low.k0(), low.k1(), child.block(), child.generation(), child.crc());
                }
                above.add(new Leaf(
                        store.cache().block(frame),
                        tree.epoch,
                        0,
                        children.getFirst().low()));
            }
            level = above;
            tree.rootLevel = height;
        }
        tree.rootFrame = store.cache().lookup(level.getFirst().block());
    }

    /** Takes the bitmaps that are there, and deletes items of the store's own kind that are none. */
    private void loadBitmaps(BlobStore store, StoreEditor editor) {
        SpaceMap space = store.space();
        long k1 = 0;
        while (editor.ceiling(0, k1) && store.foundK0 == 0 && store.foundK1 >= 0) {
            k1 = store.foundK1;
            int group = BlobStore.groupOfSpaceKey(k1);
            boolean valid = group >= 0
                    && group < space.groups()
                    && k1 == BlobStore.spaceKey(group)
                    && store.valueLength == SpaceMap.BITMAP_BYTES;
            if (valid) {
                space.loadUsed(group, store.valueAddress);
            } else {
                editor.delete(0, k1);
                repaired("an item of the store's own that means nothing was deleted: 0x" + Long.toHexString(k1));
            }
            k1++;
        }
    }

    private void applyLog(
            BlobStore store, RootSlot start, List<LogSalvage.Entry> records, LogSalvage log, StoreEditor editor) {
        for (LogSalvage.Entry record : records) {
            LogRecord.forEach(log.read(record), (type, entry, length) -> {
                long k0 = Memory.getLong(entry + LogRecord.ENTRY_K0_OFFSET);
                if (type == LogRecord.PUT) {
                    long value = entry + LogRecord.KEY_ENTRY_SIZE;
                    editor.put(k0, Memory.getLong(entry + LogRecord.ENTRY_K1_OFFSET), value, length);
                } else if (type == LogRecord.DELETE) {
                    editor.delete(k0, Memory.getLong(entry + LogRecord.ENTRY_K1_OFFSET));
                } else {
                    store.space().noteUsed(k0, length, type == LogRecord.USED);
                }
            });
        }
        long position = start.logPosition;
        long sequence = start.logSequence;
        int chain = start.logChain;
        long group = start.groupSequence;
        if (!records.isEmpty()) {
            LogSalvage.Entry last = records.getLast();
            position = start.logPosition;
            for (LogSalvage.Entry record : records) {
                position += record.blocks();
            }
            sequence = last.sequence() + 1;
            chain = last.crc();
            group = last.lastGroup();
        }
        String gap = log.gap();
        if (gap != null || start.epoch == 0) {
            // No record that is in the ring may ever be taken for the one to come.
            sequence = log.lastSequence() + 1;
            chain = ThreadLocalRandom.current().nextInt();
        }
        if (gap != null) {
            reporter.lost(gap);
            repairs++;
        }
        store.noteReplayed(sequence, position, chain, group);
    }

    /** All blocks that the tree, its items and the store itself use. */
    private BlockSet uses(BlobStore store, BlockSet nodeBlocks) {
        BlockSet used = new BlockSet(store.totalBlocks());
        used.add(0, store.superblock().firstDataBlock());
        long[] nodes = {0};
        walk.run(store, (at, node, level) -> {
            used.add(at, Node.BLOCKS);
            nodeBlocks.add(at, Node.BLOCKS);
            nodes[0]++;
            for (int i = 0; level == 0 && i < Node.count(node); i++) {
                long k0 = Node.leafK0(node, i);
                long k1 = Node.leafK1(node, i);
                if (k0 != 0 || k1 < 0) {
                    mender.blocksOf(
                            k0, k1, Node.valueAddress(node, i), Node.valueLength(node, i), totalBlocks, used::add);
                }
            }
            return true;
        });
        store.tree().nodeCount = nodes[0];
        return used;
    }

    private void checkpoint(BlobStore store) {
        long before = store.checkpointsCompleted();
        store.requestCheckpoint();
        store.driveUntil(() -> store.checkpointsCompleted() > before || store.failure() != 0);
        if (store.failure() != 0) {
            throw new StoreException(Kind.IO, device.name() + ": " + store.failureText());
        }
        repaired("the new root was written");
    }

    /** The new root is durable in one slot; a slot without a whole block gets it, too. */
    private void mendLostSlots(Superblock superblock) {
        RootSlots slots = new RootSlots(io, superblock, block);
        mendTwins(slots);
        RootSlot newest = slots.newest();
        for (int i = 0; i < RootSlot.BLOCKS && newest != null; i++) {
            if (slots.error(i) != null) {
                slots.write(newest, i);
                repaired("root slot block " + RootSlots.number(i) + " was written anew");
            }
        }
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.memory.Crc32c;
import java.nio.charset.StandardCharsets;

/**
 * Makes a store: an empty tree that knows which blocks the store's own structures take, two root slots, two superblocks.
 *
 * <p>Invariant: the superblocks are written last, so a device on which mkfs did not end holds no store. Takes a few
 * writes, whatever the size. Control threads.
 */
final class StoreFormat {
    private static final long DEFAULT_LOG_FRACTION = 16;

    private StoreFormat() {}

    static void format(BlockDevice device, FormatOptions options) {
        Superblock superblock = layOut(device, options);
        try (BlockingIo io = new BlockingIo(device);
                StoreMemory memory = new StoreMemory(1 << 18)) {
            write(io, memory, superblock);
        } catch (BlockDeviceException e) {
            throw new StoreException(StoreException.Kind.IO, String.valueOf(e.getMessage()));
        }
    }

    private static Superblock layOut(BlockDevice device, FormatOptions options) {
        long blocks = Math.min(device.capacityBytes() / BlobStore.BLOCK_SIZE, Superblock.MAX_BLOCKS);
        if (blocks < Superblock.MIN_BLOCKS) {
            throw new StoreException(
                    StoreException.Kind.UNUSABLE,
                    device.name() + " has " + device.capacityBytes() + " bytes; a store needs at least "
                            + Superblock.MIN_BLOCKS * BlobStore.BLOCK_SIZE);
        }
        if (options.label().getBytes(StandardCharsets.UTF_8).length > Superblock.LABEL_BYTES) {
            throw new StoreException(
                    StoreException.Kind.UNUSABLE,
                    "the label is longer than " + Superblock.LABEL_BYTES + " bytes: " + options.label());
        }
        long logBlocks = options.logBytes() == 0
                ? Math.clamp(blocks / DEFAULT_LOG_FRACTION, Superblock.MIN_LOG_BLOCKS, Superblock.MAX_LOG_BLOCKS)
                : options.logBytes() / BlobStore.BLOCK_SIZE;
        if (logBlocks < Superblock.MIN_LOG_BLOCKS || logBlocks > Superblock.MAX_LOG_BLOCKS || logBlocks > blocks / 2) {
            throw new StoreException(
                    StoreException.Kind.UNUSABLE,
                    "a log of " + logBlocks * BlobStore.BLOCK_SIZE + " bytes; possible are "
                            + Superblock.MIN_LOG_BLOCKS * BlobStore.BLOCK_SIZE + " to "
                            + Math.min(Superblock.MAX_LOG_BLOCKS, blocks / 2) * BlobStore.BLOCK_SIZE);
        }
        return new Superblock(
                options.uuid(),
                blocks,
                Superblock.FIRST_LOG_BLOCK,
                logBlocks,
                options.hashSeed(),
                options.label(),
                options.createdNs(),
                0,
                0,
                0);
    }

    private static void write(BlockingIo io, StoreMemory memory, Superblock superblock) {
        Crc32c crc32c = new Crc32c();
        long block = memory.allocate(BlobStore.BLOCK_SIZE);
        // An old store must not shine through while the new one is incomplete.
        writeBlock(io, Superblock.PRIMARY_BLOCK, block);
        writeBlock(io, Superblock.COPY_BLOCK, block);
        io.flush();

        RootSlot slot = writeRoot(io, memory, superblock);
        for (int i = 0; i < 2; i++) {
            slot.encode(block, RootSlot.primaryBlock(i), superblock.uuid(), crc32c);
            writeBlock(io, RootSlot.primaryBlock(i), block);
            slot.encode(block, RootSlot.copyBlock(i), superblock.uuid(), crc32c);
            writeBlock(io, RootSlot.copyBlock(i), block);
        }
        io.flush();
        superblock.encode(block, Superblock.COPY_BLOCK, crc32c);
        writeBlock(io, Superblock.COPY_BLOCK, block);
        superblock.encode(block, Superblock.PRIMARY_BLOCK, crc32c);
        writeBlock(io, Superblock.PRIMARY_BLOCK, block);
        io.flush();
    }

    /** The first root: a leaf with the bitmaps of the groups that hold superblocks, slots, log and the leaf itself. */
    private static RootSlot writeRoot(BlockingIo io, StoreMemory memory, Superblock superblock) {
        long rootBlock = superblock.firstDataBlock();
        SpaceMap space = new SpaceMap(superblock.madeBlocks(), rootBlock, new IoEpochs(1));
        long left = rootBlock + Node.BLOCKS;
        long at = 0;
        while (left > 0) {
            int n = (int) Math.min(left, SpaceMap.GROUP_BLOCKS);
            space.markUsed(at, n);
            at += n;
            left -= n;
        }
        Node nodes = new Node(superblock.uuid().getMostSignificantBits(), memory.allocate(Node.SIZE));
        long node = memory.allocate(Node.SIZE);
        long bitmap = memory.allocate(SpaceMap.BITMAP_BYTES);
        nodes.initialise(node, 0, rootBlock, RootSlot.FIRST_EPOCH);
        for (int group = space.nextChanged(0); group >= 0; group = space.nextChanged(group + 1)) {
            space.store(group, bitmap);
            nodes.leafInsert(node, Node.count(node), 0, BlobStore.spaceKey(group), bitmap, SpaceMap.BITMAP_BYTES);
        }
        RootSlot slot = new RootSlot();
        slot.epoch = RootSlot.FIRST_EPOCH;
        slot.rootBlock = rootBlock;
        slot.rootGeneration = RootSlot.FIRST_EPOCH;
        slot.rootCrc = nodes.seal(node);
        slot.logSequence = 1;
        slot.usedBlocks = space.usedBlocks();
        slot.nodeCount = 1;
        slot.totalBlocks = superblock.madeBlocks();
        io.write(rootBlock * BlobStore.BLOCK_SIZE, node, Node.SIZE);
        return slot;
    }

    private static void writeBlock(BlockingIo io, long block, long address) {
        io.write(block * BlobStore.BLOCK_SIZE, address, BlobStore.BLOCK_SIZE);
    }
}

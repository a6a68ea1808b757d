package io.vhostfs.blobstore;

import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A checkpoint: where the tree's root is, and from which log record on the log is to be replayed on top of it.
 *
 * <p>Checkpoints take the two slots in turn. Each slot is written twice: its first block, and when that is durable its
 * copy. Why: see {@link RootSlots#choose}. Mutable, one instance for the checkpoint that is written.
 */
final class RootSlot {
    static final long FIRST_BLOCK = 2;

    /** Slot 0, slot 1, copy of slot 0, copy of slot 1. */
    static final int BLOCKS = 4;

    static final long FIRST_EPOCH = 1;
    static final int COPY_DISTANCE = 2;

    /** "VHROOT01". */
    private static final long MAGIC = 0x3130544f4f524856L;

    private static final int MAGIC_OFFSET = 0;
    private static final int CRC_OFFSET = 8;
    private static final int ROOT_LEVEL_OFFSET = 12;
    private static final int UUID_OFFSET = 16;
    private static final int BLOCK_OFFSET = 32;
    private static final int EPOCH_OFFSET = 40;
    private static final int ROOT_BLOCK_OFFSET = 48;
    private static final int ROOT_GENERATION_OFFSET = 56;
    private static final int ROOT_CRC_OFFSET = 64;
    private static final int LOG_CHAIN_OFFSET = 68;
    private static final int LOG_SEQUENCE_OFFSET = 72;
    private static final int LOG_POSITION_OFFSET = 80;
    private static final int GROUP_SEQUENCE_OFFSET = 88;
    private static final int USED_BLOCKS_OFFSET = 96;
    private static final int NODE_COUNT_OFFSET = 104;
    private static final int TOTAL_BLOCKS_OFFSET = 112;

    /** Number of the checkpoint; the nodes it wrote have it as generation. */
    long epoch;

    long rootBlock;
    long rootGeneration;
    int rootCrc;
    int rootLevel;

    /** Number of the first record to replay, its place as a block count since the store was made, and its chain value. */
    long logSequence;

    long logPosition;
    int logChain;

    /** Groups that the checkpoint holds. */
    long groupSequence;

    long usedBlocks;
    long nodeCount;

    /** Blocks that the store covers; a later checkpoint may cover more. */
    long totalBlocks;

    /** The slot, 0 or 1, that a decoded one came from. */
    int index;

    static long primaryBlock(int index) {
        return FIRST_BLOCK + index;
    }

    static long copyBlock(int index) {
        return FIRST_BLOCK + COPY_DISTANCE + index;
    }

    void encode(long address, long block, UUID uuid, Crc32c crc32c) {
        Memory.zero(address, BlobStore.BLOCK_SIZE);
        Memory.putLong(address + MAGIC_OFFSET, MAGIC);
        Memory.putInt(address + ROOT_LEVEL_OFFSET, rootLevel);
        Memory.putLong(address + UUID_OFFSET, uuid.getMostSignificantBits());
        Memory.putLong(address + UUID_OFFSET + 8, uuid.getLeastSignificantBits());
        Memory.putLong(address + BLOCK_OFFSET, block);
        Memory.putLong(address + EPOCH_OFFSET, epoch);
        Memory.putLong(address + ROOT_BLOCK_OFFSET, rootBlock);
        Memory.putLong(address + ROOT_GENERATION_OFFSET, rootGeneration);
        Memory.putInt(address + ROOT_CRC_OFFSET, rootCrc);
        Memory.putInt(address + LOG_CHAIN_OFFSET, logChain);
        Memory.putLong(address + LOG_SEQUENCE_OFFSET, logSequence);
        Memory.putLong(address + LOG_POSITION_OFFSET, logPosition);
        Memory.putLong(address + GROUP_SEQUENCE_OFFSET, groupSequence);
        Memory.putLong(address + USED_BLOCKS_OFFSET, usedBlocks);
        Memory.putLong(address + NODE_COUNT_OFFSET, nodeCount);
        Memory.putLong(address + TOTAL_BLOCKS_OFFSET, totalBlocks);
        Memory.putInt(
                address + CRC_OFFSET, crc32c.of(address + ROOT_LEVEL_OFFSET, BlobStore.BLOCK_SIZE - ROOT_LEVEL_OFFSET));
    }

    /** Why the block is no root slot of this store; null when it is one. */
    static @Nullable String error(long address, long block, Superblock superblock, Crc32c crc32c) {
        if (Memory.getLong(address + MAGIC_OFFSET) != MAGIC) {
            return "has no root slot magic";
        }
        if (Memory.getInt(address + CRC_OFFSET)
                != crc32c.of(address + ROOT_LEVEL_OFFSET, BlobStore.BLOCK_SIZE - ROOT_LEVEL_OFFSET)) {
            return "has a wrong checksum";
        }
        if (Memory.getLong(address + UUID_OFFSET) != superblock.uuid().getMostSignificantBits()
                || Memory.getLong(address + UUID_OFFSET + 8)
                        != superblock.uuid().getLeastSignificantBits()) {
            return "belongs to another store";
        }
        if (Memory.getLong(address + BLOCK_OFFSET) != block) {
            return "belongs to block " + Memory.getLong(address + BLOCK_OFFSET);
        }
        long total = Memory.getLong(address + TOTAL_BLOCKS_OFFSET);
        if (total < superblock.madeBlocks() || total > Superblock.MAX_BLOCKS) {
            return "has a size of " + total + " blocks";
        }
        long rootBlock = Memory.getLong(address + ROOT_BLOCK_OFFSET);
        int level = Memory.getInt(address + ROOT_LEVEL_OFFSET);
        if (rootBlock < superblock.firstDataBlock()
                || rootBlock % Node.BLOCKS != 0
                || rootBlock > total - Node.BLOCKS
                || level < 0
                || level > Node.MAX_LEVEL) {
            return "has a root at block " + rootBlock + ", level " + level;
        }
        long epoch = Memory.getLong(address + EPOCH_OFFSET);
        if (epoch <= 0 || epoch > Node.MAX_GENERATION) {
            return "has epoch " + epoch;
        }
        if (Memory.getLong(address + ROOT_GENERATION_OFFSET) > epoch) {
            return "has a root that is younger";
        }
        for (int at : new int[] {LOG_SEQUENCE_OFFSET, LOG_POSITION_OFFSET, GROUP_SEQUENCE_OFFSET}) {
            if (!LogRecord.isNumber(Memory.getLong(address + at))) {
                return "has a log position, or a number of a record or a group, that no store comes to";
            }
        }
        return null;
    }

    static RootSlot decode(long address, int index) {
        RootSlot slot = new RootSlot();
        slot.index = index;
        slot.epoch = Memory.getLong(address + EPOCH_OFFSET);
        slot.rootBlock = Memory.getLong(address + ROOT_BLOCK_OFFSET);
        slot.rootGeneration = Memory.getLong(address + ROOT_GENERATION_OFFSET);
        slot.rootCrc = Memory.getInt(address + ROOT_CRC_OFFSET);
        slot.rootLevel = Memory.getInt(address + ROOT_LEVEL_OFFSET);
        slot.logChain = Memory.getInt(address + LOG_CHAIN_OFFSET);
        slot.logSequence = Memory.getLong(address + LOG_SEQUENCE_OFFSET);
        slot.logPosition = Memory.getLong(address + LOG_POSITION_OFFSET);
        slot.groupSequence = Memory.getLong(address + GROUP_SEQUENCE_OFFSET);
        slot.usedBlocks = Memory.getLong(address + USED_BLOCKS_OFFSET);
        slot.nodeCount = Memory.getLong(address + NODE_COUNT_OFFSET);
        slot.totalBlocks = Memory.getLong(address + TOTAL_BLOCKS_OFFSET);
        return slot;
    }
}

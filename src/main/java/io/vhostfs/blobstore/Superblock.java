package io.vhostfs.blobstore;

import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * What a store is, written once by mkfs to blocks 0 and 1 and never changed. How far it reaches now says the root slot.
 *
 * @param uuid names the store and is part of every structure in it
 * @param madeBlocks blocks that the store covered when it was made; it may have grown since
 * @param logStart first block of the log ring
 * @param logBlocks its length
 * @param hashSeed for the directories' name hash
 * @param label for people
 * @param createdNs nanoseconds since 1970
 * @param compat feature bits that may be ignored
 * @param roCompat feature bits without which the store may only be read
 * @param incompat feature bits without which the store must not be touched
 */
record Superblock(
        UUID uuid,
        long madeBlocks,
        long logStart,
        long logBlocks,
        long hashSeed,
        String label,
        long createdNs,
        long compat,
        long roCompat,
        long incompat) {
    static final int PRIMARY_BLOCK = 0;
    static final int COPY_BLOCK = 1;

    /** "VHOSTFS1". */
    static final long MAGIC = 0x31534654534f4856L;

    static final int VERSION = 2;
    static final int LABEL_BYTES = 64;

    /** Blocks 6 and 7 are left for later. */
    static final long FIRST_LOG_BLOCK = 8;

    /** The smallest store: a log of 1 MiB, the reserves, and as much room again. */
    static final long MIN_BLOCKS = 1024;

    /** 64 TiB: the bitmaps in memory are then two arrays of 2 GiB. */
    static final long MAX_BLOCKS = 1L << 34;

    static final long MIN_LOG_BLOCKS = 256;

    /** 256 MiB: its bitmap still fits into the leaf that mkfs writes, and its replay takes a second or two. */
    static final long MAX_LOG_BLOCKS = 1L << 16;

    private static final int MAGIC_OFFSET = 0;
    private static final int CRC_OFFSET = 8;
    private static final int VERSION_OFFSET = 12;
    private static final int UUID_OFFSET = 16;
    private static final int BLOCK_OFFSET = 32;
    private static final int BLOCK_SIZE_OFFSET = 40;
    private static final int NODE_BLOCKS_OFFSET = 44;
    private static final int COMPAT_OFFSET = 48;
    private static final int RO_COMPAT_OFFSET = 56;
    private static final int INCOMPAT_OFFSET = 64;
    private static final int MADE_BLOCKS_OFFSET = 72;
    private static final int LOG_START_OFFSET = 80;
    private static final int LOG_BLOCKS_OFFSET = 88;
    private static final int HASH_SEED_OFFSET = 96;
    private static final int CREATED_OFFSET = 104;
    private static final int LABEL_OFFSET = 112;

    void encode(long address, long block, Crc32c crc32c) {
        Memory.zero(address, BlobStore.BLOCK_SIZE);
        Memory.putLong(address + MAGIC_OFFSET, MAGIC);
        Memory.putInt(address + VERSION_OFFSET, VERSION);
        Memory.putLong(address + UUID_OFFSET, uuid.getMostSignificantBits());
        Memory.putLong(address + UUID_OFFSET + 8, uuid.getLeastSignificantBits());
        Memory.putLong(address + BLOCK_OFFSET, block);
        Memory.putInt(address + BLOCK_SIZE_OFFSET, BlobStore.BLOCK_SIZE);
        Memory.putInt(address + NODE_BLOCKS_OFFSET, Node.BLOCKS);
        Memory.putLong(address + COMPAT_OFFSET, compat);
        Memory.putLong(address + RO_COMPAT_OFFSET, roCompat);
        Memory.putLong(address + INCOMPAT_OFFSET, incompat);
        Memory.putLong(address + MADE_BLOCKS_OFFSET, madeBlocks);
        Memory.putLong(address + LOG_START_OFFSET, logStart);
        Memory.putLong(address + LOG_BLOCKS_OFFSET, logBlocks);
        Memory.putLong(address + HASH_SEED_OFFSET, hashSeed);
        Memory.putLong(address + CREATED_OFFSET, createdNs);
        byte[] name = label.getBytes(StandardCharsets.UTF_8);
        Memory.copyFromArray(name, 0, address + LABEL_OFFSET, name.length);
        Memory.putInt(address + CRC_OFFSET, crc32c.of(address + VERSION_OFFSET, BlobStore.BLOCK_SIZE - VERSION_OFFSET));
    }

    /** Whether there is anything of ours at all. */
    static boolean hasMagic(long address) {
        return Memory.getLong(address + MAGIC_OFFSET) == MAGIC;
    }

    /** Why the block is no superblock for a device of that size; null when it is one. */
    static @Nullable String error(long address, long block, long deviceBlocks, Crc32c crc32c) {
        if (!hasMagic(address)) {
            return "has no superblock magic";
        }
        if (Memory.getInt(address + CRC_OFFSET)
                != crc32c.of(address + VERSION_OFFSET, BlobStore.BLOCK_SIZE - VERSION_OFFSET)) {
            return "has a wrong checksum";
        }
        if (Memory.getInt(address + VERSION_OFFSET) != VERSION) {
            return "has format version " + Memory.getInt(address + VERSION_OFFSET) + ", this program knows " + VERSION;
        }
        if (Memory.getLong(address + BLOCK_OFFSET) != block) {
            return "belongs to block " + Memory.getLong(address + BLOCK_OFFSET);
        }
        if (Memory.getInt(address + BLOCK_SIZE_OFFSET) != BlobStore.BLOCK_SIZE
                || Memory.getInt(address + NODE_BLOCKS_OFFSET) != Node.BLOCKS) {
            return "has an unknown block or node size";
        }
        long total = Memory.getLong(address + MADE_BLOCKS_OFFSET);
        if (total < MIN_BLOCKS || total > MAX_BLOCKS) {
            return "has a size of " + total + " blocks";
        }
        if (total > deviceBlocks) {
            return "covers " + total + " blocks, but the device has only " + deviceBlocks;
        }
        long start = Memory.getLong(address + LOG_START_OFFSET);
        long blocks = Memory.getLong(address + LOG_BLOCKS_OFFSET);
        if (start < RootSlot.FIRST_BLOCK + RootSlot.BLOCKS
                || blocks < MIN_LOG_BLOCKS
                || blocks > MAX_LOG_BLOCKS
                || start > total - blocks) {
            return "has a log of " + blocks + " blocks at block " + start;
        }
        return null;
    }

    static Superblock decode(long address) {
        byte[] name = new byte[LABEL_BYTES];
        Memory.copyToArray(address + LABEL_OFFSET, name, 0, LABEL_BYTES);
        int length = 0;
        while (length < LABEL_BYTES && name[length] != 0) {
            length++;
        }
        return new Superblock(
                new UUID(Memory.getLong(address + UUID_OFFSET), Memory.getLong(address + UUID_OFFSET + 8)),
                Memory.getLong(address + MADE_BLOCKS_OFFSET),
                Memory.getLong(address + LOG_START_OFFSET),
                Memory.getLong(address + LOG_BLOCKS_OFFSET),
                Memory.getLong(address + HASH_SEED_OFFSET),
                new String(name, 0, length, StandardCharsets.UTF_8),
                Memory.getLong(address + CREATED_OFFSET),
                Memory.getLong(address + COMPAT_OFFSET),
                Memory.getLong(address + RO_COMPAT_OFFSET),
                Memory.getLong(address + INCOMPAT_OFFSET));
    }

    /** The first block that can hold nodes or data. */
    long firstDataBlock() {
        return (logStart + logBlocks + Node.BLOCKS - 1) & -Node.BLOCKS;
    }
}

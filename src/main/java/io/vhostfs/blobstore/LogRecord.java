package io.vhostfs.blobstore;

import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * The layout of a log record: a header, then the entries of one or more groups, in whole blocks.
 *
 * <p>A record counts only when it is whole: its checksum covers header and entries, and it carries the checksum of the
 * record before it. So the valid records from a checkpoint on are exactly a prefix of those that were written.
 */
final class LogRecord {
    /** "VLOG". */
    static final int MAGIC = 0x474f4c56;

    static final int MAGIC_OFFSET = 0;
    static final int CRC_OFFSET = 4;
    static final int UUID_OFFSET = 8;
    static final int SEQUENCE_OFFSET = 24;
    static final int LENGTH_OFFSET = 32;
    static final int CHAIN_OFFSET = 36;
    static final int FIRST_GROUP_OFFSET = 40;
    static final int GROUP_COUNT_OFFSET = 48;
    static final int ENTRY_COUNT_OFFSET = 52;
    static final int EPOCH_OFFSET = 56;
    static final int HEADER_SIZE = 64;

    /** More than all groups, records and blocks of the log in the life of a device; leaves room to count on. */
    static final long MAX_NUMBER = 1L << 62;

    /** Largest record; a smaller ring has smaller ones. */
    static final int MAX_BYTES = 1 << 20;

    // --- entries: type, three bytes of zero, length of the value or number of blocks, then
    static final int ENTRY_TYPE_OFFSET = 0;
    static final int ENTRY_LENGTH_OFFSET = 4;

    /** k0, or first block. */
    static final int ENTRY_K0_OFFSET = 8;

    static final int ENTRY_K1_OFFSET = 16;
    static final int KEY_ENTRY_SIZE = 24;
    static final int RANGE_ENTRY_SIZE = 16;

    /** Followed by the value, rounded up to 8 bytes. */
    static final int PUT = 1;

    static final int DELETE = 2;
    static final int USED = 3;
    static final int FREED = 4;

    private LogRecord() {}

    static int blocks(int lengthBytes) {
        return (lengthBytes + BlobStore.BLOCK_SIZE - 1) / BlobStore.BLOCK_SIZE;
    }

    static int length(long record) {
        return Memory.getInt(record + LENGTH_OFFSET);
    }

    static long sequence(long record) {
        return Memory.getLong(record + SEQUENCE_OFFSET);
    }

    static int chain(long record) {
        return Memory.getInt(record + CHAIN_OFFSET);
    }

    static int crc(long record) {
        return Memory.getInt(record + CRC_OFFSET);
    }

    static long firstGroup(long record) {
        return Memory.getLong(record + FIRST_GROUP_OFFSET);
    }

    static int groupCount(long record) {
        return Memory.getInt(record + GROUP_COUNT_OFFSET);
    }

    static int entryCount(long record) {
        return Memory.getInt(record + ENTRY_COUNT_OFFSET);
    }

    static long epoch(long record) {
        return Memory.getLong(record + EPOCH_OFFSET);
    }

    /** Whether a block begins the record expected here, as far as its header tells; then its length can be trusted. */
    static boolean isHeaderOf(long block, UUID uuid, long sequence, int chain, int maxBytes) {
        int length = length(block);
        return Memory.getInt(block + MAGIC_OFFSET) == MAGIC
                && Memory.getLong(block + UUID_OFFSET) == uuid.getMostSignificantBits()
                && Memory.getLong(block + UUID_OFFSET + 8) == uuid.getLeastSignificantBits()
                && sequence(block) == sequence
                && Memory.getInt(block + CHAIN_OFFSET) == chain
                && isNumber(sequence)
                && length >= HEADER_SIZE
                && length <= maxBytes;
    }

    /** Whether a store may come to so many groups, records, or blocks of its log. */
    static boolean isNumber(long number) {
        return number >= 0 && number <= MAX_NUMBER;
    }

    static boolean hasValidChecksum(long record, Crc32c crc32c) {
        return crc(record) == crc32c.of(record + UUID_OFFSET, length(record) - UUID_OFFSET);
    }

    /** Bytes that the entry takes, or -1 when it is malformed or goes beyond {@code bytesLeft}. */
    static int entrySize(long entry, int bytesLeft) {
        if (bytesLeft < RANGE_ENTRY_SIZE) {
            return -1;
        }
        int length = Memory.getInt(entry + ENTRY_LENGTH_OFFSET);
        int size =
                switch (Memory.getInt(entry + ENTRY_TYPE_OFFSET)) {
                    case PUT ->
                        length >= 0 && length <= BlobStore.MAX_VALUE_BYTES ? KEY_ENTRY_SIZE + Node.round8(length) : -1;
                    case DELETE -> KEY_ENTRY_SIZE;
                    case USED, FREED -> length > 0 ? RANGE_ENTRY_SIZE : -1;
                    default -> -1;
                };
        return size <= bytesLeft ? size : -1;
    }

    /** Why the entries of a record are no work of ours; null when they are. */
    static @Nullable String entriesError(long record, long totalBlocks) {
        if (epoch(record) < 0 || epoch(record) >= Node.MAX_GENERATION) {
            return "has epoch " + epoch(record);
        }
        if (!isNumber(firstGroup(record)) || groupCount(record) < 0) {
            return "has " + groupCount(record) + " groups from " + firstGroup(record) + " on";
        }
        int at = HEADER_SIZE;
        int length = length(record);
        int entries = 0;
        while (at < length) {
            long entry = record + at;
            int size = entrySize(entry, length - at);
            if (size < 0) {
                return "has a malformed entry at byte " + at;
            }
            int type = Memory.getInt(entry + ENTRY_TYPE_OFFSET);
            if (type == USED || type == FREED) {
                long first = Memory.getLong(entry + ENTRY_K0_OFFSET);
                if (first < 0 || first > totalBlocks - Memory.getInt(entry + ENTRY_LENGTH_OFFSET)) {
                    return "has blocks beyond the device in the entry at byte " + at;
                }
            } else if (Memory.getLong(entry + ENTRY_K0_OFFSET) == 0 && Memory.getLong(entry + ENTRY_K1_OFFSET) >= 0) {
                return "has a key of the store's own in the entry at byte " + at;
            }
            at += size;
            entries++;
        }
        return entries == entryCount(record) ? null : "has a wrong count of entries";
    }

    interface EntryVisitor {
        void entry(int type, long entry, int length);
    }

    /** Hands out the entries of a record that was read. */
    static void forEach(long record, EntryVisitor visitor) {
        int length = length(record);
        for (int at = HEADER_SIZE; at < length; at += entrySize(record + at, length - at)) {
            visitor.entry(Memory.getInt(record + at), record + at, Memory.getInt(record + at + ENTRY_LENGTH_OFFSET));
        }
    }
}

package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.memory.Crc32c;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Finds every valid record in the log ring, wherever it is, and says which of them bring a checkpoint up to date.
 *
 * <p>Invariant: what {@link #select} gives is a run without gaps, each record chained to the one before. Reads only. Control
 * threads.
 */
final class LogSalvage {
    /** A valid record: the block of the ring where it starts, and what its header says. */
    record Entry(long place, long sequence, int blocks, int chain, int crc, long lastGroup) {}

    private final LogRing ring;
    private final Superblock superblock;
    private final long totalBlocks;
    private final Crc32c crc32c = new Crc32c();
    private final long buffer;
    private final int recordBytes;
    private final TreeMap<Long, Entry> records = new TreeMap<>();
    private long lastSequence;
    private @Nullable String gap;

    LogSalvage(BlockingIo io, Superblock superblock, long totalBlocks, StoreMemory memory) {
        ring = new LogRing(io, superblock);
        this.superblock = superblock;
        this.totalBlocks = totalBlocks;
        recordBytes = Log.recordBytes(superblock.logBlocks());
        buffer = memory.allocate(recordBytes);
        scan();
    }

    private void scan() {
        long place = 0;
        while (place < superblock.logBlocks()) {
            int blocks = take(place);
            place += Math.max(1, blocks);
        }
    }

    /** Notes the record that starts here; its blocks, or 0. */
    private int take(long place) {
        if (!readRing(place, 1)
                || !LogRecord.isHeaderOf(
                        buffer, superblock.uuid(), LogRecord.sequence(buffer), LogRecord.chain(buffer), recordBytes)) {
            return 0;
        }
        int blocks = LogRecord.blocks(LogRecord.length(buffer));
        if (!readRing(place, blocks) || !LogRecord.hasValidChecksum(buffer, crc32c)) {
            return 0;
        }
        long sequence = LogRecord.sequence(buffer);
        lastSequence = Math.max(lastSequence, sequence);
        if (LogRecord.entriesError(buffer, totalBlocks) != null) {
            return blocks;
        }
        records.put(
                sequence,
                new Entry(
                        place,
                        sequence,
                        blocks,
                        LogRecord.chain(buffer),
                        LogRecord.crc(buffer),
                        LogRecord.firstGroup(buffer) + LogRecord.groupCount(buffer) - 1));
        return blocks;
    }

    private boolean readRing(long place, int blocks) {
        try {
            ring.read(place, buffer, blocks);
            return true;
        } catch (BlockDeviceException e) {
            return false;
        }
    }

    /** The greatest number of a record in the ring, good for anything or not; or 0. */
    long lastSequence() {
        return lastSequence;
    }

    /** The records to apply on top of a checkpoint; {@link #gap} says what is missing behind them. */
    List<Entry> select(RootSlot slot) {
        List<Entry> run = new ArrayList<>();
        long sequence = slot.logSequence;
        long place = slot.logPosition % superblock.logBlocks();
        int chain = slot.logChain;
        Entry entry = records.get(sequence);
        while (entry != null && entry.place == place && entry.chain == chain) {
            run.add(entry);
            place = (place + entry.blocks) % superblock.logBlocks();
            chain = entry.crc;
            sequence++;
            entry = records.get(sequence);
        }
        if (sequence <= lastSequence()) {
            gap = "the log record at block " + ring.block(place) + " is damaged: of the records from " + sequence
                    + " to " + lastSequence() + " nothing is used";
        }
        return run;
    }

    /**
     * The longest run that ends with the newest record: what to apply when no root slot says where to start. A record that
     * the tree has already got does no harm, as those behind it follow.
     */
    List<Entry> selectNewest() {
        gap = null;
        List<Entry> run = new ArrayList<>();
        Entry entry = records.isEmpty() ? null : records.lastEntry().getValue();
        while (entry != null) {
            run.addFirst(entry);
            Entry before = records.get(entry.sequence - 1);
            entry = before != null && before.crc == entry.chain ? before : null;
        }
        // The ring is overwritten from its oldest record on, so what is left has no gaps but where it is damaged.
        Long older = run.isEmpty() ? null : records.lowerKey(run.getFirst().sequence);
        if (older != null && older + 1 < run.getFirst().sequence) {
            gap = "the log records from " + (older + 1) + " to " + (run.getFirst().sequence - 1)
                    + " are damaged: what they changed may be lost";
        }
        return run;
    }

    /** What is missing between the records selected and the newest one; null when nothing is. */
    @Nullable
    String gap() {
        return gap;
    }

    /** Reads a record again; its address, valid until the next call. */
    long read(Entry entry) {
        if (!readRing(entry.place, entry.blocks) || !LogRecord.hasValidChecksum(buffer, crc32c)) {
            throw new StoreException(
                    StoreException.Kind.IO,
                    "the log record at block " + ring.block(entry.place) + " was whole a moment ago");
        }
        return buffer;
    }
}

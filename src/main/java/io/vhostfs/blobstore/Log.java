package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import java.util.UUID;

/**
 * The write-ahead log: groups are gathered in a buffer, a sealed buffer is one record in the ring.
 *
 * <p>Invariant: records are written one after the other, a record only when the one before it is durable and when the
 * data that had been written before it was sealed is durable. What is between tail and head is never overwritten. Groups
 * that end while a record is written share the next one (group commit). Home reactor only.
 */
final class Log {
    /** As much as a disk takes in some tens of milliseconds: a pause of that length stops nobody. */
    private static final int BUFFERS = 8;

    /** A record is written before it is full, when it has come to this part of its size and the disk has nothing to do. */
    private static final int EARLY_PART = 8;

    /** The same when data must be flushed first. */
    private static final int EARLY_PART_WITH_DATA = 2;

    /** The average length of groups forgets with this. */
    private static final int GROUP_MEMORY = 15;

    private static final int NONE = -1;

    private final BlobStore store;
    private final Flusher flusher;
    private final Crc32c crc32c;
    private final UUID uuid;
    private final long ringStart;
    private final long ringBlocks;
    private final boolean forceUnitAccess;

    /** Room for a record; the slack takes what a group adds beyond what it announced. */
    private final int recordBytes;

    private final long[] buffers = new long[BUFFERS];
    private final long[] positions = new long[BUFFERS];
    private final long[] lastGroups = new long[BUFFERS];
    private final long[] tickets = new long[BUFFERS];

    /** Sealed buffers in the order of their records. */
    private final int[] queue = new int[BUFFERS];

    private int queued;
    private final int[] freeBuffers = new int[BUFFERS];
    private int freeCount;

    private int filling;
    private int fillBytes;
    private int fillEntries;
    private int fillGroups;

    /** Where the group that runs starts in the buffer, and how long groups are on average. */
    private int groupStart;

    private int entriesBefore;

    private int groupBytes = 512;

    /** Blocks since the store was made; modulo the ring's length a place in it. */
    private long head;

    private long tail;
    private long nextSequence;
    private int chain;

    private long endedGroup;
    private long sealedGroup;
    private long durableGroup;

    private boolean writing;
    private int partsInFlight;
    private int writeStatus;
    private final PartIo firstPart;
    private final PartIo secondPart;

    long recordsWritten;
    long bytesWritten;

    Log(
            BlobStore store,
            Flusher flusher,
            Crc32c crc32c,
            Superblock superblock,
            boolean volatileCache,
            StoreMemory memory) {
        this.store = store;
        this.flusher = flusher;
        this.crc32c = crc32c;
        uuid = superblock.uuid();
        ringStart = superblock.logStart();
        ringBlocks = superblock.logBlocks();
        forceUnitAccess = volatileCache;
        recordBytes = recordBytes(ringBlocks);
        for (int i = 0; i < BUFFERS; i++) {
            buffers[i] = memory.allocate(recordBytes);
            freeBuffers[i] = i;
        }
        freeCount = BUFFERS;
        filling = NONE;
        firstPart = new PartIo(memory);
        secondPart = new PartIo(memory);
    }

    /** Largest record in a ring of that length: several fit into it, and one takes any group. */
    static int recordBytes(long ringBlocks) {
        return (int) Math.min(LogRecord.MAX_BYTES, ringBlocks * BlobStore.BLOCK_SIZE / 8);
    }

    static long memoryBytes(long ringBlocks) {
        return (long) BUFFERS * recordBytes(ringBlocks);
    }

    /** Where the log goes on after it was replayed. */
    void resume(long tailPosition, long headPosition, long sequence, int chainValue, long lastGroup) {
        tail = tailPosition;
        head = headPosition;
        nextSequence = sequence;
        chain = chainValue;
        endedGroup = lastGroup;
        sealedGroup = lastGroup;
        durableGroup = lastGroup;
        takeBuffer();
    }

    private void takeBuffer() {
        if (filling == NONE && freeCount > 0) {
            filling = freeBuffers[--freeCount];
            fillBytes = LogRecord.HEADER_SIZE;
            fillEntries = 0;
            fillGroups = 0;
        }
    }

    // --- filling

    /** Whether a group of that many bytes has room; OK, or NOT_RESIDENT when a write or a checkpoint must make it. */
    int begin(int groupBytes) {
        if (filling != NONE && fillBytes + groupBytes > recordBytes) {
            seal();
        }
        takeBuffer();
        if (filling == NONE) {
            return BlobStore.NOT_RESIDENT;
        }
        groupStart = fillBytes;
        entriesBefore = fillEntries;
        return head + LogRecord.blocks(fillBytes + groupBytes) - tail <= ringBlocks
                ? BlobStore.OK
                : BlobStore.NOT_RESIDENT;
    }

    /** Whether the last refusal was for want of ring space, which only a checkpoint makes. */
    boolean isRingFull(int groupBytes) {
        return filling != NONE && head + LogRecord.blocks(fillBytes + groupBytes) - tail > ringBlocks;
    }

    private long entry(int size) {
        if (fillBytes + size > recordBytes) {
            throw new IllegalStateException("a group has more log entries than it announced to begin()");
        }
        long at = buffers[filling] + fillBytes;
        fillBytes += size;
        fillEntries++;
        return at;
    }

    void put(long k0, long k1, long address, int length) {
        int room = Node.round8(length);
        long at = entry(LogRecord.KEY_ENTRY_SIZE + room);
        if (room > length) {
            Memory.putLong(at + LogRecord.KEY_ENTRY_SIZE + room - 8, 0);
        }
        Memory.putLong(at, LogRecord.PUT | (long) length << 32);
        Memory.putLong(at + LogRecord.ENTRY_K0_OFFSET, k0);
        Memory.putLong(at + LogRecord.ENTRY_K1_OFFSET, k1);
        Memory.copy(address, at + LogRecord.KEY_ENTRY_SIZE, length);
    }

    void delete(long k0, long k1) {
        long at = entry(LogRecord.KEY_ENTRY_SIZE);
        Memory.putLong(at, LogRecord.DELETE);
        Memory.putLong(at + LogRecord.ENTRY_K0_OFFSET, k0);
        Memory.putLong(at + LogRecord.ENTRY_K1_OFFSET, k1);
    }

    void range(int type, long block, int blocks) {
        long at = entry(LogRecord.RANGE_ENTRY_SIZE);
        Memory.putLong(at, type | (long) blocks << 32);
        Memory.putLong(at + LogRecord.ENTRY_K0_OFFSET, block);
    }

    void endGroup() {
        endedGroup++;
        fillGroups++;
        groupBytes = (GROUP_MEMORY * groupBytes + fillBytes - groupStart) / (GROUP_MEMORY + 1);
    }

    /** Instead of {@link #endGroup}: the group never was. */
    void dropGroup() {
        fillBytes = groupStart;
        fillEntries = entriesBefore;
    }

    /** Ends the record that is being filled; it will be written when its turn comes. */
    void seal() {
        if (filling == NONE || fillGroups == 0) {
            return;
        }
        long record = buffers[filling];
        int blocks = LogRecord.blocks(fillBytes);
        Memory.zero(record + fillBytes, (long) blocks * BlobStore.BLOCK_SIZE - fillBytes);
        Memory.putInt(record + LogRecord.MAGIC_OFFSET, LogRecord.MAGIC);
        Memory.putLong(record + LogRecord.UUID_OFFSET, uuid.getMostSignificantBits());
        Memory.putLong(record + LogRecord.UUID_OFFSET + 8, uuid.getLeastSignificantBits());
        Memory.putLong(record + LogRecord.SEQUENCE_OFFSET, nextSequence);
        Memory.putInt(record + LogRecord.LENGTH_OFFSET, fillBytes);
        Memory.putInt(record + LogRecord.CHAIN_OFFSET, chain);
        Memory.putLong(record + LogRecord.FIRST_GROUP_OFFSET, sealedGroup + 1);
        Memory.putInt(record + LogRecord.GROUP_COUNT_OFFSET, fillGroups);
        Memory.putInt(record + LogRecord.ENTRY_COUNT_OFFSET, fillEntries);
        Memory.putLong(record + LogRecord.EPOCH_OFFSET, store.epoch());
        chain = crc32c.of(record + LogRecord.UUID_OFFSET, fillBytes - LogRecord.UUID_OFFSET);
        Memory.putInt(record + LogRecord.CRC_OFFSET, chain);
        nextSequence++;
        sealedGroup = endedGroup;
        positions[filling] = head;
        lastGroups[filling] = endedGroup;
        tickets[filling] = flusher.dataTicket();
        head += blocks;
        queue[queued++] = filling;
        filling = NONE;
        takeBuffer();
    }

    // --- writing

    boolean hasWork(boolean commitWanted) {
        if (writing) {
            return false;
        }
        return queued > 0 ? flusher.isDone(tickets[queue[0]]) : fillGroups > 0 && (commitWanted || isDueEarly());
    }

    private boolean isDueEarly() {
        return fillBytes >= recordBytes / EARLY_PART
                && (fillBytes >= recordBytes / EARLY_PART_WITH_DATA || !flusher.hasNewDataWrites());
    }

    /** Writes the next record if there is one, or if {@code commitWanted} the one being filled. */
    int pump(boolean commitWanted) {
        if (!hasWork(commitWanted)) {
            return 0;
        }
        if (queued == 0) {
            seal();
        }
        if (!flusher.isDone(tickets[queue[0]])) {
            return 1;
        }
        write(queue[0]);
        return 1;
    }

    private void write(int buffer) {
        writing = true;
        writeStatus = 0;
        long record = buffers[buffer];
        int blocks = LogRecord.blocks(LogRecord.length(record));
        long place = positions[buffer] % ringBlocks;
        int first = (int) Math.min(blocks, ringBlocks - place);
        partsInFlight = first < blocks ? 2 : 1;
        int parts = partsInFlight;
        recordsWritten++;
        bytesWritten += (long) blocks * BlobStore.BLOCK_SIZE;
        firstPart.start(ringStart + place, record, first);
        if (parts == 2) {
            secondPart.start(ringStart, record + (long) first * BlobStore.BLOCK_SIZE, blocks - first);
        }
    }

    private void finishPart(int status) {
        if (status < 0) {
            writeStatus = status;
        }
        if (--partsInFlight > 0) {
            return;
        }
        writing = false;
        if (writeStatus < 0) {
            store.health().fail("a write of the log", writeStatus);
            return;
        }
        int buffer = queue[0];
        queued--;
        System.arraycopy(queue, 1, queue, 0, queued);
        durableGroup = lastGroups[buffer];
        freeBuffers[freeCount++] = buffer;
        takeBuffer();
        store.logHasRoom();
    }

    // --- state

    boolean isIdle() {
        return !writing;
    }

    /** Nothing is written, sealed or filled. */
    boolean isEmpty() {
        return !writing && queued == 0 && fillGroups == 0;
    }

    long endedGroup() {
        return endedGroup;
    }

    long sealedGroup() {
        return sealedGroup;
    }

    long durableGroup() {
        return durableGroup;
    }

    long nextSequence() {
        return nextSequence;
    }

    long head() {
        return head;
    }

    long tail() {
        return tail;
    }

    int chain() {
        return chain;
    }

    void trim(long newTail) {
        tail = newTail;
    }

    long usedBlocks() {
        return head - tail + (filling != NONE && fillGroups > 0 ? LogRecord.blocks(fillBytes) : 0);
    }

    /** The gap that {@link Throttle} is to put between changes, by how full the ring and the buffers are. */
    long gapNs() {
        long filled = filling == NONE ? 0 : fillBytes;
        long inRing = (head - tail) * BlobStore.BLOCK_SIZE + filled;
        long ringBytes = ringBlocks * BlobStore.BLOCK_SIZE;
        long gap = Throttle.gapNs(inRing, ringBytes / 2, ringBytes - recordBytes, groupBytes);
        long buffered = (long) (filling == NONE ? BUFFERS : queued) * recordBytes + filled;
        return Math.max(
                gap,
                Throttle.gapNs(buffered, BUFFERS * 3L / 8 * recordBytes, (BUFFERS - 1L) * recordBytes, groupBytes));
    }

    long ringBlocks() {
        return ringBlocks;
    }

    private final class PartIo extends BlockIo {
        PartIo(StoreMemory memory) {
            iovecsAddress = memory.allocate(Iovecs.IOVEC_SIZE);
            iovecCount = 1;
        }

        void start(long block, long address, int blocks) {
            operation = WRITE;
            flags = forceUnitAccess ? FLAG_FUA : 0;
            offsetBytes = block * BlobStore.BLOCK_SIZE;
            lengthBytes = (long) blocks * BlobStore.BLOCK_SIZE;
            Iovecs.set(iovecsAddress, 0, address, lengthBytes);
            int status = store.submit(this);
            if (status != BlockChannel.PENDING) {
                finishPart(status);
            }
        }

        @Override
        public void onComplete(int status) {
            finishPart(status);
        }
    }
}

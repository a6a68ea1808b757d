package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.blobstore.StoreException.Kind;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Opens a store: superblock, newest checkpoint, bitmaps, log.
 *
 * <p>Invariant: what the store holds afterwards is the checkpoint plus the longest valid prefix of the log records after
 * it. Nothing is written before the log has been replayed, but for a root slot's copy that a crash left behind and, when
 * the cache is too small for all of the log's changes, checkpoints at record boundaries. Time depends on the sizes of
 * device and log, not on what is stored. Control threads.
 */
final class Recovery {
    private static final Logger LOG = LoggerFactory.getLogger(Recovery.class);

    /** Largest records' worth of the ring that is searched for what should not be there: at most 8 MiB. */
    private static final int RECORDS_SEARCHED = 8;

    private final BlockDevice device;
    private final StoreOptions options;
    private final BlockingIo io;
    private final StoreMemory memory;
    private final Crc32c crc32c = new Crc32c();
    private final long block;

    private Recovery(BlockDevice device, StoreOptions options, BlockingIo io, StoreMemory memory) {
        this.device = device;
        this.options = options;
        this.io = io;
        this.memory = memory;
        block = memory.allocate(BlobStore.BLOCK_SIZE);
    }

    /**
     * Opens a store.
     *
     * @param withLog whether the log is replayed; without it the store must only be looked at
     * @param onDamage hears of every node found damaged, from now on
     */
    static BlobStore open(BlockDevice device, StoreOptions options, boolean withLog, Consumer<String> onDamage) {
        try (BlockingIo io = new BlockingIo(device);
                StoreMemory memory = new StoreMemory(LogRecord.MAX_BYTES + (1 << 18))) {
            return new Recovery(device, options, io, memory).open(withLog, onDamage);
        } catch (BlockDeviceException e) {
            throw new StoreException(Kind.IO, String.valueOf(e.getMessage()));
        }
    }

    /** Blocks that the newest checkpoint covers. Changes nothing. */
    static long coveredBlocks(BlockDevice device) {
        try (BlockingIo io = new BlockingIo(device);
                StoreMemory memory = new StoreMemory(BlobStore.BLOCK_SIZE)) {
            Recovery recovery = new Recovery(device, StoreOptions.DEFAULT.withReadOnly(), io, memory);
            return recovery.readRootSlot(recovery.readSuperblock()).totalBlocks;
        } catch (BlockDeviceException e) {
            throw new StoreException(Kind.IO, String.valueOf(e.getMessage()));
        }
    }

    private BlobStore open(boolean withLog, Consumer<String> onDamage) {
        Superblock superblock = readSuperblock();
        RootSlot slot = readRootSlot(superblock);
        Reactor reactor = device.newBlockingReactor("opening the store on " + device.name());
        BlobStore store = new BlobStore(device, superblock, slot.totalBlocks, options, reactor);
        boolean opened = false;
        try {
            store.health().onDamage(onDamage);
            store.attach();
            loadRoot(store, slot);
            loadBitmaps(store);
            new Replay(device, store, superblock, io, memory, crc32c).run(slot, withLog);
            if (!options.readOnly()) {
                store.space().endLoading();
                store.cache().noteNodesRead();
            }
            opened = true;
            return store;
        } finally {
            if (!opened) {
                store.abandon();
            }
        }
    }

    private void readBlock(long number) {
        io.read(number * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
    }

    private Superblock readSuperblock() {
        long deviceBlocks = device.capacityBytes() / BlobStore.BLOCK_SIZE;
        if (deviceBlocks < Superblock.MIN_BLOCKS) {
            throw new StoreException(Kind.NOT_A_STORE, device.name() + " is too small to hold a store");
        }
        readBlock(Superblock.PRIMARY_BLOCK);
        boolean ours = Superblock.hasMagic(block);
        String error = Superblock.error(block, Superblock.PRIMARY_BLOCK, deviceBlocks, crc32c);
        if (error != null) {
            readBlock(Superblock.COPY_BLOCK);
            ours |= Superblock.hasMagic(block);
            if (Superblock.error(block, Superblock.COPY_BLOCK, deviceBlocks, crc32c) != null) {
                throw noSuperblock(ours, error);
            }
            LOG.warn("{}: block {} {}; its copy is used", device.name(), Superblock.PRIMARY_BLOCK, error);
        }
        Superblock superblock = Superblock.decode(block);
        if (superblock.incompat() != 0 || (superblock.roCompat() != 0 && !options.readOnly())) {
            throw new StoreException(
                    Kind.UNSUPPORTED,
                    device.name() + " uses features that this version does not know (incompatible bits 0x"
                            + Long.toHexString(superblock.incompat()) + ", read-only compatible bits 0x"
                            + Long.toHexString(superblock.roCompat()) + "); use the version that made it");
        }
        return superblock;
    }

    private StoreException noSuperblock(boolean ours, String error) {
        return ours
                ? new StoreException(
                        Kind.DAMAGED,
                        device.name() + ": block " + Superblock.PRIMARY_BLOCK + " " + error + ", and its copy in block "
                                + Superblock.COPY_BLOCK + " is no better")
                : new StoreException(
                        Kind.NOT_A_STORE, device.name() + " holds no store of ours; make one with: vhostfs mkfs");
    }

    private RootSlot readRootSlot(Superblock superblock) {
        RootSlots slots = new RootSlots(io, superblock, block);
        StringBuilder errors = new StringBuilder();
        for (int i = 0; i < RootSlot.BLOCKS; i++) {
            String error = slots.error(i);
            if (error != null) {
                errors.append("; block ")
                        .append(RootSlots.number(i))
                        .append(' ')
                        .append(error);
            }
        }
        RootSlot chosen = slots.choose();
        if (chosen == null) {
            throw new StoreException(
                    Kind.DAMAGED, device.name() + ": no root slot can be trusted" + errors + "; run vhostfs fsck");
        }
        long deviceBlocks = device.capacityBytes() / BlobStore.BLOCK_SIZE;
        if (chosen.totalBlocks > deviceBlocks) {
            throw new StoreException(
                    Kind.DAMAGED,
                    device.name() + ": the store covers " + chosen.totalBlocks + " blocks, but the device has only "
                            + deviceBlocks + "; give the device its size back");
        }
        if (!options.readOnly()) {
            slots.mendTwins(number ->
                    LOG.info("{}: block {} of the root slots was written from its twin", device.name(), number));
        }
        return chosen;
    }

    /** Reads the root node, and makes it the tree's. */
    static void loadRoot(BlobStore store, RootSlot slot) {
        int frame = store.cache().load(slot.rootBlock, slot.rootGeneration, slot.rootCrc, slot.rootLevel, 0, 0, -1, -1);
        store.driveUntil(() -> store.cache().state(frame) != NodeCache.READING);
        if (store.cache().state(frame) != NodeCache.CLEAN) {
            throw new StoreException(
                    Kind.DAMAGED, store.deviceName() + ": the root node at block " + slot.rootBlock + " is damaged");
        }
        Tree tree = store.tree();
        tree.rootFrame = frame;
        tree.rootLevel = slot.rootLevel;
        tree.rootCrc = slot.rootCrc;
        if (slot.rootLevel == 0) {
            store.cache().setFences(frame, 0, 0, -1, -1);
        }
        store.space().setNodeCursor(slot.rootBlock);
    }

    private void loadBitmaps(BlobStore store) {
        SpaceMap space = store.space();
        long k1 = BlobStore.spaceKey(0);
        while (true) {
            int status = store.ceiling(0, k1);
            if (status == BlobStore.NOT_RESIDENT) {
                awaitNode(store);
                continue;
            }
            if (status < 0) {
                throw new StoreException(
                        Kind.DAMAGED,
                        device.name() + ": the map of free space cannot be read: " + store.damageText()
                                + "; run vhostfs fsck");
            }
            if (status == BlobStore.NOT_FOUND || !BlobStore.isSpaceKey(store.foundK0, store.foundK1)) {
                break;
            }
            int group = BlobStore.groupOfSpaceKey(store.foundK1);
            if (group < 0
                    || group >= space.groups()
                    || store.foundK1 != BlobStore.spaceKey(group)
                    || store.valueLength != SpaceMap.BITMAP_BYTES) {
                throw new StoreException(
                        Kind.DAMAGED, device.name() + ": the map of free space has an item for group " + group);
            }
            space.load(group, store.valueAddress);
            k1 = store.foundK1 + 1;
        }
        long unused = space.firstUnused(store.superblock().firstDataBlock());
        if (unused >= 0) {
            throw new StoreException(
                    Kind.DAMAGED,
                    device.name() + ": the map of free space says that block " + unused
                            + ", which belongs to the store itself, is free; run vhostfs fsck");
        }
    }

    static void awaitNode(BlobStore store) {
        Woken woken = new Woken();
        store.park(woken);
        store.driveUntil(() -> woken.done);
    }

    private static final class Woken extends BlobStore.Parkable {
        private boolean done;

        @Override
        public void unpark() {
            done = true;
        }
    }

    /** The second part: the log. */
    private static final class Replay {
        private final BlockDevice device;
        private final BlobStore store;
        private final Superblock superblock;
        private final BlockingIo io;
        private final LogRing ring;
        private final Crc32c crc32c;
        private final long record;
        private final int recordBytes;

        Replay(
                BlockDevice device,
                BlobStore store,
                Superblock superblock,
                BlockingIo io,
                StoreMemory memory,
                Crc32c crc32c) {
            this.device = device;
            this.store = store;
            this.superblock = superblock;
            this.io = io;
            ring = new LogRing(io, superblock);
            this.crc32c = crc32c;
            recordBytes = Log.recordBytes(superblock.logBlocks());
            record = memory.allocate(recordBytes);
        }

        void run(RootSlot slot, boolean withLog) {
            long epoch = slot.epoch;
            long sequence = slot.logSequence;
            long position = slot.logPosition;
            int chain = slot.logChain;
            // Blocks that a later record uses must not be taken for nodes while an earlier one is applied.
            while (withLog && read(position, sequence, chain, slot)) {
                epoch = Math.max(epoch, LogRecord.epoch(record));
                reserveUsed();
                position += LogRecord.blocks(LogRecord.length(record));
                chain = LogRecord.crc(record);
                sequence++;
            }
            if (withLog) {
                checkThatNothingFollows(position, sequence, slot);
                noteTornRecord(position, sequence);
            }
            if (device.hasVolatileCache() && !store.isReadOnly()) {
                // What was just read may be in the device's cache only; it is about to be built upon.
                io.flush();
            }
            store.beginReplay(slot, epoch + 1);
            apply(slot, sequence);
            store.endReplay();
        }

        /**
         * A record is only written when the one before it is durable. So where the log ends for want of a valid record, but
         * a later one is there, no crash did it, and changes that were promised to last would be lost. Records that the ring
         * held before have lower numbers.
         */
        private void checkThatNothingFollows(long end, long sequence, RootSlot slot) {
            int chunk = LogRecord.blocks(recordBytes);
            long ringEnd = slot.logPosition + superblock.logBlocks();
            long limit = Math.min(end + (long) RECORDS_SEARCHED * chunk, ringEnd);
            for (long at = end; at < limit; at += chunk) {
                int blocks = (int) Math.min(chunk, limit - at);
                ring.read(at, record, blocks);
                for (int i = 0; i < blocks; i++) {
                    if (at + i > end && isLater(record + (long) i * BlobStore.BLOCK_SIZE, sequence)) {
                        if (follows(at + i, sequence, slot)) {
                            throw damaged(
                                    end,
                                    "is damaged, though a later one is there: changes that were committed are lost");
                        }
                        ring.read(at, record, blocks);
                    }
                }
            }
        }

        private boolean isLater(long block, long sequence) {
            return LogRecord.sequence(block) > sequence
                    && LogRecord.isHeaderOf(
                            block, superblock.uuid(), LogRecord.sequence(block), LogRecord.chain(block), recordBytes);
        }

        private boolean follows(long position, long sequence, RootSlot slot) {
            ring.read(position, record, 1);
            return isLater(record, sequence)
                    && read(position, LogRecord.sequence(record), LogRecord.chain(record), slot);
        }

        /** Whether a crash tore the record behind the last valid one cannot be told from damage: it is worth a word. */
        private void noteTornRecord(long end, long sequence) {
            ring.read(end, record, 1);
            if (Memory.getInt(record) == LogRecord.MAGIC
                    && Memory.getLong(record + LogRecord.UUID_OFFSET)
                            == superblock.uuid().getMostSignificantBits()
                    && LogRecord.sequence(record) == sequence) {
                String text = "the log ends with an incomplete record at block " + ring.block(end)
                        + ", as a crash in the middle of its write leaves it; what it held was not yet promised to last";
                store.noteTornRecord(text);
                LOG.info("{}: {}", device.name(), text);
            }
        }

        private void apply(RootSlot slot, long endSequence) {
            long position = slot.logPosition;
            int chain = slot.logChain;
            for (long sequence = slot.logSequence; sequence < endSequence; sequence++) {
                if (!read(position, sequence, chain, slot)) {
                    throw damaged(position, "has changed since it was read a moment ago");
                }
                store.makeRoomForReplay(LogRecord.entryCount(record));
                applyEntries(position);
                position += LogRecord.blocks(LogRecord.length(record));
                chain = LogRecord.crc(record);
                long lastGroup = LogRecord.firstGroup(record) + LogRecord.groupCount(record) - 1;
                store.noteReplayed(sequence + 1, position, chain, lastGroup);
            }
            if (endSequence > slot.logSequence) {
                LOG.info("{}: {} log records replayed", device.name(), endSequence - slot.logSequence);
            }
        }

        /** Reads the record expected at a position; false when there is none, which is where the log ends. */
        private boolean read(long position, long sequence, int chain, RootSlot slot) {
            if (position - slot.logPosition >= superblock.logBlocks()) {
                return false;
            }
            ring.read(position, record, 1);
            if (!LogRecord.isHeaderOf(record, superblock.uuid(), sequence, chain, recordBytes)) {
                return false;
            }
            int blocks = LogRecord.blocks(LogRecord.length(record));
            if (position - slot.logPosition + blocks > superblock.logBlocks()) {
                return false;
            }
            if (blocks > 1) {
                ring.read(position + 1, record + BlobStore.BLOCK_SIZE, blocks - 1);
            }
            if (!LogRecord.hasValidChecksum(record, crc32c)) {
                return false;
            }
            String error = LogRecord.entriesError(record, slot.totalBlocks);
            if (error != null) {
                throw damaged(position, error);
            }
            return true;
        }

        private StoreException damaged(long position, String error) {
            return new StoreException(
                    Kind.DAMAGED, device.name() + ": the log record at block " + ring.block(position) + " " + error);
        }

        private void reserveUsed() {
            LogRecord.forEach(record, (type, entry, length) -> {
                if (type == LogRecord.USED) {
                    store.space().markBusy(Memory.getLong(entry + LogRecord.ENTRY_K0_OFFSET), length);
                }
            });
        }

        private void applyEntries(long position) {
            LogRecord.forEach(record, this::applyEntry);
            String contradiction = store.space().contradiction();
            if (contradiction != null) {
                throw damaged(position, "contradicts what it follows: " + contradiction);
            }
        }

        private void applyEntry(int type, long entry, int length) {
            long k0 = Memory.getLong(entry + LogRecord.ENTRY_K0_OFFSET);
            switch (type) {
                case LogRecord.PUT -> {
                    long k1 = Memory.getLong(entry + LogRecord.ENTRY_K1_OFFSET);
                    prepare(k0, k1, length);
                    store.tree().put(k0, k1, entry + LogRecord.KEY_ENTRY_SIZE, length);
                }
                case LogRecord.DELETE -> {
                    long k1 = Memory.getLong(entry + LogRecord.ENTRY_K1_OFFSET);
                    prepare(k0, k1, 0);
                    store.tree().delete(k0, k1);
                }
                case LogRecord.USED -> store.space().markUsed(k0, length);
                default -> store.space().free(k0, length);
            }
            store.tree().forgetPrepared();
        }

        private void prepare(long k0, long k1, int valueBytes) {
            int status = store.prepareReplay(k0, k1, valueBytes);
            while (status == BlobStore.NOT_RESIDENT) {
                awaitNode(store);
                status = store.prepareReplay(k0, k1, valueBytes);
            }
            if (status < 0) {
                throw new StoreException(
                        status == -Errno.EIO ? Kind.DAMAGED : Kind.UNUSABLE,
                        device.name() + ": the log cannot be replayed: " + explain(store, status));
            }
        }

        private static String explain(BlobStore store, int status) {
            return switch (status) {
                case -Errno.EIO -> store.damageText() + "; run vhostfs fsck";
                case -Errno.ENOMEM -> "reading only, its changes must fit into the metadata cache, which is too small";
                case -Errno.ENOSPC -> "no space is free for the tree nodes that it changes";
                default -> Errno.name(status);
            };
        }
    }
}

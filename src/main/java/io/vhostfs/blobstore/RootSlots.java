package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.memory.Crc32c;
import org.jspecify.annotations.Nullable;

/**
 * The blocks of both root slots as they are on a device.
 *
 * <p>Invariant: a block counts when it is a whole root slot of this store in its own place, and only {@link #mendTwins} and
 * {@link #write} change the device. Control threads.
 */
final class RootSlots {
    interface BlockSink {
        void block(long number);
    }

    private final BlockingIo io;
    private final Superblock superblock;
    private final Crc32c crc32c = new Crc32c();
    private final long block;

    /** Slot 0, slot 1, copy 0, copy 1: what is whole, and what is wrong with the others. */
    private final @Nullable RootSlot[] valid = new @Nullable RootSlot[RootSlot.BLOCKS];

    private final @Nullable String[] errors = new @Nullable String[RootSlot.BLOCKS];

    /** Reads them. {@code block} is the address of {@link BlobStore#BLOCK_SIZE} bytes, also for what is written later. */
    RootSlots(BlockingIo io, Superblock superblock, long block) {
        this.io = io;
        this.superblock = superblock;
        this.block = block;
        for (int i = 0; i < RootSlot.BLOCKS; i++) {
            errors[i] = read(i);
        }
    }

    static long number(int i) {
        return RootSlot.FIRST_BLOCK + i;
    }

    private static int twin(int i) {
        return (i + RootSlot.COPY_DISTANCE) % RootSlot.BLOCKS;
    }

    private @Nullable String read(int i) {
        try {
            io.read(number(i) * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
        } catch (BlockDeviceException e) {
            return "cannot be read: " + e.getMessage();
        }
        String error = RootSlot.error(block, number(i), superblock, crc32c);
        if (error == null) {
            valid[i] = RootSlot.decode(block, i % RootSlot.COPY_DISTANCE);
        }
        return error;
    }

    /** What is wrong with a block, given its twin; null when nothing is. */
    @Nullable
    String error(int i) {
        RootSlot own = valid[i];
        RootSlot twin = valid[twin(i)];
        return own != null && twin != null && own.epoch < twin.epoch
                ? "is of checkpoint " + own.epoch + ", its copy of " + twin.epoch
                : errors[i];
    }

    /** Whether neither block of a slot is whole. */
    boolean isLost(int index) {
        return valid[index] == null && valid[twin(index)] == null;
    }

    /** The newest of the valid blocks, sound or not; null when there is none. */
    @Nullable
    RootSlot newest() {
        RootSlot newest = null;
        for (RootSlot slot : valid) {
            newest = slot != null && (newest == null || slot.epoch > newest.epoch) ? slot : newest;
        }
        return newest;
    }

    /**
     * The newest checkpoint; null when none may be used.
     *
     * <p>When is a checkpoint older than the last one a sound state? As long as nothing it refers to was overwritten:
     * blocks freed by the last checkpoint, and log records that it made superfluous, are given free only when both its
     * slot and the copy are durable. A crash can tear one block at a time, so when a slot's first block is torn its copy
     * is still the valid one of two checkpoints ago; and then nothing was given free, and the other slot is sound. When
     * both blocks of a slot are damaged no crash did it: the slot may have held the last checkpoint, and the other slot
     * must not be used. The same holds after a mount, for that writes twins that differ before anything else.
     */
    @Nullable
    RootSlot choose() {
        for (int index = 0; index < RootSlot.COPY_DISTANCE; index++) {
            if (isLost(index)) {
                return null;
            }
        }
        return newest();
    }

    /**
     * The one of the four blocks that a crash may have left torn or old; -1 when a crash explains nothing. With checkpoint
     * {@code e} on its way to a slot, the other slot holds {@code e - 1} in both blocks; the slot's first block is torn
     * while the copy is older than that, or the first block holds {@code e} and the copy is torn or older.
     */
    int tornByCrash() {
        for (int index = 0; index < RootSlot.COPY_DISTANCE; index++) {
            RootSlot primary = valid[index];
            RootSlot copy = valid[index + RootSlot.COPY_DISTANCE];
            RootSlot other = valid[1 - index];
            RootSlot otherCopy = valid[1 - index + RootSlot.COPY_DISTANCE];
            if (other == null || otherCopy == null || other.epoch != otherCopy.epoch) {
                continue;
            }
            if (primary == null && copy != null && copy.epoch <= other.epoch) {
                return index;
            }
            boolean copyIsOld = primary != null && (copy == null || copy.epoch < primary.epoch);
            if (copyIsOld && primary.epoch >= other.epoch) {
                return index + RootSlot.COPY_DISTANCE;
            }
        }
        return -1;
    }

    /**
     * Writes every block that is damaged, or older than its twin, from its twin, so that what {@link #choose} builds upon
     * holds for the next crash, too. Tells which blocks were written.
     */
    void mendTwins(BlockSink written) {
        for (int i = 0; i < RootSlot.BLOCKS; i++) {
            RootSlot twin = valid[twin(i)];
            if (twin != null && error(i) != null) {
                write(twin, i);
                written.block(number(i));
            }
        }
    }

    void write(RootSlot slot, int i) {
        slot.encode(block, number(i), superblock.uuid(), crc32c);
        io.writeDurably(number(i) * BlobStore.BLOCK_SIZE, block, BlobStore.BLOCK_SIZE);
        valid[i] = slot;
        errors[i] = null;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreEditor;
import io.vhostfs.blobstore.StoreMender;
import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;

/**
 * Puts the items of a file system in order after parts of it were lost.
 *
 * <p>Invariant: what could be read before is the same afterwards; what is gone, or reads as zeroes because its extents are
 * gone, is reported with its inode and its path. Inodes whose own item is lost are made anew when other items of theirs are
 * there; inodes that nothing names go to {@code /lost+found} as {@code #INODE}.
 *
 * <p>Passes over all items: which inodes there are; what names them; inodes without their own item; each item by itself;
 * then what hangs from nothing, and counts. Keeps about 80 bytes per inode, and the names of directories when something was
 * lost. Repairing thread.
 */
public final class BlobFsRepair implements StoreMender {
    private final RepairReporter reporter;
    private final long nowNs;

    public BlobFsRepair(RepairReporter reporter, long nowNs) {
        this.reporter = reporter;
        this.nowNs = nowNs;
    }

    @Override
    public void blocksOf(long k0, long k1, long valueAddress, int valueLength, long totalBlocks, BlockSink sink) {
        if (k0 != Items.SYSTEM
                && Items.type(k1) == Items.TYPE_EXTENT
                && Items.isExtent(valueAddress, valueLength, totalBlocks)) {
            sink.use(
                    Memory.getLong(valueAddress + Items.EXTENT_BLOCK_OFFSET),
                    Memory.getInt(valueAddress + Items.EXTENT_LENGTH_OFFSET));
        }
    }

    @Override
    public void mend(StoreEditor editor) {
        try (Arena arena = Arena.ofConfined()) {
            RepairItems items = new RepairItems(editor, reporter, nowNs, arena);
            RepairLosses losses = new RepairLosses(items);
            RepairHeader header = new RepairHeader(items);
            RepairShared shared = new RepairShared(items);
            RepairInodes inodes = new RepairInodes(items, losses);
            header.checkFeatures();
            if (editor.isGuessed()) {
                new RepairConflicts(items, losses).drop();
            }
            boolean madeAnew = inodes.mend();
            new RepairValues(items, losses, header, shared).mend();
            header.mend(inodes.lastNumber());
            shared.mend();
            new RepairTree(items, header).mend();
            new RepairQuotas(items, losses).mend(madeAnew);
            header.store();
            losses.tell();
        }
    }
}

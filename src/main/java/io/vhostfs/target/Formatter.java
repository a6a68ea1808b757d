package io.vhostfs.target;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockingIo;
import io.vhostfs.blobfs.BlobFs;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.FormatOptions;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.util.concurrent.TimeUnit;

/** Makes file systems on block devices. Control threads only: everything here blocks. */
public final class Formatter {
    /** Partition tables, boot sectors and every file system's superblock that we know of lie within it. */
    private static final int SIGNATURE_BYTES = 1 << 20;

    private static final int ALIGNMENT = 4096;

    private Formatter() {}

    /** Whether the start of the device is all zeroes, so that nothing is lost by formatting it. */
    public static boolean holdsNothing(BlockDevice device) {
        long length = Math.min(SIGNATURE_BYTES, device.capacityBytes());
        try (Arena arena = Arena.ofConfined();
                BlockingIo io = new BlockingIo(device)) {
            long address = arena.allocate(length, ALIGNMENT).address();
            long zeroes = arena.allocate(length, ALIGNMENT).address();
            io.read(0, address, length);
            return Memory.mismatch(address, zeroes, length) < 0;
        }
    }

    /** Makes an empty file system; what was on the device is lost. */
    public static void format(BlockDevice device, String label) {
        long nowNs = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis());
        BlobStore.format(device, FormatOptions.random(label, nowNs));
        BlobStore store = BlobStore.open(device, StoreOptions.DEFAULT);
        BlobFs.format(store, nowNs, 0, 0);
        store.closeBlocking();
    }
}

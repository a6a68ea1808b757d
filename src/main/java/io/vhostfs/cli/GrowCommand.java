package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs grow}: lets a store cover all of its device, by itself or by the target that serves it. */
@Command(
        name = "grow",
        description = {
            "Let a store cover all of its device, after that has become larger.",
            "A target that serves the store notices by itself that the device is larger; then this command enlarges the",
            "file, if there is a size=, and waits until the target has followed."
        },
        footer = {
            "",
            "Examples:",
            "  vhostfs grow file:/srv/store,size=200G     enlarge the file to 200 GiB, then the store",
            "  lvextend -L 200G vg/store && vhostfs grow file:/dev/vg/store"
        })
final class GrowCommand implements Callable<Integer> {
    /** A target looks every second and then writes a checkpoint. */
    private static final long FOLLOW_LIMIT_NS = TimeUnit.SECONDS.toNanos(30);

    private static final long LOOK_INTERVAL_MS = 100;

    @Parameters(
            paramLabel = "BDEV",
            description = "file:PATH[,size=SIZE][,direct=on]; a regular file is enlarged to that size first.")
    private String device = "";

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() throws InterruptedException {
        BlockDeviceSpec wanted = BlockDeviceSpec.parse(device);
        if (wanted instanceof BlockDeviceSpec.Malloc) {
            throw new CliException(ExitCodes.USAGE, device + ": a store in memory keeps the size it was started with");
        }
        if (!(wanted instanceof BlockDeviceSpec.FilePath)) {
            growAlone(wanted);
            return ExitCodes.OK;
        }
        // What holds no store stays as it is.
        long before = coveredBlocks(wanted);
        BlockDevices.enlarge(wanted);
        try {
            growAlone(wanted);
        } catch (BlockDeviceException e) {
            if (e.kind() != BlockDeviceException.Kind.BUSY) {
                throw e;
            }
            say(before, awaitTarget(wanted, before, e), " by the target that serves it");
        }
        return ExitCodes.OK;
    }

    private static long coveredBlocks(BlockDeviceSpec wanted) {
        try (BlockDevice look = BlockDevices.openToLook(wanted)) {
            return BlobStore.coveredBlocks(look);
        }
    }

    private void say(long before, long blocks, String byWhom) {
        PrintWriter out = spec.commandLine().getOut();
        out.printf("%s: grown from %s to %s%s%n", device, size(before), size(blocks), byWhom);
        out.flush();
    }

    private static String size(long blocks) {
        return BlockDeviceSpec.formatSize(blocks * BlobStore.BLOCK_SIZE);
    }

    private void growAlone(BlockDeviceSpec wanted) {
        try (BlockDevice opened = BlockDevices.open(wanted, false)) {
            BlobStore store = BlobStore.open(opened, StoreOptions.DEFAULT);
            boolean grown = false;
            try {
                long before = store.totalBlocks();
                store.growBlocking(opened.capacityBytes() / BlobStore.BLOCK_SIZE);
                long blocks = store.totalBlocks();
                store.closeBlocking();
                grown = true;
                say(before, blocks, "");
            } finally {
                if (!grown) {
                    store.abandon();
                }
            }
        }
    }

    /** Waits until the store of a device that a target has open covers it all; returns its blocks. */
    private long awaitTarget(BlockDeviceSpec wanted, long before, BlockDeviceException busy)
            throws InterruptedException {
        try (BlockDevice look = BlockDevices.openToLook(wanted)) {
            long blocks = look.capacityBytes() / BlobStore.BLOCK_SIZE;
            if (blocks <= before) {
                throw new CliException(
                        ExitCodes.USAGE,
                        device + ": the store covers " + size(before)
                                + " and the device has no more; enlarge it first");
            }
            long deadlineNs = System.nanoTime() + FOLLOW_LIMIT_NS;
            while (covered(look, before) < blocks) {
                if (System.nanoTime() > deadlineNs) {
                    throw new CliException(
                            ExitCodes.CANNOT_CREATE,
                            busy.getMessage() + "; if that is a target, its log says why the store does not grow");
                }
                TimeUnit.MILLISECONDS.sleep(LOOK_INTERVAL_MS);
            }
            return blocks;
        }
    }

    /** A root slot that is being written may be read in halves; the next look is better. */
    private static long covered(BlockDevice look, long before) {
        try {
            return BlobStore.coveredBlocks(look);
        } catch (StoreException e) {
            return before;
        }
    }
}

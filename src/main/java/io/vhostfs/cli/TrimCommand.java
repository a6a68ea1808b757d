package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs trim}: tells the device of every free block of a store that no target serves. */
@Command(
        name = "trim",
        description = {
            "Tell the device of all free blocks of a store, so that a sparse file shrinks and a disk can trim.",
            "No target may serve it; one that was started with discard=on does it as it goes."
        })
final class TrimCommand implements Callable<Integer> {
    @Parameters(paramLabel = "BDEV", description = "file:PATH[,direct=on]")
    private String device = "";

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        try (BlockDevice opened = BlockDevices.open(BlockDeviceSpec.parse(device), false)) {
            BlobStore store = BlobStore.open(opened, StoreOptions.DEFAULT);
            boolean closed = false;
            try {
                long blocks = store.trimBlocking();
                store.closeBlocking();
                closed = true;
                out.printf("%s: %s discarded%n", device, BlockDeviceSpec.formatSize(blocks * BlobStore.BLOCK_SIZE));
            } finally {
                if (!closed) {
                    store.abandon();
                }
            }
        }
        out.flush();
        return ExitCodes.OK;
    }
}

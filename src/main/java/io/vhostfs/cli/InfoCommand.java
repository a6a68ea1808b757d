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

/** {@code vhostfs info}: shows a store without changing it. */
@Command(name = "info", description = "Show the store on a block device; nothing is changed.")
final class InfoCommand implements Callable<Integer> {
    private static final double PERCENT = 100.0;

    @Parameters(paramLabel = "BDEV", description = "file:PATH[,direct=on] or nvme:PCI-ADDRESS[,nsid=N]")
    private String device = "";

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        try (BlockDevice opened = BlockDevices.open(BlockDeviceSpec.parse(device), false)) {
            BlobStore store = BlobStore.open(opened, StoreOptions.DEFAULT.withReadOnly());
            try {
                print(out, opened, store);
            } finally {
                store.abandon();
            }
        }
        out.flush();
        return ExitCodes.OK;
    }

    private void print(PrintWriter out, BlockDevice opened, BlobStore store) {
        long total = store.totalBlocks();
        long used = store.usedBlocks();
        out.printf("device        %s%n", opened.name());
        out.printf("uuid          %s%n", store.uuid());
        out.printf("label         %s%n", store.label().isEmpty() ? "-" : store.label());
        out.printf("size          %s%n", BlockDeviceSpec.formatSize(total * BlobStore.BLOCK_SIZE));
        out.printf(
                "used          %s (%.1f %%)%n",
                BlockDeviceSpec.formatSize(used * BlobStore.BLOCK_SIZE), used * PERCENT / total);
        out.printf("tree          %d nodes, %d levels%n", store.treeNodes(), store.treeHeight());
        out.printf("block size    %d, device's %d%n", BlobStore.BLOCK_SIZE, opened.blockSize());
        out.printf("write cache   %s%n", opened.hasVolatileCache() ? "volatile" : "none");
        out.printf("atomic write  %d bytes%n", opened.atomicWriteBytes());
    }
}

package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.FileSystemVisitor;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreReporter;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs fsck}: checks every structure and checksum of a store, read-only. */
@Command(
        name = "fsck",
        description = "Check every structure and checksum of a store; nothing is changed.",
        footer = {"", "Exit code 0: clean; 4: errors were found; 65: there is no store."})
final class FsckCommand implements Callable<Integer> {
    private static final int PERCENT = 100;

    @Parameters(paramLabel = "BDEV", description = "file:PATH[,direct=on]")
    private String device = "";

    @Option(
            names = {"-q", "--quiet"},
            description = "Print errors only.")
    private boolean quiet;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        try (BlockDevice opened = BlockDevices.open(BlockDeviceSpec.parse(device), false)) {
            FileSystemVisitor files = new FileSystemVisitor();
            long problems =
                    BlobStore.check(opened, new Reporter(out, spec.commandLine().getErr()), files);
            if (problems > 0) {
                out.printf("%s: %d errors%n", device, problems);
                return ExitCodes.FSCK_ERRORS;
            }
            if (!quiet) {
                out.printf("%s: clean, %d inodes%n", device, files.inodeCount());
            }
            return ExitCodes.OK;
        } finally {
            out.flush();
        }
    }

    private final class Reporter implements StoreReporter {
        private final PrintWriter out;
        private final PrintWriter err;
        private long shownPercent;

        Reporter(PrintWriter out, PrintWriter err) {
            this.out = out;
            this.err = err;
        }

        @Override
        public void problem(String text) {
            out.println("error: " + text);
        }

        @Override
        public void remark(String text) {
            if (!quiet) {
                out.println("note: " + text);
            }
        }

        @Override
        public void progress(long doneBlocks, long usedBlocks) {
            long percent = usedBlocks == 0 ? PERCENT : doneBlocks * PERCENT / usedBlocks;
            boolean show = !quiet && percent >= shownPercent + PERCENT / 10;
            if (show) {
                shownPercent = percent;
                err.println("fsck: " + percent + " % of the blocks in use");
                err.flush();
            }
        }
    }
}

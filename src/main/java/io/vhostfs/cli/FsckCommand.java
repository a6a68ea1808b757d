package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.BlobFsRepair;
import io.vhostfs.blobfs.FileSystemVisitor;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs fsck}: checks every structure and checksum of a store, and puts right what can be put right. */
@Command(
        name = "fsck",
        description = "Check every structure and checksum of a store; nothing is changed without --repair.",
        footer = {
            "",
            "Exit code 0: clean; 1: errors were found and put right; 4: errors are left;",
            "8: the repair could do nothing; 65: there is no store."
        })
final class FsckCommand implements Callable<Integer> {
    private static final int PERCENT = 100;

    @Parameters(paramLabel = "BDEV", description = "file:PATH[,direct=on] or nvme:PCI-ADDRESS[,nsid=N]")
    private String device = "";

    @Option(
            names = {"-q", "--quiet"},
            description = "Print errors only.")
    private boolean quiet;

    @Option(
            names = "--repair",
            description = {
                "Put right what can be put right, and say what is lost. Inodes without a name go to",
                "/lost+found. A power cut in between leaves the store as it was."
            })
    private boolean repair;

    @Option(
            names = "--meta-cache",
            paramLabel = "SIZE",
            description = {
                "Memory for the nodes of the tree in a repair, from 4M to 64G; more is taken when the log needs it.",
                "Default: 64M."
            })
    private @Nullable String metaCache;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        StoreOptions options = options();
        try (BlockDevice opened = BlockDevices.open(BlockDeviceSpec.parse(device), false)) {
            int result = check(opened, out, err);
            if (result == ExitCodes.FSCK_ERRORS && repair) {
                return repair(opened, options, out, err);
            }
            return result;
        } finally {
            out.flush();
        }
    }

    private StoreOptions options() {
        try {
            return StoreOptions.DEFAULT.withMetaCacheBytes(MetaCacheSize.parse(metaCache));
        } catch (IllegalArgumentException e) {
            throw new CliException(ExitCodes.USAGE, "--meta-cache: " + e.getMessage());
        }
    }

    private int check(BlockDevice opened, PrintWriter out, PrintWriter err) {
        FileSystemVisitor files = new FileSystemVisitor();
        long problems = BlobStore.check(opened, new Reporter(out, err), files);
        if (problems > 0) {
            out.printf("%s: %d errors%n", device, problems);
            return ExitCodes.FSCK_ERRORS;
        }
        if (!quiet) {
            out.printf("%s: clean, %d inodes%n", device, files.inodeCount());
        }
        return ExitCodes.OK;
    }

    private int repair(BlockDevice opened, StoreOptions options, PrintWriter out, PrintWriter err) {
        Reporter reporter = new Reporter(out, err);
        try {
            long nowNs = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis());
            BlobStore.repair(opened, options, reporter, new BlobFsRepair(reporter, nowNs));
        } catch (StoreException e) {
            if (e.kind() == StoreException.Kind.NOT_A_STORE || e.kind() == StoreException.Kind.IO) {
                throw e;
            }
            err.println("vhostfs: " + e.getMessage());
            err.flush();
            return ExitCodes.FSCK_FAILED;
        }
        out.printf("%s: repaired; %d losses, told above%n", device, reporter.losses);
        return check(opened, out, err) == ExitCodes.OK ? ExitCodes.FSCK_REPAIRED : ExitCodes.FSCK_ERRORS;
    }

    private final class Reporter implements RepairReporter {
        private final PrintWriter out;
        private final PrintWriter err;
        private long shownPercent;
        private long losses;

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
        public void repaired(String text) {
            if (!quiet) {
                out.println("repaired: " + text);
            }
        }

        @Override
        public void lost(String text) {
            losses++;
            out.println("lost: " + text);
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

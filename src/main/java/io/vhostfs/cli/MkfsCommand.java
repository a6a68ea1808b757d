package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.target.Formatter;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs mkfs}: makes a file system on a block device. */
@Command(name = "mkfs", description = "Make an empty file system on a block device.")
final class MkfsCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "BDEV",
            description = {
                "file:PATH[,size=SIZE][,direct=on]; a file that does not exist is made with that size.",
                "nvme:PCI-ADDRESS[,nsid=N]; a namespace of a drive that is bound to vfio-pci."
            })
    private String device = "";

    @Option(names = "--label", paramLabel = "TEXT", defaultValue = "", description = "A name for people.")
    private String label = "";

    @Option(names = "--force", description = "Format it even when it holds something, which is then lost.")
    private boolean force;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        BlockDeviceSpec wanted = BlockDeviceSpec.parse(device);
        if (wanted instanceof BlockDeviceSpec.Malloc) {
            throw new CliException(
                    ExitCodes.USAGE, device + ": memory is gone when this command ends; serve formats it at start");
        }
        PrintWriter out = spec.commandLine().getOut();
        try (BlockDevice opened = BlockDevices.open(wanted, true)) {
            if (!force && !Formatter.holdsNothing(opened)) {
                throw new CliException(
                        ExitCodes.CANNOT_CREATE,
                        device + " is not empty; remedy: --force, if what it holds may be lost");
            }
            Formatter.format(opened, label);
            out.printf("%s: %s formatted%n", device, BlockDeviceSpec.formatSize(opened.capacityBytes()));
        }
        out.flush();
        return ExitCodes.OK;
    }
}

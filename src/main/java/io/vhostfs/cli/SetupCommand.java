package io.vhostfs.cli;

import io.vhostfs.vfio.PciDevice;
import io.vhostfs.vfio.VfioException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code vhostfs setup}: hugepages, and which driver has which NVMe controller. */
@Command(
        name = "setup",
        description = "Reserve hugepages, hand NVMe controllers to vfio-pci and back; without options, show what is.",
        footer = {
            "",
            "A controller is not handed over while a namespace is mounted or otherwise in use; when one has partitions or is"
                    + " not blank, only with --force. What is on it stays as it is."
        })
final class SetupCommand implements Callable<Integer> {
    @Option(names = "--hugepages", paramLabel = "N", description = "Reserve N hugepages of 2 MiB.")
    private long hugepages = -1;

    @Option(
            names = "--bind",
            paramLabel = "PCI-ADDRESS",
            split = ",",
            description = "Hand this NVMe controller to vfio-pci.")
    private List<String> bind = List.of();

    @Option(
            names = "--unbind",
            paramLabel = "PCI-ADDRESS",
            split = ",",
            description = "Give this NVMe controller back to the kernel's driver.")
    private List<String> unbind = List.of();

    @Option(names = "--force", description = "Hand a controller over even when its namespaces hold something.")
    private boolean force;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        HostSetup setup = new HostSetup(Path.of("/"));
        try {
            if (hugepages >= 0) {
                setup.reserveHugepages(hugepages);
            }
            for (String address : unbind) {
                setup.restore(address);
            }
            for (String address : bind) {
                setup.bind(address, force);
            }
        } catch (VfioException e) {
            throw new CliException(ExitCodes.CANNOT_CREATE, e.getMessage());
        }
        print(spec.commandLine().getOut(), setup);
        return ExitCodes.OK;
    }

    private static void print(PrintWriter out, HostSetup setup) {
        out.printf(
                "hugepages of 2 MiB: %d free of %d%n",
                setup.hugepages("free_hugepages"), setup.hugepages("nr_hugepages"));
        for (PciDevice device : setup.controllers()) {
            StringBuilder blocks = new StringBuilder();
            for (String block : device.blockDevices()) {
                String use = setup.use(block);
                blocks.append(" /dev/").append(block).append(use.isEmpty() ? "" : " " + use);
            }
            out.printf(
                    "%s %s driver %s%s%n",
                    device.address(), device.id(), device.driver().isEmpty() ? "none" : device.driver(), blocks);
        }
        out.flush();
    }
}

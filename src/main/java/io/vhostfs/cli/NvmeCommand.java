package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.nvme.ControllerInfo;
import io.vhostfs.nvme.ErrorLogEntry;
import io.vhostfs.nvme.NamespaceInfo;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.NvmeOptions;
import io.vhostfs.nvme.NvmeStatus;
import io.vhostfs.nvme.SmartLog;
import io.vhostfs.nvme.VfioTransport;
import io.vhostfs.vfio.PciDevice;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vhostfs nvme}: shows NVMe controllers; those that are asked themselves have to be bound to vfio-pci and unused. */
@Command(name = "nvme", description = "Show NVMe controllers.")
final class NvmeCommand {
    private static final int KELVIN_AT_ZERO_CELSIUS = 273;

    /** Data units count thousands of 512 bytes. */
    private static final double UNIT_GB = 512_000e-9;

    private static final String UNSAFE_NO_IOMMU = "--unsafe-noiommu";
    private static final String UNSAFE_NO_IOMMU_TEXT =
            "Ask it also where no IOMMU keeps it from memory that is not vhostfs's.";

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    private PrintWriter out() {
        return spec.commandLine().getOut();
    }

    @Command(name = "list", description = "List the controllers of this host, and who drives each.")
    int list() {
        PrintWriter out = out();
        out.printf("%-14s %-10s %-10s %-6s %-5s %s%n", "address", "id", "driver", "group", "node", "block devices");
        for (PciDevice device : PciDevice.all(Path.of("/"), PciDevice.NVME_CLASS)) {
            out.printf(
                    "%-14s %-10s %-10s %-6s %-5s %s%n",
                    device.address(),
                    device.id(),
                    orNone(device.driver()),
                    orNone(device.iommuGroup()),
                    device.numaNode() < 0 ? "-" : Integer.toString(device.numaNode()),
                    orNone(String.join(" ", device.blockDevices())));
        }
        out.flush();
        return ExitCodes.OK;
    }

    private static String orNone(String text) {
        return text.isEmpty() ? "-" : text;
    }

    @Command(name = "identify", description = "Show what a controller is, and its namespaces.")
    int identify(
            @Parameters(paramLabel = "PCI-ADDRESS") String address,
            @Option(names = UNSAFE_NO_IOMMU, description = UNSAFE_NO_IOMMU_TEXT) boolean unsafeNoIommu) {
        try (NvmeController controller = open(address, unsafeNoIommu)) {
            ControllerInfo info = controller.info();
            PrintWriter out = out();
            out.printf("controller      %s%n", controller.name());
            out.printf("model           %s, firmware %s, serial %s%n", info.model(), info.firmware(), info.serial());
            out.printf("transfer limit  %s%n", BlockDeviceSpec.formatSize(info.maxTransferBytes()));
            out.printf("write cache     %s%n", controller.hasVolatileCache() ? "volatile" : "none");
            out.printf(
                    "can             %s%n",
                    String.join(
                            " ",
                            info.sgls() ? "sgl" : "prp-only",
                            info.hasShadowDoorbells() ? "shadow-doorbells" : "",
                            info.hasWriteZeroes() ? "write-zeroes" : "",
                            info.hasDeallocate() ? "deallocate" : ""));
            for (NamespaceInfo namespace : controller.namespaces()) {
                print(out, namespace);
            }
            out.flush();
            return ExitCodes.OK;
        }
    }

    private static void print(PrintWriter out, NamespaceInfo namespace) {
        if (!namespace.isUsable()) {
            out.printf("namespace %-5d cannot be used: %s%n", namespace.nsid(), namespace.unusable());
            return;
        }
        out.printf(
                "namespace %-5d %s in blocks of %d, atomic %d, %s%n",
                namespace.nsid(),
                BlockDeviceSpec.formatSize(namespace.capacityBytes()),
                namespace.blockBytes(),
                namespace.atomicBytes(),
                namespace.identity().isEmpty() ? "no identity" : namespace.identity());
    }

    @Command(name = "smart", description = "Show a controller's health and its last errors.")
    int smart(
            @Parameters(paramLabel = "PCI-ADDRESS") String address,
            @Option(names = UNSAFE_NO_IOMMU, description = UNSAFE_NO_IOMMU_TEXT) boolean unsafeNoIommu) {
        try (NvmeController controller = open(address, unsafeNoIommu)) {
            SmartLog log = controller.smart();
            PrintWriter out = out();
            out.printf("warnings          %s%n", log.criticalWarning() == 0 ? "none" : describe(log.criticalWarning()));
            out.printf("temperature       %d °C%n", log.temperatureKelvin() - KELVIN_AT_ZERO_CELSIUS);
            out.printf(
                    "spare             %d %%, threshold %d %%%n",
                    log.availableSparePercent(), log.spareThresholdPercent());
            out.printf("used              %d %%%n", log.usedPercent());
            out.printf("read, written     %.3f GB, %.3f GB%n", log.unitsRead() * UNIT_GB, log.unitsWritten() * UNIT_GB);
            out.printf("reads, writes     %d, %d%n", log.readCommands(), log.writeCommands());
            out.printf(
                    "power             %d cycles, %d hours, %d unsafe shutdowns%n",
                    log.powerCycles(), log.powerOnHours(), log.unsafeShutdowns());
            out.printf("media errors      %d%n", log.mediaErrors());
            print(out, controller.errors());
            out.flush();
            return log.criticalWarning() == 0 ? ExitCodes.OK : ExitCodes.FINDINGS;
        } catch (NvmeException e) {
            throw new CliException(ExitCodes.IO, e.getMessage());
        }
    }

    private static void print(PrintWriter out, List<ErrorLogEntry> errors) {
        for (ErrorLogEntry error : errors) {
            out.printf(
                    "error %-11d queue %d, command %d, namespace %d, block %d: %s%n",
                    error.count(),
                    error.queueId(),
                    error.commandId(),
                    error.nsid(),
                    error.lba(),
                    NvmeStatus.describe(error.status()));
        }
    }

    private static String describe(int warnings) {
        String[] names = {"spare", "temperature", "reliability", "read-only", "backup", "persistent-memory"};
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < names.length; i++) {
            if ((warnings >>> i & 1) != 0) {
                text.append(text.isEmpty() ? "" : " ").append(names[i]);
            }
        }
        return text.toString();
    }

    private static NvmeController open(String text, boolean unsafeNoIommu) {
        try {
            String address = PciDevice.parseAddress(text);
            return NvmeController.open(
                    VfioTransport.open(address, 0, unsafeNoIommu), NvmeOptions.DEFAULT.withMaxQueuePairs(1));
        } catch (IllegalArgumentException e) {
            throw new CliException(ExitCodes.USAGE, String.valueOf(e.getMessage()));
        } catch (NvmeException e) {
            int code =
                    switch (e.kind()) {
                        case MISSING -> ExitCodes.NO_INPUT;
                        case UNSUPPORTED -> ExitCodes.UNAVAILABLE;
                        case BUSY, NOT_PERMITTED -> ExitCodes.CANNOT_CREATE;
                        case FAILED -> ExitCodes.IO;
                    };
            throw new CliException(code, e.getMessage());
        }
    }
}

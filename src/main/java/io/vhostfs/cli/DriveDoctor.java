package io.vhostfs.cli;

import io.vhostfs.cli.Doctor.Verdict;
import io.vhostfs.vfio.PciDevice;
import java.util.BitSet;
import java.util.List;
import java.util.Set;

/** Looks at the NVMe controllers, and at what those that are bound to vfio-pci need; part of {@link Doctor}. */
final class DriveDoctor {
    /** Guests have up to 509 regions each. */
    private static final long WANTED_DMA_ENTRIES = 8192;

    /** What may stay bound to a device of the group: ports of the PCI bridge above take no part. */
    private static final Set<String> HARMLESS_DRIVERS = Set.of("", PciDevice.VFIO_DRIVER, "pcieport", "pci-stub");

    private static final String NODES = "sys/devices/system/node";

    private final HostFiles files;
    private final Doctor doctor;

    DriveDoctor(HostFiles files, Doctor doctor) {
        this.files = files;
        this.doctor = doctor;
    }

    void examine() {
        iommu();
        boolean there = files.exists("dev/vfio/vfio");
        doctor.add(
                there ? Verdict.OK : Verdict.MISSING,
                "VFIO (for nvme: devices)",
                there ? "/dev/vfio/vfio" : "no /dev/vfio/vfio",
                "modprobe vfio-pci");
        List<PciDevice> controllers = PciDevice.all(files.root(), PciDevice.NVME_CLASS);
        if (!controllers.isEmpty()) { // a host without NVMe drives lacks nothing
            atBoot();
            bound(controllers);
        }
        dmaEntries();
    }

    /** Groups that VFIO has made up, in its mode without an IOMMU, are none. */
    private void iommu() {
        String directory = "sys/kernel/iommu_groups";
        long groups = files.names(directory).stream()
                .filter(group -> !files.text(directory + "/" + group + "/name").equals(PciDevice.NO_IOMMU_GROUP))
                .count();
        boolean unsafe = files.text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
                .equals("Y");
        doctor.add(
                groups > 0 ? Verdict.OK : Verdict.MISSING,
                "IOMMU (for nvme: devices)",
                groups + " groups" + (unsafe ? ", and VFIO's unsafe mode without one is on" : ""),
                "enable VT-d or AMD-Vi in the firmware and boot with intel_iommu=on iommu=pt");
    }

    private void atBoot() {
        String directory = "etc/modules-load.d";
        boolean loads = files.names(directory).stream()
                .flatMap(file -> files.text(directory + "/" + file).lines())
                .map(line -> line.strip().replace('_', '-'))
                .anyMatch(PciDevice.VFIO_DRIVER::equals);
        doctor.add(
                loads ? Verdict.OK : Verdict.SLOW,
                "VFIO at boot",
                loads ? "loaded by /etc/modules-load.d" : "not loaded by /etc/modules-load.d",
                "echo vfio-pci > /etc/modules-load.d/vhostfs.conf");
    }

    private void bound(List<PciDevice> controllers) {
        List<PciDevice> ours = controllers.stream()
                .filter(device -> device.driver().equals(PciDevice.VFIO_DRIVER))
                .toList();
        doctor.add(
                ours.isEmpty() ? Verdict.SLOW : Verdict.OK,
                "NVMe controllers",
                ours.size() + " of " + controllers.size() + " bound to vfio-pci",
                "vhostfs setup --bind PCI-ADDRESS, for a drive that nobody else needs (vhostfs nvme list)");
        for (PciDevice device : ours) {
            group(device);
            if (device.numaNode() >= 0 && files.exists(NODES + "/node1")) {
                node(device);
            }
        }
    }

    private void group(PciDevice device) {
        String directory = "sys/bus/pci/devices/" + device + "/iommu_group/devices";
        List<String> inTheWay = files.names(directory).stream()
                .map(address -> new PciDevice(files.root(), address))
                .filter(other -> !HARMLESS_DRIVERS.contains(other.driver()))
                .map(other -> other + " (" + other.driver() + ")")
                .toList();
        doctor.add(
                inTheWay.isEmpty() ? Verdict.OK : Verdict.MISSING,
                device + " group",
                inTheWay.isEmpty() ? "no driver of the kernel in it" : "has " + String.join(" ", inTheWay),
                "bind those to vfio-pci too, or put the drive into another slot");
    }

    private void node(PciDevice device) {
        int node = device.numaNode();
        long pages = files.number(NODES + "/node" + node + "/hugepages/hugepages-2048kB/nr_hugepages");
        doctor.add(
                pages > 0 ? Verdict.OK : Verdict.SLOW,
                device + " hugepages",
                Math.max(0, pages) + " on its node " + node,
                "echo 1024 > /sys/devices/system/node/node" + node + "/hugepages/hugepages-2048kB/nr_hugepages");
        BitSet near = files.cores("sys/bus/pci/devices/" + device + "/local_cpulist");
        near.and(files.cores("sys/devices/system/cpu/isolated"));
        doctor.add(
                near.isEmpty() ? Verdict.SLOW : Verdict.OK,
                device + " cores",
                near.cardinality() + " isolated ones on its node " + node,
                "isolate cores out of /sys/bus/pci/devices/" + device + "/local_cpulist, and give them to -m");
    }

    private void dmaEntries() {
        long limit = files.number("sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
        if (limit >= 0) {
            doctor.add(
                    limit >= WANTED_DMA_ENTRIES ? Verdict.OK : Verdict.SLOW,
                    "VFIO mappings",
                    limit + " for each device",
                    "options vfio_iommu_type1 dma_entry_limit=65535 in /etc/modprobe.d/vhostfs.conf");
        }
    }
}

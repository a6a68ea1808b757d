package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.vfio.PciDevice;
import io.vhostfs.vfio.VfioException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostSetupTest {
    private static final String ADDRESS = "0000:05:00.0";

    @TempDir
    private Path root;

    private FakeSysfs host;
    private HostSetup setup;

    @BeforeEach
    void makeAHostWithOneDrive() throws Exception {
        host = new FakeSysfs(root);
        host.controller(ADDRESS, 0, "nvme");
        setup = new HostSetup(root);
    }

    private void expectRefusal(String why) throws Exception {
        CliException e = assertThrows(CliException.class, () -> setup.bind(ADDRESS, false));
        assertTrue(String.valueOf(e.getMessage()).contains(why), e.getMessage());
        assertEquals("(null)\n", host.read("sys/bus/pci/devices/" + ADDRESS + "/driver_override"));
    }

    @Test
    void findsControllers() {
        PciDevice found = setup.controllers().getFirst();
        assertEquals(ADDRESS, found.address());
        assertEquals("nvme", found.driver());
        assertEquals("1b36:0010", found.id());
        assertEquals(1, found.numaNode());
        assertEquals("nvme0n1", found.blockDevices().getFirst());
    }

    @Test
    void aBlankUnusedDriveIsHandedOver() throws Exception {
        // No kernel answers here: that the driver stays the old one is found.
        VfioException e = assertThrows(VfioException.class, () -> setup.bind("05:00.0", false));
        assertTrue(e.getMessage().contains("modprobe vfio-pci"), e.getMessage());
        assertEquals("vfio-pci", host.read("sys/bus/pci/devices/" + ADDRESS + "/driver_override"));
        assertEquals(ADDRESS, host.read("sys/bus/pci/drivers/nvme/unbind"));
        assertEquals(ADDRESS, host.read("sys/bus/pci/drivers_probe"));
    }

    @Test
    void aMountedDriveIsNotHandedOverByForceEither() throws Exception {
        host.write("proc/self/mountinfo", "30 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw");
        expectRefusal("is mounted");
        assertThrows(CliException.class, () -> setup.bind(ADDRESS, true));
    }

    @Test
    void aMountedPartitionCounts() throws Exception {
        host.write("sys/block/nvme0n1/nvme0n1p2/partition", "2");
        host.write("sys/block/nvme0n1/nvme0n1p2/dev", "259:7");
        host.write("proc/self/mountinfo", "30 1 259:7 / /srv rw - ext4 /dev/nvme0n1p2 rw");
        expectRefusal("is mounted (nvme0n1p2)");
    }

    @Test
    void aMountedNamespaceThatHasSeveralPathsCounts() throws Exception {
        host.write("sys/bus/pci/devices/" + ADDRESS + "/nvme/nvme0/nvme7c0n1/size", "0");
        host.write("sys/block/nvme7c0n1/hidden", "1");
        host.write("sys/block/nvme7n1/dev", "259:7");
        host.write("proc/self/mountinfo", "30 1 259:7 / /srv rw - ext4 /dev/nvme7n1 rw");
        assertEquals(
                List.of("nvme0n1", "nvme7n1"), setup.controllers().getFirst().blockDevices());
        expectRefusal("nvme7n1 is mounted");
        assertThrows(CliException.class, () -> setup.bind(ADDRESS, true));
    }

    @Test
    void aDriveOfAnArrayIsRefused() throws Exception {
        Files.createDirectories(root.resolve("sys/block/nvme0n1/holders/md0"));
        expectRefusal("device mapper or RAID");
    }

    @Test
    void aSwapDriveIsRefused() throws Exception {
        host.write("proc/swaps", "Filename\n/dev/nvme0n1 partition 1 0 -2");
        expectRefusal("is swapped to");
    }

    /** A mount in another namespace, one of several disks of a file system, or a target that has the disk open. */
    @Test
    void aDriveThatTheKernelGivesNobodyElseIsRefusedEvenByForce() throws Exception {
        setup = new HostSetup(root, root.resolve("dev/nvme0n1")::equals);
        expectRefusal("/dev/nvme0n1 is in use");
        assertThrows(CliException.class, () -> setup.bind(ADDRESS, true));
    }

    @Test
    void partitionsAndSignaturesNeedForce() throws Exception {
        host.write("dev/nvme0n1", "\0".repeat(1080) + "a superblock");
        expectRefusal("not blank");
        host.write("sys/block/nvme0n1/nvme0n1p1/partition", "1");
        expectRefusal("has partitions");
        assertThrows(VfioException.class, () -> setup.bind(ADDRESS, true));
        assertEquals("vfio-pci", host.read("sys/bus/pci/devices/" + ADDRESS + "/driver_override"));
    }

    @Test
    void aDriveGoesBackToTheKernelsDriver() throws Exception {
        host.controller("0000:06:00.0", 1, "vfio-pci");
        setup.restore("0000:06:00.0");
        assertEquals("\n", host.read("sys/bus/pci/devices/0000:06:00.0/driver_override"));
        assertEquals("0000:06:00.0", host.read("sys/bus/pci/drivers/vfio-pci/unbind"));
    }

    @Test
    void whatIsNoNvmeControllerIsRefused() throws Exception {
        host.controller("0000:07:00.0", 2, "e1000");
        host.write("sys/bus/pci/devices/0000:07:00.0/class", "0x020000\n");
        assertEquals(1, setup.controllers().size());
        assertThrows(CliException.class, () -> setup.bind("0000:07:00.0", true));
        assertThrows(CliException.class, () -> setup.bind("0000:08:00.0", true));
        assertThrows(CliException.class, () -> setup.bind("nvme0", true));
    }

    @Test
    void reservesHugepages() throws Exception {
        assertEquals(16, setup.reserveHugepages(16));
        assertEquals("16", host.read("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));
        assertEquals(5, setup.hugepages("free_hugepages"));
    }
}

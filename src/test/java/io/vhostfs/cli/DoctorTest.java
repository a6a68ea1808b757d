package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class DoctorTest {
    private static void write(Path root, String path, String text) throws IOException {
        Path file = root.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    private static Doctor.Finding find(Path root, String subject) {
        return new Doctor(root)
                .examine().stream()
                        .filter(finding -> finding.subject().startsWith(subject))
                        .findFirst()
                        .orElseThrow();
    }

    @Test
    void shouldCallATunedHostHealthy(@TempDir Path root) throws IOException {
        write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
        write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n");
        write(root, "sys/devices/system/cpu/isolated", "2-3\n");
        Files.createDirectories(root.resolve("sys/kernel/iommu_groups/0"));
        assertEquals(Doctor.Verdict.OK, find(root, "2 MiB hugepages").verdict());
        assertEquals("500 free of 512", find(root, "2 MiB hugepages").found());
        assertEquals(Doctor.Verdict.OK, find(root, "isolated").verdict());
        assertEquals(Doctor.Verdict.OK, find(root, "IOMMU").verdict());
    }

    @Test
    void shouldGiveARemedyForWhateverIsNotWell(@TempDir Path root) throws IOException {
        write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
        write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
        assertEquals(Doctor.Verdict.SLOW, find(root, "2 MiB hugepages").verdict());
        assertEquals(Doctor.Verdict.MISSING, find(root, "VFIO").verdict());
        for (Doctor.Finding finding : new Doctor(root).examine()) {
            assertEquals(
                    finding.verdict() == Doctor.Verdict.OK, finding.remedy().isEmpty(), finding.subject());
            assertFalse(finding.found().isEmpty(), finding.subject());
        }
    }

    @Test
    void shouldCountTheDrivesThatAreBoundToVfio(@TempDir Path root) throws IOException {
        FakeSysfs host = new FakeSysfs(root);
        host.controller("0000:05:00.0", 0, "nvme");
        assertEquals(Doctor.Verdict.SLOW, find(root, "NVMe controllers").verdict());
        host.controller("0000:06:00.0", 1, "vfio-pci");
        assertEquals("1 of 2 bound to vfio-pci", find(root, "NVMe controllers").found());
        assertEquals(Doctor.Verdict.OK, find(root, "NVMe controllers").verdict());
        host.write("sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "100");
        assertEquals(Doctor.Verdict.SLOW, find(root, "VFIO mappings").verdict());
    }

    private static void isolated(Path root, String cores) throws IOException {
        write(root, "sys/devices/system/cpu/isolated", cores + "\n");
        write(root, "sys/devices/system/cpu/nohz_full", cores + "\n");
        write(root, "sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2\n");
        write(root, "sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n");
        write(root, "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n");
        write(root, "proc/irq/24/effective_affinity_list", "0-1\n");
        write(root, "proc/irq/25/effective_affinity_list", "\n");
    }

    private static void assertSlow(Path root, String subject, String found) {
        assertEquals(Doctor.Verdict.SLOW, find(root, subject).verdict(), subject);
        assertEquals(found, find(root, subject).found());
    }

    @Test
    void shouldFindIsolatedCoresThatAreDisturbed(@TempDir Path root) throws IOException {
        isolated(root, "2-3");
        for (String subject :
                new String[] {"isolated cores", "timer tick", "hyper-threads", "interrupts", "CPU freq"}) {
            assertEquals(Doctor.Verdict.OK, find(root, subject).verdict(), subject);
        }
        write(root, "sys/devices/system/cpu/nohz_full", "(null)\n");
        assertSlow(root, "timer tick", "on isolated cores 2 3");
        write(root, "sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3,7\n");
        assertSlow(root, "hyper-threads", "cores 7 share an isolated one, and are not isolated");
        write(root, "proc/irq/25/effective_affinity_list", "3\n");
        assertSlow(root, "interrupts", "25 are on isolated cores");
        write(root, "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n");
        assertSlow(root, "CPU frequency", "not at its highest on cores 3");
    }

    @Test
    void shouldNotTakeTheUnsafeModesGroupForAnIommu(@TempDir Path root) throws IOException {
        write(root, "sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
        write(root, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
        assertEquals(Doctor.Verdict.MISSING, find(root, "IOMMU").verdict());
        assertEquals(
                "0 groups, and VFIO's unsafe mode without one is on",
                find(root, "IOMMU").found());
    }

    @Test
    void shouldFindWhatABoundDriveLacks(@TempDir Path root) throws IOException {
        FakeSysfs host = new FakeSysfs(root);
        String address = "0000:06:00.0";
        host.controller(address, 1, "vfio-pci");
        host.controller("0000:06:00.1", 2, "nvme");
        Path members = Files.createDirectories(root.resolve("sys/kernel/iommu_groups/7/devices"));
        Files.createSymbolicLink(root.resolve("sys/bus/pci/devices/" + address + "/iommu_group"), members.getParent());
        Files.createDirectory(members.resolve(address));
        assertEquals(Doctor.Verdict.OK, find(root, address + " group").verdict());
        Files.createDirectory(members.resolve("0000:06:00.1"));
        assertEquals(Doctor.Verdict.MISSING, find(root, address + " group").verdict());
        assertEquals("has 0000:06:00.1 (nvme)", find(root, address + " group").found());

        assertSlow(root, "VFIO at boot", "not loaded by /etc/modules-load.d");
        host.write("etc/modules-load.d/vhostfs.conf", "vfio_pci\n");
        assertEquals(Doctor.Verdict.OK, find(root, "VFIO at boot").verdict());

        isolated(root, "2-3");
        host.write("sys/bus/pci/devices/" + address + "/local_cpulist", "8-15\n");
        String pages = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
        host.write(pages, "0\n");
        assertSlow(root, address + " hugepages", "0 on its node 1");
        assertSlow(root, address + " cores", "0 isolated ones on its node 1");
        host.write(pages, "512\n");
        host.write("sys/bus/pci/devices/" + address + "/local_cpulist", "0-7\n");
        assertEquals(Doctor.Verdict.OK, find(root, address + " hugepages").verdict());
        assertEquals(
                "2 isolated ones on its node 1", find(root, address + " cores").found());
    }

    @Test
    void shouldReadTheUnitsThatServeADrive(@TempDir Path root) throws IOException {
        String unit = "etc/systemd/system/vhostfs.service";
        String serve = "[Service]\nExecStart=/opt/vhostfs/bin/vhostfs serve --bdev nvme:0000:05:00.0\n";
        write(root, unit, serve);
        assertSlow(root, "vhostfs.service", "limits locked memory");
        write(root, unit, serve + "LimitMEMLOCK=infinity\n");
        assertSlow(root, "vhostfs.service", "does not bind the drive");
        write(root, unit, serve + "LimitMEMLOCK=infinity\nExecStartPre=+vhostfs setup --bind 0000:05:00.0 --force\n");
        assertEquals(Doctor.Verdict.OK, find(root, "vhostfs.service").verdict());
    }
}

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
}

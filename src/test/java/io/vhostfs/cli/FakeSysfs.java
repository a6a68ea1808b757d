package io.vhostfs.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A host of a test: sysfs, procfs and devices below a directory, as far as NVMe controllers show in them. */
final class FakeSysfs {
    final Path root;

    FakeSysfs(Path root) throws IOException {
        this.root = root;
        write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8");
        write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5");
        write("sys/bus/pci/drivers_probe", "");
        write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw");
        write("proc/swaps", "Filename Type Size Used Priority");
    }

    void write(String file, String text) throws IOException {
        Path path = root.resolve(file);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
    }

    String read(String file) throws IOException {
        return Files.readString(root.resolve(file));
    }

    /** A controller with one namespace, {@code nvme<number>n1}. */
    void controller(String address, int number, String driver) throws IOException {
        String directory = "sys/bus/pci/devices/" + address + "/";
        write(directory + "class", "0x010802\n");
        write(directory + "vendor", "0x1b36\n");
        write(directory + "device", "0x0010\n");
        write(directory + "numa_node", "1\n");
        write(directory + "driver_override", "(null)\n");
        Path drivers = Files.createDirectories(root.resolve("sys/bus/pci/drivers/" + driver));
        write("sys/bus/pci/drivers/" + driver + "/unbind", "");
        Files.createSymbolicLink(root.resolve(directory + "driver"), drivers);
        String block = "nvme" + number + "n1";
        write(directory + "nvme/nvme" + number + "/" + block + "/size", "0");
        write("sys/block/" + block + "/dev", "259:" + number);
        Files.createDirectories(root.resolve("sys/block/" + block + "/holders"));
        write("dev/" + block, "\0".repeat(8192));
    }
}

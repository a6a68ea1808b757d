package io.vhostfs.cli;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.vfio.PciDevice;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Looks at what makes a host fast or slow for vhostfs; changes nothing.
 *
 * <p>Everything is read below a root directory and through a few system calls, so that tests can show it another host.
 */
final class Doctor {
    enum Verdict {
        OK,
        SLOW,
        MISSING
    }

    /**
     * One finding.
     *
     * @param subject what was looked at
     * @param found what is there
     * @param remedy the command or setting that mends it; empty when the verdict is OK
     */
    record Finding(Verdict verdict, String subject, String found, String remedy) {}

    private static final long WANTED_MEMLOCK_BYTES = 1L << 30;
    private static final long WANTED_FILES = 4096;

    /** Guests have up to 509 regions each. */
    private static final long WANTED_DMA_ENTRIES = 8192;

    private static final int SYS_IO_URING_SETUP = 425;
    private static final int IO_URING_PARAMS_SIZE = 120;

    private final Path root;
    private final List<Finding> findings = new ArrayList<>();

    Doctor(Path root) {
        this.root = root;
    }

    List<Finding> examine() {
        java();
        hugepages();
        limit(
                "memlock limit",
                LibcConstants.RLIMIT_MEMLOCK,
                WANTED_MEMLOCK_BYTES,
                "ulimit -l unlimited (or LimitMEMLOCK=infinity in the unit)");
        limit(
                "open files limit",
                LibcConstants.RLIMIT_NOFILE,
                WANTED_FILES,
                "ulimit -n 65536 (or LimitNOFILE=65536 in the unit)");
        ioUring();
        isolatedCores();
        governor();
        iommu();
        vfio();
        drives();
        dmaEntries();
        device(
                "KVM",
                "dev/kvm",
                "load kvm_intel or kvm_amd and enable virtualisation in the firmware; without it QEMU emulates and guests are slow");
        program("QEMU", "qemu-system-x86_64", "apt-get install qemu-system-x86");
        return findings;
    }

    private void add(Verdict verdict, String subject, String found, String remedy) {
        findings.add(new Finding(verdict, subject, found, verdict == Verdict.OK ? "" : remedy));
    }

    private void java() {
        int version = Runtime.version().feature();
        add(
                version >= 25 ? Verdict.OK : Verdict.SLOW,
                "Java",
                "JDK " + Runtime.version(),
                "use JDK 25: it starts from an AOT cache");
    }

    private void hugepages() {
        long total = number("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        long free = number("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        String remedy = "echo 1024 > /proc/sys/vm/nr_hugepages (or hugepages=1024 on the kernel command line)";
        if (total < 0) {
            add(Verdict.MISSING, "2 MiB hugepages", "the kernel has none", "boot a kernel with CONFIG_HUGETLBFS");
        } else {
            Verdict verdict = total == 0 ? Verdict.SLOW : free == 0 ? Verdict.SLOW : Verdict.OK;
            add(verdict, "2 MiB hugepages", free + " free of " + total, remedy);
        }
    }

    private void limit(String subject, int resource, long wanted, String remedy) {
        try (Arena arena = Arena.ofConfined()) {
            long address = arena.allocate(16, 8).address();
            int status = Libc.getrlimit(resource, address);
            long soft = status == 0 ? Memory.getLong(address) : 0;
            boolean enough = Long.compareUnsigned(soft, wanted) >= 0;
            add(
                    enough ? Verdict.OK : Verdict.SLOW,
                    subject,
                    soft == -1 ? "unlimited" : Long.toUnsignedString(soft),
                    remedy);
        }
    }

    private void ioUring() {
        try (Arena arena = Arena.ofConfined()) {
            long params = arena.allocate(IO_URING_PARAMS_SIZE, 8).address();
            long fd = Libc.syscall(SYS_IO_URING_SETUP, 1, params, 0, 0, 0, 0);
            if (fd >= 0) {
                Libc.close((int) fd);
                add(Verdict.OK, "io_uring", "works", "");
            } else {
                add(
                        Verdict.MISSING,
                        "io_uring",
                        io.vhostfs.os.Errno.name((int) fd),
                        "sysctl kernel.io_uring_disabled=0, and a seccomp profile that allows io_uring");
            }
        }
    }

    private void isolatedCores() {
        String isolated = text("sys/devices/system/cpu/isolated");
        add(
                isolated.isEmpty() ? Verdict.SLOW : Verdict.OK,
                "isolated cores",
                isolated.isEmpty() ? "none" : isolated,
                "isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3 on the kernel command line, for the cores of -m");
    }

    private void governor() {
        String governor = text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        boolean fixed = governor.isEmpty() || governor.equals("performance");
        add(
                fixed ? Verdict.OK : Verdict.SLOW,
                "CPU frequency",
                governor.isEmpty() ? "not scaled by Linux" : governor,
                "cpupower frequency-set -g performance");
    }

    private void iommu() {
        int groups = count("sys/kernel/iommu_groups");
        add(
                groups > 0 ? Verdict.OK : Verdict.MISSING,
                "IOMMU (for nvme: devices)",
                groups + " groups",
                "enable VT-d or AMD-Vi in the firmware and boot with intel_iommu=on iommu=pt");
    }

    private void vfio() {
        boolean there = Files.exists(root.resolve("dev/vfio/vfio"));
        add(
                there ? Verdict.OK : Verdict.MISSING,
                "VFIO (for nvme: devices)",
                there ? "/dev/vfio/vfio" : "no /dev/vfio/vfio",
                "modprobe vfio-pci");
    }

    /** A host without NVMe drives lacks nothing. */
    private void drives() {
        List<PciDevice> controllers = PciDevice.all(root, PciDevice.NVME_CLASS);
        if (controllers.isEmpty()) {
            return;
        }
        long ours = controllers.stream()
                .filter(device -> device.driver().equals(PciDevice.VFIO_DRIVER))
                .count();
        add(
                ours > 0 ? Verdict.OK : Verdict.SLOW,
                "NVMe controllers",
                ours + " of " + controllers.size() + " bound to vfio-pci",
                "vhostfs setup --bind PCI-ADDRESS, for a drive that nobody else needs (vhostfs nvme list)");
    }

    private void dmaEntries() {
        long limit = number("sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
        if (limit >= 0) {
            add(
                    limit >= WANTED_DMA_ENTRIES ? Verdict.OK : Verdict.SLOW,
                    "VFIO mappings",
                    limit + " for each device",
                    "options vfio_iommu_type1 dma_entry_limit=65535 in /etc/modprobe.d/vhostfs.conf");
        }
    }

    private void device(String subject, String path, String remedy) {
        boolean usable = Files.isWritable(root.resolve(path));
        add(usable ? Verdict.OK : Verdict.MISSING, subject, usable ? "/" + path : "no usable /" + path, remedy);
    }

    private void program(String subject, String name, String remedy) {
        boolean there = Stream.of("usr/bin", "usr/local/bin", "bin")
                .anyMatch(
                        directory -> Files.isExecutable(root.resolve(directory).resolve(name)));
        add(there ? Verdict.OK : Verdict.MISSING, subject, there ? name : "no " + name, remedy);
    }

    private String text(String path) {
        try {
            return Files.readString(root.resolve(path)).strip();
        } catch (IOException e) {
            return ""; // a file that this kernel does not have means the same as an empty one
        }
    }

    private long number(String path) {
        String text = text(path);
        return text.isEmpty() ? -1 : Long.parseLong(text);
    }

    private int count(String path) {
        try (Stream<Path> entries = Files.list(root.resolve(path))) {
            return (int) entries.count();
        } catch (IOException e) {
            return 0; // no such directory: no entries
        }
    }
}

package io.vhostfs.cli;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
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

    private static final int SYS_IO_URING_SETUP = 425;
    private static final int IO_URING_PARAMS_SIZE = 120;

    private final Path root;
    private final HostFiles files;
    private final List<Finding> findings = new ArrayList<>();

    Doctor(Path root) {
        this.root = root;
        files = new HostFiles(root);
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
        new CoreDoctor(files, this).examine();
        new DriveDoctor(files, this).examine();
        units();
        device(
                "KVM",
                "dev/kvm",
                "load kvm_intel or kvm_amd and enable virtualisation in the firmware; without it QEMU emulates and guests are slow");
        program("QEMU", "qemu-system-x86_64", "apt-get install qemu-system-x86");
        return findings;
    }

    void add(Verdict verdict, String subject, String found, String remedy) {
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
        long total = files.number("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        long free = files.number("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
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

    /** Units of the administrator's that start a target on a drive: what the drive reaches is locked. */
    private void units() {
        String directory = "etc/systemd/system";
        for (String unit : files.names(directory)) {
            String text = unit.endsWith(".service") ? files.text(directory + "/" + unit) : "";
            if (text.contains("vhostfs serve") && text.contains("nvme:")) {
                boolean locks = text.lines().anyMatch(line -> line.strip().equals("LimitMEMLOCK=infinity"));
                boolean binds = text.contains("setup ") && text.contains("--bind");
                add(
                        locks && binds ? Verdict.OK : Verdict.SLOW,
                        unit,
                        locks
                                ? binds ? "binds the drive, locks memory" : "does not bind the drive"
                                : "limits locked memory",
                        locks
                                ? "ExecStartPre=+vhostfs setup --bind PCI-ADDRESS --force: the binding ends with a reboot"
                                : "LimitMEMLOCK=infinity in its [Service]");
            }
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
}

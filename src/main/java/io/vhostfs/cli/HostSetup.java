package io.vhostfs.cli;

import static io.vhostfs.os.LibcConstants.O_CLOEXEC;
import static io.vhostfs.os.LibcConstants.O_EXCL;
import static io.vhostfs.os.LibcConstants.O_RDONLY;

import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.vfio.PciDevice;
import io.vhostfs.vfio.VfioException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Prepares a host: hugepages, and NVMe controllers for vfio-pci.
 *
 * <p>Invariant: a controller whose namespaces hold something changes its driver only when that is forced; one whose
 * namespaces are used, not even then. Everything lies below a root directory, so that tests can show another host.
 */
final class HostSetup {
    /** Partition tables and the superblocks of file systems begin within it. */
    private static final int SIGNATURE_BYTES = 1 << 20;

    /** Which word of a line of mountinfo is the device's number. */
    private static final int MOUNTINFO_DEVICE_FIELD = 2;

    private static final String HUGEPAGES = "sys/kernel/mm/hugepages/hugepages-2048kB/";

    private final Path root;
    private final HostFiles files;
    private final Predicate<Path> isClaimed;

    HostSetup(Path root) {
        this(root, HostSetup::isClaimed);
    }

    /** @param isClaimed whether the kernel lets nobody else have this block device for himself */
    HostSetup(Path root, Predicate<Path> isClaimed) {
        this.root = root;
        this.isClaimed = isClaimed;
        files = new HostFiles(root);
    }

    /** Reserves so many 2 MiB hugepages; returns how many there are then. */
    long reserveHugepages(long count) {
        Path file = root.resolve(HUGEPAGES + "nr_hugepages");
        try {
            Files.writeString(file, Long.toString(count));
        } catch (IOException e) {
            throw new CliException(
                    ExitCodes.CANNOT_CREATE, "cannot write " + file + " (" + e.getMessage() + "); remedy: run as root");
        }
        long there = hugepages("nr_hugepages");
        if (there < count) {
            throw new CliException(
                    ExitCodes.UNAVAILABLE,
                    "the kernel found memory for " + there + " of " + count + " hugepages only; remedy: reserve them at"
                            + " boot, with hugepages=" + count + " on the kernel command line");
        }
        return there;
    }

    long hugepages(String file) {
        String text = files.text(HUGEPAGES + file);
        return text.isEmpty() ? 0 : Long.parseLong(text);
    }

    List<PciDevice> controllers() {
        return PciDevice.all(root, PciDevice.NVME_CLASS);
    }

    /** Gives a controller to vfio-pci. */
    void bind(String address, boolean force) throws VfioException {
        PciDevice device = controller(address);
        for (String block : device.blockDevices()) {
            String use = use(block);
            if (!use.isEmpty()) {
                throw new CliException(
                        ExitCodes.CANNOT_CREATE, device + ": /dev/" + block + " " + use + "; end that first");
            }
            String content = content(block);
            if (!content.isEmpty() && !force) {
                throw new CliException(
                        ExitCodes.CANNOT_CREATE,
                        device + ": /dev/" + block + " " + content + "; remedy: --force, if nobody needs it here");
            }
        }
        device.bind(PciDevice.VFIO_DRIVER);
    }

    /** Gives a controller back to the kernel's driver. */
    void restore(String address) throws VfioException {
        controller(address).restore();
    }

    private PciDevice controller(String text) {
        try {
            PciDevice device = new PciDevice(root, PciDevice.parseAddress(text));
            if (!device.exists()) {
                throw new CliException(ExitCodes.NO_INPUT, device + ": there is no such PCI device");
            }
            if (device.classCode() != PciDevice.NVME_CLASS) {
                throw new CliException(ExitCodes.USAGE, device + ": is no NVMe controller");
            }
            return device;
        } catch (IllegalArgumentException e) {
            throw new CliException(ExitCodes.USAGE, String.valueOf(e.getMessage()));
        }
    }

    /** Who uses a disk or one of its partitions; empty when nobody does. */
    String use(String block) {
        Path disk = root.resolve("sys/block").resolve(block);
        List<Path> parts = new ArrayList<>(List.of(disk));
        parts.addAll(partitions(disk));
        for (Path part : parts) {
            String name = part.getFileName().toString();
            if (hasEntries(part.resolve("holders"))) {
                return "is held by a device mapper or RAID (" + name + ")";
            }
            String number = files.text(part.resolve("dev").toString());
            if (isMounted(number)) {
                return "is mounted (" + name + ")";
            }
            if (files.text("proc/swaps").contains("/dev/" + name)) {
                return "is swapped to (" + name + ")";
            }
        }
        return isClaimed.test(root.resolve("dev").resolve(block)) ? "is in use" : "";
    }

    /** Whether somebody has a disk or a partition of it for himself: a mount that is not seen from here, or a program. */
    private static boolean isClaimed(Path device) {
        int fd = CString.with(device.toString(), path -> Libc.open(path, O_RDONLY | O_EXCL | O_CLOEXEC, 0));
        if (fd >= 0) {
            Libc.close(fd);
        }
        return fd == -Errno.EBUSY;
    }

    private boolean isMounted(String number) {
        return !number.isEmpty()
                && files.text("proc/self/mountinfo").lines().anyMatch(line -> {
                    String[] fields = line.split(" ", MOUNTINFO_DEVICE_FIELD + 2);
                    return fields.length > MOUNTINFO_DEVICE_FIELD && fields[MOUNTINFO_DEVICE_FIELD].equals(number);
                });
    }

    /** What a disk holds; empty when its start is blank. */
    private String content(String block) {
        Path disk = root.resolve("sys/block").resolve(block);
        if (!partitions(disk).isEmpty()) {
            return "has partitions";
        }
        try (var in = Files.newInputStream(root.resolve("dev").resolve(block))) {
            for (byte b : in.readNBytes(SIGNATURE_BYTES)) {
                if (b != 0) {
                    return "is not blank at its start: a file system or something else is on it";
                }
            }
            return "";
        } catch (IOException e) {
            return "cannot be read (" + e.getMessage() + ")";
        }
    }

    private static List<Path> partitions(Path disk) {
        try (Stream<Path> entries = Files.list(disk)) {
            return entries.filter(entry -> Files.exists(entry.resolve("partition")))
                    .toList();
        } catch (IOException e) {
            return List.of(); // went away meanwhile
        }
    }

    private static boolean hasEntries(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.findAny().isPresent();
        } catch (IOException e) {
            return false; // no such directory: no entries
        }
    }
}

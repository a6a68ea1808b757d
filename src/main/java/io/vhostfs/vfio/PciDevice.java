package io.vhostfs.vfio;

import io.vhostfs.vfio.VfioException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A PCI device as Linux shows it in sysfs.
 *
 * <p>Invariant: nothing is kept; each question is answered by the files as they are. Any thread; the files lie below a root
 * directory, so that tests can show another host.
 */
public final class PciDevice {
    public static final String VFIO_DRIVER = "vfio-pci";

    /** Name of the groups that VFIO makes up in its unsafe mode. */
    public static final String NO_IOMMU_GROUP = "vfio-noiommu";

    /** Class code of NVM Express controllers: mass storage, non-volatile memory, NVMe. */
    public static final int NVME_CLASS = 0x01_08_02;

    private static final Pattern ADDRESS = Pattern.compile("[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]");

    /** One path to a namespace that may have several: hidden, and used by the name without the path's controller. */
    private static final Pattern NAMESPACE_PATH = Pattern.compile("(nvme\\d+)c\\d+(n\\d+)");

    private final Path root;
    private final String address;

    /** A device by its full address, whether it is there or not. */
    public PciDevice(Path root, String address) {
        this.root = root;
        this.address = address;
    }

    /**
     * The full address: domain 0 where none was given.
     *
     * @throws IllegalArgumentException when it is none
     */
    public static String parseAddress(String text) {
        String lower = text.toLowerCase(Locale.ROOT);
        String full = lower.chars().filter(c -> c == ':').count() == 1 ? "0000:" + lower : lower;
        if (!ADDRESS.matcher(full).matches()) {
            throw new IllegalArgumentException(
                    "'" + text + "' is no PCI address; write DOMAIN:BUS:DEVICE.FUNCTION, such as 0000:05:00.0");
        }
        return full;
    }

    /** All devices of a class. */
    public static List<PciDevice> all(Path root, int classCode) {
        try (Stream<Path> entries = Files.list(root.resolve("sys/bus/pci/devices"))) {
            return entries.map(entry -> new PciDevice(root, entry.getFileName().toString()))
                    .filter(device -> device.classCode() == classCode)
                    .sorted((a, b) -> a.address.compareTo(b.address))
                    .toList();
        } catch (IOException e) {
            return List.of(); // a host without PCI
        }
    }

    public String address() {
        return address;
    }

    public boolean exists() {
        return Files.exists(directory());
    }

    /** The driver that it is bound to; empty when to none. */
    public String driver() {
        return linkName("driver");
    }

    /** Number of its IOMMU group; empty when there is no IOMMU. */
    public String iommuGroup() {
        return linkName("iommu_group");
    }

    /** Whether its group is one that VFIO made up in its unsafe mode, without an IOMMU. */
    public boolean isWithoutIommu() {
        return text("iommu_group/name").equals(NO_IOMMU_GROUP);
    }

    /** Its file below {@code /dev/vfio/devices}; empty when the kernel gives it none. */
    public String vfioDevice() {
        try (Stream<Path> entries = Files.list(directory().resolve("vfio-dev"))) {
            return entries.map(path -> path.getFileName().toString())
                    .findFirst()
                    .orElse("");
        } catch (IOException e) {
            return ""; // a kernel before 6.6, or one built without them
        }
    }

    /** NUMA node, or -1. */
    public int numaNode() {
        String text = text("numa_node");
        return text.isEmpty() ? -1 : Integer.parseInt(text);
    }

    public int classCode() {
        return number("class");
    }

    /** Vendor and device, such as {@code 8086:0a54}. */
    public String id() {
        return "%04x:%04x".formatted(number("vendor"), number("device"));
    }

    /**
     * The kernel's block devices on it, as names below {@code /sys/block}; also one that the kernel reaches through another
     * controller, too.
     */
    public List<String> blockDevices() {
        try (Stream<Path> controllers = Files.list(directory().resolve("nvme"))) {
            return controllers
                    .flatMap(PciDevice::children)
                    .map(path -> NAMESPACE_PATH
                            .matcher(path.getFileName().toString())
                            .replaceFirst("$1$2"))
                    .filter(name -> Files.exists(root.resolve("sys/block").resolve(name)))
                    .distinct()
                    .sorted()
                    .toList();
        } catch (IOException e) {
            return List.of(); // the nvme driver does not have it
        }
    }

    private static Stream<Path> children(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.toList().stream();
        } catch (IOException e) {
            return Stream.empty(); // went away meanwhile
        }
    }

    /**
     * Gives the device to a driver, from whichever has it.
     *
     * @throws VfioException when the kernel refuses
     */
    public void bind(String driver) throws VfioException {
        if (driver().equals(driver)) {
            return;
        }
        write("driver_override", driver);
        if (!driver().isEmpty()) {
            write("driver/unbind", address);
        }
        probe();
        if (!driver().equals(driver)) {
            throw new VfioException(
                    Kind.FAILED,
                    address + ": the kernel does not bind it to " + driver + "; remedy: modprobe " + driver
                            + ", and look at the end of dmesg");
        }
    }

    /**
     * Takes the device from vfio-pci and lets the kernel choose its driver.
     *
     * @throws VfioException when the kernel refuses
     */
    public void restore() throws VfioException {
        write("driver_override", "\n");
        if (!driver().isEmpty()) {
            write("driver/unbind", address);
        }
        probe();
    }

    private void probe() throws VfioException {
        writeTo(root.resolve("sys/bus/pci/drivers_probe"), address);
    }

    private void write(String file, String text) throws VfioException {
        writeTo(directory().resolve(file), text);
    }

    private void writeTo(Path file, String text) throws VfioException {
        try {
            Files.writeString(file, text);
        } catch (IOException e) {
            throw new VfioException(
                    Kind.NOT_PERMITTED,
                    address + ": cannot write '" + text.strip() + "' to " + file + " (" + e.getMessage()
                            + "); remedy: run as root, with the modules that dmesg names");
        }
    }

    private Path directory() {
        return root.resolve("sys/bus/pci/devices").resolve(address);
    }

    private String linkName(String link) {
        try {
            return Files.readSymbolicLink(directory().resolve(link))
                    .getFileName()
                    .toString();
        } catch (IOException e) {
            return ""; // no such link: no driver, no group
        }
    }

    private String text(String file) {
        try {
            return Files.readString(directory().resolve(file)).strip();
        } catch (IOException e) {
            return ""; // an attribute that this kernel or device does not have
        }
    }

    private int number(String file) {
        String text = text(file);
        return text.isEmpty() ? -1 : Integer.decode(text);
    }

    @Override
    public String toString() {
        return address;
    }
}

package io.vhostfs.bdev;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.vfio.PciDevice;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What a user calls a block device: {@code malloc:SIZE}, {@code file:PATH[,size=SIZE][,direct=on]} or
 * {@code nvme:PCI-ADDRESS[,nsid=N][,interrupts=on|off][,timeout=SECONDS][,unsafe-noiommu=on]}.
 *
 * <p>Invariant: a value that exists is well-formed; whether the device can be opened is another matter. A comma in a path
 * is written twice. Any thread.
 */
public sealed interface BlockDeviceSpec {
    /** Sizes are multiples of this: the block of the store, and the largest logical block of a disk. */
    long SIZE_UNIT_BYTES = 4096;

    /** The device for reactors of this policy: what depends on that, and was left open, is decided. */
    default BlockDeviceSpec usedBy(IdlePolicy policy) {
        return this;
    }

    /** Memory of this process. */
    record Malloc(long sizeBytes) implements BlockDeviceSpec {
        @Override
        public String toString() {
            return "malloc:" + formatSize(sizeBytes);
        }
    }

    /**
     * A regular file or a block device.
     *
     * @param path where it is
     * @param sizeBytes how large it is made, and the least it has when it is there; 0 when that was not said
     * @param direct whether the page cache is bypassed
     */
    record FilePath(String path, long sizeBytes, boolean direct) implements BlockDeviceSpec {
        @Override
        public String toString() {
            return "file:" + path.replace(",", ",,")
                    + (sizeBytes == 0 ? "" : ",size=" + formatSize(sizeBytes))
                    + (direct ? ",direct=on" : "");
        }
    }

    /**
     * A namespace of an NVMe controller that is bound to vfio-pci.
     *
     * @param address full PCI address
     * @param nsid namespace identifier
     * @param interrupts whether completions raise interrupts, so that reactors may sleep while requests are under way
     * @param timeoutSeconds after which a command is aborted
     * @param unsafeNoIommu whether to use it also where no IOMMU keeps it from memory that is not ours
     */
    record Nvme(String address, int nsid, Interrupts interrupts, int timeoutSeconds, boolean unsafeNoIommu)
            implements BlockDeviceSpec {
        /** What was said of interrupts. */
        public enum Interrupts {
            /** Nothing: {@link #usedBy} decides. */
            OPEN,
            ON,
            OFF
        }

        /** Linux's. */
        public static final int DEFAULT_TIMEOUT_SECONDS = 30;

        public static final int MAX_TIMEOUT_SECONDS = 3600;

        @Override
        public String toString() {
            return "nvme:" + address + (nsid == 1 ? "" : ",nsid=" + nsid) + said(interrupts)
                    + (timeoutSeconds == DEFAULT_TIMEOUT_SECONDS ? "" : ",timeout=" + timeoutSeconds)
                    + (unsafeNoIommu ? ",unsafe-noiommu=on" : "");
        }

        private static String said(Interrupts interrupts) {
            return switch (interrupts) {
                case OPEN -> "";
                case ON -> ",interrupts=on";
                case OFF -> ",interrupts=off";
            };
        }

        /** A drive raises one for each completion, also for those that are polled: who never sleeps has no use for that. */
        @Override
        public Nvme usedBy(IdlePolicy policy) {
            boolean wanted = interrupts == Interrupts.OPEN && policy != IdlePolicy.BUSY;
            return wanted ? new Nvme(address, nsid, Interrupts.ON, timeoutSeconds, unsafeNoIommu) : this;
        }
    }

    /**
     * Reads a block device's name.
     *
     * @throws BlockDeviceException when it cannot be understood
     */
    static BlockDeviceSpec parse(String text) {
        int colon = text.indexOf(':');
        String type = colon < 0 ? text : text.substring(0, colon);
        String rest = colon < 0 ? "" : text.substring(colon + 1);
        return switch (type) {
            case "malloc" -> parseMalloc(text, rest);
            case "file" -> parseFile(text, rest);
            case "nvme" -> parseNvme(text, rest);
            default -> throw invalid(text, "it starts with none of malloc:, file:, nvme:");
        };
    }

    /**
     * Reads a number of bytes: digits, and K, M, G or T for powers of 1024.
     *
     * @throws IllegalArgumentException when it is no such number, or 2^63 or more
     */
    static long parseSize(String text) {
        int digits = 0;
        while (digits < text.length() && text.charAt(digits) >= '0' && text.charAt(digits) <= '9') {
            digits++;
        }
        int shift =
                switch (text.substring(digits).toUpperCase(Locale.ROOT)) {
                    case "" -> 0;
                    case "K" -> 10;
                    case "M" -> 20;
                    case "G" -> 30;
                    case "T" -> 40;
                    default -> -1;
                };
        if (digits == 0 || digits > 19 || shift < 0) {
            throw new IllegalArgumentException("'" + text + "' is no size; write digits and then K, M, G or T");
        }
        try {
            return Math.multiplyExact(Long.parseLong(text.substring(0, digits)), 1L << shift);
        } catch (NumberFormatException | ArithmeticException e) {
            throw new IllegalArgumentException("'" + text + "' is larger than 2^63 - 1 bytes", e);
        }
    }

    /** The shortest text that {@link #parseSize} reads as {@code bytes}. */
    static String formatSize(long bytes) {
        String units = "KMGT";
        int unit = 0;
        long value = bytes;
        while (unit < units.length() && value != 0 && (value & 1023) == 0) {
            value >>= 10;
            unit++;
        }
        return unit == 0 ? Long.toString(value) : value + units.substring(unit - 1, unit);
    }

    private static BlockDeviceSpec parseMalloc(String text, String size) {
        return new Malloc(size(text, size));
    }

    private static BlockDeviceSpec parseFile(String text, String rest) {
        List<String> parts = splitAtSingleCommas(rest);
        String path = parts.getFirst();
        if (path.isEmpty()) {
            throw invalid(text, "the path is missing");
        }
        long sizeBytes = 0;
        boolean direct = false;
        for (String option : parts.subList(1, parts.size())) {
            String[] pair = keyAndValue(text, option);
            switch (pair[0]) {
                case "size" -> sizeBytes = size(text, pair[1]);
                case "direct" -> direct = onOrOff(text, pair);
                default -> throw invalid(text, "there is no option '" + pair[0] + "'");
            }
        }
        return new FilePath(path, sizeBytes, direct);
    }

    private static BlockDeviceSpec parseNvme(String text, String rest) {
        List<String> parts = splitAtSingleCommas(rest);
        String address;
        try {
            address = PciDevice.parseAddress(parts.getFirst());
        } catch (IllegalArgumentException e) {
            throw invalid(text, String.valueOf(e.getMessage()));
        }
        int nsid = 1;
        Nvme.Interrupts interrupts = Nvme.Interrupts.OPEN;
        boolean unsafeNoIommu = false;
        int timeoutSeconds = Nvme.DEFAULT_TIMEOUT_SECONDS;
        for (String option : parts.subList(1, parts.size())) {
            String[] pair = keyAndValue(text, option);
            switch (pair[0]) {
                case "nsid" -> nsid = number(text, pair, Integer.MAX_VALUE);
                case "timeout" -> timeoutSeconds = number(text, pair, Nvme.MAX_TIMEOUT_SECONDS);
                case "unsafe-noiommu" -> unsafeNoIommu = onOrOff(text, pair);
                case "interrupts" -> interrupts = onOrOff(text, pair) ? Nvme.Interrupts.ON : Nvme.Interrupts.OFF;
                default -> throw invalid(text, "there is no option '" + pair[0] + "'");
            }
        }
        return new Nvme(address, nsid, interrupts, timeoutSeconds, unsafeNoIommu);
    }

    private static int number(String text, String[] pair, int max) {
        try {
            int number = Integer.parseInt(pair[1]);
            if (number > 0 && number <= max) {
                return number;
            }
        } catch (NumberFormatException e) {
            // Said below, as of a number that is too small.
        }
        throw invalid(text, pair[0] + " is a number from 1 to " + max);
    }

    private static String[] keyAndValue(String text, String option) {
        String[] pair = option.split("=", 2);
        if (pair.length != 2) {
            throw invalid(text, "'" + option + "' is no KEY=VALUE; a comma in a path is written twice");
        }
        return pair;
    }

    private static boolean onOrOff(String text, String[] pair) {
        return switch (pair[1]) {
            case "on" -> true;
            case "off" -> false;
            default -> throw invalid(text, pair[0] + " is on or off");
        };
    }

    private static long size(String text, String size) {
        long bytes;
        try {
            bytes = parseSize(size);
        } catch (IllegalArgumentException e) {
            throw invalid(text, String.valueOf(e.getMessage()));
        }
        if (bytes == 0 || bytes % SIZE_UNIT_BYTES != 0) {
            throw invalid(text, "its size is no positive multiple of " + SIZE_UNIT_BYTES + " bytes");
        }
        return bytes;
    }

    private static List<String> splitAtSingleCommas(String text) {
        List<String> parts = new ArrayList<>();
        StringBuilder part = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != ',') {
                part.append(c);
            } else if (i + 1 < text.length() && text.charAt(i + 1) == ',') {
                part.append(',');
                i++;
            } else {
                parts.add(part.toString());
                part.setLength(0);
            }
        }
        parts.add(part.toString());
        return parts;
    }

    private static BlockDeviceException invalid(String text, String why) {
        return new BlockDeviceException(
                Kind.INVALID,
                "block device '" + text + "': " + why
                        + "; block devices are named malloc:SIZE, file:PATH[,size=SIZE][,direct=on] or"
                        + " nvme:PCI-ADDRESS[,nsid=N]");
    }
}

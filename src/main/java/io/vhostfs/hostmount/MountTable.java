package io.vhostfs.hostmount;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The mounts that this process sees, read from {@code /proc/self/mountinfo} (proc_pid_mountinfo(5)) without touching any
 * of them. Immutable; control paths only.
 */
final class MountTable {
    private static final Path MOUNTINFO = Path.of("/proc/self/mountinfo");

    /** Fields in front of the optional ones. */
    private static final int FIXED_FIELDS = 6;

    private static final int DEVICE_FIELD = 2;
    private static final int DIRECTORY_FIELD = 4;

    /**
     * One mount.
     *
     * @param device major and minor number, as {@code 0:53}: which file system it is
     * @param directory where it is mounted
     * @param type the file system's type, with its subtype
     */
    record Entry(String device, String directory, String type) {}

    private final List<Entry> entries;

    private MountTable(List<Entry> entries) {
        this.entries = entries;
    }

    static MountTable read() throws IOException {
        return parse(Files.readAllLines(MOUNTINFO, StandardCharsets.ISO_8859_1));
    }

    static MountTable parse(List<String> lines) {
        List<Entry> entries = new ArrayList<>();
        for (String line : lines) {
            String[] fields = line.split(" ", -1);
            int separator = FIXED_FIELDS;
            while (separator < fields.length && !fields[separator].equals("-")) {
                separator++;
            }
            if (separator + 1 < fields.length) {
                entries.add(new Entry(fields[DEVICE_FIELD], unescape(fields[DIRECTORY_FIELD]), fields[separator + 1]));
            }
        }
        return new MountTable(List.copyOf(entries));
    }

    /** The mount that is seen at a directory, which hides earlier ones there; null when nothing is mounted there. */
    @Nullable
    Entry at(Path directory) {
        String name = directory.toString();
        Entry last = null;
        for (Entry entry : entries) {
            if (entry.directory().equals(name)) {
                last = entry;
            }
        }
        return last;
    }

    /** Where a file system is mounted, the latest mount first. */
    List<String> directoriesOf(String device) {
        List<String> directories = new ArrayList<>();
        for (Entry entry : entries) {
            if (entry.device().equals(device)) {
                directories.addFirst(entry.directory());
            }
        }
        return directories;
    }

    /** Space, tab, newline and backslash are written as three octal digits behind a backslash; other bytes as they are. */
    private static String unescape(String field) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(field.length());
        for (int i = 0; i < field.length(); i++) {
            char c = field.charAt(i);
            if (c == '\\' && i + 3 < field.length()) {
                bytes.write(Integer.parseInt(field, i + 1, i + 4, 8));
                i += 3;
            } else {
                bytes.write(c);
            }
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }
}

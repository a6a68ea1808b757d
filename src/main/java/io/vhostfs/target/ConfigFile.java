package io.vhostfs.target;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * A configuration file: the long options of {@code serve}, one {@code name = value} a line; {@code #} starts a comment.
 *
 * <p>{@code bdev} and {@code share} may stand any number of times, the others once.
 */
public final class ConfigFile {
    private static final Set<String> KNOWN = Set.of("bdev", "share", "cpumask", "poll", "create", "meta-cache");

    private ConfigFile() {}

    /** The file's settings as the command-line options that say the same. */
    public static List<String> readOptions(Path file) throws IOException {
        List<String> options = new ArrayList<>();
        int number = 0;
        for (String line : Files.readAllLines(file)) {
            number++;
            String text = line.strip();
            if (text.isEmpty() || text.startsWith("#")) {
                continue;
            }
            int equals = text.indexOf('=');
            String name = equals < 0 ? text : text.substring(0, equals).strip();
            if (equals < 0 || !KNOWN.contains(name)) {
                throw new ConfigException(file + ":" + number + ": '" + text + "' is not one of "
                        + "bdev, share, cpumask, poll, create, meta-cache = value");
            }
            options.add("--" + name + "=" + text.substring(equals + 1).strip());
        }
        return options;
    }
}

package io.vhostfs.target;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One block device with a file system on it.
 *
 * @param name how shares refer to it
 * @param spec {@code malloc:SIZE}, {@code file:PATH…}
 * @param discard whether the device is told of blocks that the file system has freed
 */
public record DeviceConfig(String name, String spec, boolean discard) {
    private static final Pattern NAMED = Pattern.compile("([A-Za-z0-9_-]+)=(.+)");

    /** The last option; a comma in a path is written twice. */
    private static final Pattern DISCARD = Pattern.compile("(.*[^,](?:,,)*),discard=(on|off)");

    public DeviceConfig(String name, String spec) {
        this(name, spec, false);
    }

    /** Reads {@code [NAME=]SPEC[,discard=on|off]}; without a name, the device's name is its spec. */
    public static DeviceConfig parse(String text) {
        Matcher option = DISCARD.matcher(text);
        boolean discard = false;
        String rest = text;
        if (option.matches()) {
            rest = option.group(1);
            discard = option.group(2).equals("on");
        }
        Matcher named = NAMED.matcher(rest);
        return named.matches()
                ? new DeviceConfig(named.group(1), named.group(2), discard)
                : new DeviceConfig(rest, rest, discard);
    }
}

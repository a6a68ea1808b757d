package io.vhostfs.target;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One block device with a file system on it.
 *
 * @param name how shares refer to it
 * @param spec {@code malloc:SIZE}, {@code file:PATH…}
 */
public record DeviceConfig(String name, String spec) {
    private static final Pattern NAMED = Pattern.compile("([A-Za-z0-9_-]+)=(.+)");

    /** Reads {@code [NAME=]SPEC}; without a name, the device's name is its spec. */
    public static DeviceConfig parse(String text) {
        Matcher named = NAMED.matcher(text);
        return named.matches() ? new DeviceConfig(named.group(1), named.group(2)) : new DeviceConfig(text, text);
    }
}

package io.vhostfs.vhost;

import java.nio.file.Path;

/** What management software reads about a back end, as QEMU's docs/interop/vhost-user.json describes it. */
public final class Capabilities {
    /** Name of the file that {@link #description} is for, in {@code /usr/share/qemu/vhost-user}. */
    public static final String DESCRIPTION_FILE_NAME = "50-vhostfs.json";

    private Capabilities() {}

    /** The output of {@code --print-capabilities}. */
    public static String json() {
        return """
                {
                  "type": "fs",
                  "features": []
                }
                """;
    }

    /**
     * The content of {@link #DESCRIPTION_FILE_NAME}.
     *
     * @param binary the program that takes the options of the conventions
     */
    public static String description(Path binary) {
        return """
                {
                  "description": "vhostfs vhost-user-fs",
                  "type": "fs",
                  "binary": "%s"
                }
                """
                .formatted(escape(binary.toAbsolutePath().toString()));
    }

    private static String escape(String text) {
        StringBuilder escaped = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                escaped.append('\\').append(c);
            } else if (c < ' ') {
                escaped.append(String.format("\\u%04x", (int) c));
            } else {
                escaped.append(c);
            }
        }
        return escaped.toString();
    }
}

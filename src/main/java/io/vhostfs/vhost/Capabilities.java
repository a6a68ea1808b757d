package io.vhostfs.vhost;

/** What management software reads about a back end, as QEMU's docs/interop/vhost-user.json describes it. */
public final class Capabilities {
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
}

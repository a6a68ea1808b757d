package io.vhostfs.hostmount;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * How requests of a mount come; tests of mounts run both ways.
 *
 * <p>The kernel's parameter for io_uring is set for the time of a test. Where that cannot be done (an older kernel)
 * requests come by read(2) both times, and {@link #isPossible} says so.
 */
enum MountMode {
    URING("auto", "requests come through io_uring"),
    READ("off", "requests come by read(2)");

    private static final Path PARAMETER = Path.of("/sys/module/fuse/parameters/enable_uring");

    private static @Nullable String before;

    private final String value;

    /** What the target says of it. */
    final String logged;

    MountMode(String value, String logged) {
        this.value = value;
        this.logged = logged;
    }

    /** A share's option; the kernel's parameter is set so that it can be obeyed. */
    String option() throws IOException {
        if (this == URING && Files.exists(PARAMETER)) {
            String now = Files.readString(PARAMETER).strip();
            before = before == null ? now : before;
            Files.writeString(PARAMETER, "Y");
        }
        return ",uring=" + value;
    }

    /** Whether this kernel can do it. */
    boolean isPossible() {
        return this == READ || Files.exists(PARAMETER);
    }

    /** Puts the kernel's parameter back. */
    static void restore() throws IOException {
        if (before != null) {
            Files.writeString(PARAMETER, before);
            before = null;
        }
    }
}

package io.vhostfs.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Where this copy of vhostfs lies, and running the scripts that came with it. */
final class Installation {
    private Installation() {}

    /** The directory that holds {@code bin/vhostfs}; the launcher sets it. */
    static Path home() {
        String home = System.getProperty("vhostfs.home");
        if (home == null) {
            throw new CliException(
                    ExitCodes.UNAVAILABLE, "the property vhostfs.home is not set; remedy: start through bin/vhostfs");
        }
        return Path.of(home);
    }

    /** Runs a script with this process's own output; anything but exit code 0 is an error that names it. */
    static void run(List<String> command) throws IOException, InterruptedException {
        int code = new ProcessBuilder(command).inheritIO().start().waitFor();
        if (code != 0) {
            throw new CliException(
                    ExitCodes.UNAVAILABLE, String.join(" ", command) + " ended with exit code " + code + "; see above");
        }
    }
}

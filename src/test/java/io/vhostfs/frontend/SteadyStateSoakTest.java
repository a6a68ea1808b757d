package io.vhostfs.frontend;

import static org.junit.jupiter.api.Assertions.*;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("soak")
class SteadyStateSoakTest {
    private static final int REQUESTS = 10_000_000;

    /** A quarter of a minute on a machine of its own. */
    private static final int TIMEOUT_MINUTES = 20;

    @TempDir
    Path directory;

    @Test
    void tenMillionRequestsFitIntoASmallHeapThatIsNeverCollected() throws Exception {
        File output = directory.resolve("output").toFile();
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:+UnlockExperimentalVMOptions",
                        "-XX:+UseEpsilonGC",
                        "-Xms256m",
                        "-Xmx256m",
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("java.class.path"),
                        SteadyStateSoak.class.getName(),
                        directory.toString(),
                        Integer.toString(REQUESTS))
                .redirectErrorStream(true)
                .redirectOutput(output)
                .start();
        boolean ended = process.waitFor(TIMEOUT_MINUTES, TimeUnit.MINUTES);
        process.destroyForcibly().waitFor();
        String said = Files.readString(output.toPath());
        assertTrue(ended, said);
        assertEquals(0, process.exitValue(), said);
        assertTrue(said.contains(" requests, heap grown by "), said);
    }
}

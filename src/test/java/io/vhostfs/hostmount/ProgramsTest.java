package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.cli.Main;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The shorter ones of the programs that {@code ci/conformance/programs} runs on a mount and kills; needs root. */
@Tag("hostmount")
class ProgramsTest {
    @TempDir
    Path directory;

    /** Starts the classes under test. */
    private Path launcher() throws IOException {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        String options = " -XX:+UseSerialGC -Xmx256m -XX:TieredStopAtLevel=1 --enable-native-access=ALL-UNNAMED";
        Path launcher = Files.writeString(
                directory.resolve("vhostfs"),
                "#!/bin/sh\nexec '" + java + "'" + options + " -cp '" + System.getProperty("java.class.path") + "' "
                        + Main.class.getName() + " \"$@\"\n");
        return Files.setPosixFilePermissions(launcher, PosixFilePermissions.fromString("rwx------"));
    }

    @Test
    void sqliteAndGitKeepWhatWasDurableWhenTheTargetIsKilled() throws Exception {
        String said = MountedTarget.run(
                0,
                Path.of("").toAbsolutePath(),
                Map.of(
                        "VHOSTFS",
                        launcher().toString(),
                        "VHOSTFS_WORK",
                        directory.resolve("work").toString()),
                "ci/conformance/programs",
                "sqlite",
                "git");
        System.out.println(said);
        assertFalse(said.contains("FAILED"), said);
        assertEquals(
                2,
                said.lines().filter(line -> line.contains("fsck of the store")).count(),
                said);
        assertTrue(said.contains("ok sqlite: journal_mode=wal"), said);
        assertTrue(said.contains("ok git: clone"), said);
    }
}

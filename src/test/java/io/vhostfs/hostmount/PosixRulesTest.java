package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What POSIX and Linux ask of system calls on files, on mounts of both modes; needs root. */
@Tag("hostmount")
class PosixRulesTest {
    /** {@code -Dvhostfs.rules.directory=DIR}: there instead, to try the rules themselves on another file system. */
    private static final String ELSEWHERE = System.getProperty("vhostfs.rules.directory", "");

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;

    @BeforeEach
    void makeMountPoint() throws IOException {
        mount = points.make(directory, "mount");
    }

    @ParameterizedTest
    @CsvSource({"exclusive, URING", "shared, READ", "'exclusive,no-open=on', READ"})
    void areKept(String mode, MountMode transport) throws Exception {
        if (!ELSEWHERE.isEmpty()) {
            Path there = Files.createTempDirectory(Path.of(ELSEWHERE), "rules");
            Files.setPosixFilePermissions(there, PosixFilePermissions.fromString("rwxr-xr-x"));
            runAll(there, PosixRules.TABLES);
            MountedTarget.run(0, directory, "rm", "-rf", there.toString());
            return;
        }
        String store = "file:" + directory.resolve("store");
        String share = "tag=t,privileged=on,mode=" + mode + ",mount=" + mount + transport.option();
        try (MountedTarget target = MountedTarget.serve(directory, store + ",size=64M", share)) {
            // Without OPEN files cannot be made immutable or append-only.
            boolean hasFlags = !mode.contains("no-open");
            runAll(
                    mount,
                    PosixRules.TABLES.stream()
                            .filter(table -> hasFlags || !table.equals("flags"))
                            .toList());
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
    }

    /** All are tried; those that are broken are told together. */
    private static void runAll(Path where, List<String> tables) throws Exception {
        List<String> broken = new ArrayList<>();
        int count = 0;
        int steps = 0;
        for (String table : tables) {
            PosixRuleRunner.Outcome outcome = PosixRuleRunner.runTable(table, where);
            count += outcome.rules();
            steps += outcome.steps();
            broken.addAll(outcome.broken());
        }
        System.out.println(count + " rules of " + steps + " steps, " + broken.size() + " broken");
        assertEquals("", String.join("\n", broken));
    }
}

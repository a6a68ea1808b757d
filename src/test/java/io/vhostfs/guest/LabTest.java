package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicNode;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * The NVMe driver in a guest with an emulated IOMMU and emulated drives ({@code ci/lab}): every step that the script in the
 * guest tells of is a test, and in the end the store that was made and served there is checked here.
 */
@Tag("lab")
class LabTest {
    /** An idle machine takes less than a sixth of it. */
    private static final long GUEST_LIMIT_SECONDS = 2700;

    private static final long START_LIMIT_SECONDS = 600;
    private static final long FSCK_LIMIT_SECONDS = 300;

    private static final List<String> STEPS = List.of(
            "drives taken from the kernel",
            "identify and smart",
            "random I/O, blocks of 512",
            "random I/O, blocks of 4096",
            "random I/O, transfers of 8 KiB, one queue pair",
            "a broken sector",
            "a drive that takes too long",
            "namespaces that come and go",
            "a drive unplugged under load",
            "a file system on the drive, served to a front end",
            "the target killed, started again with interrupts, all synced files there",
            "the target stopped, the store clean");

    /** The directory stays until the dynamic tests have run. */
    @TempDir
    private static Path directory;

    @TestFactory
    Stream<DynamicNode> drivesAreDrivenThroughVfio() throws Exception {
        Guest.prepare();
        Installation.Result lab = Installation.run("lab", GUEST_LIMIT_SECONDS + START_LIMIT_SECONDS, command());
        List<DynamicNode> tests = new ArrayList<>();
        for (String step : STEPS) {
            tests.add(dynamicTest(step, () -> assertEquals(1, count(lab, "ok " + step + " ("), () -> lab.output())));
        }
        tests.add(dynamicTest("no step failed", () -> assertEquals(0, lab.exitCode(), () -> lab.output())));
        tests.add(dynamicTest("the store is clean on this host, too", LabTest::checkStore));
        return tests.stream();
    }

    private static long count(Installation.Result lab, String prefix) {
        return lab.output().lines().filter(line -> line.startsWith(prefix)).count();
    }

    private static List<String> command() throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Installation.file("ci/lab/runlab").toString(),
                "-w",
                directory.toString(),
                "-t",
                Long.toString(GUEST_LIMIT_SECONDS),
                Installation.file("target/vhostfs.jar").toString(),
                labClasses().toString()));
        try (Stream<Path> libraries = Files.list(Installation.file("target/lib"))) {
            libraries.sorted().forEach(library -> command.add(library.toString()));
        }
        return command;
    }

    /** The programs of the lab alone: the other tests' classes need not travel. */
    private static Path labClasses() throws IOException {
        Path from = Installation.file("target/test-classes/io/vhostfs/lab");
        Path classes = directory.resolve("classes");
        Path to = Files.createDirectories(classes.resolve("io/vhostfs/lab"));
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(file.getFileName()));
            }
        }
        return classes;
    }

    private static void checkStore() throws Exception {
        Installation.Result fsck = Installation.run(
                "lab-fsck",
                FSCK_LIMIT_SECONDS,
                List.of(Installation.file("bin/vhostfs").toString(), "fsck", "file:" + directory.resolve("store.img")));
        assertEquals(0, fsck.exitCode(), fsck::output);
    }
}

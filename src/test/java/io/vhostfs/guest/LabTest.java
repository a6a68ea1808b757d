package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
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
            "the target stopped, the store clean",
            "a drive handed back to the kernel, and taken again");

    private static final List<String> CHAIN_STEPS = List.of(
            "the drive taken from the kernel",
            "the store on the drive served",
            "a guest in the guest mounts the share",
            "the target stopped");

    private static final String BOUND = "drive %s: bound to vfio-pci, not to the kernel's nvme driver, %s";

    /** What each run of random I/O tells of, after its name. */
    private static final List<String> RANDOM_IO_PROOFS = List.of(
            "no errors",
            "random I/O at queue depth 1",
            "random I/O at queue depth 4",
            "random I/O at queue depth 16",
            "random I/O at queue depth 64",
            "all aligned I/O is zero copy",
            "pieces of whole double words are not copied",
            "other pieces are copied, and right",
            "flush",
            "write zeroes",
            "discard",
            "no reset");

    private static final List<String> PROOFS = List.of(
            "the kernel has one controller left, which changes what another one has",
            "identify: the controller",
            "identify: the namespace with blocks of 512 bytes",
            "identify: the namespace with blocks of 4096 bytes",
            "smart: the health log",
            "doctor: sees the IOMMU",
            "doctor: sees VFIO",
            "doctor: sees the drives",
            "doctor: sees the drive's group",
            "blkdebug: requests for the broken sector fail",
            "blkdebug: the drive's status is told",
            "blkdebug: nothing is sent again, nothing reset",
            "paused drive: commands time out",
            "paused drive: they are aborted",
            "paused drive: the controller is reset",
            "paused drive: all requests end",
            "namespace change: one more does not disturb",
            "namespace change: one more is seen",
            "namespace change: both asynchronous events came",
            "namespace change: the loss of the one in use is seen",
            "namespace change: its requests fail",
            "unplugged: requests under way fail",
            "unplugged: the driver says so",
            "unplugged: the drive is let go",
            "served: eight files are written and synced",
            "kill -9: the target is gone",
            "kill -9: all synced files are there",
            "kill -9: two more are written",
            "served: the drive's interrupts wake a target that sleeps while commands are under way",
            "served: no byte between guest and drive was copied",
            "fsck in the guest: the store is clean",
            "setup: a drive that is given back is the kernel's",
            "setup: a drive that holds something is refused",
            "setup: a drive that is mounted out of sight is refused even when forced",
            "setup: a drive that holds something is taken when forced");

    private static final List<String> CHAIN_PROOFS = List.of(
            BOUND.formatted("main", "before anything runs"),
            "chain: a guest in the guest wrote, synced and read back",
            "served: no byte between guest and drive was copied",
            BOUND.formatted("main", "after all"),
            "chain: the store is clean on the outer host",
            "chain: what the innermost guest wrote is on the drive, byte by byte");

    /** The directory stays until the dynamic tests have run. */
    @TempDir
    private static Path directory;

    @TestFactory
    Stream<DynamicNode> drivesAreDrivenThroughVfio() throws Exception {
        List<String> proofs = new ArrayList<>(PROOFS);
        for (String drive : List.of("main", "small", "broken", "slow", "plugged", "changing")) {
            proofs.add(BOUND.formatted(drive, "before anything runs"));
        }
        for (String drive : List.of("main", "small", "broken", "slow", "changing")) {
            proofs.add(BOUND.formatted(drive, "after all"));
        }
        for (String run : List.of("blocks of 512", "blocks of 4096", "transfers of 8 KiB")) {
            RANDOM_IO_PROOFS.forEach(proof -> proofs.add(run + ": " + proof));
        }
        List<DynamicNode> tests = run("drives", STEPS, proofs);
        tests.add(dynamicTest("the store is clean on this host, too", () -> checkStore(directory.resolve("drives"))));
        return tests.stream();
    }

    /** The guest's guest mounts a share whose target, in the guest, drives the drive. */
    @TestFactory
    Stream<DynamicNode> aGuestInTheGuestMountsWhatLiesOnTheDrive() throws Exception {
        return run("chain", CHAIN_STEPS, CHAIN_PROOFS).stream();
    }

    private static List<DynamicNode> run(String name, List<String> steps, List<String> proofs) throws Exception {
        Guest.prepare();
        Installation.Result lab =
                Installation.run("lab-" + name, GUEST_LIMIT_SECONDS + START_LIMIT_SECONDS, command(name));
        List<DynamicNode> tests = new ArrayList<>();
        steps.forEach(step -> tests.add(isSaidOnce(lab, step, "ok " + step)));
        proofs.forEach(proof -> tests.add(isSaidOnce(lab, proof, "proved: " + proof)));
        tests.add(dynamicTest("no step failed", () -> assertEquals(0, lab.exitCode(), () -> lab.output())));
        return tests;
    }

    /** A line that is this text, or goes on after it with another word. */
    private static DynamicNode isSaidOnce(Installation.Result lab, String name, String text) {
        return dynamicTest(name, () -> {
            long count = lab.output()
                    .lines()
                    .filter(line -> (line.strip() + " ").startsWith(text + " "))
                    .count();
            assertEquals(1, count, () -> lab.output());
        });
    }

    private static List<String> command(String lab) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Installation.file("ci/lab/runlab").toString(),
                "-l",
                lab,
                "-w",
                directory.resolve(lab).toString(),
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
                Files.copy(file, to.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
        }
        return classes;
    }

    private static void checkStore(Path images) throws Exception {
        Installation.Result fsck = Installation.run(
                "lab-fsck",
                FSCK_LIMIT_SECONDS,
                List.of(Installation.file("bin/vhostfs").toString(), "fsck", "file:" + images.resolve("store.img")));
        assertEquals(0, fsck.exitCode(), fsck::output);
    }
}

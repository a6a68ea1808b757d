package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.vhostfs.hostmount.PosixRulesProgram;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicNode;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** What POSIX and Linux ask of system calls on files, in a guest, on shares of both modes. */
@Tag("guest")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GuestRulesTest {
    /** An idle machine takes two minutes. */
    private static final long LIMIT_SECONDS = 1800;

    private Path stores = Path.of("");
    private @Nullable TargetProcess target;
    private @Nullable GuestPrograms programs;

    @BeforeAll
    void prepareTheGuestAndStartTheTarget(@TempDir Path directory) throws Exception {
        stores = directory;
        programs = new GuestPrograms(directory);
        target = TargetProcess.start("rules-target", stores, "exclusive", "shared");
    }

    @AfterAll
    void endTheTarget() {
        if (target != null) {
            target.close();
        }
    }

    private TargetProcess target() {
        return Objects.requireNonNull(target, "the target did not start");
    }

    private List<String> options() {
        List<String> options = new ArrayList<>(Objects.requireNonNull(programs).options());
        options.addAll(target().shares());
        return options;
    }

    @TestFactory
    Stream<DynamicNode> areKept() {
        String tags = String.join(",", TargetProcess.TAGS);
        return Stream.of(
                Checks.boot(
                        "rules",
                        LIMIT_SECONDS,
                        this::options,
                        () -> GuestPrograms.script(
                                tags, PosixRulesProgram.class, "exclusive", "/mnt/data", "shared", "/mnt/other")),
                dynamicTest("the target stops and its stores are whole", this::stopAndCheckTheStores));
    }

    private void stopAndCheckTheStores() throws Exception {
        assertEquals(0, target().stop(), "exit code of the target");
        for (String tag : TargetProcess.TAGS) {
            Installation.Result result = TargetProcess.checkStore(stores, tag);
            assertEquals(0, result.exitCode(), result::output);
        }
    }
}

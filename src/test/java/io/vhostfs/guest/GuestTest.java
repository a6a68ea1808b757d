package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

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

/**
 * One story, told by the kernel of a Debian guest: it uses two shares of one target in every way there is, the target
 * is restarted, the guest reboots, its QEMU is killed, and in the end the stores are checked. Each step goes on with
 * what the one before it left.
 */
@Tag("guest")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GuestTest {
    /** Every check takes an idle machine some six minutes; a boot and the few checks of the others, 10 s. */
    private static final long FULL_LIMIT_SECONDS = 3000;

    private static final long SHORT_LIMIT_SECONDS = 200;

    /** A minute on an idle machine. */
    private static final long CONTAINERS_LIMIT_SECONDS = 600;

    /** Files that the guest has synced one by one when its QEMU is killed. */
    private static final int SYNCED_FILES = 30;

    private static final String SYNCED = "synced ";

    private Path stores = Path.of("");
    private @Nullable TargetProcess target;
    private String lastSynced = "";

    @BeforeAll
    void prepareTheGuestAndStartTheTarget(@TempDir Path directory) throws Exception {
        stores = directory;
        Guest.prepare();
        target = TargetProcess.start("target", stores);
    }

    @AfterAll
    void endTheTarget() throws Exception {
        if (target != null) {
            target.close();
        }
    }

    private TargetProcess target() {
        return Objects.requireNonNull(target, "the target did not start");
    }

    private List<String> sharesAnd(String... options) {
        List<String> all = new ArrayList<>(target().shares());
        all.addAll(List.of(options));
        return all;
    }

    private DynamicNode boot(String title, String mode) {
        return Checks.boot(title, SHORT_LIMIT_SECONDS, this::sharesAnd, () -> Checks.script(mode));
    }

    @TestFactory
    Stream<DynamicNode> aGuestUsesSharesAsItUsesLocalFileSystems() {
        return Stream.of(
                Checks.boot("new shares", FULL_LIMIT_SECONDS, this::sharesAnd, () -> Checks.script("full")),
                Checks.boot(
                        "containers",
                        CONTAINERS_LIMIT_SECONDS,
                        () -> sharesAnd("--modules", "overlay"),
                        () -> Checks.script("containers")),
                dynamicTest("the target stops and starts again", this::restartTheTarget),
                boot("what was kept", "kept"),
                Checks.boot(
                        "a reboot of the guest",
                        SHORT_LIMIT_SECONDS,
                        () -> sharesAnd("--reboots"),
                        () -> Checks.script("reboots")),
                dynamicTest("QEMU is killed while the guest writes", this::killQemu),
                Checks.boot(
                        "what was synced before",
                        SHORT_LIMIT_SECONDS,
                        this::sharesAnd,
                        () -> Checks.script("survived", lastSynced)),
                dynamicTest("the target stops and its stores are whole", this::stopAndCheckTheStores));
    }

    private void restartTheTarget() throws Exception {
        assertEquals(0, target().stop(), "exit code of the target");
        target = TargetProcess.start("target-again", stores);
    }

    private void killQemu() throws Exception {
        try (Guest guest = Guest.boot("killed", SHORT_LIMIT_SECONDS, sharesAnd(), Checks.script("killed"))) {
            assertNotNull(guest.awaitLine(SYNCED + SYNCED_FILES), guest::diagnosis);
            guest.cutPower();
            lastSynced = guest.output().getLast().substring(SYNCED.length());
        }
    }

    private void stopAndCheckTheStores() throws Exception {
        assertEquals(0, target().stop(), "exit code of the target");
        for (String tag : TargetProcess.TAGS) {
            Installation.Result result = TargetProcess.checkStore(stores, tag);
            assertEquals(0, result.exitCode(), result::output);
        }
    }
}

package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.IntStream;
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
 * {@code kill -9} of a target while a guest's fio and its files are at work. The guest tells what it has synced; QEMU's
 * vhost-user-fs does not connect again, so the guest is lost with the target, and another one looks at what the next
 * target serves, then goes to work in turn. {@code -Dvhostfs.guest.kills=100} kills a hundred times; what data may look
 * like after a kill, {@code target.KillTest} shows.
 */
@Tag("guest")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GuestKillTest {
    private static final int KILLS = Integer.getInteger("vhostfs.guest.kills", 2);

    /** A boot and its few checks take an idle machine 10 s. */
    private static final long LIMIT_SECONDS = 300;

    private static final String SYNCED = "synced ";

    private Path stores = Path.of("");
    private @Nullable TargetProcess target;
    private String lastSynced = "";

    @BeforeAll
    void prepareTheGuest(@TempDir Path directory) throws Exception {
        stores = directory;
        Guest.prepare();
    }

    @AfterAll
    void endTheTarget() {
        if (target != null) {
            target.close();
        }
    }

    private List<String> shares() {
        return Objects.requireNonNull(target, "the target did not start").shares();
    }

    @TestFactory
    Stream<DynamicNode> whatAGuestHasSyncedOutlivesTheTarget() {
        Stream<DynamicNode> kills = IntStream.rangeClosed(1, KILLS)
                .mapToObj(kill -> dynamicTest("the target is killed, " + kill, () -> killTheTarget(kill)));
        return Stream.concat(
                kills,
                Stream.of(
                        Checks.boot(
                                "what was synced before the last kill",
                                LIMIT_SECONDS,
                                this::shares,
                                () -> Checks.script("loaded", lastSynced)),
                        dynamicTest("the target stops and its stores are whole", this::stopAndCheckTheStores)));
    }

    private void killTheTarget(int kill) throws Exception {
        TargetProcess victim =
                kill == 1 ? TargetProcess.start("kill-target-1", stores) : Objects.requireNonNull(target);
        target = victim;
        int files = 10 + new Random().nextInt(40);
        List<String> script = kill == 1 ? Checks.script("load") : Checks.script("load", lastSynced);
        try (Guest guest = Guest.boot("load-" + kill, LIMIT_SECONDS, shares(), script)) {
            assertNotNull(guest.awaitLine(SYNCED + files), guest::diagnosis);
            victim.close();
            guest.cutPower();
            lastSynced = guest.output().getLast().substring(SYNCED.length());
            System.out.printf("kill %d: %d files had been synced%n", kill, Integer.parseInt(lastSynced) + 1);
        }
        target = TargetProcess.start("kill-target-" + (kill + 1), stores);
    }

    private void stopAndCheckTheStores() throws Exception {
        assertEquals(0, Objects.requireNonNull(target).stop(), "exit code of the target");
        for (String tag : TargetProcess.TAGS) {
            Installation.Result result = TargetProcess.checkStore(stores, tag);
            assertEquals(0, result.exitCode(), result::output);
        }
    }
}

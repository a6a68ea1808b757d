package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicNode;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/**
 * Record locks and flock(2) between two guests and the host, which have the same tree; needs root. Each step goes on with
 * what the one before it left; in the end the guests are killed with the locks they hold.
 */
@Tag("guest")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GuestLocksTest {
    /** An idle machine takes a minute. */
    private static final long LIMIT_SECONDS = 900;

    private @Nullable SharedTree tree;
    private List<Place> places = List.of();

    @BeforeAll
    void boot(@TempDir Path directory) throws Exception {
        tree = SharedTree.start(directory);
        places = tree.run(LockProgram.class, LIMIT_SECONDS);
        for (Place place : places) {
            place.expect("0", "open records");
            place.expect("0", "open whole");
        }
    }

    @AfterAll
    void end() throws Exception {
        if (tree != null) {
            tree.close();
        }
    }

    /** What two of the three do. */
    private interface Pair {
        void accept(Place one, Place other) throws Exception;
    }

    /** A test of each two, both ways round. */
    private Stream<DynamicNode> ofEachTwo(String title, Pair pair) {
        List<DynamicNode> tests = new ArrayList<>();
        for (Place one : places) {
            for (Place other : places) {
                if (!one.equals(other)) {
                    tests.add(test(title + ", " + one + " and " + other, () -> pair.accept(one, other)));
                }
            }
        }
        return tests.stream();
    }

    private static DynamicNode test(String title, Executable executable) {
        return dynamicTest(title, executable);
    }

    @TestFactory
    Stream<DynamicNode> locksAreThoseOfAll() {
        Place ann = places.get(0);
        Place bob = places.get(1);
        Place host = places.get(2);
        return Stream.of(
                        ofEachTwo("records exclude", GuestLocksTest::recordsExclude),
                        ofEachTwo("an unlock wakes who waits for a record", GuestLocksTest::recordsWake),
                        ofEachTwo("flock excludes and wakes", GuestLocksTest::wholeFiles),
                        ofEachTwo("a circle is a deadlock", GuestLocksTest::deadlock),
                        Stream.of(
                                test("a guest names its own process", () -> namesProcess(ann)),
                                test("a signal ends a wait on the host", () -> signal(ann, bob)),
                                test("who is killed while it waits in a guest leaves no lock", () -> kill(ann, bob)),
                                test("a killed guest leaves no lock", () -> cutPower(ann, bob, host)),
                                test("nor does the other", () -> cutPower(bob, host)),
                                test("the host ends, the target stops, its store is whole", () -> stop(host))))
                .flatMap(tests -> tests);
    }

    private static void recordsExclude(Place one, Place other) throws Exception {
        one.expect("0", "set records write 10 20");
        other.expect("EAGAIN", "set records write 29 1");
        other.expect("EAGAIN", "set records read 0 11");
        other.expect("0", "set records write 30 5");
        other.expect("0", "set records write 0 10");
        // A process of another client has no number here.
        other.expect("write 10 20 0", "get records read 0 100");
        one.expect("write 30 5 0", "get records read 15 20");
        one.expect("0", "set records read 10 20");
        other.expect("0", "set records read 10 20");
        other.expect("read 10 20 0", "get records write 10 20");
        other.expect("EAGAIN", "set records write 12 1");
        one.expect("0", "set records none 0 0");
        other.expect("0", "set records write 12 1");
        one.expect("EAGAIN", "set records read 12 1");
        other.expect("0", "set records none 0 0");
        other.expect("none", "get records write 0 0");
    }

    private static void recordsWake(Place one, Place other) throws Exception {
        one.expect("0", "set records write 0 10");
        int first = other.beginWaiting("wait records write 0 5");
        one.expect("0", "set records none 5 5");
        other.expect("write 0 5 0", "get records write 0 5");
        one.expect("0", "set records none 0 5");
        other.expectResult("0", first);
        one.expect("write 0 5 0", "get records write 0 10");
        // The last close of one's descriptors ends its locks, too.
        int second = one.beginWaiting("wait records read 3 1");
        other.expect("0", "close records");
        one.expectResult("0", second);
        one.expect("0", "set records none 0 0");
        other.expect("0", "open records");
    }

    private static void wholeFiles(Place one, Place other) throws Exception {
        one.expect("0", "flock whole exclusive");
        other.expect("EAGAIN", "flock whole shared");
        other.expect("none", "get whole write 0 0");
        int waiting = other.beginWaiting("flock-wait whole shared");
        one.expect("0", "flock whole none");
        other.expectResult("0", waiting);
        one.expect("0", "flock whole shared");
        one.expect("EAGAIN", "flock whole exclusive");
        other.expect("0", "close whole");
        one.expect("0", "flock whole exclusive");
        one.expect("0", "flock whole none");
        other.expect("0", "open whole");
    }

    private static void deadlock(Place one, Place other) throws Exception {
        one.expect("0", "set records write 0 1");
        other.expect("0", "set records write 1 1");
        int waiting = one.beginWaiting("wait records write 1 1");
        other.expect("EDEADLK", "wait records write 0 1");
        other.expect("0", "set records none 0 0");
        one.expectResult("0", waiting);
        one.expect("0", "set records none 0 0");
    }

    private static void namesProcess(Place guest) throws Exception {
        guest.expect("0", "set records write 7 3");
        guest.expect("write 7 3 " + guest.ask("pid"), "get-as-another records read 0 0");
        guest.expect("0", "set records none 0 0");
    }

    private void signal(Place holder, Place next) throws Exception {
        holder.expect("0", "flock whole exclusive");
        Path file = Objects.requireNonNull(tree).mount().resolve("whole");
        Process waiter = new ProcessBuilder("flock", file.toString(), "true").start();
        assertTrue(LockProgram.awaitFlock(waiter), "it ended before it waited");
        waiter.destroy();
        assertTrue(waiter.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS));
        holder.expect("0", "flock whole none");
        next.expect("0", "flock whole exclusive");
        next.expect("0", "flock whole none");
    }

    /** virtio-fs sends no interrupts: a process that is killed while it waits ends when it is its turn. */
    private static void kill(Place guest, Place holder) throws Exception {
        holder.expect("0", "flock whole exclusive");
        guest.expect("0", "kill-waiter whole");
        holder.expect("0", "flock whole none");
        holder.expectResult("0", holder.begin("flock-wait whole exclusive"));
        holder.expect("0", "flock whole none");
    }

    private static void cutPower(Place victim, Place... others) throws Exception {
        victim.expect("0", "set records write 0 10");
        victim.expect("0", "flock whole exclusive");
        List<Integer> waiting = new ArrayList<>();
        for (Place other : others) {
            waiting.add(other.beginWaiting("wait records read 5 1"));
            waiting.add(other.beginWaiting("flock-wait whole shared"));
        }
        victim.cutPower();
        for (Place other : others) {
            other.expectResult("0", waiting.removeFirst());
            other.expectResult("0", waiting.removeFirst());
        }
        for (Place other : others) {
            other.expect("0", "set records none 0 0");
            other.expect("0", "flock whole none");
        }
        others[0].expect("none", "get records write 0 0");
    }

    private void stop(Place host) throws IOException, InterruptedException {
        host.begin("end");
        assertEquals(0, host.waitFor(), host::diagnosis);
        Objects.requireNonNull(tree).stopAndCheck();
    }
}

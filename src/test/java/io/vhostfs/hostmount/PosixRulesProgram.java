package io.vhostfs.hostmount;

import static io.vhostfs.os.LibcConstants.TIMESPEC_SIZE;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The rules of POSIX in a guest. Arguments: names and directories in turn. The output is that of {@code ci/guest/checks.sh},
 * with a check for each table in each directory.
 *
 * <p>A guest that caches writes gives files times of its own clock. Before each table that is set to the file system's.
 */
public final class PosixRulesProgram {
    private static final int CLOCK_REALTIME = 0;
    private static final int CLOCK_TRIES = 10;

    /** More than setting the clock misses by, in a guest with a slow emulated processor. */
    private static final long SKEW_NS = TimeUnit.MILLISECONDS.toNanos(20);

    private PosixRulesProgram() {}

    public static void main(String[] arguments) throws Exception {
        PosixRuleRunner.clockSkewNs = SKEW_NS;
        List<String> plan = new ArrayList<>();
        for (int i = 0; i < arguments.length; i += 2) {
            for (String table : PosixRules.TABLES) {
                plan.add(arguments[i] + "-" + table);
            }
        }
        System.out.println("plan " + String.join(" ", plan));
        int broken = 0;
        for (int i = 0; i < arguments.length; i += 2) {
            broken += run(arguments[i], Path.of(arguments[i + 1]));
        }
        System.out.println("done");
        System.exit(broken == 0 ? 0 : 1);
    }

    private static int run(String name, Path directory) throws Exception {
        Path where = Files.createDirectory(directory.resolve("rules"));
        Files.setPosixFilePermissions(where, PosixFilePermissions.fromString("rwxr-xr-x"));
        int rules = 0;
        int steps = 0;
        int broken = 0;
        for (String table : PosixRules.TABLES) {
            setClock(directory.resolve("clock"));
            long startNs = System.nanoTime();
            PosixRuleRunner.Outcome outcome = PosixRuleRunner.runTable(table, where);
            long centiseconds = (System.nanoTime() - startNs) / 10_000_000;
            rules += outcome.rules();
            steps += outcome.steps();
            broken += outcome.broken().size();
            if (outcome.broken().isEmpty()) {
                System.out.println(
                        "ok " + name + "-" + table + " " + centiseconds / 100 + "." + centiseconds / 10 % 10);
            } else {
                System.out.println(
                        "not ok " + name + "-" + table + " " + outcome.broken().size() + " rules are broken");
                outcome.broken().forEach(text -> System.out.println("# " + text.replace('\n', ' ')));
            }
        }
        System.out.println("# " + name + ": " + rules + " rules of " + steps + " steps, " + broken + " broken");
        return broken;
    }

    /** To the time that the file system gives to a new file; of some tries the one that took the least time counts. */
    private static void setClock(Path file) throws IOException {
        long best = Long.MAX_VALUE;
        long ahead = 0;
        for (int i = 0; i < CLOCK_TRIES; i++) {
            long before = PosixRuleRunner.now(CLOCK_REALTIME);
            Files.createFile(file);
            long after = PosixRuleRunner.now(CLOCK_REALTIME);
            long made = ((FileTime) Files.getAttribute(file, "unix:ctime")).to(TimeUnit.NANOSECONDS);
            Files.delete(file);
            if (after - before < best) {
                best = after - before;
                ahead = made - (before + after) / 2;
            }
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment time = arena.allocate(TIMESPEC_SIZE, 8);
            long now = PosixRuleRunner.now(CLOCK_REALTIME) + ahead;
            time.set(ValueLayout.JAVA_LONG, 0, now / 1_000_000_000);
            time.set(ValueLayout.JAVA_LONG, 8, now % 1_000_000_000);
            int status = SystemCalls.callInt("clock_settime", CLOCK_REALTIME, time);
            if (status != 0) {
                throw new IOException("clock_settime: " + status);
            }
        }
    }
}

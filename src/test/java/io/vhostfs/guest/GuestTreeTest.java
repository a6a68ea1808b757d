package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two guests and the host at work in one tree at once; needs root. */
@Tag("guest")
class GuestTreeTest {
    /** {@code -Dvhostfs.guest.tree.seconds=600} for a long run. */
    private static final int SECONDS = Integer.getInteger("vhostfs.guest.tree.seconds", 35);

    private static final long BOOT_LIMIT_SECONDS = 400;

    @Test
    void nobodySeesWhatIsTornOrStaleAndNothingIsLost(@TempDir Path directory) throws Exception {
        List<String> writers = new ArrayList<>(SharedTree.GUESTS);
        writers.add(SharedTree.HOST);
        SharedTree tree = SharedTree.start(directory);
        try {
            TreeProgram.prepare(tree.mount(), writers);
            List<Place> places =
                    tree.run(TreeProgram.class, BOOT_LIMIT_SECONDS + 2L * SECONDS, String.join(",", writers));
            for (Place place : places) {
                place.expect("0", "begin");
            }
            List<Integer> runs =
                    places.stream().map(place -> place.begin("run " + SECONDS)).toList();
            Map<String, Map<String, Long>> done = new HashMap<>();
            for (int i = 0; i < places.size(); i++) {
                String result = places.get(i).result(runs.get(i));
                System.out.println(places.get(i) + ": " + result);
                assertTrue(result.startsWith("steps "), places.get(i)::diagnosis);
                done.put(places.get(i).toString(), numbers(result));
            }
            nothingIsLost(tree.mount(), done);
            String survey = places.getLast().ask("survey");
            for (Place place : places) {
                place.expect(survey, "survey");
                place.begin("end");
                assertEquals(0, place.waitFor(), place::diagnosis);
            }
            tree.stopAndCheck();
        } finally {
            tree.close();
        }
    }

    /** Of words and numbers in turn. */
    private static Map<String, Long> numbers(String result) {
        String[] words = result.split(" ", -1);
        Map<String, Long> numbers = new HashMap<>();
        for (int i = 0; i < words.length; i += 2) {
            numbers.put(words[i], Long.parseLong(words[i + 1]));
        }
        return numbers;
    }

    private static long of(Map<String, Long> numbers, String name) {
        return Objects.requireNonNull(numbers.get(name), name);
    }

    private static void nothingIsLost(Path root, Map<String, Map<String, Long>> done) throws Exception {
        long counted =
                done.values().stream().mapToLong(one -> of(one, "counted")).sum();
        assertEquals(
                counted,
                ByteBuffer.wrap(Files.readAllBytes(root.resolve("counter"))).getLong(),
                "counted under a lock");
        Map<String, Long> won = new HashMap<>();
        long claims = done.values().stream().mapToLong(one -> of(one, "won")).sum();
        for (long i = 0; i < claims; i++) {
            won.merge(Files.readString(root.resolve("claims/" + i)), 1L, Long::sum);
        }
        Map<String, Long> logged = new HashMap<>();
        for (String line : Files.readAllLines(root.resolve("log"))) {
            String[] words = TreeProgram.words(line);
            assertEquals(4, words.length, () -> "a record of the log: " + line);
            assertEquals(
                    logged.merge(words[0], 1L, Long::sum), Long.parseLong(words[1]), () -> "the log of " + words[0]);
        }
        done.forEach((writer, numbers) -> {
            assertEquals(
                    of(numbers, "won"), won.getOrDefault(writer, 0L), () -> "files that " + writer + " made first");
            assertEquals(of(numbers, "steps"), logged.getOrDefault(writer, 0L), () -> "records of " + writer);
            assertTrue(of(numbers, "exact") > 0, () -> writer + " never saw another one at rest");
        });
    }
}

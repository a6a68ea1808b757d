package io.vhostfs.guest;

import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.DynamicNode;

/**
 * The output of {@code ci/guest/checks.sh} as JUnit results. Every check that the script planned becomes a result,
 * also when the guest did not get that far; a guest without a plan is a failure of its own.
 */
final class Checks {
    private static final String SCRIPT = "ci/guest/checks.sh";

    private Checks() {}

    /** The script and its arguments as {@link Guest#boot} wants them. */
    static List<String> script(String... arguments) {
        List<String> script = new ArrayList<>(List.of(Installation.file(SCRIPT).toString()));
        script.addAll(List.of(arguments));
        return script;
    }

    /** Boots the guest when the container is reached, not before, and turns what it reports into results. */
    static DynamicContainer boot(
            String title, long limitSeconds, Supplier<List<String>> options, Supplier<List<String>> script) {
        Stream<DynamicNode> results = Stream.of(title).flatMap(name -> {
            try (Guest guest = Guest.boot(name.replace(' ', '-'), limitSeconds, options.get(), script.get())) {
                int exitCode = guest.waitFor();
                return results(guest.output(), exitCode, guest.diagnosis()).stream();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException(e);
            }
        });
        return DynamicContainer.dynamicContainer(title, results);
    }

    /** One result per planned check, and one for the script as a whole. */
    static List<DynamicNode> results(List<String> output, int exitCode, String diagnosis) {
        Map<String, String> failures = new LinkedHashMap<>();
        Map<String, String> passed = new LinkedHashMap<>();
        List<String> planned = List.of();
        String lastFailed = "";
        for (String line : output) {
            String[] words = line.split(" ", 4);
            if (line.startsWith("plan ")) {
                planned = List.of(line.substring("plan ".length()).split(" +"));
            } else if (line.startsWith("ok ") && words.length == 3) {
                passed.put(words[1], words[2]);
            } else if (line.startsWith("not ok ") && words.length == 4) {
                lastFailed = words[2];
                failures.put(lastFailed, words[3]);
            } else if (line.startsWith("# ")) {
                failures.computeIfPresent(lastFailed, (name, reason) -> reason + "\n" + line);
            }
        }
        List<DynamicNode> results = new ArrayList<>();
        for (String name : planned) {
            String failure = failures.get(name);
            String seconds = passed.get(name);
            results.add(dynamicTest(seconds == null ? name : name + " (" + seconds + " s in the guest)", () -> {
                if (failure != null) {
                    Assertions.fail(name + ": " + failure);
                } else if (seconds == null) {
                    Assertions.fail(
                            name + ": the guest did not get that far: exit code " + exitCode + "\n" + diagnosis);
                }
            }));
        }
        boolean done = output.contains("done") && !planned.isEmpty();
        results.add(dynamicTest("the script came to its end", () -> {
            if (!done) {
                Assertions.fail("the script did not come to its end: exit code " + exitCode + "\n" + diagnosis);
            }
        }));
        return results;
    }
}

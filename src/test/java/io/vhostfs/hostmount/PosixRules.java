package io.vhostfs.hostmount;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads tables of what POSIX and Linux ask of a file system; docs/conformance.md tells how they are written.
 *
 * <p>Invariant: a rule holds no variables any more; one that stood for several became several.
 */
final class PosixRules {
    /** Files beside this class, in the resources. */
    static final List<String> TABLES = List.of(
            "paths",
            "open",
            "directories",
            "links",
            "rename",
            "sticky",
            "modes",
            "owners",
            "truncate",
            "times",
            "nodes",
            "flags");

    private static final Pattern VARIABLE = Pattern.compile("\\{([a-z]+)}");
    private static final Pattern REPEATED = Pattern.compile("\\{([^{}*]+)\\*(\\d+)}");
    private static final Pattern WITH = Pattern.compile("^(.*) with (\\S+)(.*)$");
    private static final Pattern WHO = Pattern.compile("^([a-z]+(?:\\+[a-z]+)*): (.*)$");

    /**
     * One step of a rule.
     *
     * @param who names joined by "+": a user, and in whose groups it is besides its own; "root" as a rule
     * @param words operation and arguments; a result may be kept under a name by a word "->" before the last
     * @param expected names of errors allowed, a number, or what the operation compares with; empty for success
     */
    record Step(String text, String who, List<String> words, List<String> expected) {}

    /** What is seen in a directory that is empty at first. */
    record Rule(String title, List<Step> steps) {}

    private PosixRules() {}

    /** All rules of a table among the resources beside this class. */
    static List<Rule> read(String table) throws IOException {
        try (InputStream in = PosixRules.class.getResourceAsStream("posix/" + table + ".rules")) {
            return parse(new String(Objects.requireNonNull(in, table).readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    static List<Rule> parse(String text) {
        List<Rule> rules = new ArrayList<>();
        List<String> lines = new ArrayList<>();
        for (String line : text.lines().toList()) {
            if (line.startsWith("rule ")) {
                expand(lines, rules);
                lines.clear();
                lines.add(line.substring(5));
            } else if (!line.isBlank() && !line.startsWith("#")) {
                lines.add(line.strip());
            }
        }
        expand(lines, rules);
        return rules;
    }

    /** A rule's lines: its title, "each NAME = a | b" for variables, steps. */
    private static void expand(List<String> lines, List<Rule> rules) {
        if (lines.isEmpty()) {
            return;
        }
        List<Map<String, String>> bindings = new ArrayList<>(List.of(new TreeMap<>()));
        int first = 1;
        while (first < lines.size() && lines.get(first).startsWith("each ")) {
            String[] parts = lines.get(first++).substring(5).split(" = ", 2);
            List<Map<String, String>> more = new ArrayList<>();
            for (Map<String, String> binding : bindings) {
                for (String value : parts[1].split("\\|", -1)) {
                    Map<String, String> one = new TreeMap<>(binding);
                    one.put(parts[0].strip(), value.strip());
                    more.add(one);
                }
            }
            bindings = more;
        }
        for (Map<String, String> binding : bindings) {
            List<Step> steps = new ArrayList<>();
            for (String line : lines.subList(first, lines.size())) {
                steps.add(step(substitute(line, binding)));
            }
            String title = lines.getFirst() + (binding.isEmpty() ? "" : " " + binding.values());
            rules.add(new Rule(title, steps));
        }
    }

    private static String substitute(String line, Map<String, String> binding) {
        String replaced = VARIABLE.matcher(line).replaceAll(match -> {
            String value = binding.get(match.group(1));
            if (value == null) {
                throw new IllegalArgumentException("no variable " + match.group(1) + " in: " + line);
            }
            return Matcher.quoteReplacement(value);
        });
        Matcher with = WITH.matcher(replaced);
        return with.matches() ? with.group(1).replace("@", with.group(2)) + with.group(3) : replaced;
    }

    private static Step step(String line) {
        Matcher who = WHO.matcher(line);
        String rest = who.matches() ? who.group(2) : line;
        String[] sides = rest.split(" = ", 2);
        return new Step(
                line,
                who.matches() ? who.group(1) : "root",
                words(sides[0]),
                sides.length == 1 ? List.of() : words(sides[1]));
    }

    private static List<String> words(String text) {
        return Arrays.stream(text.strip().split(" +")).map(PosixRules::repeat).toList();
    }

    /** "{ab*3}" is "ababab", "{}" the empty word. */
    private static String repeat(String word) {
        return REPEATED.matcher(word)
                .replaceAll(match -> Matcher.quoteReplacement(match.group(1).repeat(Integer.parseInt(match.group(2)))))
                .replace("{}", "");
    }
}

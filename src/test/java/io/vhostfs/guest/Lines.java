package io.vhostfs.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** What a process says, line by line: read as it comes by a thread of its own, and kept in a log. Any thread. */
final class Lines {
    private static final int SHOWN_LINES = 20;

    private final Process process;
    private final Path log;
    private final Thread reader;
    private final List<String> lines = new ArrayList<>(); // guarded by itself, which is told of each line
    private boolean ended; // guarded by lines

    Lines(Process process, Path log) {
        this.process = process;
        this.log = log;
        this.reader = Thread.ofVirtual().start(this::read);
    }

    private void read() {
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8);
                var copy = Files.newBufferedWriter(log)) {
            for (String line = output.readLine(); line != null; line = output.readLine()) {
                copy.write(line);
                copy.newLine();
                copy.flush();
                synchronized (lines) {
                    lines.add(line);
                    lines.notifyAll();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            synchronized (lines) {
                ended = true;
                lines.notifyAll();
            }
        }
    }

    /** The first line that is wanted, when it is there; null when the output ends without one. */
    @Nullable
    String await(Predicate<String> wanted) throws InterruptedException {
        synchronized (lines) {
            int seen = 0;
            while (true) {
                for (; seen < lines.size(); seen++) {
                    if (wanted.test(lines.get(seen))) {
                        return lines.get(seen);
                    }
                }
                if (ended) {
                    return null;
                }
                lines.wait();
            }
        }
    }

    /** Returns when the output has ended. */
    void join() throws InterruptedException {
        reader.join();
    }

    /** All so far. */
    List<String> all() {
        synchronized (lines) {
            return List.copyOf(lines);
        }
    }

    /** The last ones, for a message about a failure. */
    String end() {
        List<String> all = all();
        return String.join("\n", all.subList(Math.max(0, all.size() - SHOWN_LINES), all.size()));
    }
}

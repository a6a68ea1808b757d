package io.vhostfs.cli;

import io.vhostfs.reactor.CoreMask;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.stream.Stream;

/**
 * Files in which a host tells of itself, below a root directory; what is not there is empty.
 *
 * <p>Invariant: nothing is kept. Any thread.
 */
record HostFiles(Path root) {
    boolean exists(String path) {
        return Files.exists(root.resolve(path));
    }

    String text(String path) {
        try {
            return Files.readString(root.resolve(path)).strip();
        } catch (IOException e) {
            return ""; // a file that this kernel does not have means the same as an empty one
        }
    }

    /** -1 when there is none. */
    long number(String path) {
        String text = text(path);
        return text.isEmpty() ? -1 : Long.parseLong(text);
    }

    /** What lies in a directory, in order. */
    List<String> names(String path) {
        try (Stream<Path> entries = Files.list(root.resolve(path))) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        } catch (IOException e) {
            return List.of(); // no such directory: no entries
        }
    }

    /** A list of processor cores. */
    BitSet cores(String path) {
        BitSet cores = new BitSet();
        String text = text(path);
        if (!text.isEmpty() && Character.isDigit(text.charAt(0))) { // "(null)" stands for none
            for (int core : CoreMask.parse(text).cores()) {
                cores.set(core);
            }
        }
        return cores;
    }
}

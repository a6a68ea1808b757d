package io.vhostfs.target;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * What one client asked for, in order, and what was answered; and the check of what a killed target kept of it.
 *
 * <p>Invariant of a target whose process is killed while its machine goes on: names and sizes are those after some prefix
 * of the steps, which holds everything that an answered sync covers. A sector of a block that the prefix has holds the last
 * answered write to that block, also when the write came after the prefix, or an unanswered one that came later still. But
 * what a truncation cuts off is there as it was in every prefix without that truncation, whatever came after it;
 * content of a small file lies in the log and is exactly the prefix's. (A client of a machine that lost its power would
 * count only what was synced as answered.) One thread at a time.
 */
final class KillJournal {
    /** What a step does; paths are the client's own. */
    enum Kind {
        CREATE,
        WRITE,
        TRUNCATE,
        RENAME,
        UNLINK,
        FSYNC,
        FSYNCDIR,
        SYNCFS
    }

    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCK_SECTORS = BLOCK_BYTES / SectorPattern.SECTOR;

    /** A file that never had more bytes lies in the log and the tree as a whole (docs/on-disk-format.md). */
    private static final long INLINE_BYTES = 2000;

    private static final long NOT_ANSWERED = 0;

    /** One request of the client; {@code path} is a directory for FSYNCDIR and empty for SYNCFS. */
    static final class Step {
        final Kind kind;
        final String path;
        final String newPath;
        final long offset;
        final int length;
        final long version;
        private final long issuedNs = System.nanoTime();
        private long answeredNs = NOT_ANSWERED;

        private Step(Kind kind, String path, String newPath, long offset, int length, long version) {
            this.kind = kind;
            this.path = path;
            this.newPath = newPath;
            this.offset = offset;
            this.length = length;
            this.version = version;
        }

        void answered() {
            answeredNs = System.nanoTime();
        }

        boolean isAnswered() {
            return answeredNs != NOT_ANSWERED;
        }

        @Override
        public String toString() {
            return kind + " " + path + (newPath.isEmpty() ? "" : " to " + newPath)
                    + (kind == Kind.WRITE || kind == Kind.TRUNCATE ? " at " + offset + " + " + length : "")
                    + (version == 0 ? "" : " v" + version) + (isAnswered() ? "" : " (not answered)");
        }
    }

    /** A file as it was read back: its size and the version of each sector. */
    static final class Found {
        private final long size;
        private final long[] versions;

        Found(long size, long... versions) {
            this.size = size;
            this.versions = versions;
        }
    }

    /** Which prefixes of the steps are what was found: from the shortest to the longest. */
    record Kept(int shortest, int longest, int synced, int steps) {}

    private final List<Step> steps = new ArrayList<>();
    private Map<String, FileState> start = new HashMap<>();
    private long nextVersion = 1;

    Step add(Kind kind, String path, String newPath, long offset, int length) {
        Step step =
                new Step(kind, path, newPath, offset, length, kind == Kind.WRITE ? nextVersion++ : SectorPattern.ZERO);
        steps.add(step);
        return step;
    }

    int stepCount() {
        return steps.size();
    }

    // --- the model

    /** Data sectors of a file's block: what it held when it came to the file, and the writes to it since. */
    private static final class Block {
        final long[] first = new long[BLOCK_SECTORS];
        final List<Write> writes = new ArrayList<>();

        boolean mayHold(int sector, long version, int prefix) {
            boolean allowed = first[sector] == version;
            for (Write write : writes) {
                if (sector >= write.from && sector < write.to) {
                    if (write.version == SectorPattern.ZERO && write.index >= prefix) {
                        // What a truncation cuts off stays until that is durable, and so does what comes after it wait.
                        return allowed;
                    }
                    boolean certain = write.index < prefix || write.step.isAnswered();
                    allowed = write.version == version || (allowed && !certain);
                }
            }
            return allowed;
        }
    }

    /** Sectors {@code from} to {@code to}; version 0: bytes that a truncation cut off, zeroed when the file grows again. */
    private record Write(Step step, int index, int from, int to, long version) {}

    /**
     * A file after some step, never changed: a file is either inline, then {@code inline} is its content unless that is
     * all zeros, or it has blocks, where null is a hole.
     */
    private static final class FileState {
        static final FileState EMPTY = new FileState(0, true, null, new @Nullable Block[0]);

        final long size;
        final boolean isInline;
        final long @Nullable [] inline;
        final @Nullable Block[] blocks;

        FileState(long size, boolean isInline, long @Nullable [] inline, @Nullable Block[] blocks) {
            this.size = size;
            this.isInline = isInline;
            this.inline = inline;
            this.blocks = blocks;
        }

        /** The content moves from the log to a block; it stays the same. */
        FileState expelled() {
            if (inline == null) {
                return new FileState(size, false, null, new @Nullable Block[0]);
            }
            Block block = new Block();
            System.arraycopy(inline, 0, block.first, 0, inline.length);
            return new FileState(size, false, null, new @Nullable Block[] {block});
        }

        boolean holds(Found found, int prefix) {
            if (found.size != size) {
                return false;
            }
            for (int i = 0; i < found.versions.length; i++) {
                if (!mayHold(i, found.versions[i], prefix)) {
                    return false;
                }
            }
            return true;
        }

        private boolean mayHold(int sector, long version, int prefix) {
            if (isInline) {
                return version == (inline == null || sector >= inline.length ? SectorPattern.ZERO : inline[sector]);
            }
            int block = sector / BLOCK_SECTORS;
            Block at = block < blocks.length ? blocks[block] : null;
            return at == null ? version == SectorPattern.ZERO : at.mayHold(sector % BLOCK_SECTORS, version, prefix);
        }
    }

    /** The files after {@code prefix} steps; the same prefix comes twice when the step after it has two halves. */
    private record Candidate(int prefix, Map<String, FileState> files) {
        boolean is(Map<String, Found> found) {
            return files.keySet().equals(found.keySet())
                    && files.entrySet().stream().allMatch(e -> e.getValue().holds(required(found, e.getKey()), prefix));
        }
    }

    private static <V> V required(Map<String, V> map, String key) {
        V value = map.get(key);
        if (value == null) {
            throw new IllegalStateException("the client named a file that it does not have: " + key);
        }
        return value;
    }

    /** Goes through all steps; what a sync covers is noted on the way. */
    private final class Replay {
        final Map<String, FileState> files = new HashMap<>(start);
        final List<Candidate> candidates = new ArrayList<>();
        final Map<String, Integer> lastChange = new HashMap<>();
        final Map<String, Integer> lastEntry = new HashMap<>();
        int synced;

        void run() {
            for (int i = 0; i < steps.size(); i++) {
                candidates.add(new Candidate(i, new HashMap<>(files)));
                apply(i, steps.get(i));
            }
            candidates.add(new Candidate(steps.size(), new HashMap<>(files)));
            candidates.removeIf(candidate -> candidate.prefix < synced);
        }

        private void apply(int index, Step step) {
            switch (step.kind) {
                case CREATE -> {
                    files.put(step.path, FileState.EMPTY);
                    lastChange.put(step.path, index);
                    entryChanged(step.path, index);
                }
                case UNLINK -> {
                    files.remove(step.path);
                    entryChanged(step.path, index);
                }
                case RENAME -> {
                    files.put(step.newPath, required(files, step.path));
                    files.remove(step.path);
                    lastChange.put(step.newPath, lastChange.getOrDefault(step.path, -1));
                    entryChanged(step.path, index);
                    entryChanged(step.newPath, index);
                }
                case WRITE -> write(index, step);
                case TRUNCATE -> truncate(index, step);
                case FSYNC -> covered(step, lastChange.getOrDefault(step.path, -1));
                case FSYNCDIR -> covered(step, lastEntry.getOrDefault(step.path, -1));
                case SYNCFS -> covered(step, index - 1);
            }
        }

        private void covered(Step step, int last) {
            if (step.isAnswered()) {
                synced = Math.max(synced, last + 1);
            }
        }

        private void entryChanged(String path, int index) {
            lastEntry.put(path.substring(0, path.indexOf('/')), index);
        }

        /** A file that outgrows the log does so in a change of its own, which may be the last one that is kept. */
        private FileState expel(int index, String path) {
            FileState file = required(files, path).expelled();
            files.put(path, file);
            candidates.add(new Candidate(index, new HashMap<>(files)));
            return file;
        }

        private void write(int index, Step step) {
            FileState file = required(files, step.path);
            long end = Math.max(file.size, step.offset + step.length);
            int first = (int) (step.offset / SectorPattern.SECTOR);
            int last = (int) ((step.offset + step.length) / SectorPattern.SECTOR);
            if (file.isInline && end <= INLINE_BYTES) {
                long[] old = file.inline == null ? new long[0] : file.inline;
                long[] inline = Arrays.copyOf(old, Math.max(last, old.length));
                Arrays.fill(inline, first, last, step.version);
                files.put(step.path, new FileState(end, true, inline, file.blocks));
                lastChange.put(step.path, index);
                return;
            }
            boolean changes = file.isInline || end > file.size;
            file = file.isInline ? expel(index, step.path) : file;
            int blockCount = (int) ((end + BLOCK_BYTES - 1) / BLOCK_BYTES);
            @Nullable Block[] blocks = Arrays.copyOf(file.blocks, Math.max(blockCount, file.blocks.length));
            for (int sector = first; sector < last; sector = (sector / BLOCK_SECTORS + 1) * BLOCK_SECTORS) {
                int at = sector / BLOCK_SECTORS;
                Block block = blocks[at];
                if (block == null) {
                    block = new Block();
                    blocks[at] = block;
                    changes = true;
                }
                int to = Math.min(last - at * BLOCK_SECTORS, BLOCK_SECTORS);
                block.writes.add(new Write(step, index, sector % BLOCK_SECTORS, to, step.version));
            }
            files.put(step.path, new FileState(end, false, null, blocks));
            if (changes) {
                lastChange.put(step.path, index);
            }
        }

        private void truncate(int index, Step step) {
            FileState file = required(files, step.path);
            int sectors = (int) (step.offset / SectorPattern.SECTOR);
            lastChange.put(step.path, index);
            if (file.isInline && step.offset <= INLINE_BYTES) {
                long[] inline = file.inline;
                if (inline != null && sectors < inline.length) {
                    inline = sectors == 0 ? null : Arrays.copyOf(inline, sectors);
                }
                files.put(step.path, new FileState(step.offset, true, inline, file.blocks));
                return;
            }
            file = file.isInline ? expel(index, step.path) : file;
            int blockCount = (int) ((step.offset + BLOCK_BYTES - 1) / BLOCK_BYTES);
            @Nullable Block[] blocks = Arrays.copyOf(file.blocks, Math.min(blockCount, file.blocks.length));
            int keep = sectors % BLOCK_SECTORS;
            Block tail = keep != 0 && sectors / BLOCK_SECTORS < blocks.length ? blocks[sectors / BLOCK_SECTORS] : null;
            if (tail != null && step.offset < file.size) {
                tail.writes.add(new Write(step, index, keep, BLOCK_SECTORS, SectorPattern.ZERO));
            }
            files.put(step.path, new FileState(step.offset, false, null, blocks));
        }
    }

    // --- the check

    /** The files before any step since the last check, for a client that goes on with them. */
    Map<String, Long> sizes() {
        Map<String, Long> sizes = new HashMap<>();
        start.forEach((path, file) -> sizes.put(path, file.size));
        return sizes;
    }

    /**
     * Compares what was found with every prefix that holds what was synced, and goes on from there.
     *
     * @throws AssertionError when it is none of them
     */
    Kept check(Map<String, Found> found) {
        Replay replay = new Replay();
        replay.run();
        Candidate longest = null;
        int shortest = -1;
        for (Candidate candidate : replay.candidates) {
            if (candidate.is(found)) {
                longest = candidate;
                shortest = shortest < 0 ? candidate.prefix : shortest;
            }
        }
        if (longest == null) {
            throw new AssertionError(explain(replay, found));
        }
        Kept kept = new Kept(shortest, longest.prefix, replay.synced, steps.size());
        keep(longest, found);
        return kept;
    }

    /** The first step that is certainly not kept, or null when all are. */
    private static @Nullable Step firstLost(List<Step> steps, Kept kept) {
        return kept.longest < steps.size() ? steps.get(kept.longest) : null;
    }

    private static @Nullable Step lastKept(List<Step> steps, Kept kept) {
        return kept.shortest > 0 ? steps.get(kept.shortest - 1) : null;
    }

    /** The steps up to now, for {@link #assertOnePrefix} after the check. */
    List<Step> steps() {
        return List.copyOf(steps);
    }

    /** All clients' changes are one sequence: none is kept that was asked for when one that is lost had been answered. */
    static void assertOnePrefix(List<List<Step>> steps, List<Kept> kept) {
        for (int a = 0; a < steps.size(); a++) {
            Step lost = firstLost(steps.get(a), kept.get(a));
            for (int b = 0; b < steps.size(); b++) {
                Step last = lastKept(steps.get(b), kept.get(b));
                if (lost != null && last != null && lost.isAnswered() && lost.answeredNs < last.issuedNs) {
                    throw new AssertionError(
                            "client " + a + "'s " + lost + " is lost, client " + b + "'s later " + last + " is kept");
                }
            }
        }
    }

    private void keep(Candidate candidate, Map<String, Found> found) {
        start = new HashMap<>();
        candidate.files.forEach((path, file) -> {
            long[] versions = required(found, path).versions;
            @Nullable Block[] blocks = new @Nullable Block[file.blocks.length];
            for (int b = 0; b < blocks.length; b++) {
                if (file.blocks[b] != null) {
                    Block block = new Block();
                    int from = Math.min(b * BLOCK_SECTORS, versions.length);
                    int to = Math.min(from + BLOCK_SECTORS, versions.length);
                    System.arraycopy(versions, from, block.first, 0, to - from);
                    blocks[b] = block;
                }
            }
            start.put(path, new FileState(file.size, file.isInline, file.inline, blocks));
        });
        steps.clear();
    }

    private String explain(Replay replay, Map<String, Found> found) {
        StringBuilder text = new StringBuilder("what was found is after no prefix of the steps from ")
                .append(replay.synced)
                .append(" to ")
                .append(steps.size());
        Candidate nearest = replay.candidates.getFirst();
        int best = -1;
        for (Candidate candidate : replay.candidates) {
            int same = agreeing(candidate, found);
            if (same >= best) {
                best = same;
                nearest = candidate;
            }
        }
        text.append("; nearest is ").append(nearest.prefix);
        TreeSet<String> paths = new TreeSet<>(nearest.files.keySet());
        paths.addAll(found.keySet());
        for (String path : paths) {
            FileState file = nearest.files.get(path);
            Found have = found.get(path);
            if (file == null || have == null) {
                text.append("\n  ").append(path).append(have == null ? " is missing" : " is there");
            } else if (!file.holds(have, nearest.prefix)) {
                text.append("\n  ").append(path).append(explain(file, have, nearest.prefix));
            }
        }
        for (int i = Math.max(0, nearest.prefix - 15); i < Math.min(steps.size(), nearest.prefix + 15); i++) {
            text.append("\n  step ").append(i).append(": ").append(steps.get(i));
        }
        return text.toString();
    }

    private static String explain(FileState file, Found found, int prefix) {
        if (file.size != found.size) {
            return " has " + found.size + " bytes, not " + file.size;
        }
        StringBuilder text = new StringBuilder(" of ").append(file.size).append(file.isInline ? " bytes, inline," : "");
        for (int i = 0; i < found.versions.length; i++) {
            if (!file.mayHold(i, found.versions[i], prefix)) {
                text.append(" sector ").append(i).append(" holds v").append(found.versions[i]);
                Block block = file.isInline
                        ? null
                        : i / BLOCK_SECTORS < file.blocks.length ? file.blocks[i / BLOCK_SECTORS] : null;
                text.append(
                        block == null ? " (no block)" : " (of " + Arrays.toString(block.first) + block.writes + ")");
                break;
            }
        }
        return text.toString();
    }

    private static int agreeing(Candidate candidate, Map<String, Found> found) {
        int same = 0;
        for (Map.Entry<String, Found> entry : found.entrySet()) {
            FileState file = candidate.files.get(entry.getKey());
            same += file != null && file.holds(entry.getValue(), candidate.prefix) ? 1 : 0;
        }
        return same - Math.abs(candidate.files.size() - found.size());
    }
}

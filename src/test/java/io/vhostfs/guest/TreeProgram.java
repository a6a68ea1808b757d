package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Writes, renames and reads in a tree where others, in other kernels, do the same. Arguments: the directory, whose last name
 * is the writer's own; the names of all writers.
 *
 * <p>What a writer does follows from the number of its step. It tells in a file of its own when a step begins and when it is
 * done; so whoever reads that knows what must be there, and no older state may be seen: attributes and names are asked for
 * again each time, data is as of the last open or read(2).
 *
 * <p>It reads lines {@code NUMBER COMMAND} and answers each with {@code NUMBER = RESULT}, as LockProgram.
 */
final class TreeProgram {
    private static final int BLOCKS = 16;
    private static final int MAX_WHOLE_BLOCKS = 9;
    private static final int DIRECTORIES = 4;
    private static final int TAIL_RECORDS = 32;

    /** A block that someone is writing at this moment may be seen half written. */
    private static final int MAX_LOOKS = 1000;

    static final int RECORD_BYTES = 64;

    private final Path root;
    private final String self;
    private final List<String> others;
    private final Map<String, FileChannel> progress = new HashMap<>();
    private final FileChannel log;
    private final FileChannel counter;
    private final FileChannel blocks;

    private long step;
    private long counted;
    private long won;
    private long nextClaim;
    private long looks;
    private long exactLooks;
    private long halfWritten;
    private long longestLog;

    /** The last known of each writer. */
    private record Progress(long step, boolean isDone) {
        /** Steps whose every effect must be seen. */
        long done() {
            return isDone ? step : step - 1;
        }
    }

    private TreeProgram(Path root, List<String> writers) throws IOException {
        this.root = root;
        this.self = root.getFileName().toString();
        this.others = writers.stream().filter(writer -> !writer.equals(self)).toList();
        this.log = open("log", StandardOpenOption.READ);
        this.counter = open("counter", StandardOpenOption.READ, StandardOpenOption.WRITE);
        this.blocks = open("blocks-" + self, StandardOpenOption.WRITE);
        for (String writer : writers) {
            progress.put(writer, open("progress-" + writer, StandardOpenOption.READ, StandardOpenOption.WRITE));
        }
    }

    private FileChannel open(String name, StandardOpenOption... options) throws IOException {
        return FileChannel.open(root.resolve(name), options);
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("ready");
        Path root = Path.of(arguments[0]);
        TreeProgram program = null;
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.endsWith(" end"); line = in.readLine()) {
            String[] words = line.split(" ");
            String result;
            try {
                if (program == null) {
                    program = new TreeProgram(root, List.of(arguments[1].split(",")));
                }
                result = program.run(words);
            } catch (AssertionError | IOException | RuntimeException e) {
                e.printStackTrace(System.out);
                result = "FAILED " + e.toString().replace('\n', ' ');
            }
            System.out.println(words[0] + " = " + result);
        }
    }

    private String run(String... words) throws IOException {
        return switch (words[1]) {
            case "begin" -> {
                step();
                yield "0";
            }
            case "run" -> {
                long endNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(Long.parseLong(words[2]));
                // On a busy machine it may take longer until another one is seen at rest; who is done is.
                while (System.nanoTime() < endNs || exactLooks == 0) {
                    step();
                    for (String other : others) {
                        look(other);
                    }
                    lookAtWhatIsOfAll();
                }
                yield "steps " + step + " counted " + counted + " won " + won + " looks " + looks + " exact "
                        + exactLooks + " half-written " + halfWritten;
            }
            case "survey" -> survey();
            default -> throw new IllegalArgumentException(words[1]);
        };
    }

    /** Makes what is there before any writer begins. */
    static void prepare(Path root, List<String> writers) throws IOException {
        for (String directory : List.of("left", "right", "claims")) {
            Files.createDirectory(root.resolve(directory));
        }
        Files.createFile(root.resolve("log"));
        Files.write(root.resolve("counter"), new byte[Long.BYTES]);
        write(root.resolve("common"), TreeBlock.file(writers.getFirst(), "common", 0, 1));
        for (String writer : writers) {
            write(root.resolve("progress-" + writer), record(writer, 0, true));
            write(root.resolve("blocks-" + writer), TreeBlock.file(writer, "blocks", 0, BLOCKS));
            write(root.resolve("whole-" + writer), TreeBlock.file(writer, "whole", 0, 1));
            write(root.resolve("left/moved-" + writer), TreeBlock.file(writer, "moved", 0, 1));
        }
    }

    private static void write(Path file, ByteBuffer content) throws IOException {
        try (FileChannel channel = FileChannel.open(
                file, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            while (content.hasRemaining()) {
                channel.write(content);
            }
        }
    }

    /** A line of one length that says of itself whether it is whole. */
    private static ByteBuffer record(String writer, long step, boolean isDone) {
        String text = writer + " " + step + " " + (isDone ? "done" : "busy") + " ";
        String line = text + Integer.toHexString(text.hashCode());
        return ByteBuffer.wrap(
                (line + " ".repeat(RECORD_BYTES - 1 - line.length()) + "\n").getBytes(StandardCharsets.US_ASCII));
    }

    /** The words of a record; null when it is none. */
    static String[] words(String line) {
        String[] words = line.strip().split(" ");
        boolean isWhole = words.length == 4
                && Integer.toHexString((words[0] + " " + words[1] + " " + words[2] + " ").hashCode())
                        .equals(words[3]);
        return isWhole ? words : new String[0];
    }

    // --- what a writer does

    private void publish(boolean isDone) throws IOException {
        int written = channel(self).write(record(self, step, isDone), 0);
        assertEquals(RECORD_BYTES, written);
    }

    private FileChannel channel(String writer) {
        return Objects.requireNonNull(progress.get(writer), writer);
    }

    private void step() throws IOException {
        step++;
        publish(false);
        replace("whole-" + self, "whole", (int) (step % MAX_WHOLE_BLOCKS) + 1);
        Files.move(root.resolve(side(step - 1)), root.resolve(side(step)), StandardCopyOption.ATOMIC_MOVE);
        int block = (int) (step % BLOCKS);
        int written = blocks.write(
                new TreeBlock(self, "blocks", step, block, BLOCKS).bytes(), (long) block * TreeBlock.BYTES);
        assertEquals(TreeBlock.BYTES, written);
        try (FileChannel end = open("log", StandardOpenOption.APPEND)) {
            assertEquals(RECORD_BYTES, end.write(record(self, step, true)));
        }
        Path directory = root.resolve("dir-" + self + "-" + step % DIRECTORIES);
        if (hasDirectory(step, step % DIRECTORIES)) {
            Files.createDirectory(directory);
        } else {
            Files.delete(directory);
        }
        if (step % 4 == 0) {
            replace("common", "common", (int) (step % MAX_WHOLE_BLOCKS) + 1);
            count();
        }
        if (step % 2 == 0) {
            claim();
        }
        publish(true);
    }

    /** Where a writer's file is after a step. */
    private String side(long ofStep) {
        return side(self, ofStep);
    }

    private static String side(String writer, long ofStep) {
        return (ofStep % 2 == 0 ? "left" : "right") + "/moved-" + writer;
    }

    /** Whether that directory of a writer is there after a step. */
    private static boolean hasDirectory(long ofStep, long directory) {
        long changes = ofStep / DIRECTORIES + (ofStep % DIRECTORIES >= directory ? 1 : 0) - (directory == 0 ? 1 : 0);
        return changes % 2 == 1;
    }

    private void replace(String name, String file, int count) throws IOException {
        Path made = root.resolve("new-" + self);
        write(made, TreeBlock.file(self, file, step, count));
        Files.move(made, root.resolve(name), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** Adds one to what all count; nobody else may between the read and the write. */
    private void count() throws IOException {
        FileLock lock = counter.lock();
        ByteBuffer value = ByteBuffer.allocate(Long.BYTES);
        assertEquals(Long.BYTES, counter.read(value, 0));
        value.putLong(0, value.getLong(0) + 1);
        assertEquals(Long.BYTES, counter.write(value.flip(), 0));
        lock.release();
        counted++;
    }

    /** Makes the first file that nobody has made. */
    private void claim() throws IOException {
        while (true) {
            Path file = root.resolve("claims/" + nextClaim++);
            try {
                Files.writeString(file, self, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
                won++;
                return;
            } catch (FileAlreadyExistsException e) {
                assertTrue(Files.exists(file), () -> file + " is there and is not");
            }
        }
    }

    // --- what others see of it

    private Progress progress(String writer) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(RECORD_BYTES);
        for (int i = 0; i < MAX_LOOKS; i++) {
            assertEquals(RECORD_BYTES, channel(writer).read(bytes.clear(), 0));
            String[] words = words(new String(bytes.array(), StandardCharsets.US_ASCII));
            if (words.length != 0) {
                assertEquals(writer, words[0]);
                return new Progress(Long.parseLong(words[1]), words[2].equals("done"));
            }
            halfWritten++;
        }
        throw new AssertionError(
                "the record of " + writer + " is torn: " + new String(bytes.array(), StandardCharsets.US_ASCII));
    }

    private void look(String writer) throws IOException {
        looks++;
        Progress before = progress(writer);
        long inLog = log.size() / RECORD_BYTES;
        assertTrue(
                inLog >= before.done(),
                () -> inLog + " records in the log, after step " + before.done() + " of " + writer);
        TreeBlock whole = readWhole("whole-" + writer);
        assertEquals(writer, whole.writer());
        assertEquals("whole", whole.file());
        assertTrue(whole.step() >= before.done(), () -> "stale: " + whole + " after step " + before.done());
        lookAtBlocks(writer, before);
        boolean left = exists(side(writer, 0));
        boolean right = exists(side(writer, 1));
        boolean isListed = names("left").contains("moved-" + writer);
        boolean[] directories = new boolean[DIRECTORIES];
        for (int i = 0; i < DIRECTORIES; i++) {
            directories[i] = exists("dir-" + writer + "-" + i);
        }
        Progress after = progress(writer);
        assertTrue(after.step() >= before.step(), () -> writer + " went back from " + before + " to " + after);
        if (after.equals(before) && before.isDone()) {
            exactLooks++;
            boolean isLeft = before.step() % 2 == 0;
            String what = writer + " after step " + before.step();
            assertEquals(isLeft, left, () -> what + ": left");
            assertEquals(!isLeft, right, () -> what + ": right");
            assertEquals(isLeft, isListed, () -> what + ": listed on the left");
            for (int i = 0; i < DIRECTORIES; i++) {
                assertEquals(hasDirectory(before.step(), i), directories[i], what + ": directory " + i);
            }
        }
    }

    private boolean exists(String name) {
        return Files.exists(root.resolve(name), LinkOption.NOFOLLOW_LINKS);
    }

    private Set<String> names(String directory) throws IOException {
        try (Stream<Path> files = Files.list(root.resolve(directory))) {
            return files.map(file -> file.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    /** A file that is only ever replaced as a whole. */
    private TreeBlock readWhole(String name) throws IOException {
        try (FileChannel channel = open(name, StandardOpenOption.READ)) {
            ByteBuffer all = ByteBuffer.allocate((MAX_WHOLE_BLOCKS + 1) * TreeBlock.BYTES);
            int count;
            do {
                count = channel.read(all);
            } while (count > 0);
            assertEquals(channel.size(), all.flip().remaining(), () -> name + ": size and what could be read");
            return TreeBlock.ofFile(all, name);
        }
    }

    /** Through read(2) and through a map, in turn. */
    private void lookAtBlocks(String writer, Progress before) throws IOException {
        boolean mapped = looks % 2 == 0;
        for (int i = 0; i < MAX_LOOKS; i++) {
            if (tryToLookAtBlocks(writer, before, mapped)) {
                return;
            }
            halfWritten++;
        }
        throw new AssertionError("a block of " + writer + " stays torn " + (mapped ? "in a map" : "in what is read"));
    }

    private boolean tryToLookAtBlocks(String writer, Progress before, boolean mapped) throws IOException {
        int bytes = BLOCKS * TreeBlock.BYTES;
        try (FileChannel channel = open("blocks-" + writer, StandardOpenOption.READ);
                Arena arena = Arena.ofConfined()) {
            assertEquals(bytes, channel.size());
            ByteBuffer all;
            if (mapped) {
                // Copied, so that it is one state that is looked at.
                byte[] copy = new byte[bytes];
                channel.map(FileChannel.MapMode.READ_ONLY, 0, bytes, arena)
                        .asByteBuffer()
                        .get(copy);
                all = ByteBuffer.wrap(copy);
            } else {
                all = ByteBuffer.allocate(bytes);
                assertEquals(bytes, channel.read(all, 0));
            }
            for (int i = 0; i < BLOCKS; i++) {
                ByteBuffer bytesOfBlock = all.slice(i * TreeBlock.BYTES, TreeBlock.BYTES);
                if (!TreeBlock.isWhole(bytesOfBlock)) {
                    return false;
                }
                TreeBlock block = TreeBlock.of(bytesOfBlock, writer);
                long due = Math.max(0, before.done() - Math.floorMod(before.done() - i, (long) BLOCKS));
                String what = (mapped ? "mapped " : "read ") + block + " after step " + before.done();
                assertEquals(new TreeBlock(writer, "blocks", block.step(), i, BLOCKS), block, what);
                assertTrue(block.step() >= due, () -> "stale: " + what);
            }
            return true;
        }
    }

    private void lookAtWhatIsOfAll() throws IOException {
        assertEquals("common", readWhole("common").file());
        long size = log.size();
        assertEquals(0, size % RECORD_BYTES, () -> "the log has " + size + " bytes");
        assertTrue(size >= longestLog, () -> "the log had " + longestLog + " bytes and has " + size);
        longestLog = size;
        int count = (int) Math.min(TAIL_RECORDS, size / RECORD_BYTES);
        ByteBuffer tail = ByteBuffer.allocate(count * RECORD_BYTES);
        assertEquals(tail.capacity(), log.read(tail, size - tail.capacity()));
        for (int i = 0; i < count; i++) {
            String line = new String(tail.array(), i * RECORD_BYTES, RECORD_BYTES, StandardCharsets.US_ASCII);
            assertEquals(4, words(line).length, () -> "a record of the log: " + line);
        }
    }

    /** Everything that is there, as one line; of what is in a directory of very many files only how many and a sum. */
    private String survey() throws IOException {
        Map<String, String> found = new TreeMap<>();
        List<Path> all = new ArrayList<>();
        try (Stream<Path> paths = Files.walk(root)) {
            paths.forEach(all::add);
        }
        int claims = 0;
        int claimsHash = 0;
        for (Path path : all) {
            String name = root.relativize(path).toString();
            if (name.startsWith("claims/")) {
                claims++;
                claimsHash += (name + describe(path)).hashCode();
            } else {
                found.put(name, describe(path));
            }
        }
        return found + " " + claims + " claims of " + claimsHash;
    }

    private static String describe(Path path) throws IOException {
        Map<String, Object> attributes = Files.readAttributes(path, "unix:*", LinkOption.NOFOLLOW_LINKS);
        String text = attributes.get("ino") + "/" + attributes.get("nlink") + "/" + attributes.get("mode") + "/"
                + attributes.get("lastModifiedTime");
        return Files.isRegularFile(path)
                ? text + "/" + attributes.get("size") + "/" + Arrays.hashCode(Files.readAllBytes(path))
                : text;
    }
}

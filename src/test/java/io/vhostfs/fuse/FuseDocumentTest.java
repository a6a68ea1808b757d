package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.MemoryFileSystem;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The tables of docs/fuse.md say what is so: every flag and operation of the protocol, our answer, and tests that exist. */
class FuseDocumentTest {
    private static final Path HOME =
            Path.of(System.getProperty("vhostfs.home", "")).toAbsolutePath();

    /** Bits that we have no other use for. */
    private static final Map<String, Long> FLAGS_WITHOUT_CONSTANT =
            Map.of("FUSE_INIT_RESERVED", 1L << 31, "FUSE_HAS_IO_URING_BUFPOOL", 1L << 43);

    private static final int BITS = 44;

    private final Reactor reactor = new Reactor("test");
    private final MemoryFileSystem fs = new MemoryFileSystem(reactor);

    /** The rows of the first table below a heading, without its head. */
    private static List<List<String>> table(String heading) {
        try {
            List<String> lines = Files.readAllLines(HOME.resolve("docs/fuse.md"));
            return lines.stream()
                    .skip(lines.indexOf(heading))
                    .dropWhile(l -> !l.startsWith("|"))
                    .takeWhile(l -> l.startsWith("|"))
                    .skip(2)
                    .map(l -> Arrays.stream(l.substring(1).split(" \\| ?", -1))
                            .map(String::strip)
                            .toList())
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long number(String constant) {
        Long other = FLAGS_WITHOUT_CONSTANT.get(constant);
        if (other != null) {
            return other;
        }
        try {
            Field field = FuseConstants.class.getField(constant);
            return field.getType() == int.class ? Integer.toUnsignedLong(field.getInt(null)) : field.getLong(null);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(constant, e);
        }
    }

    private long taken(FuseOptions options, long root) {
        FuseTestClient client = new FuseTestClient(new FuseSession(fs, fs.attach(root), options), reactor);
        client.whilePending = fs::completeWaiting;
        FuseTestClient.Reply reply =
                client.init(7, 46, FuseTestClient.ALL_FLAGS).ok();
        assertEquals(45, reply.u32(FUSE_INIT_OUT_MINOR_OFFSET));
        return Integer.toUnsignedLong(reply.u32(FUSE_INIT_OUT_FLAGS_OFFSET))
                | Integer.toUnsignedLong(reply.u32(FUSE_INIT_OUT_FLAGS2_OFFSET)) << 32;
    }

    @Test
    void everyFlagIsTakenWhereTheTableSays() {
        Map<Long, String> names = new TreeMap<>();
        FuseTestClient maker = new FuseTestClient(
                new FuseSession(fs, fs.attach(FileSystem.ROOT_INODE), FuseOptions.shared()), reactor);
        maker.init().ok();
        long directory = maker.mkdir(FuseConstants.FUSE_ROOT_ID, "d").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        Map<String, Long> expected = new TreeMap<>();
        for (List<String> row : table("## INIT flags")) {
            long bit = number(row.getFirst());
            assertNull(names.put(bit, row.getFirst()), () -> row.getFirst() + " is there twice");
            for (String where : wheres(row.get(2))) {
                expected.merge(where, bit, (a, b) -> a | b);
            }
        }
        assertEquals(BITS, names.size(), "a row for each bit");
        compare("exclusive", expected, taken(FuseOptions.exclusive(), FileSystem.ROOT_INODE));
        compare("shared", expected, taken(FuseOptions.shared(), FileSystem.ROOT_INODE));
        compare("directory", expected, taken(FuseOptions.exclusive(), directory));
        compare("host", expected, taken(FuseOptions.exclusive().onThisHost(true), FileSystem.ROOT_INODE));
        compare("no-open", expected, taken(FuseOptions.exclusive().withoutOpen(), FileSystem.ROOT_INODE));
    }

    /** In which of the sessions a word of the table says yes. */
    private static List<String> wheres(String word) {
        return switch (word) {
            case "yes" -> List.of("exclusive", "shared", "directory", "host", "no-open");
            case "no" -> List.of();
            case "exclusive" -> List.of("exclusive", "directory", "host", "no-open");
            case "shared" -> List.of("shared");
            case "whole trees" -> List.of("exclusive", "shared", "host", "no-open");
            case "shares of a directory" -> List.of("directory");
            case "guests" -> List.of("exclusive", "shared", "directory", "no-open");
            case "no-open" -> List.of("no-open");
            case "unless no-open" -> List.of("exclusive", "shared", "directory", "host");
            case "host" -> List.of("host");
            default -> throw new AssertionError("taken: " + word);
        };
    }

    private static void compare(String session, Map<String, Long> expected, long taken) {
        assertEquals(
                Long.toHexString(expected.getOrDefault(session, 0L)),
                Long.toHexString(taken),
                "a share that is: " + session);
    }

    @Test
    void everyOperationIsThere() {
        List<String> listed = new ArrayList<>();
        for (List<String> row : table("## Operations")) {
            listed.addAll(Arrays.stream(row.getFirst().split(",", -1))
                    .map(String::strip)
                    .toList());
        }
        List<String> all = Arrays.stream(FuseConstants.class.getFields())
                .map(Field::getName)
                .dropWhile(name -> !name.equals("FUSE_LOOKUP"))
                .takeWhile(name -> !name.equals("FUSE_ASYNC_READ"))
                .map(name -> name.startsWith("FUSE_") ? name.substring("FUSE_".length()) : name)
                .toList();
        assertTrue(all.contains("COPY_FILE_RANGE_64") && all.contains("CUSE_INIT"));
        for (String operation : all) {
            assertEquals(1, listed.stream().filter(operation::equals).count(), operation);
        }
    }

    @Test
    void theTestsThatAreNamedExist() throws IOException {
        List<String> tests = new ArrayList<>();
        Stream.concat(table("## INIT flags").stream(), table("## Operations").stream())
                .forEach(row ->
                        tests.addAll(Arrays.asList(row.get(row.size() - 2).split(", ", -1))));
        Map<String, Path> sources = new TreeMap<>();
        try (Stream<Path> files = Files.walk(HOME.resolve("src/test/java"))) {
            files.filter(f -> f.toString().endsWith("Test.java"))
                    .forEach(f -> sources.put(f.getFileName().toString().replace(".java", ""), f));
        }
        assertTrue(tests.size() > 70);
        for (String test : tests) {
            String[] parts = test.split("\\.", -1);
            Path source = sources.get(parts[0]);
            assertNotNull(source, test);
            assertTrue(parts.length == 1 || Files.readString(source).contains("void " + parts[1] + "("), test);
        }
    }
}

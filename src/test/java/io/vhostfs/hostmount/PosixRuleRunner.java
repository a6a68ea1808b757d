package io.vhostfs.hostmount;

import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Runs the steps of one rule in a directory of its own.
 *
 * <p>A thread of its own, whose working directory, umask, mounts and rights are nobody else's, and end with it.
 */
final class PosixRuleRunner {
    private static final int CLONE_FS = 0x200;
    private static final int CLONE_NEWNS = 0x20000;
    private static final int MS_BIND = 0x1000;
    private static final int MS_REMOUNT = 0x20;
    private static final int MS_REC = 0x4000;
    private static final int MS_PRIVATE = 0x40000;
    private static final int CLOCK_REALTIME_COARSE = 5;
    private static final long UTIME_NOW = (1L << 30) - 1;
    private static final long UTIME_OMIT = (1L << 30) - 2;
    private static final int NULL_DEVICE = 0x103;
    /** By how much the clock of this machine and that of the file system may differ; 0 where they are one. */
    static volatile long clockSkewNs;

    private static final Map<String, Integer> FILE_FLAGS =
            Map.of("none", 0, "immutable", FS_IMMUTABLE_FL, "append", FS_APPEND_FL, "nodump", FS_NODUMP_FL);

    /** Others are of the file system. */
    private static final int KNOWN_FLAGS = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL;

    private static final String[] TIMES = {"lastAccessTime", "lastModifiedTime", "ctime"};
    private static final Map<String, Integer> IDS =
            Map.of("root", 0, "ann", 65501, "bob", 65502, "cat", 65503, "-", -1);

    private static final Map<String, Integer> FLAGS = Map.ofEntries(
            Map.entry("O_RDONLY", O_RDONLY),
            Map.entry("O_WRONLY", O_WRONLY),
            Map.entry("O_RDWR", O_RDWR),
            Map.entry("O_CREAT", O_CREAT),
            Map.entry("O_EXCL", O_EXCL),
            Map.entry("O_TRUNC", O_TRUNC),
            Map.entry("O_APPEND", O_APPEND),
            Map.entry("O_NONBLOCK", O_NONBLOCK),
            Map.entry("O_DIRECTORY", O_DIRECTORY),
            Map.entry("O_NOFOLLOW", O_NOFOLLOW),
            Map.entry("O_NOATIME", O_NOATIME),
            Map.entry("O_PATH", 0x200000),
            Map.entry("O_TMPFILE", 0x400000 | O_DIRECTORY),
            Map.entry("NOREPLACE", RENAME_NOREPLACE),
            Map.entry("EXCHANGE", RENAME_EXCHANGE),
            Map.entry("WHITEOUT", RENAME_WHITEOUT),
            Map.entry("R_OK", R_OK),
            Map.entry("W_OK", W_OK),
            Map.entry("X_OK", X_OK));

    private static final Map<String, Integer> TYPES = Map.of(
            "file", S_IFREG,
            "dir", S_IFDIR,
            "fifo", S_IFIFO,
            "char", S_IFCHR,
            "block", S_IFBLK,
            "socket", S_IFSOCK,
            "symlink", S_IFLNK);

    private final Path directory;
    private final Map<String, Integer> fds = new HashMap<>();
    private final Map<String, Map<String, Object>> marked = new HashMap<>();
    private FileTime mark = FileTime.fromMillis(0);
    private final List<Process> programs = new ArrayList<>();

    private PosixRuleRunner(Path directory) {
        this.directory = directory;
    }

    /**
     * What came of the rules of a table.
     *
     * @param broken what is wrong with each that was broken
     */
    record Outcome(int rules, int steps, List<String> broken) {}

    /** Tries all rules of a table, each in a directory of its own below this one. */
    static Outcome runTable(String table, Path where) throws Exception {
        List<String> broken = new ArrayList<>();
        int rules = 0;
        int steps = 0;
        for (PosixRules.Rule rule : PosixRules.read(table)) {
            Path own = Files.createDirectory(where.resolve(table + rules++));
            Files.setPosixFilePermissions(own, PosixFilePermissions.fromString("rwxrwxrwx"));
            steps += rule.steps().size();
            try {
                run(rule, own);
            } catch (AssertionError e) {
                broken.add(table + ": " + e.getMessage());
            }
        }
        return new Outcome(rules, steps, broken);
    }

    /** Runs it in an empty directory, of everyone's, which stays behind. */
    static void run(PosixRules.Rule rule, Path directory) throws Exception {
        FutureTask<Void> task = new FutureTask<>(() -> {
            new PosixRuleRunner(directory).runAll(rule);
            return null;
        });
        Thread thread = Thread.ofPlatform().name("rule").start(task);
        try {
            task.get();
        } catch (ExecutionException e) {
            throw new AssertionError(
                    rule.title() + ": " + Objects.requireNonNull(e.getCause()).getMessage(), e);
        } finally {
            thread.join();
        }
    }

    private void runAll(PosixRules.Rule rule) throws Exception {
        done("unshare", CLONE_FS);
        done("umask", 0);
        done("chdir", directory.toString());
        try {
            for (PosixRules.Step step : rule.steps()) {
                run(step);
            }
        } finally {
            fds.values().forEach(Libc::close);
            programs.forEach(Process::destroyForcibly);
            for (Process program : programs) {
                program.waitFor();
            }
        }
    }

    private static void done(String function, Object... arguments) {
        long status = SystemCalls.call(function, arguments);
        assertTrue(status >= 0, () -> function + ": " + Errno.name((int) status));
    }

    private void run(PosixRules.Step step) throws Exception {
        List<String> words = step.words();
        String kept = "";
        if (words.size() > 2 && words.get(words.size() - 2).equals("->")) {
            kept = words.getLast();
            words = words.subList(0, words.size() - 2);
        }
        String[] arguments = words.subList(1, words.size()).toArray(new String[0]);
        try {
            if (!look(words.getFirst(), arguments, step.expected())) {
                try (Arena arena = Arena.ofConfined()) {
                    check(call(arena, credentials(step.who()), words.getFirst(), arguments), step, kept);
                }
            }
        } catch (AssertionError e) {
            throw new AssertionError("\"" + abbreviate(step.text()) + "\": " + e.getMessage(), e);
        }
    }

    private static String abbreviate(String text) {
        return text.length() < 200 ? text : text.substring(0, 200) + "...";
    }

    private void check(long result, PosixRules.Step step, String kept) {
        String found = result < 0 ? Errno.name((int) result) : Long.toString(result);
        if (step.expected().isEmpty()) {
            assertTrue(result >= 0, () -> "got " + found);
            if (!kept.isEmpty()) {
                fds.put(kept, (int) result);
            } else if (step.words().getFirst().equals("open")) {
                Libc.close((int) result);
            }
        } else {
            assertTrue(List.of(step.expected().getFirst().split("\\|")).contains(found), () -> "got " + found);
        }
    }

    private static SystemCalls.Credentials credentials(String who) {
        List<Integer> ids =
                Arrays.stream(who.split("\\+")).map(PosixRuleRunner::number).toList();
        return new SystemCalls.Credentials(ids.getFirst(), ids);
    }

    // --- system calls

    private long call(Arena arena, SystemCalls.Credentials who, String name, String... a) {
        return switch (name) {
            case "make" -> make(who, a);
            case "open" -> SystemCalls.callAs(who, "open", path(a[0]), flags(a[1]) | O_CLOEXEC, optional(a, 2, 0644));
            case "close" -> close(a[0]);
            case "read", "write" -> SystemCalls.callAs(who, name, fd(a[0]), arena.allocate(number(a[1])), number(a[1]));
            case "mkdir", "mkfifo", "chmod" -> SystemCalls.callAs(who, name, path(a[0]), optional(a, 1, 0755));
            case "access" -> SystemCalls.callAs(who, "faccessat", AT_FDCWD, path(a[0]), flags(a[1]), 0x200);
            case "mknod" -> mknod(who, a[0], in(TYPES, a[1]) | optional(a, 2, 0644));
            case "rmdir", "unlink", "chroot" -> SystemCalls.callAs(who, name, path(a[0]));
            case "stat", "lstat" -> SystemCalls.callAs(who, name, path(a[0]), arena.allocate(256));
            case "link", "symlink", "rename" -> SystemCalls.callAs(who, name, path(a[0]), path(a[1]));
            case "linkfd" ->
                SystemCalls.callAs(who, "linkat", AT_FDCWD, "/proc/self/fd/" + fd(a[0]), AT_FDCWD, path(a[1]), 0x400);
            case "linkfollow" -> SystemCalls.callAs(who, "linkat", AT_FDCWD, path(a[0]), AT_FDCWD, path(a[1]), 0x400);
            case "rename2" ->
                SystemCalls.callAs(who, "renameat2", AT_FDCWD, path(a[0]), AT_FDCWD, path(a[1]), flags(a[2]));
            case "fchmod" -> SystemCalls.callAs(who, "fchmod", fd(a[0]), number(a[1]));
            case "chown", "lchown" -> SystemCalls.callAs(who, name, path(a[0]), number(a[1]), number(a[2]));
            case "fchown" -> SystemCalls.callAs(who, name, fd(a[0]), number(a[1]), number(a[2]));
            case "truncate" -> SystemCalls.callAs(who, name, path(a[0]), Long.parseLong(a[1]));
            case "ftruncate" -> SystemCalls.callAs(who, name, fd(a[0]), Long.parseLong(a[1]));
            case "fallocate" ->
                SystemCalls.callAs(who, name, fd(a[0]), number(a[1]), Long.parseLong(a[2]), Long.parseLong(a[3]));
            case "utimens" -> SystemCalls.callAs(who, "utimensat", AT_FDCWD, path(a[0]), times(arena, a), 0);
            case "lutimens" -> SystemCalls.callAs(who, "utimensat", AT_FDCWD, path(a[0]), times(arena, a), 0x100);
            case "futimens" -> SystemCalls.callAs(who, "futimens", fd(a[0]), times(arena, a));
            case "readlink" -> SystemCalls.callAs(who, name, path(a[0]), arena.allocate(8192), optional(a, 1, 8192));
            case "umask" -> SystemCalls.callAs(who, name, number(a[0]));
            case "chdir" -> SystemCalls.callAs(who, name, path(a[0]));
            case "fsync" -> SystemCalls.callAs(who, name, fd(a[0]));
            case "setxattr" -> SystemCalls.callAs(who, name, path(a[0]), a[1], "value", 5L, 0);
            case "getxattr" -> SystemCalls.callAs(who, name, path(a[0]), a[1], arena.allocate(256), 256L);
            case "setflags" -> setFlags(arena, who, a[0], in(FILE_FLAGS, a[1]));
            case "getflags" -> flags(arena, who, a[0]);
            case "removexattr" -> SystemCalls.callAs(who, name, path(a[0]), a[1]);
            default -> throw new IllegalArgumentException("no operation " + name);
        };
    }

    private static long make(SystemCalls.Credentials who, String... a) {
        return switch (a[0]) {
            case "dir" -> SystemCalls.callAs(who, "mkdir", a[1], optional(a, 2, 0755));
            case "symlink" -> SystemCalls.callAs(who, "symlink", a.length > 2 ? a[2] : "nothing", a[1]);
            case "file" -> {
                int flags = O_WRONLY | O_CREAT | O_EXCL;
                long fd = SystemCalls.callAs(who, "open", a[1], flags, optional(a, 2, 0644));
                yield fd < 0 ? fd : Libc.close((int) fd);
            }
            default -> mknod(who, a[1], in(TYPES, a[0]) | optional(a, 2, 0644));
        };
    }

    private static long mknod(SystemCalls.Credentials who, String name, int mode) {
        boolean isDevice = (mode & S_IFMT) == S_IFCHR || (mode & S_IFMT) == S_IFBLK;
        return SystemCalls.callAs(who, "mknod", path(name), mode, isDevice ? (long) NULL_DEVICE : 0L);
    }

    private static long setFlags(Arena arena, SystemCalls.Credentials who, String path, int flags) {
        MemorySegment all = arena.allocateFrom(ValueLayout.JAVA_LONG, flags);
        return ioctl(who, path, FS_IOC_SETFLAGS, all);
    }

    private static long flags(Arena arena, SystemCalls.Credentials who, String path) {
        MemorySegment flags = arena.allocate(Long.BYTES, Long.BYTES);
        long status = ioctl(who, path, FS_IOC_GETFLAGS, flags);
        return status < 0 ? status : flags.get(ValueLayout.JAVA_INT, 0) & KNOWN_FLAGS;
    }

    private static long ioctl(SystemCalls.Credentials who, String path, int command, MemorySegment argument) {
        int fd = SystemCalls.callInt("open", path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return fd;
        }
        long status = SystemCalls.callAs(who, "ioctl", fd, Integer.toUnsignedLong(command), argument);
        Libc.close(fd);
        return status;
    }

    /** A name, or an address where nothing is. */
    private static Object path(String word) {
        return word.equals("BAD") ? MemorySegment.ofAddress(1) : word;
    }

    private static <T> T in(Map<String, T> map, String key) {
        return Objects.requireNonNull(map.get(key), key);
    }

    private long close(String name) {
        int fd = in(fds, name);
        fds.remove(name);
        return Libc.close(fd);
    }

    private int fd(String name) {
        Integer fd = fds.get(name);
        return fd == null ? Integer.parseInt(name) : fd;
    }

    private static int number(String word) {
        Integer id = IDS.get(word);
        return id != null ? id : Integer.decode(word);
    }

    private static int optional(String[] arguments, int index, int otherwise) {
        return index < arguments.length ? number(arguments[index]) : otherwise;
    }

    private static int flags(String word) {
        return Arrays.stream(word.split(","))
                .mapToInt(flag -> FLAGS.containsKey(flag) ? in(FLAGS, flag) : Integer.decode(flag))
                .reduce(0, (a, b) -> a | b);
    }

    /** Two timespecs of the last two words: seconds, seconds.nanoseconds, "now" or "omit"; NULL for "null". */
    private static MemorySegment times(Arena arena, String... words) {
        if (words.length == 2) {
            assertEquals("null", words[1]);
            return MemorySegment.NULL;
        }
        MemorySegment times = arena.allocate(32, 8);
        for (int i = 0; i < 2; i++) {
            String[] parts = words[1 + i].split("\\.", 2);
            boolean isNumber = parts[0].matches("-?\\d+");
            times.set(ValueLayout.JAVA_LONG, 16L * i, isNumber ? Long.parseLong(parts[0]) : 0);
            long nanoseconds = isNumber
                    ? parts.length > 1 ? Long.parseLong(parts[1]) : 0
                    : parts[0].equals("now") ? UTIME_NOW : UTIME_OMIT;
            times.set(ValueLayout.JAVA_LONG, 16L * i + 8, nanoseconds);
        }
        return times;
    }

    // --- looking

    /** Whether {@code name} is no system call but a look at what is there, which was as expected. */
    private boolean look(String name, String[] a, List<String> expected) throws Exception {
        switch (name) {
            case "is" -> is(directory.resolve(a[0]), false, a);
            case "fis" -> is(Path.of("/proc/self/fd/" + fd(a[0])), true, a);
            case "gone" -> {
                for (String gone : a) {
                    assertFalse(Files.exists(directory.resolve(gone), LinkOption.NOFOLLOW_LINKS), gone);
                }
            }
            case "names" -> {
                try (Stream<Path> files = Files.list(directory.resolve(a[0]))) {
                    Set<String> names =
                            files.map(f -> f.getFileName().toString()).collect(Collectors.toCollection(TreeSet::new));
                    assertEquals(new TreeSet<>(expected), names);
                }
            }
            case "content" -> assertEquals(expected.getFirst(), content(directory.resolve(a[0])));
            case "mark" -> mark(a);
            case "moved" -> moved(a[0], a[1]);
            case "fresh" -> {
                for (String time : TIMES) {
                    FileTime at = (FileTime) in(attributes(directory.resolve(a[0]), false), time);
                    assertTrue(at.compareTo(mark) > 0, time + " " + at + " is not behind " + mark);
                }
            }
            case "readonly" -> readonly(directory.resolve(a[0]).toString());
            case "program" ->
                Files.copy(Path.of("/usr/bin/cat"), directory.resolve(a[0]), StandardCopyOption.COPY_ATTRIBUTES);
            case "start" ->
                programs.add(new ProcessBuilder(directory.resolve(a[0]).toString()).start());
            case "end" -> {
                programs.getLast().destroyForcibly().waitFor();
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    /** Of a short file: each run of equal bytes as the byte's value and how often it is there. */
    private static String content(Path file) throws IOException {
        byte[] data = Files.readAllBytes(file);
        StringBuilder text = new StringBuilder();
        for (int i = 0, start = 0; i < data.length; i++) {
            if (i + 1 == data.length || data[i + 1] != data[start]) {
                text.append(text.isEmpty() ? "" : ",")
                        .append(data[start])
                        .append('*')
                        .append(i + 1 - start);
                start = i + 1;
            }
        }
        return text.toString();
    }

    private static Map<String, Object> attributes(Path path, boolean follow) throws IOException {
        LinkOption[] options = follow ? new LinkOption[0] : new LinkOption[] {LinkOption.NOFOLLOW_LINKS};
        return Files.readAttributes(path, "unix:*", options);
    }

    private void is(Path path, boolean follow, String... words) throws IOException {
        Map<String, Object> found = attributes(path, follow);
        int mode = (int) in(found, "mode");
        for (String word : Arrays.asList(words).subList(1, words.length)) {
            String[] pair = word.split("=", 2);
            String value = pair[1];
            switch (pair[0]) {
                case "type" -> assertEquals(TYPES.get(value), mode & S_IFMT, word);
                case "mode" -> assertEquals(number(value), mode & 07777, word);
                case "uid", "gid" -> assertEquals(number(value), found.get(pair[0]), word);
                case "nlink" -> assertEquals(number(value), found.get("nlink"), word);
                case "size" -> assertEquals(Long.parseLong(value), found.get("size"), word);
                case "rdev" -> assertEquals(Long.decode(value), found.get("rdev"), word);
                case "same" ->
                    assertEquals(attributes(directory.resolve(value), false).get("ino"), found.get("ino"), word);
                case "atime" -> assertEquals(value, seconds(in(found, TIMES[0])), word);
                case "mtime" -> assertEquals(value, seconds(in(found, TIMES[1])), word);
                default -> throw new IllegalArgumentException("no attribute " + word);
            }
        }
    }

    private static String seconds(Object time) {
        var instant = ((FileTime) time).toInstant();
        return instant.getEpochSecond() + (instant.getNano() == 0 ? "" : "." + instant.getNano());
    }

    /** Remembers times, and waits until the clock that files get their times from shows a later one. */
    private void mark(String... names) throws IOException {
        for (String name : names) {
            Map<String, Object> attributes = attributes(directory.resolve(name), false);
            marked.put(name, attributes);
        }
        long now = now(0);
        mark = FileTime.from(now, java.util.concurrent.TimeUnit.NANOSECONDS);
        while (now(CLOCK_REALTIME_COARSE) <= now + clockSkewNs) {
            Thread.onSpinWait();
        }
    }

    static long now(int clock) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment time = arena.allocate(TIMESPEC_SIZE, 8);
            done("clock_gettime", clock, time);
            return time.get(ValueLayout.JAVA_LONG, 0) * 1_000_000_000 + time.get(ValueLayout.JAVA_LONG, 8);
        }
    }

    /** Which of a file's times are later than marked, by their first letters; the others are the same. */
    private void moved(String name, String which) throws IOException {
        Map<String, Object> before = in(marked, name);
        Map<String, Object> after = attributes(directory.resolve(name), false);
        for (String time : new String[] {TIMES[1], TIMES[2]}) {
            boolean expected = which.indexOf(time.equals("ctime") ? 'c' : 'm') >= 0;
            int order = ((FileTime) in(after, time)).compareTo((FileTime) in(before, time));
            assertEquals(expected, order > 0, name + ": " + time + " " + before.get(time) + " -> " + after.get(time));
            assertTrue(order >= 0, time + " went back");
        }
    }

    /** For this thread only. */
    private static void readonly(String path) {
        done("unshare", CLONE_NEWNS);
        done("mount", "none", "/", "none", (long) (MS_REC | MS_PRIVATE), MemorySegment.NULL);
        done("mount", path, path, "none", (long) MS_BIND, MemorySegment.NULL);
        done("mount", path, path, "none", (long) (MS_BIND | MS_REMOUNT | MS_RDONLY), MemorySegment.NULL);
    }
}

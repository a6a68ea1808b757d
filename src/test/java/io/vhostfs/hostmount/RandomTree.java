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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Random calls on the names and files of a tree that others change at the same time, and what must hold of it whatever the
 * order was.
 *
 * <p>A file holds zeroes, and at each multiple of 8 that was written a word made of its inode number and the offset: a word
 * of another file, or of elsewhere, does not go unseen. One thread per object; any number of objects.
 *
 * <p>Where others change the tree by another mount, the kernel answers ESTALE by itself when it finds a directory, which it
 * knows elsewhere, under a name that is looked up during a rename ({@code __d_unalias} in fs/dcache.c). That is taken here,
 * when it goes away once the name was looked up outside of a rename.
 */
final class RandomTree implements AutoCloseable {
    private static final int NAMES = 6;
    private static final int DIRECTORIES = 3;
    private static final int DEPTH = 3;
    private static final int MAX_BYTES = 1 << 20;
    private static final int MAX_PIECE = 64 << 10;
    private static final int INODE_OFFSET = 8;
    private static final int MODE_OFFSET = 24;

    /** How often a call is made again that meets directories which others move all the time. */
    private static final int MAX_TRIES = 100;

    /** What a call may answer because someone else was faster, or because it asked for nonsense. */
    private static final Set<Integer> TOLERATED = Set.of(
            Errno.ENOENT,
            Errno.EEXIST,
            Errno.ENOTDIR,
            Errno.EISDIR,
            Errno.ENOTEMPTY,
            Errno.EINVAL,
            Errno.ELOOP,
            Errno.EPERM,
            Errno.ENODATA,
            Errno.ENXIO);

    private final Path root;
    private final boolean changesElsewhere;
    private final Random random;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment data = arena.allocate(MAX_PIECE, 8);
    private final MemorySegment status = arena.allocate(256, 8);

    private int stale;

    /** {@code changesElsewhere}: others change the tree by another mount. */
    RandomTree(Path root, boolean changesElsewhere, long seed) {
        this.root = root;
        this.changesElsewhere = changesElsewhere;
        random = new Random(seed);
    }

    @Override
    public void close() {
        arena.close();
    }

    /** How often the kernel was surprised by a directory that someone else had moved. */
    int stale() {
        return stale;
    }

    private String directory() {
        StringBuilder path = new StringBuilder(root.toString());
        for (int i = random.nextInt(DEPTH); i >= 0; i--) {
            path.append("/d").append(random.nextInt(DIRECTORIES));
        }
        return path.toString();
    }

    /** In a directory, which may be there or not. */
    private String file() {
        String in = random.nextInt(4) == 0 ? root.toString() : directory();
        return in + "/f" + random.nextInt(NAMES);
    }

    /** Seldom a file. */
    private String renamedDirectory() {
        return random.nextInt(8) == 0 ? file() : directory();
    }

    private String renamedFile() {
        return random.nextInt(8) == 0 ? directory() : file();
    }

    /** One call; whether it did something. */
    boolean step() {
        return switch (random.nextInt(24)) {
            case 0, 1, 2, 3 -> done("mkdir", directory(), 0755);
            case 4 -> done("rmdir", directory());
            case 5, 6 -> done("unlink", file());
            case 7 -> done("link", file(), file());
            case 8 -> done("symlink", "f" + random.nextInt(NAMES), file());
            case 9, 10 -> done("rename", renamedFile(), file());
            case 11, 12 -> done("rename", renamedDirectory(), directory());
            case 13 -> done("renameat2", AT_FDCWD, renamedFile(), AT_FDCWD, renamedDirectory(), random.nextInt(1 << 2));
            case 14 -> done("truncate", file(), (long) random.nextInt(MAX_BYTES) & -8);
            case 15 -> done("chmod", renamedFile(), random.nextBoolean() ? 0755 : 0700);
            case 16 ->
                random.nextBoolean()
                        ? done("setxattr", file(), "user.a", "value", 5L, 0)
                        : done("removexattr", file(), "user.a");
            case 17 -> list(directory());
            case 18 -> done("mknod", file(), S_IFSOCK | 0644, 0L);
            default -> useData(file());
        };
    }

    private boolean done(String function, Object... arguments) {
        return call(function, arguments) >= 0;
    }

    /** Its result, or the negative errno that is one of those tolerated. */
    private long call(String function, Object... arguments) {
        long result = SystemCalls.call(function, arguments);
        for (int i = 1; result == -Errno.ESTALE && changesElsewhere && i < MAX_TRIES; i++) {
            stale++;
            Arrays.stream(arguments).filter(this::isPath).forEach(p -> SystemCalls.call("access", p, 0));
            result = SystemCalls.call(function, arguments);
        }
        long last = result;
        assertTrue(
                last >= 0 || TOLERATED.contains((int) -last),
                () -> function + Arrays.toString(arguments) + ": " + Errno.name((int) last));
        return last;
    }

    private boolean isPath(Object argument) {
        return argument instanceof String text && text.startsWith(root.toString());
    }

    private static boolean list(String path) {
        try (Stream<Path> files = Files.list(Path.of(path))) {
            List<Path> all = files.toList();
            assertEquals(all.size(), Set.copyOf(all).size(), () -> path + " has a name twice: " + all);
            return true;
        } catch (IOException | java.io.UncheckedIOException e) {
            return false;
        }
    }

    private boolean useData(String path) {
        int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (random.nextBoolean() ? O_CREAT : 0);
        int fd = (int) call("open", path, flags, 0644);
        if (fd < 0) {
            return false;
        }
        try {
            assertEquals(0, SystemCalls.callInt("fstat", fd, status));
            long inode = status.get(ValueLayout.JAVA_LONG, INODE_OFFSET);
            if ((status.get(ValueLayout.JAVA_INT, MODE_OFFSET) & S_IFMT) == S_IFREG) {
                for (int i = random.nextInt(6); i >= 0; i--) {
                    useData(
                            fd,
                            inode,
                            random.nextInt(MAX_BYTES - MAX_PIECE) & -8,
                            8 + random.nextInt(MAX_PIECE - 8) & -8);
                }
            }
            return true;
        } finally {
            assertEquals(0, Libc.close(fd));
        }
    }

    private void useData(int fd, long inode, int at, int length) {
        int kind = random.nextInt(8);
        if (kind == 0) {
            assertEquals(0, Libc.fdatasync(fd));
        } else if (kind == 1) {
            int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
            assertEquals(0, Libc.fallocate(fd, random.nextBoolean() ? mode : 0, at, length));
        } else if (kind < 5) {
            for (int i = 0; i < length; i += 8) {
                data.set(ValueLayout.JAVA_LONG, i, word(inode, at + i));
            }
            assertEquals(length, Libc.pwrite(fd, data.address(), length, at));
        } else {
            long read = Libc.pread(fd, data.address(), length, at);
            assertTrue(read >= 0, () -> "read: " + Errno.name((int) read));
            for (int i = 0; i + 8 <= read; i += 8) {
                long found = data.get(ValueLayout.JAVA_LONG, i);
                int offset = at + i;
                assertTrue(
                        found == 0 || found == word(inode, offset),
                        () -> "inode " + inode + " at " + offset + " has " + Long.toHexString(found));
            }
        }
    }

    private static long word(long inode, long offset) {
        return inode * 0x9E3779B97F4A7C15L + offset + 1;
    }

    /** Everything in the tree by its path, with what must not change any more; link counts and data are right. */
    static Map<String, String> survey(Path root) throws IOException {
        Map<String, String> found = new TreeMap<>();
        Map<String, Integer> names = new HashMap<>();
        Map<String, Integer> counts = new HashMap<>();
        try (Stream<Path> all = Files.walk(root)) {
            for (Path path : new ArrayList<>(all.toList())) {
                Map<String, Object> a = Files.readAttributes(path, "unix:*", LinkOption.NOFOLLOW_LINKS);
                boolean isDirectory = Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS);
                String inode = String.valueOf(a.get("ino"));
                int links = Integer.parseInt(String.valueOf(a.get("nlink")));
                counts.put(inode, links);
                names.merge(inode, isDirectory ? 2 + directories(path) : 1, Integer::sum);
                found.put(
                        root.relativize(path).toString(),
                        inode + " " + a.get("mode") + " " + links + (isDirectory ? "" : " " + a.get("size")));
            }
        }
        assertEquals(
                new TreeMap<>(counts).toString(), new TreeMap<>(names).toString(), "links, and names that are there");
        return found;
    }

    private static int directories(Path path) throws IOException {
        try (Stream<Path> files = Files.list(path)) {
            return (int) files.filter(f -> Files.isDirectory(f, LinkOption.NOFOLLOW_LINKS))
                    .count();
        }
    }
}

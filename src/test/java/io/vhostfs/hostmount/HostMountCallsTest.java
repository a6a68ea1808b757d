package io.vhostfs.hostmount;

import static io.vhostfs.hostmount.SystemCalls.call;
import static io.vhostfs.hostmount.SystemCalls.callInt;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** System calls that Java has no name for, on a mount; needs root. */
@Tag("hostmount")
@ParameterizedClass
@EnumSource(MountMode.class)
class HostMountCallsTest {
    private static final int O_TMPFILE = 0x400000 | LibcConstants.O_DIRECTORY;
    private static final int AT_SYMLINK_FOLLOW = 0x400;
    private static final int HANDLE_BYTES = 128;

    @Parameter
    MountMode mode = MountMode.READ;

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;

    @BeforeEach
    void makeMountPoint() throws IOException {
        mount = points.make(directory, "mount");
    }

    private MountedTarget start() throws IOException {
        return MountedTarget.serve(
                directory, "file:" + directory.resolve("store") + ",size=256M", "tag=t,mount=" + mount + mode.option());
    }

    /** Two mounts of the same files. */
    private MountedTarget startShared(Path second) throws IOException {
        return MountedTarget.serve(
                directory,
                "malloc:64M",
                "tag=t,mode=shared,mount=" + mount + mode.option(),
                "tag=u,mode=shared,mount=" + second + mode.option());
    }

    private static int open(Path path, int flags) {
        return callInt("open", path.toString(), flags | LibcConstants.O_CLOEXEC, 0640);
    }

    @Test
    void aFileWithoutANameMayGetOne() throws Exception {
        try (MountedTarget target = start()) {
            int fd = open(mount, O_TMPFILE | LibcConstants.O_RDWR);
            assertTrue(fd >= 0, () -> Errno.name(fd));
            try (Arena arena = Arena.ofConfined()) {
                assertEquals(5, call("write", fd, arena.allocateFrom("hello"), 5L));
            }
            try (var files = Files.list(mount)) {
                assertEquals(0, files.count());
            }
            Path named = mount.resolve("named");
            assertEquals(
                    0,
                    callInt(
                            "linkat",
                            LibcConstants.AT_FDCWD,
                            "/proc/self/fd/" + fd,
                            LibcConstants.AT_FDCWD,
                            named.toString(),
                            AT_SYMLINK_FOLLOW));
            Libc.close(fd);
            assertEquals("hello", Files.readString(named));
            assertEquals(1, Files.getAttribute(named, "unix:nlink"));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void dataThatIsOnlyCachedIsNoHole() throws Exception {
        try (MountedTarget target = start();
                Arena arena = Arena.ofConfined()) {
            Path file = Files.write(mount.resolve("file"), new byte[10_000]);
            int fd = open(file, LibcConstants.O_RDWR);
            assertEquals(0, Libc.ftruncate(fd, 1_000_000));
            Libc.close(fd);
            fd = open(file, LibcConstants.O_RDONLY);
            assertEquals(12_288, call("lseek", fd, 0L, LibcConstants.SEEK_HOLE), "closed, what is a hole is known");
            Libc.close(fd);
            fd = open(file, LibcConstants.O_RDWR);
            assertEquals(5, call("pwrite", fd, arena.allocateFrom("hello"), 5L, 500_000L));
            long data = call("lseek", fd, 300_000L, LibcConstants.SEEK_DATA);
            assertTrue(data >= 300_000 && data <= 500_000, "data at " + data);
            assertEquals(1_000_000, call("lseek", fd, 500_000L, LibcConstants.SEEK_HOLE));
            Libc.close(fd);
            assertEquals(0, target.stop());
        }
    }

    private static FileTime accessTime(Path file) throws IOException {
        return (FileTime) Files.getAttribute(file, "lastAccessTime");
    }

    @Test
    void readingChangesTheAccessTimeWhereThatIsAskedFor() throws Exception {
        String share = "tag=t,mode=shared,atime=relative,mount=" + mount + mode.option();
        try (MountedTarget target = MountedTarget.start(directory, "--bdev", "malloc:64M", "--share", share)) {
            Path file = Files.write(mount.resolve("file"), new byte[10_000]);
            FileTime made = accessTime(file);
            Files.readAllBytes(file);
            FileTime read = accessTime(file);
            assertTrue(read.compareTo(made) > 0, () -> read + " after " + made);
            Files.readAllBytes(file);
            assertEquals(read, accessTime(file));
            Files.write(file, new byte[5_000]);
            Files.readAllBytes(file);
            assertTrue(accessTime(file).compareTo(read) > 0);
            FileTime before = accessTime(mount);
            try (var files = Files.list(mount)) {
                assertEquals(1, files.count());
            }
            assertTrue(accessTime(mount).compareTo(before) > 0);
            assertEquals(0, target.stop());
        }
    }

    @Test
    void rangesAreCopied() throws Exception {
        byte[] data = new byte[3_000_000];
        new Random(1).nextBytes(data);
        try (MountedTarget target = start();
                Arena arena = Arena.ofConfined()) {
            int from = open(Files.write(mount.resolve("from"), data), LibcConstants.O_RDONLY);
            int to = open(Files.write(mount.resolve("to"), new byte[10_000]), LibcConstants.O_RDWR);
            MemorySegment offsets = arena.allocate(16, 8);
            offsets.set(ValueLayout.JAVA_LONG, 0, 777);
            offsets.set(ValueLayout.JAVA_LONG, 8, 4_321);
            long left = 2_500_000;
            while (left > 0) {
                long copied = call("copy_file_range", from, offsets, to, offsets.asSlice(8), left, 0);
                assertTrue(copied > 0 && copied <= left, "copied " + copied);
                left -= copied;
            }
            byte[] expected = new byte[4_321 + 2_500_000];
            System.arraycopy(data, 777, expected, 4_321, 2_500_000);
            assertArrayEquals(expected, Files.readAllBytes(mount.resolve("to")));
            offsets.set(ValueLayout.JAVA_LONG, 0, data.length);
            assertEquals(0, call("copy_file_range", from, offsets, to, offsets.asSlice(8), 100L, 0));
            Libc.close(from);
            Libc.close(to);
            Path copy = mount.resolve("copy");
            MountedTarget.run(0, directory, "cp", mount.resolve("from").toString(), copy.toString());
            assertArrayEquals(data, Files.readAllBytes(copy));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void fileHandlesOutliveTheTarget() throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment kept = arena.allocate(HANDLE_BYTES, 8);
            MemorySegment removed = arena.allocate(HANDLE_BYTES, 8);
            MemorySegment directoryHandle = arena.allocate(HANDLE_BYTES, 8);
            try (MountedTarget target = start()) {
                Path sub = Files.createDirectory(mount.resolve("sub"));
                takeHandle(arena, Files.writeString(sub.resolve("kept"), "text"), kept);
                takeHandle(arena, Files.createFile(sub.resolve("removed")), removed);
                takeHandle(arena, sub, directoryHandle);
                Files.delete(sub.resolve("removed"));
                assertEquals(0, target.stop());
            }
            try (MountedTarget target = start()) {
                int mountFd = open(mount, LibcConstants.O_RDONLY | LibcConstants.O_DIRECTORY);
                int fd = callInt("open_by_handle_at", mountFd, kept, LibcConstants.O_RDONLY);
                assertTrue(fd >= 0, () -> Errno.name(fd));
                MemorySegment text = arena.allocate(16);
                assertEquals(4, call("read", fd, text, 16L));
                assertEquals("text", text.getString(0));
                assertEquals(-Errno.ESTALE, callInt("open_by_handle_at", mountFd, removed, LibcConstants.O_RDONLY));
                int sub = callInt("open_by_handle_at", mountFd, directoryHandle, LibcConstants.O_RDONLY);
                assertTrue(sub >= 0, () -> Errno.name(sub));
                Libc.close(sub);
                Libc.close(fd);
                Libc.close(mountFd);
                assertEquals(0, target.stop());
            }
        }
    }

    private static void takeHandle(Arena arena, Path file, MemorySegment handle) {
        handle.set(ValueLayout.JAVA_INT, 0, HANDLE_BYTES - 8);
        int status =
                callInt("name_to_handle_at", LibcConstants.AT_FDCWD, file.toString(), handle, arena.allocate(4, 4), 0);
        assertEquals(0, status, () -> Errno.name(status));
    }

    @Test
    void aWhiteoutStaysWhereARenameLeavesOne() throws Exception {
        try (MountedTarget target = start()) {
            Path file = Files.writeString(mount.resolve("file"), "text");
            int status = callInt(
                    "renameat2",
                    LibcConstants.AT_FDCWD,
                    file.toString(),
                    LibcConstants.AT_FDCWD,
                    mount.resolve("moved").toString(),
                    LibcConstants.RENAME_WHITEOUT);
            assertEquals(0, status, () -> Errno.name(status));
            assertEquals("text", Files.readString(mount.resolve("moved")));
            assertEquals(LibcConstants.S_IFCHR, (int) Files.getAttribute(file, "unix:mode") & LibcConstants.S_IFMT);
            assertEquals(0L, Files.getAttribute(file, "unix:rdev"));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void locksAreThoseOfAllMounts() throws Exception {
        Path second = points.make(directory, "second");
        try (MountedTarget target = startShared(second)) {
            Path here = Files.createFile(mount.resolve("file"));
            Path there = second.resolve("file");
            try (FileChannel a = FileChannel.open(here, StandardOpenOption.READ, StandardOpenOption.WRITE);
                    FileChannel b = FileChannel.open(there, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                FileLock held = a.lock(0, 100, false);
                assertNull(b.tryLock(50, 10, true));
                FileLock beside = b.tryLock(100, 10, false);
                assertNotNull(beside);
                beside.release();
                CompletableFuture<FileLock> waits = CompletableFuture.supplyAsync(() -> {
                    try {
                        return b.lock(50, 10, false);
                    } catch (IOException e) {
                        throw new java.io.UncheckedIOException(e);
                    }
                });
                held.release();
                assertTrue(waits.get(60, TimeUnit.SECONDS).isValid());
                assertNull(a.tryLock(0, 100, false));
            }
            // Closed: nothing is locked any more.
            String[] tryHere = {"flock", "-n", "-E", "9", here.toString(), "true"};
            MountedTarget.run(0, directory, tryHere);
            Process holder = new ProcessBuilder("flock", there.toString(), "sh", "-c", "echo held; read line").start();
            assertEquals('h', holder.getInputStream().read());
            MountedTarget.run(9, directory, tryHere);
            // A signal ends the waiting.
            MountedTarget.run(124, directory, "timeout", "0.2", "flock", here.toString(), "true");
            Process waiter = new ProcessBuilder("flock", here.toString(), "true").start();
            holder.getOutputStream().close();
            assertTrue(waiter.waitFor(60, TimeUnit.SECONDS));
            assertEquals(0, waiter.exitValue());
            assertTrue(holder.waitFor(60, TimeUnit.SECONDS));
            assertEquals(0, target.stop());
        }
        assertNull(MountTable.read().at(second));
    }

    @Test
    void aDirectoryThatAnotherMountMovedIsRenamedOnceItWasLookedUp() throws Exception {
        Path second = points.make(directory, "second");
        try (MountedTarget target = startShared(second)) {
            Path moved = Files.createDirectories(mount.resolve("from/moved"));
            Path here = Files.createDirectory(mount.resolve("to")).resolve("moved");
            Path last = Files.createDirectory(mount.resolve("last")).resolve("moved");
            int fd = open(moved, LibcConstants.O_RDONLY); // keeps it in the kernel's cache under the first name
            Files.move(second.resolve("from/moved"), second.resolve("to/moved"));
            int status = callInt("rename", here.toString(), last.toString());
            assertTrue(status == 0 || status == -Errno.ESTALE, () -> "rename: " + status);
            assertEquals(status == 0, Files.exists(last));
            if (status != 0) {
                assertTrue(Files.isDirectory(here));
                assertEquals(0, callInt("rename", here.toString(), last.toString()));
            }
            assertEquals(0, Libc.close(fd));
            assertTrue(Files.isDirectory(second.resolve("last/moved")));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void setIdBitsGoWithWhatOthersThanRootChange() throws Exception {
        try (MountedTarget target = start()) {
            String[][] changes = {
                {"fallocate", "-l", "9000"},
                {"fallocate", "-p", "-o", "0", "-l", "4096"},
                {"fallocate", "-z", "-o", "0", "-l", "100"},
                {"truncate", "-s", "100"},
                {"dd", "if=/dev/zero", "bs=10", "count=1", "conv=notrunc", "status=none"},
            };
            for (String[] change : changes) {
                Path file = Files.write(mount.resolve("file"), new byte[8192]);
                assertEquals(06777, modeAfter(file, 0, change), "root's " + Arrays.toString(change));
                assertEquals(0777, modeAfter(file, 1234, change), Arrays.toString(change));
            }
            assertEquals(0, target.stop());
        }
    }

    private int modeAfter(Path file, int uid, String... change) throws IOException, InterruptedException {
        MountedTarget.run(0, directory, "chmod", "6777", file.toString());
        String[] command = Arrays.copyOf(
                new String[] {"setpriv", "--reuid=" + uid, "--regid=" + uid, "--clear-groups"}, 5 + change.length);
        System.arraycopy(change, 0, command, 4, change.length);
        command[command.length - 1] = change[0].equals("dd") ? "of=" + file : file.toString();
        MountedTarget.run(0, directory, command);
        return (int) Files.getAttribute(file, "unix:mode") & 07777;
    }
}

package io.vhostfs.hostmount;

import static io.vhostfs.hostmount.SystemCalls.callInt;
import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Inode flags, projects and set-ID bits on a mount, through the kernel; needs root. */
@Tag("hostmount")
class FileFlagsTest {
    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;

    @BeforeEach
    void makeMountPoint() throws IOException {
        mount = points.make(directory, "mount");
    }

    private MountedTarget start(String more) throws IOException {
        return MountedTarget.serve(
                directory, "file:" + directory.resolve("store") + ",size=64M", "tag=t,mount=" + mount + more);
    }

    private static int ioctl(Path path, int command, MemorySegment argument) {
        int fd = callInt("open", path.toString(), O_RDONLY | O_CLOEXEC);
        assertTrue(fd >= 0, () -> path + ": " + Errno.name(fd));
        int result = callInt("ioctl", fd, Integer.toUnsignedLong(command), argument);
        Libc.close(fd);
        return result;
    }

    private static int setFlags(Path path, int flags) {
        try (Arena arena = Arena.ofConfined()) {
            return ioctl(path, FS_IOC_SETFLAGS, arena.allocateFrom(ValueLayout.JAVA_LONG, flags));
        }
    }

    private static int flags(Path path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment flags = arena.allocate(8, 8);
            assertEquals(0, ioctl(path, FS_IOC_GETFLAGS, flags));
            return flags.get(ValueLayout.JAVA_INT, 0);
        }
    }

    private static int project(Path path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment extended = arena.allocate(FSXATTR_SIZE, 8);
            assertEquals(0, ioctl(path, FS_IOC_FSGETXATTR, extended));
            return extended.get(ValueLayout.JAVA_INT, FSXATTR_FSX_PROJID_OFFSET);
        }
    }

    private void refused(String... command) throws Exception {
        String said = MountedTarget.run(1, mount, command);
        assertTrue(said.contains("Operation not permitted"), said);
    }

    @Test
    void theyAreObeyedAndOutlastTheTarget() throws Exception {
        Path file = mount.resolve("file");
        Path log = mount.resolve("log");
        Path dir = mount.resolve("dir");
        try (MountedTarget target = start("")) {
            Files.writeString(file, "text");
            Files.writeString(log, "a");
            Files.createDirectory(dir);
            assertEquals(0, setFlags(file, FS_IMMUTABLE_FL | FS_NODUMP_FL));
            assertEquals(0, setFlags(log, FS_APPEND_FL));
            assertEquals(0, setFlags(dir, FS_IMMUTABLE_FL));
            assertEquals(-Errno.EOPNOTSUPP, setFlags(mount, 4));
            assertEquals(0, target.stop());
        }
        try (MountedTarget target = start("")) {
            assertEquals(FS_IMMUTABLE_FL | FS_NODUMP_FL, flags(file));
            refused("rm", "-f", "file");
            refused("mv", "file", "other");
            refused("ln", "file", "other");
            refused("chmod", "600", "file");
            refused("touch", "file");
            refused("truncate", "-s", "0", "file");
            refused("touch", "dir/new");
            refused("dd", "if=/dev/zero", "of=log", "count=1", "status=none");
            refused("rm", "-f", "log");
            MountedTarget.run(0, mount, "sh", "-c", "echo b >> log");
            assertEquals("ab\n", Files.readString(log));
            assertEquals("text", Files.readString(file));
            for (Path path : new Path[] {file, log, dir}) {
                assertEquals(0, setFlags(path, 0));
            }
            Files.delete(file);
            Files.delete(log);
            Files.delete(dir);
            assertEquals(0, target.stop());
        }
    }

    @Test
    void projectsAreInherited() throws Exception {
        try (MountedTarget target = start("");
                Arena arena = Arena.ofConfined()) {
            Path dir = Files.createDirectory(mount.resolve("dir"));
            MemorySegment extended = arena.allocate(FSXATTR_SIZE, 8);
            extended.set(ValueLayout.JAVA_INT, FSXATTR_FSX_XFLAGS_OFFSET, FS_XFLAG_PROJINHERIT);
            extended.set(ValueLayout.JAVA_INT, FSXATTR_FSX_PROJID_OFFSET, 4711);
            assertEquals(0, ioctl(dir, FS_IOC_FSSETXATTR, extended));
            Path file = Files.writeString(dir.resolve("file"), "text");
            assertEquals(4711, project(file));
            assertEquals(4711, project(Files.createDirectory(dir.resolve("sub"))));
            assertEquals(FS_PROJINHERIT_FL, flags(dir.resolve("sub")));
            Path outside = Files.writeString(mount.resolve("outside"), "text");
            assertEquals(0, project(outside));
            assertEquals(
                    -Errno.EXDEV,
                    callInt("link", outside.toString(), dir.resolve("link").toString()));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void generationsAndUnknownCommands() throws Exception {
        try (MountedTarget target = start("");
                Arena arena = Arena.ofConfined()) {
            Path file = Files.writeString(mount.resolve("file"), "text");
            MemorySegment version = arena.allocate(8, 8);
            assertEquals(0, ioctl(file, FS_IOC_GETVERSION, version));
            assertEquals(1, version.get(ValueLayout.JAVA_INT, 0));
            assertEquals(-Errno.ENOTTY, ioctl(file, 0x5401, version));
            assertEquals(0, target.stop());
        }
    }

    /** The kernel leaves it to us to clear the bits, and does not expect that its cached mode changes. */
    @Test
    void aWriteThatClearsSetIdBitsIsSeenAtOnceByAClientThatCachesAttributes() throws Exception {
        try (MountedTarget target = start(",privileged=on")) {
            Path file = Files.writeString(mount.resolve("file"), "x".repeat(8192));
            Path own = Files.writeString(mount.resolve("own"), "x".repeat(8192));
            assertEquals(0, callInt("chown", own.toString(), 1234, 1234));
            String[] changes = {
                "dd if=/dev/zero of=%s bs=4096 count=1 conv=notrunc oflag=direct status=none",
                "dd if=/dev/zero of=%s bs=100 count=1 conv=notrunc status=none",
                "truncate -s 8000 %s",
                "fallocate -l 16384 %s",
                "fallocate -p -o 0 -l 4096 %s"
            };
            for (String change : changes) {
                for (int mode : new int[] {06777, 06666, 06766}) {
                    boolean groupExecutes = (mode & 010) != 0;
                    assertEquals(mode & 0777, after(file, mode, change), change);
                    assertEquals(
                            groupExecutes ? mode & 0777 : (mode & 02777),
                            after(own, mode, change),
                            change + " by a member of the group");
                }
            }
            assertEquals(0, target.stop());
        }
    }

    private int after(Path file, int mode, String change) throws Exception {
        assertEquals(0, callInt("chmod", file.toString(), mode));
        assertEquals(mode, (int) Files.getAttribute(file, "unix:mode") & 07777);
        MountedTarget.run(
                0,
                directory,
                "setpriv",
                "--reuid=1234",
                "--regid=1234",
                "--clear-groups",
                "sh",
                "-c",
                change.formatted(file));
        return (int) Files.getAttribute(file, "unix:mode") & 07777;
    }
}

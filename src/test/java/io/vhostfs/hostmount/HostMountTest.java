package io.vhostfs.hostmount;

import static java.nio.file.StandardOpenOption.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.FuseClient;
import io.vhostfs.os.LibcConstants;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserDefinedFileAttributeView;
import java.time.Instant;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Targets that mount their shares on this host, through the real {@code /dev/fuse}; needs root. */
@Tag("hostmount")
@ParameterizedClass
@EnumSource(MountMode.class)
class HostMountTest {
    @Parameter
    MountMode mode = MountMode.READ;

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;
    private String store;

    @BeforeEach
    void makeMountPoint() throws IOException {
        mount = points.make(directory, "mount");
        store = "file:" + directory.resolve("store") + ",size=512M";
    }

    private String share(String more) throws IOException {
        return "tag=t,mount=" + mount + mode.option() + more;
    }

    private MountedTarget start(String more) throws IOException {
        return MountedTarget.serve(directory, store, share(more));
    }

    private static byte[] random(long seed, int bytes) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static Set<String> names(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(f -> f.getFileName().toString()).collect(Collectors.toCollection(TreeSet::new));
        }
    }

    private static String message(org.junit.jupiter.api.function.Executable call) {
        return String.valueOf(assertThrows(IOException.class, call).getMessage());
    }

    private boolean isMounted() {
        try {
            return MountTable.read().at(mount) != null;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void filesAreThereAsInALocalFileSystem() throws Exception {
        try (MountedTarget target = start("")) {
            Path dir = Files.createDirectories(mount.resolve("a/b/c"));
            byte[] data = random(1, 3_000_001);
            Path file = Files.write(dir.resolve("file"), data);
            assertArrayEquals(data, Files.readAllBytes(file));
            changeInPlace(file, data);
            namesAndLinks(dir, file, data);
            attributes(file);
            assertEquals(0, target.stop());
        }
        assertFalse(isMounted());
        assertEquals(Set.of(), names(mount), "the directory itself");
        try (MountedTarget target = start("")) {
            assertEquals(Set.of("file", "linked"), names(mount.resolve("a/b/c")));
            assertTrue(target.pid() > 0);
        }
    }

    private static void changeInPlace(Path file, byte[] data) throws IOException {
        try (FileChannel channel = FileChannel.open(file, READ, WRITE)) {
            byte[] patch = random(2, 70_000);
            channel.write(ByteBuffer.wrap(patch), 1_234_567);
            System.arraycopy(patch, 0, data, 1_234_567, patch.length);
            MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, data.length);
            byte[] mapped = new byte[data.length];
            map.get(0, mapped);
            assertArrayEquals(data, mapped);
            map.put(99, (byte) 77);
            data[99] = 77;
            map.force();
            channel.write(ByteBuffer.wrap(new byte[] {1}), 5_000_000);
            assertEquals(5_000_001, channel.size());
            channel.truncate(data.length);
            channel.force(true);
        }
        assertArrayEquals(data, Files.readAllBytes(file));
    }

    private static void namesAndLinks(Path dir, Path file, byte[] data) throws IOException {
        Path link = Files.createLink(dir.resolve("linked"), file);
        assertEquals(2, Files.getAttribute(file, "unix:nlink"));
        assertEquals(Files.getAttribute(file, "unix:ino"), Files.getAttribute(link, "unix:ino"));
        Path symlink = Files.createSymbolicLink(dir.resolve("symlink"), Path.of("file"));
        assertEquals(Path.of("file"), Files.readSymbolicLink(symlink));
        assertArrayEquals(data, Files.readAllBytes(symlink));
        assertThrows(FileAlreadyExistsException.class, () -> Files.createDirectory(symlink));
        assertThrows(DirectoryNotEmptyException.class, () -> Files.delete(dir));
        Files.move(symlink, dir.resolve("moved"));
        Files.move(dir.resolve("moved"), dir.resolve("over"), StandardCopyOption.ATOMIC_MOVE);
        Files.delete(dir.resolve("over"));
        Path many = Files.createDirectory(dir.resolve("many"));
        Set<String> expected = new TreeSet<>();
        for (int i = 0; i < 1_000; i++) {
            expected.add(Files.createFile(many.resolve("name-" + "x".repeat(i % 100) + i))
                    .getFileName()
                    .toString());
        }
        assertEquals(expected, names(many));
        for (String name : expected) {
            Files.delete(many.resolve(name));
        }
        Files.delete(many);
        assertEquals(Set.of("file", "linked"), names(dir));
    }

    private static void attributes(Path file) throws IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-x--x"));
        assertEquals("rw-r-x--x", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        FileTime time = FileTime.from(Instant.parse("2001-02-03T04:05:06.789012345Z"));
        Files.setLastModifiedTime(file, time);
        assertEquals(time, Files.getLastModifiedTime(file));
        Files.setAttribute(file, "unix:uid", 1234);
        assertEquals(1234, Files.getAttribute(file, "unix:uid"));
        UserDefinedFileAttributeView view = Files.getFileAttributeView(file, UserDefinedFileAttributeView.class);
        byte[] value = random(3, 2_000);
        view.write("key", ByteBuffer.wrap(value));
        ByteBuffer read = ByteBuffer.allocate(view.size("key"));
        view.read("key", read);
        assertArrayEquals(value, read.array());
        assertEquals(java.util.List.of("key"), view.list());
        view.delete("key");
        assertEquals(java.util.List.of(), view.list());
        assertEquals(512, Math.ceilDiv(Files.getFileStore(file).getTotalSpace(), 1L << 20));
    }

    @Test
    void requestsComeAsTheShareSaysAndTheKernelCan() throws Exception {
        try (MountedTarget target = start("")) {
            String expected = mode.isPossible() ? mode.logged : MountMode.READ.logged;
            assertTrue(target.log().contains(expected), target.log());
            Files.createFile(mount.resolve("file"));
        }
    }

    @Test
    void gitWorksOnIt() throws Exception {
        try (MountedTarget target = start("")) {
            Path origin = Files.createDirectory(mount.resolve("origin"));
            MountedTarget.run(0, origin, "git", "init", "-q", ".");
            MountedTarget.run(
                    0,
                    directory,
                    "cp",
                    "-r",
                    Path.of("src/main").toAbsolutePath().toString(),
                    origin.toString());
            MountedTarget.run(0, origin, "git", "add", ".");
            MountedTarget.run(
                    0, origin, "git", "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-q", "-m", "all");
            MountedTarget.run(0, mount, "git", "clone", "-q", "--no-hardlinks", "origin", "clone");
            MountedTarget.run(0, mount.resolve("clone"), "git", "fsck", "--full", "--strict");
            MountedTarget.run(0, mount.resolve("clone"), "git", "gc", "-q", "--prune=now");
            MountedTarget.run(0, mount.resolve("clone"), "git", "fsck", "--full", "--strict");
            assertEquals("", MountedTarget.run(0, mount.resolve("clone"), "git", "status", "--porcelain"));
            MountedTarget.run(0, mount, "diff", "-r", "origin/main", "clone/main");
            assertEquals(0, target.stop());
        }
    }

    @Test
    void twoMountsAndAGuestSeeEachOthersChanges() throws Exception {
        Path second = points.make(directory, "second");
        Path socket = directory.resolve("s");
        try (MountedTarget target = MountedTarget.serve(
                        directory,
                        store,
                        share(",socket=" + socket + ",queues=2"),
                        "tag=u,mode=shared,mount=" + second + mode.option());
                FrontEnd frontEnd = FrontEnd.connect(socket, FrontEnd.Options.DEFAULT.withMemoryBytes(8 << 20))) {
            FuseClient guest = new FuseClient(frontEnd);
            guest.init();
            for (int i = 0; i < 100; i++) {
                byte[] data = random(i, 10_000 + i);
                String name = "host-" + i;
                Files.write(mount.resolve(name), data);
                assertArrayEquals(data, Files.readAllBytes(second.resolve(name)));
                FuseClient.Entry entry = guest.lookup(FuseClient.ROOT, name);
                assertEquals(data.length, entry.attributes().size());
                FuseClient.Handle file = guest.open(entry.nodeid(), LibcConstants.O_RDWR);
                assertArrayEquals(data, guest.read(file.nodeid(), file.fh(), 0, data.length));

                data[i] ^= 1;
                guest.write(file.nodeid(), file.fh(), i, new byte[] {data[i]});
                guest.release(file.nodeid(), file.fh(), LibcConstants.O_RDWR);
                assertArrayEquals(data, Files.readAllBytes(mount.resolve(name)));
                assertArrayEquals(data, Files.readAllBytes(second.resolve(name)));

                guest.rename(FuseClient.ROOT, name, FuseClient.ROOT, "guest-" + i, 0);
                assertFalse(Files.exists(mount.resolve(name)));
                assertTrue(Files.exists(second.resolve("guest-" + i)));
                Files.delete(second.resolve("guest-" + i));
                assertFalse(Files.exists(mount.resolve("guest-" + i)));
                guest.forget(entry.nodeid(), 1);
            }
            assertEquals(Set.of(), names(mount));
            assertTrue(target.pid() > 0);
        }
    }

    private static final FrontEnd.Options GUEST = FrontEnd.Options.DEFAULT.withMemoryBytes(8 << 20);

    @Test
    void aMapOnTheHostShowsWhatAGuestWrites() throws Exception {
        Path socket = directory.resolve("s");
        try (MountedTarget target = start(",socket=" + socket);
                FrontEnd frontEnd = FrontEnd.connect(socket, GUEST)) {
            FuseClient guest = new FuseClient(frontEnd);
            guest.init();
            Path file = Files.write(mount.resolve("file"), new byte[20_000]);
            FuseClient.Entry entry = guest.lookup(FuseClient.ROOT, "file");
            FuseClient.Handle handle = guest.open(entry.nodeid(), LibcConstants.O_RDWR);
            try (FileChannel channel = FileChannel.open(file, READ)) {
                MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_ONLY, 0, 20_000);
                for (int i = 1; i < 5; i++) {
                    byte value = (byte) i;
                    guest.write(handle.nodeid(), handle.fh(), 150L * i, new byte[] {value});
                    int at = 150 * i;
                    // No program asks for attributes here: the target has the kernel do it, which makes the page go.
                    target.await("what the guest wrote, in the map", () -> map.get(at) == value);
                }
            }
        }
    }

    @Test
    void whatAGuestRemovesIsNotKeptByTheCacheOfTheHost() throws Exception {
        Path socket = directory.resolve("s");
        try (MountedTarget target = start(",socket=" + socket);
                FrontEnd frontEnd = FrontEnd.connect(socket, GUEST)) {
            FuseClient guest = new FuseClient(frontEnd);
            guest.init();
            Path dir = Files.createDirectory(mount.resolve("dir"));
            long free = guest.statfs().bfree();
            for (int i = 0; i < 20; i++) {
                Files.write(dir.resolve("removed-" + i), new byte[1 << 20]);
                Files.write(dir.resolve("replaced-" + i), new byte[1 << 20]);
            }
            Files.createFile(dir.resolve("empty"));
            assertTrue(guest.statfs().bfree() <= free - 40 * 256);
            long parent = guest.lookup(FuseClient.ROOT, "dir").nodeid();
            for (int i = 0; i < 20; i++) {
                guest.unlink(parent, "removed-" + i);
                guest.link(guest.lookup(parent, "empty").nodeid(), parent, "new-" + i);
                guest.rename(parent, "new-" + i, parent, "replaced-" + i, 0);
            }
            target.await("free space", () -> {
                try {
                    return guest.statfs().bfree() > free - 256;
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
        }
    }

    @Test
    void aKilledTargetLeavesADeadMountThatTheNextOneClears() throws Exception {
        byte[] data = random(4, 300_000);
        try (MountedTarget target = start("")) {
            FileChannel open = FileChannel.open(mount.resolve("open"), CREATE, READ, WRITE);
            open.write(ByteBuffer.wrap(data), 0);
            open.force(true);
            target.kill();
            assertTrue(isMounted());
            // Its queues of io_uring end a little later than its process, with ECONNABORTED for requests of that time.
            assertThrows(IOException.class, () -> Files.readAttributes(mount, "*"));
            assertTrue(message(() -> Files.readAttributes(mount, "*")).contains("Transport endpoint is not connected"));
            assertTrue(message(() -> open.force(true)).contains("Transport endpoint is not connected"));
            assertTrue(message(open::close).contains("Transport endpoint is not connected"));
            try (MountedTarget next = start("")) {
                assertTrue(next.log().contains("cleared the mount of a target that was killed"), next.log());
                assertArrayEquals(data, Files.readAllBytes(mount.resolve("open")));
                assertEquals(0, next.stop());
            }
            assertFalse(isMounted());
        }
    }

    @Test
    void aTargetKilledAMomentAgoIsNotTakenForOneThatRuns() throws Exception {
        try (MountedTarget target = start(",mode=exclusive")) {
            Files.readAttributes(mount, "*"); // the kernel remembers them for a day
            target.kill();
            try (MountedTarget next = start(",mode=exclusive")) {
                assertTrue(next.log().contains("cleared the mount of a target that was killed"), next.log());
                assertEquals(0, next.stop());
            }
        }
    }

    @Test
    void aMountOfARunningTargetIsLeftAlone() throws Exception {
        try (MountedTarget target = start("")) {
            MountPoint ours =
                    assertDoesNotThrow(() -> MountPoint.at(Files.createDirectory(directory.resolve("other"))));
            assertEquals("other", ours.directory().getFileName().toString());
            HostMountException e = assertThrows(HostMountException.class, () -> MountPoint.at(mount));
            assertTrue(String.valueOf(e.getMessage()).contains("a target that runs"), e::getMessage);
            Files.createFile(mount.resolve("still-there"));
            assertEquals(0, target.stop());
        }
        assertThrows(HostMountException.class, () -> MountPoint.at(mount.resolve("none")));
        assertThrows(HostMountException.class, () -> MountPoint.at(mount.resolve("none/below")));
    }

    @Test
    void whoeverUnmountsItEndsTheMountAndNothingElse() throws Exception {
        Path socket = directory.resolve("s");
        try (MountedTarget target = start(",socket=" + socket)) {
            Files.write(mount.resolve("file"), random(5, 100));
            MountedTarget.run(0, directory, "umount", mount.toString());
            target.await("being unmounted", () -> target.log().contains("unmounted"));
            assertFalse(isMounted());
            try (FrontEnd frontEnd = FrontEnd.connect(socket, FrontEnd.Options.DEFAULT.withMemoryBytes(8 << 20))) {
                FuseClient guest = new FuseClient(frontEnd);
                guest.init();
                assertEquals(
                        100, guest.lookup(FuseClient.ROOT, "file").attributes().size());
            }
            assertEquals(0, target.stop());
        }
    }

    @Test
    void aMountThatIsDetachedLivesUntilItsLastFileIsClosed() throws Exception {
        try (MountedTarget target = start("")) {
            byte[] data = random(6, 50_000);
            try (FileChannel open = FileChannel.open(mount.resolve("open"), CREATE, READ, WRITE)) {
                MountedTarget.run(0, directory, "umount", "-l", mount.toString());
                open.write(ByteBuffer.wrap(data), 0);
                open.force(true);
                ByteBuffer read = ByteBuffer.allocate(data.length);
                open.read(read, 0);
                assertArrayEquals(data, read.array());
                assertFalse(target.log().contains("unmounted"));
            }
            target.await("being unmounted", () -> target.log().contains("unmounted"));
            assertEquals(0, target.stop());
        }
        try (MountedTarget target = start("")) {
            assertEquals(50_000, Files.size(mount.resolve("open")));
            assertTrue(target.pid() > 0);
        }
    }

    @Test
    void aBusyMountIsWrittenBackAndDetachedWhenTheTargetStops() throws Exception {
        byte[] data = random(7, 700_000);
        try (MountedTarget target = start("")) {
            FileChannel open = FileChannel.open(mount.resolve("open"), CREATE, READ, WRITE);
            // Not synced: it lies in the kernel's cache alone.
            open.write(ByteBuffer.wrap(data), 0);
            assertEquals(0, target.stop());
            assertTrue(target.log().contains("is busy: detached"), target.log());
            assertFalse(isMounted());
            assertThrows(IOException.class, () -> open.force(true));
            assertThrows(IOException.class, open::close);
        }
        try (MountedTarget target = start("")) {
            assertArrayEquals(data, Files.readAllBytes(mount.resolve("open")));
            assertTrue(target.pid() > 0);
        }
    }

    @Test
    void severalChannelsOnSeveralReactorsServeManyThreads() throws Exception {
        try (MountedTarget target =
                MountedTarget.start(directory, "--bdev", store, "-m", "0x3", "--share", share(",queues=3"))) {
            IntStream.range(0, 8).parallel().forEach(thread -> {
                try {
                    Path dir = Files.createDirectory(mount.resolve("thread-" + thread));
                    for (int i = 0; i < 200; i++) {
                        byte[] data = random(i, 1 + i * 97);
                        Path file = dir.resolve("f" + i);
                        Files.write(file, data);
                        assertArrayEquals(data, Files.readAllBytes(file));
                        Files.move(file, dir.resolve("g" + i));
                    }
                    assertEquals(200, names(dir).size());
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), "file:" + directory.resolve("store"));
    }

    @Test
    void whatAGuestMadeMayNotBecomeRootOnTheHost() throws Exception {
        try (MountedTarget target = start("")) {
            Path tool = mount.resolve("id");
            Files.copy(Path.of("/usr/bin/id"), tool);
            MountedTarget.run(0, directory, "chmod", "4755", tool.toString());
            String uid =
                    MountedTarget.run(0, directory, "setpriv", "--reuid=1234", "--clear-groups", tool.toString(), "-u");
            assertEquals("1234", uid.strip());
            MountedTarget.run(0, directory, "mknod", mount.resolve("null").toString(), "c", "1", "3");
            assertThrows(FileSystemException.class, () -> Files.readAllBytes(mount.resolve("null")));
            assertEquals(0, target.stop());
        }
        try (MountedTarget target = start(",privileged=on")) {
            String uid = MountedTarget.run(
                    0,
                    directory,
                    "setpriv",
                    "--reuid=1234",
                    "--clear-groups",
                    mount.resolve("id").toString(),
                    "-u");
            assertEquals("0", uid.strip());
            assertEquals("", new String(Files.readAllBytes(mount.resolve("null")), StandardCharsets.UTF_8));
            assertTrue(target.pid() > 0);
        }
    }
}

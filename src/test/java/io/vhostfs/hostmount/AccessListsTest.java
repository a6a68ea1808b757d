package io.vhostfs.hostmount;

import static io.vhostfs.hostmount.SystemCalls.call;
import static io.vhostfs.hostmount.SystemCalls.callInt;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.fsdev.AclText;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.IntSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Access control lists as users of a mount meet them; needs root. */
@Tag("hostmount")
class AccessListsTest {
    private static final String ACCESS = "system.posix_acl_access";
    private static final String DEFAULT = "system.posix_acl_default";
    private static final int USER = 1001;
    private static final int OTHER = 1002;

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;
    private Path second;

    @BeforeEach
    void makeMountPoints() throws IOException {
        mount = points.make(directory, "mount");
        second = points.make(directory, "second");
    }

    private MountedTarget start(String... shares) throws IOException {
        return MountedTarget.serve(directory, "file:" + directory.resolve("store") + ",size=64M", shares);
    }

    private static int set(Path path, String name, String acl) {
        byte[] value = AclText.encode(acl);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment at = arena.allocateFrom(ValueLayout.JAVA_BYTE, value);
            return callInt("setxattr", path.toString(), name, at, (long) value.length, 0);
        }
    }

    private static String get(Path path, String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment at = arena.allocate(4096);
            return text(call("getxattr", path.toString(), name, at, at.byteSize()), at);
        }
    }

    private static String text(long length, MemorySegment at) {
        return length < 0
                ? Errno.name((int) length)
                : AclText.decode(at.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE));
    }

    private void as(int user, boolean mayDoIt, String... command) throws Exception {
        String[] all = new String[command.length + 4];
        all[0] = "setpriv";
        all[1] = "--reuid=" + user;
        all[2] = "--regid=" + user;
        all[3] = "--clear-groups";
        System.arraycopy(command, 0, all, 4, command.length);
        MountedTarget.run(mayDoIt ? 0 : 1, directory, all);
    }

    /** Without CAP_FSETID, as {@link #USER}: file system ids are those of a thread. */
    private static int asOwner(IntSupplier action) {
        int[] result = new int[1];
        Thread thread = new Thread(() -> {
            callInt("setfsgid", USER);
            callInt("setfsuid", USER);
            result[0] = action.getAsInt();
        });
        thread.start();
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return result[0];
    }

    private static int mode(Path path) throws IOException {
        return (int) Files.getAttribute(path, "unix:mode") & 07777;
    }

    @Test
    void aListDecidesAndFollowsTheMode() throws Exception {
        try (MountedTarget target = start("tag=t,mount=" + mount)) {
            Path file = Files.writeString(mount.resolve("file"), "text");
            assertEquals(0, callInt("chmod", file.toString(), 0600));
            as(USER, false, "cat", file.toString());
            assertEquals(0, set(file, ACCESS, "u::rw-,u:1001:r--,g::---,m::r--,o::---"));
            assertEquals(0640, mode(file));
            as(USER, true, "cat", file.toString());
            as(OTHER, false, "cat", file.toString());
            as(USER, false, "sh", "-c", "echo more >> " + file + " || exit 1");
            assertEquals(0, callInt("chmod", file.toString(), 0600));
            as(USER, false, "cat", file.toString());
            assertEquals("u::rw-,u:1001:r--,g::---,m::---,o::---", get(file, ACCESS));
            assertEquals(0, callInt("removexattr", file.toString(), ACCESS));
            assertEquals(0, callInt("removexattr", file.toString(), ACCESS));
            assertEquals(Errno.name(-Errno.ENODATA), get(file, ACCESS));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void whatIsMadeBelowADefaultListObeysItAndNotTheUmask() throws Exception {
        try (MountedTarget target = start("tag=t,mount=" + mount)) {
            Path shared = Files.createDirectory(mount.resolve("shared"));
            assertEquals(0, set(shared, DEFAULT, "u::rwx,u:1001:rwx,g::r-x,m::rwx,o::---"));
            String make = "umask 077; echo text > file; mkdir directory; mknod pipe p";
            MountedTarget.run(0, shared, "sh", "-c", make);
            assertEquals(0660, mode(shared.resolve("file")));
            assertEquals(0770, mode(shared.resolve("directory")));
            assertEquals(0660, mode(shared.resolve("pipe")));
            assertEquals("u::rw-,u:1001:rwx,g::r-x,m::rw-,o::---", get(shared.resolve("file"), ACCESS));
            assertEquals("u::rwx,u:1001:rwx,g::r-x,m::rwx,o::---", get(shared.resolve("directory"), DEFAULT));
            assertEquals(0, callInt("chmod", shared.toString(), 0755));
            as(USER, true, "sh", "-c", "echo more >> " + shared.resolve("file"));
            as(OTHER, false, "cat", shared.resolve("file").toString());
            Path plain = Files.createDirectory(mount.resolve("plain"));
            MountedTarget.run(0, plain, "sh", "-c", make);
            assertEquals(0600, mode(plain.resolve("file")));
            assertEquals(0700, mode(plain.resolve("directory")));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void theSetGroupIdBitGoesWithAListOfWhoIsNotInTheGroup() throws Exception {
        try (MountedTarget target = start("tag=t,privileged=on,mount=" + mount)) {
            Path file = Files.writeString(mount.resolve("file"), "text");
            assertEquals(0, callInt("chown", file.toString(), USER, OTHER));
            assertEquals(0, callInt("chmod", file.toString(), 02755));
            assertEquals(0, set(file, ACCESS, "u::rwx,g::r-x,o::r--"));
            assertEquals(02754, mode(file));
            // As its owner, who is not in its group.
            assertEquals(0, asOwner(() -> set(file, ACCESS, "u::rwx,g::r-x,o::---")));
            assertEquals(0750, mode(file));
            assertEquals(0, target.stop());
        }
    }

    @Test
    void oneClientSeesTheListThatAnotherHasSet() throws Exception {
        try (MountedTarget target = start("tag=t,mode=shared,mount=" + mount, "tag=u,mode=shared,mount=" + second)) {
            Path file = Files.writeString(mount.resolve("file"), "text");
            Path other = second.resolve("file");
            assertEquals(0, callInt("chmod", file.toString(), 0600));
            as(USER, false, "cat", other.toString());
            int fd = callInt("open", other.toString(), LibcConstants.O_RDONLY | LibcConstants.O_CLOEXEC);
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment at = arena.allocate(4096);
                assertEquals(-Errno.ENODATA, call("fgetxattr", fd, ACCESS, at, at.byteSize()));
                String list = "u::rw-,u:1001:r--,g::---,m::r--,o::---";
                assertEquals(0, set(file, ACCESS, list));
                as(USER, true, "cat", other.toString());
                assertEquals(list, get(other, ACCESS));
                // An open file's list is cached by the kernel until it is told.
                target.await(
                        "the list in the other mount", () -> text(call("fgetxattr", fd, ACCESS, at, at.byteSize()), at)
                                .equals(list));
                assertEquals(0, callInt("chmod", file.toString(), 0600));
                as(USER, false, "cat", other.toString());
                target.await("the changed list in the other mount", () -> text(
                                call("fgetxattr", fd, ACCESS, at, at.byteSize()), at)
                        .endsWith("m::---,o::---"));
            }
            Libc.close(fd);
            assertEquals(0, target.stop());
        }
    }
}

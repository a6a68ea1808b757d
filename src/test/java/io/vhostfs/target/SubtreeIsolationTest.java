package io.vhostfs.target;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.FuseReply;
import io.vhostfs.os.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A guest that has a share of a directory and sends what it likes does not leave that directory. */
class SubtreeIsolationTest {
    /** More than the test makes: inode numbers are given in order. */
    private static final int GUESSES = 64;

    private static final int IN_BYTES = 128;

    @TempDir
    Path directory;

    private Target target;
    /** Sees everything. */
    private Guest host;
    /** Has {@code /jail} only. */
    private Guest guest;

    private long jail;
    private long outside;
    private long secret;
    private long inside;

    @BeforeEach
    void start() throws Exception {
        try (Target first = Target.start(config(List.of(store(directory)), share(directory, "all", ",mode=shared")));
                Guest maker = Guest.mount(socket(directory, "all"))) {
            assertNotNull(first);
            maker.fuse.mkdir(FuseClient.ROOT, "jail", 0755);
        }
        target = Target.start(config(
                List.of(store(directory)),
                share(directory, "all", ",mode=shared"),
                share(directory, "jail", ",mode=shared,root=/jail")));
        host = Guest.mount(socket(directory, "all"));
        guest = Guest.mount(socket(directory, "jail"));
        jail = host.fuse.lookup(FuseClient.ROOT, "jail").nodeid();
        outside = host.fuse.mkdir(FuseClient.ROOT, "outside", 0777).nodeid();
        secret = makeFile(host.fuse, outside, "secret", "secret".getBytes(StandardCharsets.UTF_8));
        inside = guest.fuse.mkdir(FuseClient.ROOT, "inside", 0777).nodeid();
    }

    @AfterEach
    void nothingOutsideHasChanged() throws Exception {
        assertEquals(Set.of("secret"), names(host.fuse, outside));
        assertEquals("secret", new String(readFile(host.fuse, outside, "secret"), StandardCharsets.UTF_8));
        assertEquals(1, host.fuse.getattr(secret).nlink());
        guest.close();
        host.close();
        target.close();
    }

    /** Sends an operation on a node with arguments that start with these numbers and end with these names. */
    private int error(int opcode, long nodeid, int structBytes, List<Long> numbers, String... names)
            throws IOException {
        int bytes = structBytes;
        for (String name : names) {
            bytes += name.length() + 1;
        }
        ByteBuffer in = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < numbers.size(); i++) {
            in.putLong(8 * i, numbers.get(i));
        }
        in.position(structBytes);
        for (String name : names) {
            in.put(name.getBytes(StandardCharsets.UTF_8)).put((byte) 0);
        }
        FuseReply reply = guest.fuse.call(opcode, nodeid, in.array(), new byte[0], 4096, 0);
        return -reply.error();
    }

    @Test
    void noGuessedNodeIsAnswered() throws Exception {
        FuseClient.Handle mine = guest.fuse.create(FuseClient.ROOT, "mine", O_RDWR, S_IFREG | 0644);
        int[] withStruct = {
            FUSE_GETATTR, FUSE_SETATTR, FUSE_OPEN, FUSE_OPENDIR, FUSE_ACCESS, FUSE_STATX,
        };
        for (long node = 2; node < GUESSES; node++) {
            if (node == inside || node == mine.nodeid()) {
                continue;
            }
            for (int opcode : withStruct) {
                assertEquals(
                        Errno.ESTALE, error(opcode, node, IN_BYTES, List.of()), "opcode " + opcode + " of " + node);
            }
            assertEquals(Errno.ESTALE, error(FUSE_READLINK, node, 0, List.of()));
            assertEquals(Errno.ESTALE, error(FUSE_STATFS, node, 0, List.of()));
            for (String name : List.of(".", "..", "secret", "jail", "inside")) {
                assertEquals(Errno.ESTALE, error(FUSE_LOOKUP, node, 0, List.of(), name), name + " in " + node);
            }
            assertEquals(Errno.ESTALE, error(FUSE_UNLINK, node, 0, List.of(), "secret"));
            assertEquals(Errno.ESTALE, error(FUSE_RMDIR, node, 0, List.of(), "outside"));
            assertEquals(Errno.ESTALE, error(FUSE_MKDIR, node, 8, List.of(0755L), "new"));
            assertEquals(Errno.ESTALE, error(FUSE_MKNOD, node, 16, List.of(0100644L), "new"));
            assertEquals(Errno.ESTALE, error(FUSE_CREATE, node, 16, List.of((0100644L << 32) | O_RDWR), "new"));
            assertEquals(Errno.ESTALE, error(FUSE_SYMLINK, node, 0, List.of(), "new", "target"));
            // A foreign inode under a name here, names moved in either direction.
            assertEquals(Errno.ESTALE, error(FUSE_LINK, FuseClient.ROOT, 8, List.of(node), "stolen"));
            assertEquals(Errno.ESTALE, error(FUSE_LINK, node, 8, List.of(mine.nodeid()), "planted"));
            assertEquals(Errno.ESTALE, error(FUSE_RENAME, FuseClient.ROOT, 8, List.of(node), "mine", "planted"));
            assertEquals(Errno.ESTALE, error(FUSE_RENAME, node, 8, List.of(FuseClient.ROOT), "secret", "stolen"));
            assertEquals(Errno.ESTALE, error(FUSE_RENAME2, node, 16, List.of(inside, 0L), "secret", "stolen"));
            assertEquals(Errno.ESTALE, error(FUSE_GETXATTR, node, 8, List.of(100L), "user.a"));
            assertEquals(Errno.ESTALE, error(FUSE_REMOVEXATTR, node, 0, List.of(), "user.a"));
        }
        assertEquals(Set.of("inside", "mine"), names(guest.fuse, FuseClient.ROOT));
    }

    @Test
    void handlesOfOthersMeanNothing() throws Exception {
        FuseClient.Handle theirs = host.fuse.open(secret, O_RDWR);
        FuseClient.Handle another = host.fuse.open(secret, O_RDWR);
        FuseClient.Handle mine = guest.fuse.create(FuseClient.ROOT, "mine", O_RDWR, S_IFREG | 0644);
        for (long fh : new long[] {theirs.fh(), another.fh(), 0, -1, mine.fh() + (1L << 32)}) {
            for (long node : new long[] {secret, outside, jail}) {
                assertTrue(
                        Set.of(Errno.EBADF, Errno.ESTALE)
                                .contains(error(FUSE_COPY_FILE_RANGE, node, 56, copyTo(fh, mine))),
                        "copied from node " + node + ", handle " + fh);
                assertErrno(
                        fh == 0 ? Errno.ESTALE : Errno.EBADF,
                        () -> assertEquals(0, guest.fuse.read(node, fh, 0, 100).length));
                assertErrno(fh == 0 ? Errno.ESTALE : Errno.EBADF, () -> guest.fuse.write(node, fh, 0, new byte[10]));
            }
        }
        // Its own handle says nothing of another inode.
        assertErrno(Errno.EBADF, () -> guest.fuse.read(secret, mine.fh(), 0, 100));
        assertErrno(Errno.EBADF, () -> guest.fuse.fallocate(secret, mine.fh(), 0, 0, 4096));
        assertEquals(0, guest.fuse.getattr(mine.nodeid()).size());
        host.fuse.release(secret, theirs.fh(), O_RDWR);
        host.fuse.release(secret, another.fh(), O_RDWR);
    }

    /** From the start of a foreign inode to a file of the guest's own. */
    private static List<Long> copyTo(long fromHandle, FuseClient.Handle to) {
        return List.of(fromHandle, 0L, to.nodeid(), to.fh(), 0L, 100L, 0L);
    }

    @Test
    void theWayUpEndsAtTheSharesRoot() throws Exception {
        assertEquals(FuseClient.ROOT, guest.fuse.lookup(FuseClient.ROOT, "..").nodeid());
        assertEquals(FuseClient.ROOT, guest.fuse.lookup(FuseClient.ROOT, ".").nodeid());
        assertErrno(Errno.ESTALE, () -> guest.fuse.lookup(inside, ".."));
        assertNotEquals(0, guest.fuse.getattr(FuseClient.ROOT).ino());
        // A link that leads out is followed by the guest's kernel, in its own tree; here it is a target.
        long link = guest.fuse.symlink(inside, "up", "../../outside/secret").nodeid();
        assertErrno(Errno.ENOTDIR, () -> guest.fuse.lookup(link, "secret"));
    }

    @Test
    void whoeverIsMovedOutWhileOpenLeadsNowhere() throws Exception {
        long deep = guest.fuse.mkdir(inside, "deep", 0777).nodeid();
        FuseClient.Handle file = guest.fuse.create(deep, "f", O_RDWR, S_IFREG | 0644);
        assertEquals(4, guest.fuse.write(file.nodeid(), file.fh(), 0, new byte[4]));
        long insideOfHost = host.fuse.lookup(jail, "inside").nodeid();
        host.fuse.rename(insideOfHost, "deep", FuseClient.ROOT, "moved", 0);
        try {
            // As with an open directory of a bind mount: what is below stays, the way up is closed.
            assertEquals(4, guest.fuse.read(file.nodeid(), file.fh(), 0, 10).length);
            assertEquals(file.nodeid(), guest.fuse.lookup(deep, "f").nodeid());
            assertErrno(Errno.ESTALE, () -> guest.fuse.lookup(deep, ".."));
            assertErrno(Errno.ENOENT, () -> guest.fuse.lookup(inside, "deep"));
            assertErrno(Errno.ENOENT, () -> guest.fuse.lookup(deep, "outside"));
        } finally {
            host.fuse.rename(FuseClient.ROOT, "moved", insideOfHost, "deep", 0);
        }
        assertEquals(deep, guest.fuse.lookup(inside, "deep").nodeid());
    }

    @Test
    void nothingOfAnEarlierMountIsLeft() throws Exception {
        FuseClient.Handle file = guest.fuse.create(inside, "f", O_RDWR, S_IFREG | 0644);
        guest.fuse.init();
        assertErrno(Errno.ESTALE, () -> guest.fuse.getattr(inside));
        assertErrno(Errno.ESTALE, () -> guest.fuse.lookup(inside, "."));
        assertErrno(Errno.EBADF, () -> guest.fuse.read(file.nodeid(), file.fh(), 0, 10));
        // A forgotten node cannot be forgotten into being another one's.
        guest.fuse.forget(secret, 5);
        guest.fuse.forget(FuseClient.ROOT, 100);
        assertEquals(inside, guest.fuse.lookup(FuseClient.ROOT, "inside").nodeid());
    }
}

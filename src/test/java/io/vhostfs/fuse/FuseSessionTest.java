package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseTestClient.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.MemoryFileSystem;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class FuseSessionTest {
    private static final long ROOT = FUSE_ROOT_ID;

    private final Reactor reactor = new Reactor("test");
    private final MemoryFileSystem fs = new MemoryFileSystem(reactor);
    private FuseTestClient client = client(FuseOptions.exclusive());

    private FuseTestClient client(FuseOptions options) {
        return client(options, FileSystem.ROOT_INODE);
    }

    private FuseTestClient client(FuseOptions options, long root) {
        FuseTestClient made = new FuseTestClient(new FuseSession(fs, fs.attach(root), options), reactor);
        made.whilePending = fs::completeWaiting;
        return made;
    }

    private static byte[] data(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    // --- INIT

    @Test
    void takesTheFlagsOfAnExclusiveClient() {
        Reply reply = client.init().ok();
        assertEquals(7, reply.u32(FUSE_INIT_OUT_MAJOR_OFFSET));
        assertEquals(45, reply.u32(FUSE_INIT_OUT_MINOR_OFFSET));
        assertEquals(1 << 20, reply.u32(FUSE_INIT_OUT_MAX_READAHEAD_OFFSET));
        assertEquals(1 << 20, reply.u32(FUSE_INIT_OUT_MAX_WRITE_OFFSET));
        assertEquals(1, reply.u32(FUSE_INIT_OUT_TIME_GRAN_OFFSET));
        assertEquals(256, reply.body().getShort(FUSE_INIT_OUT_MAX_PAGES_OFFSET));
        assertEquals(1024, reply.body().getShort(FUSE_INIT_OUT_MAX_BACKGROUND_OFFSET));
        long flags = flags(reply);
        assertTrue((flags & FUSE_WRITEBACK_CACHE) != 0);
        assertTrue((flags & FUSE_EXPLICIT_INVAL_DATA) != 0);
        assertEquals(0, flags & FUSE_AUTO_INVAL_DATA);
        assertTrue((flags & FUSE_HANDLE_KILLPRIV_V2) != 0);
        assertTrue((flags & FUSE_ALLOW_IDMAP) != 0);
        long acl = FUSE_DONT_MASK | FUSE_POSIX_ACL | FUSE_SETXATTR_EXT;
        assertEquals(acl, flags & acl);
        assertTrue((flags & FUSE_SECURITY_CTX) != 0);
        assertEquals(0, flags & (FUSE_CREATE_SUPP_GROUP | FUSE_SUBMOUNTS));
        assertEquals(flags, client.session.initFlags());
        assertEquals(45, client.session.minorVersion());
    }

    @Test
    void takesNoWritebackCacheForASharedClient() {
        client = client(FuseOptions.shared());
        long flags = flags(client.init().ok());
        assertEquals(0, flags & (FUSE_WRITEBACK_CACHE | FUSE_EXPLICIT_INVAL_DATA));
        assertTrue((flags & FUSE_AUTO_INVAL_DATA) != 0);
    }

    @Test
    void takesRequestsThroughIoUringOnlyWhereThereAreRings() {
        assertEquals(0, flags(client.init().ok()) & FUSE_OVER_IO_URING);
        client = client(FuseOptions.exclusive().onThisHost(false));
        assertEquals(0, flags(client.init().ok()) & FUSE_OVER_IO_URING);
        client = client(FuseOptions.exclusive().onThisHost(true));
        assertEquals(FUSE_OVER_IO_URING, flags(client.init().ok()) & FUSE_OVER_IO_URING);
    }

    @Test
    void aClientWithoutOpenUsesNodeidsAlone() {
        client = client(FuseOptions.exclusive().withoutOpen());
        long both = FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
        assertEquals(both, flags(client.init().ok()) & (both | FUSE_ATOMIC_O_TRUNC));
        assertEquals(-Errno.ENOSYS, client.create(ROOT, "file", O_RDWR).error());
        long file = client.send(FUSE_MKNOD, ROOT, S_IFREG | 0644, 0, 022, 0, "file")
                .ok()
                .u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        assertEquals(-Errno.ENOSYS, client.open(file, O_RDWR).error());
        assertEquals(-Errno.ENOSYS, client.send(FUSE_OPENDIR, ROOT, 0, 0).error());
        // Its kernel may hold data that is not here.
        assertEquals(
                -Errno.ENOSYS,
                client.send(FUSE_LSEEK, file, 0L, 0L, SEEK_DATA, 0).error());
    }

    @Test
    void aKernelThatKnowsOpenOnlyGoesOnWithIt() {
        client = client(FuseOptions.exclusive().withoutOpen());
        long flags =
                flags(client.init(7, 38, ALL_FLAGS & ~FUSE_NO_OPENDIR_SUPPORT).ok());
        assertEquals(FUSE_ATOMIC_O_TRUNC, flags & (FUSE_NO_OPEN_SUPPORT | FUSE_ATOMIC_O_TRUNC));
        client.create(ROOT, "file", O_RDWR).ok();
    }

    @Test
    void takesNoFlagThatWasNotOffered() {
        assertEquals(0, flags(client.init(7, 38, 0).ok()));
        long some = FUSE_ASYNC_READ | FUSE_INIT_EXT | FUSE_ALLOW_IDMAP | FUSE_CREATE_SUPP_GROUP;
        assertEquals(
                some & ~FUSE_CREATE_SUPP_GROUP, flags(client.init(7, 38, some).ok()));
    }

    @Test
    void ignoresTheSecondHalfOfTheFlagsWithoutInitExt() {
        assertEquals(
                FUSE_ASYNC_READ,
                flags(client.init(7, 38, FUSE_ASYNC_READ | FUSE_ALLOW_IDMAP).ok()));
    }

    @Test
    void takesTheShortInitOfKernelsBeforeMinor36() {
        Reply reply = client.send(FUSE_INIT, 0, 7, 31, 65536, (int) ALL_FLAGS).ok();
        assertEquals(31, reply.u32(FUSE_INIT_OUT_MINOR_OFFSET));
        assertEquals(65536, reply.u32(FUSE_INIT_OUT_MAX_READAHEAD_OFFSET));
        assertEquals(0, reply.u32(FUSE_INIT_OUT_FLAGS2_OFFSET));
        assertEquals(0, flags(reply) & FUSE_INIT_EXT);
    }

    @Test
    void saysItsVersionToANewerMajorAndWaits() {
        Reply reply = client.init(8, 3, ALL_FLAGS).ok();
        assertEquals(7, reply.u32(FUSE_INIT_OUT_MAJOR_OFFSET));
        assertEquals(45, reply.u32(FUSE_INIT_OUT_MINOR_OFFSET));
        assertEquals(-Errno.EIO, client.getattr(ROOT).error());
        client.init().ok();
        client.getattr(ROOT).ok();
    }

    @Test
    void refusesOlderProtocols() {
        assertEquals(-Errno.EPROTO, client.init(6, 45, ALL_FLAGS).error());
        assertEquals(-Errno.EPROTO, client.init(7, 30, ALL_FLAGS).error());
        assertEquals(-Errno.EIO, client.getattr(ROOT).error());
    }

    @Test
    void agreesOnTheSmallerMinor() {
        assertEquals(45, client.init(7, 99, ALL_FLAGS).ok().u32(FUSE_INIT_OUT_MINOR_OFFSET));
        assertEquals(37, client.init(7, 37, ALL_FLAGS).ok().u32(FUSE_INIT_OUT_MINOR_OFFSET));
    }

    @Test
    void answersOnlyInitBeforeInit() {
        assertEquals(-Errno.EIO, client.getattr(ROOT).error());
        assertEquals(-Errno.EIO, client.lookup(ROOT, "a").error());
        assertEquals(0, client.send(FUSE_FORGET, 5, 1L).bytes());
        assertEquals(0, client.send(FUSE_BATCH_FORGET, 0, 1, 0, 5L, 1L).bytes());
        assertEquals(0, fs.submitted);
    }

    @Test
    void initAgainLeavesNothingOfTheMountBefore() {
        client.init().ok();
        Reply created = client.create(ROOT, "f", O_RDWR).ok();
        long nodeid = created.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        FsClient before = client.session.client();
        client.init().ok();
        assertNotEquals(before, client.session.client());
        assertEquals(0, fs.references(before));
        assertEquals(0, fs.openHandles(before));
        assertEquals(-Errno.ESTALE, client.getattr(nodeid).error());
        client.lookup(ROOT, "f").ok();
        client.getattr(nodeid).ok();
    }

    @Test
    void destroyEndsTheMountAndInitBeginsAnother() {
        client.init().ok();
        client.create(ROOT, "f", O_RDWR).ok();
        FsClient before = client.session.client();
        client.send(FUSE_DESTROY, 0).ok();
        assertEquals(0, fs.references(before));
        assertEquals(-Errno.EIO, client.getattr(ROOT).error());
        client.init().ok();
        client.getattr(ROOT).ok();
    }

    @Test
    void resetWantsAnInitAndLeavesNothing() {
        client.init().ok();
        client.create(ROOT, "f", O_RDWR).ok();
        FsClient before = client.session.client();
        client.session.reset();
        assertEquals(0, fs.references(before));
        assertEquals(-Errno.EIO, client.getattr(ROOT).error());
    }

    @Test
    void closeDropsTheClient() {
        client.init().ok();
        client.create(ROOT, "f", O_RDWR).ok();
        client.session.close();
        assertEquals(0, fs.references(client.session.client()));
        assertEquals(0, fs.openHandles(client.session.client()));
    }

    @Test
    void aRequestThatWaitsWhileTheClientIsReplacedAnswersAndLeavesNothing() {
        client.init().ok();
        FuseTestClient second = new FuseTestClient(client.session, reactor);
        fs.pending = true;
        client.whilePending = () -> {
            second.send(FUSE_DESTROY, 0).ok();
            fs.completeWaiting();
        };
        FsClient before = client.session.client();
        assertEquals(-Errno.ESTALE, client.create(ROOT, "f", O_RDWR).error());
        assertEquals(0, fs.references(before));
        assertEquals(0, fs.openHandles(before));
    }

    @Test
    void initFromAnotherReactorIsDoneAtHome() throws InterruptedException {
        Reactor home = new Reactor("home");
        MemoryFileSystem remote = new MemoryFileSystem(home);
        FsClient first = remote.attach(FileSystem.ROOT_INODE);
        home.start();
        try {
            client = new FuseTestClient(new FuseSession(remote, first, FuseOptions.exclusive()), reactor);
            client.whilePending = () -> {
                while (client.request.replies == 0) {
                    reactor.runOnce();
                    Thread.onSpinWait();
                }
            };
            client.init().ok();
            assertTrue(client.session.initFlags() != 0);
            assertNotEquals(first, client.session.client());
        } finally {
            home.stop();
        }
    }

    // --- files, over every way to cut a message, within the call and later

    static Stream<Arguments> ways() {
        List<Cut> messages = List.of(LINUX_MESSAGE, ONE_PIECE, ODD, BYTES);
        List<Cut> replies = List.of(LINUX_REPLY, ONE_PIECE, ODD, BYTES);
        return messages.stream().flatMap(m -> replies.stream()
                .flatMap(r -> Stream.of(false, true).map(p -> Arguments.of(m, r, p))));
    }

    private void use(Cut messageCut, Cut replyCut, boolean pending) {
        client.init().ok();
        client.messageCut = messageCut;
        client.replyCut = replyCut;
        fs.pending = pending;
    }

    @ParameterizedTest
    @MethodSource("ways")
    void writesAndReadsBack(Cut messageCut, Cut replyCut, boolean pending) {
        use(messageCut, replyCut, pending);
        Reply created = client.create(ROOT, "file", O_RDWR).ok();
        long nodeid = created.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        long handle = created.u64(FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_FH_OFFSET);
        assertEquals(FOPEN_KEEP_CACHE, created.u32(FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_OPEN_FLAGS_OFFSET));
        byte[] data = data(10_000);
        client.replyRoom = 16 + 8;
        assertEquals(10_000, client.write(nodeid, handle, 5, data).ok().u32(0));
        client.replyRoom = 16 + 10_000;
        assertArrayEquals(data, client.read(nodeid, handle, 5, 10_000).ok().bytesOfBody());
        assertEquals(5, client.read(nodeid, handle, 10_000, 10_000).ok().body().limit());
        assertEquals(0, client.read(nodeid, handle, 10_005, 100).ok().body().limit());
        assertEquals(0, client.read(nodeid, handle, 0, 0).ok().body().limit());
        client.replyRoom = 16 + FUSE_ATTR_OUT_SIZE;
        assertEquals(10_005, client.getattr(nodeid).ok().u64(FUSE_ATTR_OUT_ATTR_OFFSET + FUSE_ATTR_SIZE_OFFSET));
        client.send(FUSE_FSYNC, nodeid, handle, 1, 0).ok();
        client.send(FUSE_RELEASE, nodeid, handle, 0, 0, 0L).ok();
        assertEquals(
                -Errno.EBADF,
                client.send(FUSE_RELEASE, nodeid, handle, 0, 0, 0L).error());
        client.replyRoom = 16;
        assertEquals(0, client.send(FUSE_UNLINK, ROOT, "file").ok().body().limit());
    }

    @ParameterizedTest
    @MethodSource("ways")
    void movesAroundNames(Cut messageCut, Cut replyCut, boolean pending) {
        use(messageCut, replyCut, pending);
        long directory = client.mkdir(ROOT, "directory").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        long file = client.send(FUSE_MKNOD, directory, S_IFREG | 0600, 0, 022, 0, "old name")
                .ok()
                .u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        client.send(FUSE_RENAME, directory, ROOT, "old name", "new name").ok();
        assertEquals(file, client.lookup(ROOT, "new name").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET));
        assertEquals(0, client.lookup(directory, "old name").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET));
        client.send(FUSE_LINK, directory, file, "link").ok();
        assertEquals(
                -Errno.EEXIST,
                client.send(FUSE_RENAME2, ROOT, directory, RENAME_NOREPLACE, 0, "new name", "link")
                        .error());
        client.send(FUSE_RENAME2, ROOT, directory, RENAME_EXCHANGE, 0, "new name", "link")
                .ok();
        String target = "../" + "t".repeat(4092);
        long link = client.send(FUSE_SYMLINK, ROOT, "symlink", target).ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        byte[] read = client.send(FUSE_READLINK, link).ok().bytesOfBody();
        assertEquals(target, new String(read, StandardCharsets.UTF_8));
        assertEquals(-Errno.EISDIR, client.send(FUSE_UNLINK, ROOT, "directory").error());
        client.send(FUSE_UNLINK, directory, "link").ok();
        client.send(FUSE_RMDIR, ROOT, "directory").ok();
    }

    @ParameterizedTest
    @MethodSource("ways")
    void listsDirectories(Cut messageCut, Cut replyCut, boolean pending) {
        use(messageCut, replyCut, pending);
        Set<String> names = new HashSet<>(Set.of(".", ".."));
        for (int i = 0; i < 60; i++) {
            String name = "n".repeat(i + 1);
            client.mkdir(ROOT, name).ok();
            names.add(name);
        }
        for (boolean plus : new boolean[] {false, true}) {
            List<Entry> entries = client.list(ROOT, 1024, plus);
            assertEquals(62, entries.size());
            assertEquals(names, new HashSet<>(entries.stream().map(Entry::name).toList()));
            for (Entry entry : entries) {
                assertEquals(S_IFDIR >> 12, entry.type());
                boolean dots = entry.name().startsWith(".");
                assertEquals(plus && !dots ? entry.inode() : 0, entry.nodeid());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void keepsExtendedAttributes(Cut messageCut, Cut replyCut, boolean pending) {
        use(messageCut, replyCut, pending);
        byte[] small = data(100);
        byte[] large = data(65536);
        client.send(FUSE_SETXATTR, ROOT, small.length, XATTR_CREATE, 0, 0, "user.small", small)
                .ok();
        client.send(FUSE_SETXATTR, ROOT, large.length, 0, 0, 0, "user.large", large)
                .ok();
        client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, "user.none").ok();
        assertEquals(
                100, client.send(FUSE_GETXATTR, ROOT, 0, 0, "user.small").ok().u32(0));
        assertArrayEquals(
                small,
                client.send(FUSE_GETXATTR, ROOT, 100, 0, "user.small").ok().bytesOfBody());
        assertEquals(
                -Errno.ERANGE,
                client.send(FUSE_GETXATTR, ROOT, 99, 0, "user.small").error());
        assertEquals(
                -Errno.ENODATA,
                client.send(FUSE_GETXATTR, ROOT, 0, 0, "user.other").error());
        assertEquals(
                0,
                client.send(FUSE_GETXATTR, ROOT, 50, 0, "user.none").ok().body().limit());
        client.replyRoom = 16 + 65536;
        assertArrayEquals(
                large,
                client.send(FUSE_GETXATTR, ROOT, 65536, 0, "user.large").ok().bytesOfBody());
        byte[] names = client.send(FUSE_LISTXATTR, ROOT, 4096, 0).ok().bytesOfBody();
        assertEquals("user.large\0user.none\0user.small\0", new String(names, StandardCharsets.UTF_8));
        assertEquals(names.length, client.send(FUSE_LISTXATTR, ROOT, 0, 0).ok().u32(0));
        client.send(FUSE_REMOVEXATTR, ROOT, "user.small").ok();
        assertEquals(
                -Errno.ENODATA,
                client.send(FUSE_REMOVEXATTR, ROOT, "user.small").error());
    }

    private static long flags(Reply init) {
        return Integer.toUnsignedLong(init.u32(FUSE_INIT_OUT_FLAGS_OFFSET))
                | (long) init.u32(FUSE_INIT_OUT_FLAGS2_OFFSET) << 32;
    }
}

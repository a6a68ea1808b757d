package io.vhostfs.target;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static io.vhostfs.virtio.VirtioConstants.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.DriverQueue;
import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.FrontEndSocket;
import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.SharedMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a guest or a front end sends that none should. It ends in the errno that Linux gives or in that device being
 * broken; meanwhile a neighbour on the same store goes on, afterwards the socket serves the next front end, and nothing on
 * the store is damaged.
 */
class GarbageTest {
    private static final byte[] WITNESS = random(99, 50_000);
    private static final FrontEnd.Options SMALL_RINGS = Guest.OPTIONS.withQueueSize(64);
    private static final int NO_REPLY = Integer.MAX_VALUE;

    @TempDir
    Path directory;

    private Target target;
    private Neighbour neighbour;
    private Guest guest;
    private RawQueue raw;
    private long nodeid;
    private long fh;
    private long directoryFh;

    @BeforeEach
    void start() throws Exception {
        target = Target.start(config(
                List.of("file:" + directory.resolve("store") + ",size=128M"),
                "tag=victim,queues=1,mode=shared,socket=" + socket(),
                "tag=neighbour,mode=shared,socket=" + directory.resolve("neighbour.sock")));
        neighbour = new Neighbour(directory.resolve("neighbour.sock"));
        try (Guest first = Guest.mount(socket())) {
            makeFile(first.fuse, FuseClient.ROOT, "witness", WITNESS);
        }
        mount(Guest.mount(socket(), SMALL_RINGS));
    }

    private Path socket() {
        return directory.resolve("victim.sock");
    }

    private void mount() throws IOException {
        mount(Guest.mount(socket(), SMALL_RINGS));
    }

    private void mount(Guest mounted) throws IOException {
        guest = mounted;
        raw = new RawQueue(guest.frontEnd, FrontEnd.REQUEST_QUEUE);
        FuseClient.Handle file = guest.fuse.create(FuseClient.ROOT, "file", O_RDWR, S_IFREG | 0644);
        nodeid = file.nodeid();
        fh = file.fh();
        guest.fuse.write(nodeid, fh, 0, WITNESS);
        directoryFh = guest.fuse.opendir(FuseClient.ROOT).fh();
    }

    private void remount() throws IOException {
        guest.close();
        mount();
    }

    @AfterEach
    void theNeighbourTheNextFrontEndAndTheStoreAreWell() throws Exception {
        neighbour.awaitProgress();
        guest.close();
        try (Guest next = Guest.mount(socket())) {
            assertArrayEquals(WITNESS, readFile(next.fuse, FuseClient.ROOT, "witness"));
            next.fuse.unlink(FuseClient.ROOT, "file");
            makeFile(next.fuse, FuseClient.ROOT, "after", WITNESS);
        }
        neighbour.close();
        try (Guest all = Guest.mount(directory.resolve("neighbour.sock"))) {
            assertTrue(readAll(all.fuse, FuseClient.ROOT) >= 7);
        }
        target.close();
        StoreCheck.assertSound("file:" + directory.resolve("store"));
    }

    // --- messages

    private static ByteBuffer body(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static byte[] named(ByteBuffer arguments, String... names) {
        byte[] rest = (String.join("\0", names) + "\0").getBytes(StandardCharsets.UTF_8);
        byte[] head = new byte[arguments.capacity()];
        arguments.get(0, head);
        return joined(head, rest);
    }

    private static byte[] joined(byte[] a, byte[] b) {
        byte[] all = Arrays.copyOf(a, a.length + b.length);
        System.arraycopy(b, 0, all, a.length, b.length);
        return all;
    }

    private ByteBuffer io(long handle, long offset, int size) {
        return body(FUSE_READ_IN_SIZE).putLong(handle).putLong(offset).putInt(size);
    }

    /** A request that is right. */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    private record Sample(int opcode, long nodeid, byte[] body, int replyBytes) {}

    private List<Sample> samples() {
        int entry = FUSE_OUT_HEADER_SIZE + FUSE_ENTRY_OUT_SIZE;
        int none = FUSE_OUT_HEADER_SIZE;
        long root = FuseClient.ROOT;
        return List.of(
                new Sample(FUSE_LOOKUP, root, named(body(0), "witness"), entry),
                new Sample(FUSE_GETATTR, nodeid, body(FUSE_GETATTR_IN_SIZE).array(), none + FUSE_ATTR_OUT_SIZE),
                new Sample(FUSE_SETATTR, nodeid, body(FUSE_SETATTR_IN_SIZE).array(), none + FUSE_ATTR_OUT_SIZE),
                new Sample(FUSE_SYMLINK, root, named(body(0), "link", "to"), entry),
                new Sample(FUSE_MKNOD, root, named(body(FUSE_MKNOD_IN_SIZE).putInt(S_IFREG), "node"), entry),
                new Sample(FUSE_MKDIR, root, named(body(FUSE_MKDIR_IN_SIZE).putInt(0755), "dir"), entry),
                new Sample(FUSE_LINK, root, named(body(8).putLong(nodeid), "hard"), entry),
                new Sample(FUSE_RENAME, root, named(body(8).putLong(root), "hard", "moved"), none),
                new Sample(FUSE_RENAME2, root, named(body(16).putLong(root), "moved", "again"), none),
                new Sample(FUSE_UNLINK, root, named(body(0), "again"), none),
                new Sample(FUSE_UNLINK, root, named(body(0), "link"), none),
                new Sample(FUSE_UNLINK, root, named(body(0), "node"), none),
                new Sample(FUSE_RMDIR, root, named(body(0), "dir"), none),
                new Sample(FUSE_OPEN, nodeid, body(FUSE_OPEN_IN_SIZE).array(), none + FUSE_OPEN_OUT_SIZE),
                new Sample(FUSE_READ, nodeid, io(fh, 0, 4096).array(), none + 4096),
                new Sample(FUSE_WRITE, nodeid, joined(io(fh, 0, 64).array(), new byte[64]), none + 8),
                new Sample(FUSE_STATFS, root, new byte[0], none + FUSE_STATFS_OUT_SIZE),
                new Sample(
                        FUSE_FSYNC, nodeid, body(FUSE_FSYNC_IN_SIZE).putLong(fh).array(), none),
                new Sample(
                        FUSE_SETXATTR,
                        nodeid,
                        joined(named(body(FUSE_COMPAT_SETXATTR_IN_SIZE).putInt(5), "user.x"), new byte[5]),
                        none),
                new Sample(
                        FUSE_GETXATTR, nodeid, named(body(FUSE_GETXATTR_IN_SIZE).putInt(64), "user.x"), none + 64),
                new Sample(
                        FUSE_LISTXATTR,
                        nodeid,
                        body(FUSE_GETXATTR_IN_SIZE).putInt(64).array(),
                        none + 64),
                new Sample(FUSE_REMOVEXATTR, nodeid, named(body(0), "user.x"), none),
                new Sample(FUSE_OPENDIR, root, body(FUSE_OPEN_IN_SIZE).array(), none + FUSE_OPEN_OUT_SIZE),
                new Sample(FUSE_READDIR, root, io(directoryFh, 0, 4096).array(), none + 4096),
                new Sample(FUSE_READDIRPLUS, root, io(directoryFh, 0, 4096).array(), none + 4096),
                new Sample(
                        FUSE_FSYNCDIR,
                        root,
                        body(FUSE_FSYNC_IN_SIZE).putLong(directoryFh).array(),
                        none),
                new Sample(FUSE_ACCESS, nodeid, body(FUSE_ACCESS_IN_SIZE).array(), none),
                new Sample(
                        FUSE_CREATE,
                        root,
                        named(body(FUSE_CREATE_IN_SIZE).putInt(O_RDWR).putInt(S_IFREG | 0600), "made"),
                        entry + FUSE_OPEN_OUT_SIZE),
                new Sample(FUSE_UNLINK, root, named(body(0), "made"), none),
                new Sample(
                        FUSE_FALLOCATE,
                        nodeid,
                        body(FUSE_FALLOCATE_IN_SIZE)
                                .putLong(fh)
                                .putLong(0)
                                .putLong(4096)
                                .array(),
                        none),
                new Sample(
                        FUSE_LSEEK,
                        nodeid,
                        body(FUSE_LSEEK_IN_SIZE)
                                .putLong(fh)
                                .putLong(0)
                                .putInt(SEEK_HOLE)
                                .array(),
                        none + FUSE_LSEEK_OUT_SIZE),
                new Sample(FUSE_SYNCFS, root, body(FUSE_SYNCFS_IN_SIZE).array(), none),
                new Sample(FUSE_STATX, nodeid, body(FUSE_STATX_IN_SIZE).array(), none + FUSE_STATX_OUT_SIZE),
                new Sample(FUSE_FORGET, nodeid, body(FUSE_FORGET_IN_SIZE).array(), 0),
                new Sample(
                        FUSE_BATCH_FORGET,
                        0,
                        body(8 + 16).putInt(1).putInt(0).putLong(nodeid).array(),
                        0),
                new Sample(
                        FUSE_RELEASEDIR,
                        root,
                        body(FUSE_RELEASE_IN_SIZE).putLong(directoryFh).array(),
                        none),
                new Sample(
                        FUSE_RELEASE,
                        nodeid,
                        body(FUSE_RELEASE_IN_SIZE).putLong(fh).array(),
                        none));
    }

    /** Sends bytes as they are; the reply's error, or {@link #NO_REPLY}. */
    private int send(String what, byte[] bytes, int splitBytes, int replyBytes) {
        raw.send(bytes, splitBytes, replyBytes);
        int used = raw.await();
        if (used == 0) {
            return NO_REPLY;
        }
        assertEquals(raw.replyLength(), used, () -> what + ": the used ring and the reply disagree about its length");
        assertTrue(used >= FUSE_OUT_HEADER_SIZE && used <= replyBytes, () -> what + ": reply of " + used + " bytes");
        assertTrue(raw.error() <= 0 && raw.error() > -512, () -> what + ": error " + raw.error());
        assertTrue(raw.error() == 0 || used == FUSE_OUT_HEADER_SIZE, () -> what + ": an error has no body");
        return raw.error();
    }

    @Test
    void truncatedMessagesAreRefused() {
        for (Sample sample : samples()) {
            byte[] whole = raw.message(sample.opcode, sample.nodeid, sample.body);
            for (int n = 1; n < whole.length; n++) {
                String what = "opcode " + sample.opcode + " cut to " + n + " of " + whole.length;
                byte[] cut = Arrays.copyOf(whole, n);
                assertRefused(sample, what, send(what, cut, 0, sample.replyBytes));
                if (n >= Integer.BYTES) {
                    ByteBuffer.wrap(cut).order(ByteOrder.LITTLE_ENDIAN).putInt(0, n);
                    assertRefused(sample, what + ", as it says", send(what, cut, 0, sample.replyBytes));
                }
            }
            String what = "opcode " + sample.opcode;
            int error = send(what, whole, 0, sample.replyBytes);
            assertEquals(sample.replyBytes == 0 ? NO_REPLY : 0, error, what);
        }
    }

    private static void assertRefused(Sample sample, String what, int error) {
        if (sample.replyBytes == 0) {
            assertEquals(NO_REPLY, error, what);
        } else {
            assertTrue(error == -Errno.EIO || error == -Errno.EINVAL, () -> what + ": " + Errno.name(error));
        }
    }

    @Test
    void messagesMayBeSplitAnywhereAndRepliesCutAnywhere() {
        for (Sample sample : samples()) {
            boolean changes = sample.opcode != FUSE_GETATTR
                    && sample.opcode != FUSE_LOOKUP
                    && sample.opcode != FUSE_READ
                    && sample.opcode != FUSE_WRITE
                    && sample.opcode != FUSE_STATFS
                    && sample.opcode != FUSE_READDIR
                    && sample.opcode != FUSE_STATX;
            byte[] whole = raw.message(sample.opcode, sample.nodeid, sample.body);
            for (int split = 1; split < whole.length && !changes; split++) {
                String what = "opcode " + sample.opcode + " split at " + split;
                assertEquals(0, send(what, whole, split, sample.replyBytes), what);
            }
            for (int room = 0; room < Math.min(sample.replyBytes, 512); room++) {
                String what = "opcode " + sample.opcode + " with room for " + room;
                int error = send(what, whole, 0, room);
                boolean listing = sample.opcode == FUSE_READDIR || sample.opcode == FUSE_READDIRPLUS;
                if (room < FUSE_OUT_HEADER_SIZE) {
                    assertEquals(NO_REPLY, error, what);
                } else {
                    assertTrue(
                            error == -Errno.EIO || (listing && (error == 0 || error == -Errno.EINVAL)),
                            () -> what + ": " + Errno.name(error));
                }
            }
            send("opcode " + sample.opcode, whole, 0, sample.replyBytes);
        }
    }

    @Test
    void unknownOperationsAreNotImplemented() {
        for (int opcode :
                new int[] {0, 7, 19, 48, 54, 63, 64, 100, CUSE_INIT, 65_536, Integer.MAX_VALUE, -1, Integer.MIN_VALUE
                }) {
            byte[] message = raw.message(opcode, FuseClient.ROOT, new byte[200]);
            assertEquals(-Errno.ENOSYS, send("opcode " + opcode, message, 0, 256), "opcode " + opcode);
        }
    }

    @Test
    void nodeidsThatTheGuestDoesNotHaveAreStale() throws IOException {
        long gone = makeFile(guest.fuse, FuseClient.ROOT, "gone", WITNESS);
        guest.fuse.unlink(FuseClient.ROOT, "gone");
        guest.fuse.forget(gone, 1);
        FuseClient.DirectoryEntry theirs = guest.fuse.readdir(FuseClient.ROOT, directoryFh, 0, 4096).stream()
                .filter(e -> e.name().equals("witness"))
                .findFirst()
                .orElseThrow();
        for (long bad : new long[] {0, gone, theirs.ino(), 0xdead, -1, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 32}) {
            for (Sample sample : samples()) {
                boolean byHandle = sample.opcode == FUSE_RELEASE || sample.opcode == FUSE_RELEASEDIR;
                boolean global = sample.opcode == FUSE_SYNCFS || sample.opcode == FUSE_STATFS;
                if (byHandle || global) {
                    continue;
                }
                String what = "opcode " + sample.opcode + " on nodeid " + bad;
                int error = send(what, raw.message(sample.opcode, bad, sample.body), 0, sample.replyBytes);
                assertTrue(
                        error == -Errno.ESTALE
                                || error == -Errno.EBADF
                                || (error == NO_REPLY && sample.replyBytes == 0),
                        () -> what + ": " + Errno.name(error));
            }
        }
    }

    @Test
    void handlesThatTheGuestDoesNotHaveAreBad() throws IOException {
        long closed = guest.fuse.open(nodeid, O_RDWR).fh();
        guest.fuse.release(nodeid, closed, O_RDWR);
        for (long bad : new long[] {closed, directoryFh, fh + 1_000, fh ^ 1L << 32, -1, Long.MIN_VALUE, 1L << 62}) {
            Map<Integer, byte[]> requests = new LinkedHashMap<>();
            requests.put(FUSE_READ, io(bad, 0, 4096).array());
            requests.put(FUSE_WRITE, joined(io(bad, 0, 64).array(), new byte[64]));
            requests.put(FUSE_FSYNC, body(FUSE_FSYNC_IN_SIZE).putLong(bad).array());
            requests.put(
                    FUSE_FALLOCATE, body(32).putLong(bad).putLong(0).putLong(1).array());
            requests.put(
                    FUSE_LSEEK,
                    body(24).putLong(bad).putLong(0).putInt(SEEK_HOLE).array());
            if (bad != directoryFh) {
                requests.put(
                        FUSE_RELEASE, body(FUSE_RELEASE_IN_SIZE).putLong(bad).array());
            }
            requests.forEach((opcode, bytes) -> assertEquals(
                    -Errno.EBADF,
                    send("handle", raw.message(opcode, nodeid, bytes), 0, 16 + 4096),
                    () -> "opcode " + opcode + " on handle " + bad));
        }
    }

    @Test
    void absurdSizesOffsetsAndNamesGetTheErrorsOfLinux() {
        long root = FuseClient.ROOT;
        String longName = "n".repeat(256);
        refuse(Errno.ENAMETOOLONG, FUSE_LOOKUP, root, named(body(0), longName));
        refuse(Errno.ENAMETOOLONG, FUSE_MKDIR, root, named(body(8), longName));
        refuse(Errno.ENAMETOOLONG, FUSE_CREATE, root, named(body(16), "n".repeat(60_000)));
        refuse(Errno.ENAMETOOLONG, FUSE_RENAME2, root, named(body(16).putLong(root), "witness", longName));
        refuse(Errno.ENAMETOOLONG, FUSE_SYMLINK, root, named(body(0), "l", "t".repeat(4096)));
        refuse(Errno.EINVAL, FUSE_LOOKUP, root, named(body(0), "a/b"));
        refuse(Errno.EINVAL, FUSE_LOOKUP, root, named(body(0), ""));
        refuse(Errno.EINVAL, FUSE_MKDIR, root, named(body(8), ".."));
        refuse(Errno.ENOENT, FUSE_SYMLINK, root, named(body(0), "l", ""));
        refuse(Errno.EINVAL, FUSE_MKNOD, root, named(body(16).putInt(0xf000), "n"));
        for (int size : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 256 * 65_536 + 1}) {
            refuse(Errno.EINVAL, FUSE_READ, nodeid, io(fh, 0, size).array());
            refuse(Errno.EINVAL, FUSE_WRITE, nodeid, joined(io(fh, 0, size).array(), new byte[100]));
            refuse(Errno.E2BIG, FUSE_SETXATTR, nodeid, named(body(8).putInt(size), "user.x", "value"));
        }
        refuse(Errno.EIO, FUSE_READ, nodeid, io(fh, 0, 1 << 20).array());
        refuse(Errno.EINVAL, FUSE_WRITE, nodeid, joined(io(fh, 0, 101).array(), new byte[100]));
        for (long offset : new long[] {-1, Long.MIN_VALUE, Long.MAX_VALUE}) {
            refuse(Errno.EINVAL, FUSE_READ, nodeid, io(fh, offset, 4096).array());
            refuse(Errno.EINVAL, FUSE_WRITE, nodeid, joined(io(fh, offset, 4096).array(), new byte[4096]));
        }
        for (long offset : new long[] {1L << 60, (1L << 62) + 1, Long.MAX_VALUE - 4096}) {
            refuse(Errno.EFBIG, FUSE_WRITE, nodeid, joined(io(fh, offset, 4096).array(), new byte[4096]));
            accept(FUSE_READ, nodeid, io(fh, offset, 4096).array());
            assertEquals(FUSE_OUT_HEADER_SIZE, raw.replyLength(), "nothing is read beyond the end");
            refuse(
                    Errno.EFBIG,
                    FUSE_FALLOCATE,
                    nodeid,
                    body(32).putLong(fh).putLong(offset).putLong(4096).array());
            refuse(Errno.EFBIG, FUSE_SETATTR, nodeid, size(offset + 4095));
        }
        refuse(Errno.EINVAL, FUSE_SETATTR, nodeid, size(-1));
        refuse(Errno.EINVAL, FUSE_SETATTR, nodeid, size(Long.MIN_VALUE));
        refuse(Errno.EISDIR, FUSE_SETATTR, root, size(0));
        refuse(
                Errno.EINVAL,
                FUSE_FALLOCATE,
                nodeid,
                body(32).putLong(fh).putLong(-1).putLong(1).array());
        refuse(
                Errno.EINVAL,
                FUSE_FALLOCATE,
                nodeid,
                body(32).putLong(fh).putLong(0).putLong(0).array());
        refuse(
                Errno.EOPNOTSUPP,
                FUSE_FALLOCATE,
                nodeid,
                body(32).putLong(fh).putLong(0).putLong(1).putInt(0xff00).array());
        refuse(
                Errno.ENXIO,
                FUSE_LSEEK,
                nodeid,
                body(24).putLong(fh).putLong(-1).putInt(SEEK_DATA).array());
        refuse(
                Errno.ENXIO,
                FUSE_LSEEK,
                nodeid,
                body(24).putLong(fh).putLong(1L << 60).putInt(SEEK_HOLE).array());
        refuse(
                Errno.EINVAL,
                FUSE_LSEEK,
                nodeid,
                body(24).putLong(fh).putLong(0).putInt(77).array());
        refuse(Errno.ERANGE, FUSE_SETXATTR, nodeid, named(body(8).putInt(1), "user." + longName, "v"));
        refuse(Errno.ERANGE, FUSE_GETXATTR, nodeid, named(body(8).putInt(16), ""));
        refuse(Errno.EIO, FUSE_GETXATTR, nodeid, named(body(8).putInt(-1), "user.x"));
        refuse(Errno.EIO, FUSE_LISTXATTR, nodeid, body(8).putInt(-1).array());
        refuse(Errno.EINVAL, FUSE_SETXATTR, nodeid, named(body(8).putInt(1).putInt(0xff), "user.x", "v"));
        for (int count : new int[] {-1, Integer.MAX_VALUE, 2}) {
            byte[] forget =
                    raw.message(FUSE_BATCH_FORGET, 0, body(24).putInt(count).array());
            assertEquals(NO_REPLY, send("BATCH_FORGET of " + count, forget, 0, 0));
        }
        byte[] forget = raw.message(FUSE_FORGET, root, body(8).putLong(-1).array());
        assertEquals(NO_REPLY, send("FORGET of the root", forget, 0, 0));
        accept(FUSE_GETATTR, root, new byte[FUSE_GETATTR_IN_SIZE]);
    }

    private static byte[] size(long bytes) {
        return body(FUSE_SETATTR_IN_SIZE)
                .putInt(FUSE_SETATTR_IN_VALID_OFFSET, FATTR_SIZE)
                .putLong(FUSE_SETATTR_IN_SIZE_OFFSET, bytes)
                .array();
    }

    private void refuse(int errno, int opcode, long node, byte[] body) {
        int error = send("opcode " + opcode, raw.message(opcode, node, body), 0, 16 + 4096);
        assertEquals(Errno.name(errno), Errno.name(-error), () -> "opcode " + opcode + " of " + body.length + " bytes");
    }

    private void accept(int opcode, long node, byte[] body) {
        assertEquals(0, send("opcode " + opcode, raw.message(opcode, node, body), 0, 16 + 4096), "opcode " + opcode);
    }

    // --- rings

    /** Writes descriptors that break the rules; what it leaves in descriptor 0 is made available. */
    private interface Damage {
        void write(DriverQueue queue, SharedMemory memory, long table);
    }

    @Test
    void ringsThatBreakTheRulesBreakTheDeviceUntilItIsReset() throws IOException {
        Map<String, Damage> damages = new LinkedHashMap<>();
        int next = VRING_DESC_F_NEXT;
        int indirect = VRING_DESC_F_INDIRECT;
        long ok = SharedMemory.GUEST_BASE;
        long size = guest.frontEnd.memory().sizeBytes();
        damages.put("loop on itself", (q, m, t) -> q.setDescriptor(0, ok, 64, next, 0));
        damages.put("loop of two", (q, m, t) -> {
            q.setDescriptor(0, ok, 64, next, 1);
            q.setDescriptor(1, ok, 64, next, 0);
        });
        damages.put("next beyond the ring", (q, m, t) -> q.setDescriptor(0, ok, 64, next, 64));
        damages.put("next far beyond the ring", (q, m, t) -> q.setDescriptor(0, ok, 64, next, 0xffff));
        damages.put("below memory", (q, m, t) -> q.setDescriptor(0, ok - 1, 64, 0, 0));
        damages.put("beyond memory", (q, m, t) -> q.setDescriptor(0, ok + size, 64, 0, 0));
        damages.put("over the end of memory", (q, m, t) -> q.setDescriptor(0, ok + size - 63, 64, 0, 0));
        damages.put("wrapping", (q, m, t) -> q.setDescriptor(0, -32, 64, 0, 0));
        damages.put("wrapping into memory", (q, m, t) -> q.setDescriptor(0, ok - 0x1000, -1, 0, 0));
        damages.put("address zero", (q, m, t) -> q.setDescriptor(0, 0, 64, 0, 0));
        damages.put("the address of here", (q, m, t) -> q.setDescriptor(0, m.address(), 64, 0, 0));
        damages.put("length of 4 GiB", (q, m, t) -> q.setDescriptor(0, ok, -1, 0, 0));
        damages.put("length of zero", (q, m, t) -> q.setDescriptor(0, ok, 0, 0, 0));
        damages.put("readable behind writable", (q, m, t) -> {
            q.setDescriptor(0, ok, 64, next | VRING_DESC_F_WRITE, 1);
            q.setDescriptor(1, ok, 64, 0, 0);
        });
        damages.put("table beyond memory", (q, m, t) -> q.setDescriptor(0, ok + size, 16, indirect, 0));
        damages.put("table over the end", (q, m, t) -> q.setDescriptor(0, ok + size - 16, 32, indirect, 0));
        damages.put("empty table", (q, m, t) -> q.setDescriptor(0, m.guestAddress(t), 0, indirect, 0));
        damages.put("table of 17 bytes", (q, m, t) -> q.setDescriptor(0, m.guestAddress(t), 17, indirect, 0));
        damages.put("table too long", (q, m, t) -> q.setDescriptor(0, m.guestAddress(t), 1 << 20, indirect, 0));
        damages.put("table of 4 GiB", (q, m, t) -> q.setDescriptor(0, m.guestAddress(t), -16, indirect, 0));
        damages.put("table with a next one", (q, m, t) -> {
            DriverQueue.setDescriptor(t, 0, ok, 64, 0, 0);
            q.setDescriptor(0, m.guestAddress(t), 16, indirect | next, 1);
        });
        damages.put("table in a table", (q, m, t) -> {
            DriverQueue.setDescriptor(t, 0, m.guestAddress(t), 16, indirect, 0);
            q.setDescriptor(0, m.guestAddress(t), 16, indirect, 0);
        });
        damages.put("loop in a table", (q, m, t) -> {
            DriverQueue.setDescriptor(t, 0, ok, 64, next, 1);
            DriverQueue.setDescriptor(t, 1, ok, 64, next, 0);
            q.setDescriptor(0, m.guestAddress(t), 32, indirect, 0);
        });
        damages.put("next beyond the table", (q, m, t) -> {
            DriverQueue.setDescriptor(t, 0, ok, 64, next, 2);
            q.setDescriptor(0, m.guestAddress(t), 32, indirect, 0);
        });
        damages.put("head beyond the ring", (q, m, t) -> q.push(64));
        damages.put("head far beyond the ring", (q, m, t) -> q.push(0xffff));
        for (Map.Entry<String, Damage> damage : damages.entrySet()) {
            long table = guest.frontEnd.memory().allocate(4096, 64);
            damage.getValue().write(raw.queue, guest.frontEnd.memory(), table);
            raw.queue.push(0);
            raw.queue.publish();
            assertBroken(damage.getKey());
        }
    }

    @Test
    void anAvailIndexThatJumpsBreaksTheDevice() throws IOException {
        for (int jump : new int[] {65, 1_000, 0x7fff, 0x8000, 0xffff}) {
            int now = Memory.getUnsignedShort(raw.queue.availAddress() + VRING_AVAIL_IDX_OFFSET);
            raw.queue.forgeAvailIndex(now + jump);
            raw.queue.kick();
            assertBroken("index ahead by " + jump);
        }
    }

    /** The device says that it needs a reset, and after one, and after another front end's connection, works. */
    private void assertBroken(String what) throws IOException {
        await("NEEDS_RESET after: " + what, () -> {
            try {
                return (guest.frontEnd.status() & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
            } catch (IOException e) {
                throw new AssertionError(what, e);
            }
        });
        guest.frontEnd.resetDevice();
        assertEquals(0, guest.frontEnd.status(), what);
        remount();
    }

    // --- front ends

    @Test
    void aFrontEndMayDieInTheMiddleOfEachMessage() throws IOException {
        guest.close();
        List<byte[]> messages = new ArrayList<>();
        List<int[]> descriptors = new ArrayList<>();
        try (SharedMemory memory = new SharedMemory(2 << 20)) {
            int eventFd = Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            DriverQueue queue = new DriverQueue(memory, 64, true, eventFd, eventFd);
            long features = FrontEnd.Options.DEFAULT.features();
            message(messages, descriptors, VHOST_USER_SET_OWNER, new byte[0]);
            message(messages, descriptors, VHOST_USER_SET_FEATURES, FrontEnd.u64(features));
            message(
                    messages,
                    descriptors,
                    VHOST_USER_SET_PROTOCOL_FEATURES,
                    FrontEnd.u64(FrontEnd.Options.DEFAULT.protocolFeatures()));
            byte[] table = FrontEnd.region(8, SharedMemory.GUEST_BASE, memory.sizeBytes(), memory.address(), 0);
            table[0] = 1;
            message(messages, descriptors, VHOST_USER_SET_MEM_TABLE, table, memory.fd());
            message(messages, descriptors, VHOST_USER_SET_VRING_NUM, FrontEnd.state(1, 64));
            message(messages, descriptors, VHOST_USER_SET_VRING_BASE, FrontEnd.state(1, 0));
            message(messages, descriptors, VHOST_USER_SET_VRING_ADDR, FrontEnd.address(1, queue));
            message(messages, descriptors, VHOST_USER_SET_VRING_KICK, FrontEnd.u64(1), eventFd);
            message(messages, descriptors, VHOST_USER_SET_VRING_CALL, FrontEnd.u64(1), eventFd);
            message(messages, descriptors, VHOST_USER_SET_VRING_ENABLE, FrontEnd.state(1, 1));
            message(messages, descriptors, VHOST_USER_SET_STATUS, FrontEnd.u64(15));
            message(messages, descriptors, VHOST_USER_GET_VRING_BASE, FrontEnd.state(1, 0));
            message(messages, descriptors, VHOST_USER_RESET_DEVICE, new byte[0]);
            byte[] region = FrontEnd.region(8, 0x10_0000, 4096, 0x10_0000, 0);
            message(messages, descriptors, VHOST_USER_ADD_MEM_REG, region, memory.fd());
            message(messages, descriptors, VHOST_USER_REM_MEM_REG, region);
            for (int last = 0; last < messages.size(); last++) {
                for (int bytes = 0; bytes <= messages.get(last).length; bytes++) {
                    try (FrontEndSocket socket = FrontEndSocket.connect(socket())) {
                        for (int i = 0; i < last; i++) {
                            socket.sendBytes(messages.get(i), descriptors.get(i));
                        }
                        if (bytes > 0) {
                            socket.sendBytes(Arrays.copyOf(messages.get(last), bytes), descriptors.get(last));
                        }
                    }
                }
            }
            Libc.close(eventFd);
        }
        mount();
    }

    private static void message(List<byte[]> messages, List<int[]> descriptors, int request, byte[] body, int... fds) {
        byte[] bytes = new byte[VHOST_USER_HEADER_SIZE + body.length];
        ByteBuffer.wrap(bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(request)
                .putInt(VHOST_USER_VERSION)
                .putInt(body.length)
                .put(body);
        messages.add(bytes);
        descriptors.add(fds);
    }

    @Test
    void aFrontEndMayTakeItsMemoryAwayUnderRequestsInFlight() throws IOException {
        long mappings = guestMappings();
        for (int round = 0; round < 96; round++) {
            guest.close();
            mount(Guest.mountUnsealable(socket(), SMALL_RINGS));
            fillRing(round);
            int delay = round % 16;
            for (int i = 0; i < delay * delay * 50; i++) {
                Thread.onSpinWait();
            }
            assertEquals(0, Libc.ftruncate(guest.frontEnd.memory().fd(), 0));
            // The rings are gone for us too: only descriptors may be touched.
            raw.queue.kick();
            assertTrue(guest.frontEnd.socket().awaitHangUp(30_000), "the session lives on without its memory");
        }
        remount();
        assertEquals(mappings, guestMappings(), "memory is kept for requests that never came back");
    }

    /** Mappings of guests' memory in this process: those of the front ends and those of the target. */
    private static long guestMappings() throws IOException {
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return maps.filter(mapping -> mapping.contains("/memfd:")).count();
        }
    }

    @Test
    void memoryThatCanBeSealedIsKeptFromShrinking() {
        assertEquals(-Errno.EPERM, Libc.ftruncate(guest.frontEnd.memory().fd(), 0));
    }

    /** Writes and reads of 32 KiB at every descriptor pair of the ring. */
    private void fillRing(int round) {
        SharedMemory memory = guest.frontEnd.memory();
        int bytes = 32 << 10;
        boolean write = round % 2 == 0;
        for (int i = 0; i < 12; i++) {
            long offset = (long) (i % 4) * bytes;
            byte[] arguments = io(fh, offset, bytes).array();
            byte[] message = raw.message(
                    write ? FUSE_WRITE : FUSE_READ, nodeid, write ? joined(arguments, new byte[bytes]) : arguments);
            long in = memory.allocate(message.length, 8);
            long out = memory.allocate(16 + bytes, 8);
            Memory.copyFromArray(message, 0, in, message.length);
            int outBytes = write ? 16 + 8 : 16 + bytes;
            raw.queue.setDescriptor(2 * i, memory.guestAddress(in), message.length, VRING_DESC_F_NEXT, 2 * i + 1);
            raw.queue.setDescriptor(2 * i + 1, memory.guestAddress(out), outBytes, VRING_DESC_F_WRITE, 0);
            raw.queue.push(2 * i);
        }
        raw.queue.publish();
    }
}

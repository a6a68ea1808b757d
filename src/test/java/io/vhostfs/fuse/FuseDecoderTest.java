package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseTestClient.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What reaches the file system, and what is refused before it does. */
class FuseDecoderTest {
    private static final long ROOT = FUSE_ROOT_ID;
    private static final long FILE = 5;
    private static final String NAME_255 = "n".repeat(255);

    /** A valid message of each operation, as arguments; {@code replyBytes} is the most that its reply takes. */
    record Operation(String name, int opcode, int replyBytes, List<Object> arguments) {
        @Override
        public String toString() {
            return name;
        }

        boolean isWithoutReply() {
            return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
        }
    }

    private static Operation op(String name, int opcode, int bodyBytes, Object... arguments) {
        return new Operation(name, opcode, 16 + bodyBytes, List.of(arguments));
    }

    /** For a file with handle 1 and a directory with handle 2. */
    static List<Operation> operations() {
        return List.of(
                op("LOOKUP", FUSE_LOOKUP, 128, "name"),
                op("FORGET", FUSE_FORGET, 0, 1L),
                op("BATCH_FORGET", FUSE_BATCH_FORGET, 0, 2, 0, 9L, 1L, 10L, 1L),
                op("GETATTR", FUSE_GETATTR, 104, 0, 0, 0L),
                op("SETATTR", FUSE_SETATTR, 104, FATTR_MODE, 0, new byte[80]),
                op("SYMLINK", FUSE_SYMLINK, 128, "name", "target"),
                op("MKNOD", FUSE_MKNOD, 128, S_IFREG | 0644, 0, 022, 0, "name"),
                op("MKDIR", FUSE_MKDIR, 128, 0755, 022, "name"),
                op("UNLINK", FUSE_UNLINK, 0, "name"),
                op("RMDIR", FUSE_RMDIR, 0, "name"),
                op("RENAME", FUSE_RENAME, 0, 1L, "name", "name2"),
                op("RENAME2", FUSE_RENAME2, 0, 1L, 0, 0, "name", "name2"),
                op("LINK", FUSE_LINK, 128, 2L, "name"),
                op("OPEN", FUSE_OPEN, 16, O_RDONLY, 0),
                op("READ", FUSE_READ, 100, 1L, 0L, 100, 0, 0L, 0, 0),
                op("WRITE", FUSE_WRITE, 8, 1L, 0L, 10, 0, 0L, 0, 0, new byte[10]),
                op("STATFS", FUSE_STATFS, 80),
                op("RELEASE", FUSE_RELEASE, 0, 1L, 0, 0, 0L),
                op("FSYNC", FUSE_FSYNC, 0, 1L, 0, 0),
                op("SETXATTR", FUSE_SETXATTR, 0, 5, 0, 0, 0, "user.a", new byte[5]),
                op("GETXATTR", FUSE_GETXATTR, 8, 0, 0, "user.a"),
                op("LISTXATTR", FUSE_LISTXATTR, 8, 0, 0),
                op("REMOVEXATTR", FUSE_REMOVEXATTR, 0, "user.a"),
                op("FLUSH", FUSE_FLUSH, 0, 1L, 0, 0, 0L),
                op("OPENDIR", FUSE_OPENDIR, 16, 0, 0),
                op("RELEASEDIR", FUSE_RELEASEDIR, 0, 2L, 0, 0, 0L),
                op("FSYNCDIR", FUSE_FSYNCDIR, 0, 2L, 0, 0),
                op("ACCESS", FUSE_ACCESS, 0, R_OK, 0),
                op("CREATE", FUSE_CREATE, 144, O_RDWR, 0644, 022, 0, "name"),
                op("FALLOCATE", FUSE_FALLOCATE, 0, 1L, 0L, 100L, 0, 0),
                op("LSEEK", FUSE_LSEEK, 8, 1L, 0L, SEEK_DATA, 0),
                op("SYNCFS", FUSE_SYNCFS, 0, 0L),
                op("STATX", FUSE_STATX, 288, 0, 0, 0L, 0, 0),
                op("READDIR", FUSE_READDIR, 4096, 2L, 0L, 4096, 0, 0L, 0, 0),
                op("READDIRPLUS", FUSE_READDIRPLUS, 4096, 2L, 0L, 4096, 0, 0L, 0, 0));
    }

    /** The same as whole messages, for a nodeid. */
    static List<byte[]> messages(FuseTestClient client, long nodeid) {
        return operations().stream()
                .map(o -> client.message(o.opcode, nodeid, args(o.arguments.toArray())))
                .toList();
    }

    private final Recorder recorder = new Recorder();
    private FuseTestClient client = recorder.client(FuseOptions.exclusive());

    @BeforeEach
    void init() {
        client.init().ok();
    }

    // --- envelope

    @ParameterizedTest
    @MethodSource("operations")
    void refusesEveryTruncationAndTouchesNothing(Operation operation) {
        answerFlush();
        byte[] whole = client.message(operation.opcode, FILE, args(operation.arguments.toArray()));
        for (Cut cut : List.of(LINUX_MESSAGE, ODD)) {
            client.messageCut = cut;
            for (int length = 0; length < whole.length; length++) {
                int submitted = recorder.submitted;
                // Cut by the transport: the header promises more than there is.
                Reply cutShort = client.sendMessage(Arrays.copyOf(whole, length));
                checkRefused(operation, length, cutShort, -Errno.EIO);
                // Cut by its author: the header says so.
                byte[] honest = Arrays.copyOf(whole, length);
                if (length >= 4) {
                    ByteBuffer.wrap(honest).order(ByteOrder.LITTLE_ENDIAN).putInt(length);
                }
                int error = length < FUSE_IN_HEADER_SIZE ? -Errno.EIO : -Errno.EINVAL;
                checkRefused(operation, length, client.sendMessage(honest), error);
                assertEquals(submitted, recorder.submitted, operation + " of " + length + " bytes was submitted");
            }
        }
        int submitted = recorder.submitted;
        client.sendMessage(whole);
        assertTrue(recorder.submitted > submitted, operation + " as a whole is submitted");
    }

    private static void checkRefused(Operation operation, int length, Reply reply, int error) {
        // Without its opcode a message could be one that wants no reply, but that cannot be known.
        boolean silent = operation.isWithoutReply() && length >= FUSE_IN_HEADER_SIZE;
        assertEquals(silent ? 0 : error, reply.error(), operation + " of " + length + " bytes");
        assertEquals(silent ? 0 : FUSE_OUT_HEADER_SIZE, reply.bytes(), operation + " of " + length + " bytes");
    }

    @ParameterizedTest
    @MethodSource("operations")
    void neverWritesBeyondTheRoomForTheReply(Operation operation) {
        answerFlush();
        if (operation.isWithoutReply()) {
            client.replyRoom = 0;
            assertEquals(0, send(operation).bytes());
            return;
        }
        boolean listing = operation.opcode == FUSE_READDIR || operation.opcode == FUSE_READDIRPLUS;
        int least = listing ? FUSE_OUT_HEADER_SIZE : operation.replyBytes;
        for (int room = 0; room < least; room++) {
            client.replyRoom = room;
            int submitted = recorder.submitted;
            Reply reply = send(operation);
            assertEquals(room < FUSE_OUT_HEADER_SIZE ? 0 : -Errno.EIO, reply.error());
            assertEquals(submitted, recorder.submitted, operation + " was done although it cannot be answered");
        }
        client.replyRoom = operation.replyBytes;
        send(operation).ok();
    }

    @Test
    void takesPaddingBehindAMessage() {
        byte[] message = client.message(FUSE_GETATTR, ROOT, args(0, 0, 0L));
        client.sendMessage(Arrays.copyOf(message, message.length + 100)).ok();
    }

    @Test
    void leavesExtensionsOutOfTheArguments() {
        byte[] message = client.message(FUSE_MKDIR, ROOT, args(0755, 022, "name\0\0\0", 16, 32, 0, 0));
        ByteBuffer header = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        header.putShort(FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET, (short) 2);
        client.sendMessage(message).ok();
        assertEquals("name", recorder.name);
        header.putShort(FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET, (short) 5);
        assertEquals(-Errno.EIO, client.sendMessage(message).error());
        header.putShort(FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET, (short) -1);
        assertEquals(-Errno.EIO, client.sendMessage(message).error());
    }

    // --- security labels

    private static final byte[] LABEL_VALUE = "system_u:object_r:etc_t:s0\0".getBytes(StandardCharsets.UTF_8);

    /** What makes an inode, without extensions. */
    private static List<Operation> makers() {
        return List.of(
                op("SYMLINK", FUSE_SYMLINK, 128, "name", "target"),
                op("SYMLINK of the longest", FUSE_SYMLINK, 128, NAME_255, "t".repeat(4095)),
                op("MKNOD", FUSE_MKNOD, 128, S_IFREG | 0644, 0, 022, 0, "name"),
                op("MKDIR", FUSE_MKDIR, 128, 0755, 022, NAME_255),
                op("CREATE", FUSE_CREATE, 144, O_RDWR, 0644, 022, 0, "name"),
                op("TMPFILE", FUSE_TMPFILE, 144, O_RDWR, 0600, 022, 0, "/"));
    }

    private Reply make(Operation operation, byte[] extensions) {
        return client.sendMessage(
                client.extended(operation.opcode, ROOT, args(operation.arguments.toArray()), extensions));
    }

    @ParameterizedTest
    @MethodSource("makers")
    void takesTheLabelOfWhatIsMade(Operation operation) {
        for (Cut cut : List.of(LINUX_MESSAGE, ODD)) {
            client.messageCut = cut;
            // The last of them do not fit the scratch.
            for (int length : new int[] {1, 7, 8, 27, 4000, 65_000}) {
                byte[] value = Arrays.copyOf(LABEL_VALUE, length);
                make(operation, label("security.selinux", value)).ok();
                assertEquals("security.selinux", recorder.labelName);
                assertArrayEquals(value, recorder.label);
                make(operation, new byte[0]).ok();
                assertEquals("", recorder.labelName, "the label of the request before");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("makers")
    void takesMessagesWithoutALabelAndOtherExtensions(Operation operation) {
        byte[] none = args(FUSE_SECCTX_HEADER_SIZE, 0);
        byte[] groups = args(16, 32, 1, 100);
        byte[] label = label("security.selinux", LABEL_VALUE);
        for (byte[] extensions : List.of(none, groups, args(none, groups), args(groups, none))) {
            make(operation, extensions).ok();
            assertEquals("", recorder.labelName);
        }
        for (byte[] extensions : List.of(args(label, groups), args(groups, label))) {
            make(operation, extensions).ok();
            assertArrayEquals(LABEL_VALUE, recorder.label);
        }
    }

    private static List<byte[]> brokenExtensions() {
        byte[] label = label("security.selinux", LABEL_VALUE);
        byte[] none = args(FUSE_SECCTX_HEADER_SIZE, 0);
        byte[] cutShort = Arrays.copyOf(label, label.length - 8);
        byte[] unpadded = label.clone();
        ByteBuffer.wrap(unpadded).order(ByteOrder.LITTLE_ENDIAN).putInt(label.length - 1);
        return List.of(
                args(0, 0),
                args(4, 0),
                args(7, 32),
                args(16, 0),
                args(-8, 0),
                args(1 << 30, 1),
                args(8, 1),
                args(8, 31),
                args(16, 1, 0L),
                args(16, 0, 0L),
                args(24, 1, 1, 0, 0L),
                args(24, 1, 5, 0, "securit"),
                cutShort,
                args(cutShort, 0L, 0L),
                unpadded,
                args(label, label),
                args(none, label),
                args(none, none),
                args(label, 8),
                args(label.length, 2, Arrays.copyOfRange(label, 8, label.length)),
                label("security.selinux", new byte[0]),
                label("", LABEL_VALUE),
                label("security.", LABEL_VALUE),
                label("security", LABEL_VALUE),
                label("securityx", LABEL_VALUE),
                label("user.selinux", LABEL_VALUE),
                label("system.posix_acl_access", LABEL_VALUE),
                label("security." + "x".repeat(247), LABEL_VALUE),
                // More, and less, than there is; less by more than the padding.
                args(40, 1, 8, 0, "security.selinux"),
                args(56, 1, 8, 0, "security.selinux", new byte[23]),
                args(40, 1, -1, 0, "security.selinux", new byte[7]));
    }

    @ParameterizedTest
    @MethodSource("makers")
    void refusesExtensionsThatAreNotWhole(Operation operation) {
        List<byte[]> broken = brokenExtensions();
        for (int i = 0; i < broken.size(); i++) {
            byte[] extensions = Arrays.copyOf(broken.get(i), (broken.get(i).length + 7) & ~7);
            int submitted = recorder.submitted;
            assertEquals(-Errno.EINVAL, make(operation, extensions).error(), "extensions " + i);
            assertEquals(submitted, recorder.submitted, "extensions " + i);
        }
        make(operation, label("security.selinux", LABEL_VALUE)).ok();
    }

    @Test
    void refusedLabelsGiveTheirMemoryBack() {
        Operation mkdir = op("MKDIR", FUSE_MKDIR, 128, 0755, 022, "name");
        for (int i = 0; i < 300; i++) {
            assertEquals(
                    -Errno.EINVAL,
                    make(mkdir, label("user.a", new byte[60_000])).error());
        }
        make(mkdir, label("security.a", new byte[60_000])).ok();
        byte[] tooLarge = label("security.a", new byte[65_536]);
        assertEquals(-Errno.E2BIG, make(mkdir, tooLarge).error());
    }

    @Test
    void labelsThatWereNotAgreedOnArePassedOver() {
        client.init(7, 38, ALL_FLAGS & ~FUSE_SECURITY_CTX).ok();
        for (Operation operation : makers()) {
            make(operation, label("security.selinux", LABEL_VALUE)).ok();
            assertEquals("", recorder.labelName);
            make(operation, args(-1, -1)).ok();
        }
    }

    @Test
    void passesOnWhoAsks() {
        client.uid = -2;
        client.gid = 7;
        client.getattr(5).ok();
        assertEquals(-2, recorder.last.uid);
        assertEquals(7, recorder.last.gid);
        assertEquals(4711, recorder.last.pid);
    }

    // --- operations that are not built

    @Test
    void answersEnosysToWhatIsNotBuilt() {
        int[] opcodes = {
            0,
            7,
            19,
            FUSE_GETLK,
            FUSE_SETLK,
            FUSE_SETLKW,
            FUSE_INTERRUPT,
            FUSE_BMAP,
            FUSE_POLL,
            FUSE_SETUPMAPPING,
            FUSE_REMOVEMAPPING,
            54,
            CUSE_INIT,
            1 << 20,
            -1,
            Integer.MAX_VALUE,
            Integer.MIN_VALUE
        };
        for (int opcode : opcodes) {
            assertEquals(-Errno.ENOSYS, client.send(opcode, ROOT, new byte[64]).error(), "opcode " + opcode);
        }
        assertEquals(0, client.send(FUSE_NOTIFY_REPLY, ROOT, new byte[64]).bytes());
        assertEquals(0, recorder.submitted);
    }

    @Test
    void answersFlushOnlyWhereItIsWanted() {
        assertEquals(-Errno.ENOSYS, client.send(FUSE_FLUSH, ROOT, 1L, 0, 0, 0L).error());
        answerFlush();
        client.send(FUSE_FLUSH, ROOT, 1L, 0, 0, 0L).ok();
        assertEquals(FsOp.FLUSH, recorder.last.operation);
    }

    // --- names

    @Test
    void refusesNamesThatNoKernelSends() {
        for (String name : List.of("", "/", "a/b", "a/", "/a", "1234567/9", "12345678/")) {
            if (!name.equals("/")) {
                assertEquals(-Errno.EINVAL, client.lookup(ROOT, name).error(), name);
            }
            assertEquals(-Errno.EINVAL, client.mkdir(ROOT, name).error(), name);
            assertEquals(
                    -Errno.EINVAL,
                    client.send(FUSE_RENAME, ROOT, ROOT, name, "b").error(),
                    name);
            assertEquals(
                    -Errno.EINVAL,
                    client.send(FUSE_RENAME, ROOT, ROOT, "b", name).error(),
                    name);
        }
        for (String name : List.of(".", "..")) {
            assertEquals(-Errno.EINVAL, client.mkdir(ROOT, name).error());
            assertEquals(-Errno.EINVAL, client.send(FUSE_RMDIR, ROOT, name).error());
            assertEquals(-Errno.EINVAL, client.send(FUSE_UNLINK, ROOT, name).error());
            assertEquals(-Errno.EINVAL, client.create(ROOT, name, 0).error());
            assertEquals(-Errno.EINVAL, client.send(FUSE_LINK, ROOT, 5L, name).error());
            assertEquals(
                    -Errno.EINVAL, client.send(FUSE_SYMLINK, ROOT, name, "t").error());
            assertEquals(
                    -Errno.EINVAL,
                    client.send(FUSE_RENAME, ROOT, ROOT, name, "b").error());
            assertEquals(
                    -Errno.EINVAL,
                    client.send(FUSE_RENAME, ROOT, ROOT, "b", name).error());
        }
        assertEquals(0, recorder.submitted);
        client.lookup(ROOT, "...").ok();
        client.mkdir(ROOT, ".a").ok();
    }

    @Test
    void takesNamesOf255BytesAndNoLongerOnes() {
        String tooLong = NAME_255 + "n";
        client.lookup(ROOT, NAME_255).ok();
        assertEquals(NAME_255, recorder.name);
        client.send(FUSE_RENAME, ROOT, ROOT, NAME_255, NAME_255).ok();
        assertEquals(NAME_255, recorder.name);
        assertEquals(NAME_255, recorder.name2);
        client.send(FUSE_SYMLINK, ROOT, NAME_255, "t".repeat(4095)).ok();
        assertEquals(4095, recorder.last.name2Length);
        assertEquals(-Errno.ENAMETOOLONG, client.lookup(ROOT, tooLong).error());
        assertEquals(-Errno.ENAMETOOLONG, client.lookup(ROOT, "n".repeat(5000)).error());
        assertEquals(-Errno.ENAMETOOLONG, client.mkdir(ROOT, tooLong).error());
        assertEquals(
                -Errno.ENAMETOOLONG,
                client.send(FUSE_RENAME, ROOT, ROOT, tooLong, "b").error());
        assertEquals(
                -Errno.ENAMETOOLONG,
                client.send(FUSE_RENAME, ROOT, ROOT, NAME_255, tooLong).error());
        assertEquals(
                -Errno.ENAMETOOLONG,
                client.send(FUSE_SYMLINK, ROOT, tooLong, "t").error());
        assertEquals(
                -Errno.ENAMETOOLONG,
                client.send(FUSE_SYMLINK, ROOT, "a", "t".repeat(4096)).error());
        assertEquals(-Errno.ENOENT, client.send(FUSE_SYMLINK, ROOT, "a", "").error());
    }

    @Test
    void namesOfEveryLengthArriveWhole() {
        for (int length = 1; length <= 255; length++) {
            String name = "abcdefg".repeat(37).substring(0, length);
            client.lookup(ROOT, name).ok();
            assertEquals(name, recorder.name);
        }
    }

    @Test
    void renameCarriesItsFlagsAndRefusesContradictions() {
        client.send(FUSE_RENAME2, ROOT, 9L, RENAME_EXCHANGE, 0, "a", "b").ok();
        assertEquals(RENAME_EXCHANGE, recorder.last.flags);
        assertEquals(9, recorder.last.inode2);
        client.send(FUSE_RENAME, ROOT, 9L, "a", "b").ok();
        assertEquals(0, recorder.last.flags);
        for (int flags : new int[] {8, -1, RENAME_EXCHANGE | RENAME_NOREPLACE, RENAME_EXCHANGE | RENAME_WHITEOUT}) {
            assertEquals(
                    -Errno.EINVAL,
                    client.send(FUSE_RENAME2, ROOT, 9L, flags, 0, "a", "b").error());
        }
    }

    // --- nodeids

    @Test
    void theRootOfASubtreeIsNodeid1AndTheRealRootIsOutOfReach() {
        client = recorder.client(FuseOptions.exclusive(), 77);
        client.init().ok();
        client.getattr(ROOT).ok();
        assertEquals(77, recorder.last.inode);
        client.getattr(77).ok();
        assertEquals(0, recorder.last.inode, "a nodeid that was never handed out names no inode");
        client.getattr(78).ok();
        assertEquals(78, recorder.last.inode);
        client.send(FUSE_RENAME, ROOT, ROOT, "a", "b").ok();
        assertEquals(77, recorder.last.inode);
        assertEquals(77, recorder.last.inode2);
        client.send(FUSE_LINK, ROOT, 78L, "b").ok();
        assertEquals(78, recorder.last.inode2);
    }

    @Test
    void noParentLeadsOutOfASubtree() {
        client = recorder.client(FuseOptions.exclusive(), 77);
        client.init().ok();
        client.lookup(ROOT, "..").ok();
        assertEquals(".", recorder.name);
        assertEquals(77, recorder.last.inode);
        assertEquals(-Errno.ESTALE, client.lookup(78, "..").error());
        client.lookup(78, ".").ok();
    }

    @Test
    void parentsAreLookedUpWhereTheWholeTreeIsShared() {
        client.lookup(78, "..").ok();
        assertEquals("..", recorder.name);
        client.lookup(ROOT, "..").ok();
        assertEquals(".", recorder.name);
    }

    @Test
    void aSlashLookedUpIsTheNodeItself() {
        client.lookup(78, "/").ok();
        assertEquals(".", recorder.name);
        assertEquals(-Errno.EINVAL, client.lookup(78, "//").error());
    }

    @Test
    void forgetsArePassedOnExceptThoseOfTheRoot() {
        client.send(FUSE_FORGET, 5, 3L);
        assertEquals(List.of("5x3"), recorder.forgotten);
        client.send(FUSE_FORGET, ROOT, 3L);
        client.send(FUSE_BATCH_FORGET, 0, 3, 0, 6L, 1L, ROOT, 1L, 7L, -1L);
        assertEquals(List.of("5x3", "6x1", "7x-1"), recorder.forgotten);
    }

    @Test
    void batchesOfForgetsArePassedOnOneAfterTheOther() {
        int count = 1000;
        ByteBuffer entries = ByteBuffer.allocate(count * 16).order(ByteOrder.LITTLE_ENDIAN);
        List<String> expected = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            entries.putLong(100 + i).putLong(i);
            expected.add((100 + i) + "x" + i);
        }
        for (boolean pending : new boolean[] {false, true}) {
            recorder.forgotten.clear();
            recorder.pending = pending;
            assertEquals(
                    0,
                    client.send(FUSE_BATCH_FORGET, 0, count, 0, entries.array()).bytes());
            assertEquals(expected, recorder.forgotten);
        }
    }

    @Test
    void aBatchThatPromisesMoreThanItHasIsDropped() {
        for (int count : new int[] {2, 65537, -1, Integer.MAX_VALUE, Integer.MIN_VALUE, 1 << 28}) {
            assertEquals(0, client.send(FUSE_BATCH_FORGET, 0, count, 0, 5L, 1L).bytes());
        }
        assertEquals(List.of(), recorder.forgotten);
    }

    // --- data

    @Test
    void dataIsLentInPlace() {
        client.messageCut = new Cut("", 40, 40, 3, 4096, 1 << 20);
        client.write(5, 9, 1 << 20, new byte[10_000]).ok();
        assertEquals(10_000, recorder.dataBytes);
        assertEquals(3, recorder.last.dataIovecCount);
        client.replyCut = new Cut("", 10, 100, 4096);
        client.replyRoom = 16 + 10_000;
        client.read(5, 9, 1, 5000).ok();
        assertEquals(5000, recorder.dataBytes);
        assertEquals(3, recorder.last.dataIovecCount);
        assertEquals(9, recorder.last.handle);
        assertEquals(1, recorder.last.offset);
    }

    @Test
    void refusesReadsThatAreTooLargeOrOutOfRange() {
        assertEquals(-Errno.EIO, client.read(5, 1, 0, 4097).error());
        assertEquals(-Errno.EINVAL, client.read(5, 1, 0, -1).error());
        assertEquals(-Errno.EINVAL, client.read(5, 1, 0, (16 << 20) + 1).error());
        assertEquals(-Errno.EINVAL, client.read(5, 1, -1, 10).error());
        assertEquals(-Errno.EINVAL, client.read(5, 1, Long.MAX_VALUE - 9, 10).error());
        client.read(5, 1, Long.MAX_VALUE - 10, 10).ok();
    }

    @Test
    void refusesWritesThatAreTooLargeOrOutOfRange() {
        assertEquals(
                -Errno.EINVAL, client.write(5, 1, 0, new byte[(1 << 20) + 1]).error());
        client.write(5, 1, 0, new byte[1 << 20]).ok();
        assertEquals(-Errno.EINVAL, client.write(5, 1, -1, new byte[1]).error());
        assertEquals(
                -Errno.EINVAL, client.write(5, 1, Long.MAX_VALUE, new byte[1]).error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_WRITE, 5, 1L, 0L, 11, 0, 0L, 0, 0, new byte[10])
                        .error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_WRITE, 5, 1L, 0L, -1, 0, 0L, 0, 0, new byte[10])
                        .error());
    }

    @Test
    void theKernelKeepsTheTimesOfWhatItWritesFromItsCache() {
        int fromCache = FUSE_WRITE_CACHE;
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, fromCache, 0L, 0, 0).ok();
        assertTrue(recorder.last.keepsTimes);
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, 0, 0L, 0, 0).ok();
        assertFalse(recorder.last.keepsTimes, "direct I/O");

        client = recorder.client(FuseOptions.shared());
        client.init().ok();
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, fromCache, 0L, 0, 0).ok();
        assertFalse(recorder.last.keepsTimes, "a shared mapping, without write-back caching");
    }

    @Test
    void theKernelPlacesAppendedDataWhenItCachesWrites() {
        int flags = O_APPEND | O_DSYNC;
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, FUSE_WRITE_KILL_SUIDGID, 0L, flags, 0)
                .ok();
        assertEquals(O_DSYNC, recorder.last.flags);
        assertTrue(recorder.last.killPrivileges);
        client.open(5, O_WRONLY | O_APPEND | O_TRUNC).ok();
        assertEquals(O_RDWR | O_APPEND | O_TRUNC, recorder.last.flags, "the cache reads through the same handle");
        client.create(ROOT, "a", O_WRONLY | O_EXCL).ok();
        assertEquals(O_RDWR | O_EXCL, recorder.last.flags);

        client = recorder.client(FuseOptions.shared());
        client.init().ok();
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, 0, 0L, flags, 0).ok();
        assertEquals(flags, recorder.last.flags);
        client.send(FUSE_WRITE, 5, 1L, 0L, 0, FUSE_WRITE_CACHE, 0L, flags, 0).ok();
        assertEquals(O_DSYNC, recorder.last.flags);
        client.open(5, O_WRONLY | O_APPEND).ok();
        assertEquals(O_WRONLY | O_APPEND, recorder.last.flags);
    }

    @Test
    void checksRangesOfAllocationAndSeek() {
        assertEquals(
                -Errno.EINVAL, client.send(FUSE_FALLOCATE, 5, 1L, -1L, 1L, 0, 0).error());
        assertEquals(
                -Errno.EINVAL, client.send(FUSE_FALLOCATE, 5, 1L, 0L, 0L, 0, 0).error());
        assertEquals(
                -Errno.EINVAL, client.send(FUSE_FALLOCATE, 5, 1L, 0L, -1L, 0, 0).error());
        assertEquals(
                -Errno.EFBIG,
                client.send(FUSE_FALLOCATE, 5, 1L, Long.MAX_VALUE, 1L, 0, 0).error());
        assertEquals(
                -Errno.EINVAL, client.send(FUSE_LSEEK, 5, 1L, 0L, SEEK_SET, 0).error());
        assertEquals(-Errno.EINVAL, client.send(FUSE_LSEEK, 5, 1L, 0L, 99, 0).error());
        assertEquals(
                -Errno.ENXIO, client.send(FUSE_LSEEK, 5, 1L, -1L, SEEK_HOLE, 0).error());
    }

    // --- attributes

    @Test
    void modesArePermissionsAndTheTypeIsOurs() {
        client.mkdir(ROOT, "a").ok();
        assertEquals(S_IFDIR | 0755, recorder.last.mode);
        client.send(FUSE_MKDIR, ROOT, S_IFREG | 01777, 0, "a").ok();
        assertEquals(S_IFDIR | 01777, recorder.last.mode);
        client.create(ROOT, "a", 0).ok();
        assertEquals(S_IFREG | 0644, recorder.last.mode);
        client.send(FUSE_MKNOD, ROOT, S_IFCHR | 0600, 0x103, 0, 0, "a").ok();
        assertEquals(S_IFCHR | 0600, recorder.last.mode);
        assertEquals(0x103, recorder.last.deviceNumber);
        client.send(FUSE_MKNOD, ROOT, 0600, 0x103, 0, 0, "a").ok();
        assertEquals(S_IFREG | 0600, recorder.last.mode);
        assertEquals(0, recorder.last.deviceNumber);
        assertEquals(
                -Errno.EPERM,
                client.send(FUSE_MKNOD, ROOT, S_IFDIR, 0, 0, 0, "a").error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_MKNOD, ROOT, S_IFLNK, 0, 0, 0, "a").error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_MKNOD, ROOT, 0xf000, 0, 0, 0, "a").error());
    }

    private Reply setattr(int valid, long size, long seconds, int nanoseconds) {
        return client.send(
                FUSE_SETATTR,
                5,
                valid,
                0,
                8L,
                size,
                0L,
                seconds,
                seconds,
                seconds,
                nanoseconds,
                nanoseconds,
                nanoseconds,
                S_IFREG | 04755,
                0,
                11,
                12,
                0);
    }

    @Test
    void attributesArriveAsTheyWereSet() {
        int all = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_CTIME | FATTR_FH;
        setattr(all | FATTR_LOCKOWNER | 1 << 30, 1234, -2, 999_999_999).ok();
        FsRequest r = recorder.last;
        assertEquals(all, r.valid);
        assertEquals(8, r.handle);
        assertEquals(04755, r.newAttributes.mode);
        assertEquals(11, r.newAttributes.uid);
        assertEquals(12, r.newAttributes.gid);
        assertEquals(1234, r.newAttributes.sizeBytes);
        assertEquals(-1_000_000_001L, r.newAttributes.accessTimeNs);
        assertEquals(-1_000_000_001L, r.newAttributes.modifyTimeNs);
        assertEquals(-1_000_000_001L, r.newAttributes.changeTimeNs);
    }

    @Test
    void aChangeOfOwnerClearsPrivilegesOnlyWhenThatIsOurs() {
        setattr(FATTR_UID, 0, 0, 0).ok();
        assertEquals(FsRequest.SET_UID | FsRequest.SET_KILL_PRIVILEGES, recorder.last.valid);
        setattr(FATTR_GID | FATTR_MODE, 0, 0, 0).ok();
        assertEquals(FsRequest.SET_GID | FsRequest.SET_MODE, recorder.last.valid);
        client.init(7, 45, ALL_FLAGS & ~FUSE_HANDLE_KILLPRIV_V2).ok();
        setattr(FATTR_UID, 0, 0, 0).ok();
        assertEquals(FsRequest.SET_UID, recorder.last.valid);
    }

    @Test
    void theChangeTimeIsTheKernelsOnlyWithItsCache() {
        client = recorder.client(FuseOptions.shared());
        client.init().ok();
        setattr(FATTR_CTIME | FATTR_MTIME, 0, 5, 0).ok();
        assertEquals(FsRequest.SET_MTIME, recorder.last.valid);
    }

    @Test
    void refusesSizesAndTimesThatAreNone() {
        assertEquals(-Errno.EINVAL, setattr(FATTR_SIZE, -1, 0, 0).error());
        setattr(FATTR_MODE, -1, 0, -1).ok();
        assertEquals(-Errno.EINVAL, setattr(FATTR_ATIME, 0, 0, 1_000_000_000).error());
        assertEquals(-Errno.EINVAL, setattr(FATTR_MTIME, 0, 0, -1).error());
        assertEquals(-Errno.EINVAL, setattr(FATTR_CTIME, 0, 0, -1).error());
        setattr(FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW, 0, 0, -1)
                .ok();
    }

    @Test
    void timesOutOfRangeBecomeTheNearest() {
        setattr(FATTR_MTIME, 0, Long.MAX_VALUE, 5).ok();
        assertTrue(recorder.last.newAttributes.modifyTimeNs > 9_000_000_000_000_000_000L);
        setattr(FATTR_MTIME, 0, Long.MIN_VALUE, 5).ok();
        assertTrue(recorder.last.newAttributes.modifyTimeNs < -9_000_000_000_000_000_000L);
    }

    // --- ioctl

    private Reply ioctl(int command, int inBytes, int outBytes, Object... in) {
        Object[] arguments = new Object[7 + in.length];
        System.arraycopy(new Object[] {0L, 0, command, 0L, inBytes, outBytes}, 0, arguments, 0, 6);
        arguments[6] = new byte[0];
        System.arraycopy(in, 0, arguments, 7, in.length);
        return client.send(FUSE_IOCTL, FILE, arguments);
    }

    @Test
    void inodeFlagsAreReadAndSet() {
        recorder.attributes = a -> {
            a.flags = FS_IMMUTABLE_FL | FS_NODUMP_FL | FS_DIRSYNC_FL;
            a.project = 77;
            a.generation = 5;
            a.hasXattrs = true;
        };
        assertEquals(20, ioctl(FS_IOC_GETFLAGS, 0, 4).ok().body().remaining());
        assertEquals(0x10050, ioctl(FS_IOC_GETFLAGS, 0, 4).ok().u32(16));
        assertEquals(24, ioctl(FS_IOC_GETFLAGS, 0, 8).ok().body().remaining());
        assertEquals(5, ioctl(FS_IOC_GETVERSION, 0, 8).ok().u32(16));
        Reply extended = ioctl(FS_IOC_FSGETXATTR, 0, FSXATTR_SIZE).ok();
        assertEquals(FS_XFLAG_IMMUTABLE | FS_XFLAG_NODUMP | FS_XFLAG_HASATTR, extended.u32(16));
        assertEquals(77, extended.u32(16 + FSXATTR_FSX_PROJID_OFFSET));
        recorder.attributes = a -> {};

        assertEquals(16, ioctl(FS_IOC_SETFLAGS, 4, 0, FS_SYNC_FL).ok().body().remaining());
        assertEquals(FsRequest.SET_FLAGS, recorder.last.valid);
        assertEquals(FS_SYNC_FL, recorder.last.newAttributes.flags);
        byte[] rest = new byte[12];
        ioctl(FS_IOC_FSSETXATTR, FSXATTR_SIZE, 0, FS_XFLAG_APPEND | FS_XFLAG_HASATTR, 0, 0, 78, rest)
                .ok();
        assertEquals(FsRequest.SET_FLAGS | FsRequest.SET_PROJECT | FsRequest.KEEP_DIR_SYNC, recorder.last.valid);
        assertEquals(FS_APPEND_FL, recorder.last.newAttributes.flags);
        assertEquals(78, recorder.last.newAttributes.project);
    }

    @Test
    void otherCommandsAndSizesAreRefused() {
        assertEquals(-Errno.ENOTTY, ioctl(0x5401, 0, 60).error());
        assertEquals(-Errno.EINVAL, ioctl(FS_IOC_GETFLAGS, 0, 2).error());
        assertEquals(-Errno.EINVAL, ioctl(FS_IOC_FSGETXATTR, 0, 1 << 30).error());
        assertEquals(-Errno.EINVAL, ioctl(FS_IOC_SETFLAGS, 8, 0, 1).error());
        assertEquals(
                -Errno.EINVAL, ioctl(FS_IOC_FSSETXATTR, 20, 0, new byte[20]).error());
        assertEquals(-Errno.EOPNOTSUPP, ioctl(FS_IOC_SETFLAGS, 4, 0, 4).error());
        byte[] rest = new byte[24];
        assertEquals(
                -Errno.EOPNOTSUPP,
                ioctl(FS_IOC_FSSETXATTR, FSXATTR_SIZE, 0, 0x8000, rest).error());
    }

    // --- extended attributes

    @Test
    void checksExtendedAttributes() {
        byte[] value = new byte[65537];
        assertEquals(
                -Errno.E2BIG,
                client.send(FUSE_SETXATTR, ROOT, 65537, 0, 0, 0, "user.a", value)
                        .error());
        assertEquals(
                -Errno.ERANGE, client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, "").error());
        assertEquals(
                -Errno.ERANGE,
                client.send(FUSE_GETXATTR, ROOT, 0, 0, "n".repeat(256)).error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_SETXATTR, ROOT, 0, 4, 0, 0, "user.a").error());
        assertEquals(
                -Errno.EINVAL,
                client.send(FUSE_SETXATTR, ROOT, 6, 0, 0, 0, "user.a", new byte[5])
                        .error());
        client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, "user.with/slash").ok();
        client.send(FUSE_GETXATTR, ROOT, 0, 0, NAME_255).ok();
        assertEquals(
                -Errno.EIO, client.send(FUSE_GETXATTR, ROOT, 4097, 0, "user.a").error());
    }

    @Test
    void knowsNoAccessControlListsWhenTheKernelObeysNone() {
        for (String name : List.of("system.posix_acl_access", "system.posix_acl_default")) {
            client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, name).ok();
            client.send(FUSE_GETXATTR, ROOT, 0, 0, name).ok();
            client.send(FUSE_REMOVEXATTR, ROOT, name).ok();
        }
        client.init(7, 45, ~FUSE_POSIX_ACL).ok();
        for (String name : List.of("system.posix_acl_access", "system.posix_acl_default")) {
            assertEquals(
                    -Errno.EOPNOTSUPP,
                    client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, name).error());
            assertEquals(
                    -Errno.EOPNOTSUPP,
                    client.send(FUSE_GETXATTR, ROOT, 0, 0, name).error());
            assertEquals(
                    -Errno.EOPNOTSUPP, client.send(FUSE_REMOVEXATTR, ROOT, name).error());
        }
        client.send(FUSE_GETXATTR, ROOT, 0, 0, "system.posix_bcl_access").ok();
    }

    @Test
    void takesTheLongerSetxattrWhereItWasAgreedOn() {
        client.send(FUSE_SETXATTR, ROOT, 0, 0, FUSE_SETXATTR_ACL_KILL_SGID, 0, "user.a")
                .ok();
        assertTrue(recorder.last.killPrivileges);
        client.send(FUSE_SETXATTR, ROOT, 0, 0, 0, 0, "user.a").ok();
        assertFalse(recorder.last.killPrivileges);
        assertEquals(-Errno.EINVAL, client.send(FUSE_SETXATTR, ROOT, 0, 0).error());
        client.init(7, 45, ~FUSE_SETXATTR_EXT).ok();
        client.send(FUSE_SETXATTR, ROOT, 0, 0, "user.a").ok();
        assertFalse(recorder.last.killPrivileges);
    }

    @Test
    void whatMakesAnInodeSaysTheUmask() {
        client.send(FUSE_CREATE, ROOT, 0, 0666, 021, 0, "f").ok();
        assertEquals(021, recorder.last.umask);
        client.send(FUSE_MKNOD, ROOT, S_IFREG | 0666, 0, 022, 0, "f").ok();
        assertEquals(022, recorder.last.umask);
        client.send(FUSE_MKDIR, ROOT, 0777, 023, "d").ok();
        assertEquals(023, recorder.last.umask);
        client.send(FUSE_TMPFILE, ROOT, 0, 0666, 024, 0, "t").ok();
        assertEquals(024, recorder.last.umask);
    }

    // --- helpers

    private Reply send(Operation operation) {
        return client.send(operation.opcode, FILE, operation.arguments.toArray());
    }

    private void answerFlush() {
        FuseOptions o = FuseOptions.exclusive();
        client = recorder.client(new FuseOptions(
                o.writebackCache(),
                o.keepCache(),
                o.invalidateChangedData(),
                o.entryTimeoutNs(),
                o.negativeTimeoutNs(),
                o.attributeTimeoutNs(),
                true,
                false,
                o.maxWriteBytes(),
                o.maxReadaheadBytes(),
                o.maxBackground(),
                false,
                false));
        client.init().ok();
    }

    /** Says yes to everything and keeps what it was asked. */
    private static final class Recorder implements FileSystem {
        private final Reactor reactor = new Reactor("test");
        private final List<String> forgotten = new ArrayList<>();
        private FsRequest last =
                new FuseTestClient.Request(new FuseSession(this, attach(1), FuseOptions.shared()), reactor);
        private String name = "";
        private String name2 = "";
        private String labelName = "";
        private byte[] label = {};
        private long dataBytes;
        private int submitted;
        private boolean pending;
        private Consumer<FsAttributes> attributes = a -> {};

        FuseTestClient client(FuseOptions options) {
            return client(options, ROOT_INODE);
        }

        FuseTestClient client(FuseOptions options, long root) {
            FuseTestClient made = new FuseTestClient(new FuseSession(this, attach(root), options), reactor);
            made.whilePending = () -> {
                while (made.request.replies == 0) {
                    record(made.request);
                    made.request.onComplete(0);
                }
                made.request.replies = 1;
            };
            return made;
        }

        @Override
        public int submit(FsRequest request) {
            if (pending) {
                return PENDING;
            }
            record(request);
            return 0;
        }

        private void record(FsRequest r) {
            submitted++;
            last = r;
            attributes.accept(r.attributes);
            if (r.operation == FsOp.FORGET) {
                forgotten.add(r.inode + "x" + r.count);
                return;
            }
            name = r.nameAddress == 0 ? "" : CString.read(r.nameAddress, r.nameLength);
            name2 = r.name2Address == 0 ? "" : CString.read(r.name2Address, r.name2Length);
            labelName = r.labelNameLength == 0 ? "" : CString.read(r.labelNameAddress, r.labelNameLength);
            label = new byte[r.labelNameLength == 0 ? 0 : r.labelLength];
            Memory.copyToArray(r.labelAddress, label, 0, label.length);
            dataBytes = Iovecs.totalLength(r.dataIovecs, r.dataIovecCount);
            r.count = r.operation == FsOp.READ ? r.length : 0;
            r.attributes.mode = S_IFREG | 0777;
        }

        @Override
        public Reactor home() {
            return reactor;
        }

        @Override
        public FsClient attach(long rootInode) {
            return new FsClient(rootInode) {
                @Override
                public boolean holds(long inode) {
                    return true;
                }
            };
        }

        @Override
        public void detach(FsClient client) {}
    }
}

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The kernel's side of a session: lays messages out over iovecs, with guard bytes around each, and takes replies apart.
 *
 * <p>After each reply it checks that no guard byte changed, that the arrays of iovecs are as they were, and that the reply
 * carries its length and the message's unique.
 */
final class FuseTestClient {
    /** How a message or a reply is cut into iovecs: the lengths in turn, the last one for all that is left. */
    static final class Cut {
        private final String name;
        private final int[] lengths;

        Cut(String name, int... lengths) {
            this.name = name;
            this.lengths = lengths;
        }

        @Override
        public String toString() {
            return name;
        }
    }

    /** As the Linux driver does: the header by itself, then the rest. */
    static final Cut LINUX_MESSAGE = new Cut("linux", FUSE_IN_HEADER_SIZE, 1 << 30);

    static final Cut LINUX_REPLY = new Cut("linux", FUSE_OUT_HEADER_SIZE, 1 << 30);

    static final Cut ONE_PIECE = new Cut("one piece", 1 << 30);

    /** Cuts inside of everything. */
    static final Cut ODD = new Cut("odd", 7, 1, 30, 5, 3, 64, 1, 2, 500, 11);

    static final Cut BYTES = new Cut("bytes", 1);

    private static final byte GUARD = (byte) 0xa5;
    private static final int GUARD_BYTES = 16;
    private static final int MAX_IOVECS = 1 << 17;

    /** A reply: {@code bytes} 0 when there is none. */
    record Reply(int bytes, int error, ByteBuffer body) {
        Reply ok() {
            assertEquals(0, error, "error of the reply");
            return this;
        }

        long u64(int offset) {
            return body.getLong(offset);
        }

        int u32(int offset) {
            return body.getInt(offset);
        }

        byte[] bytesOfBody() {
            byte[] all = new byte[body.limit()];
            body.get(0, all);
            return all;
        }
    }

    /** A directory entry; {@code nodeid} is 0 in a plain listing. */
    record Entry(String name, long inode, long offset, int type, long nodeid) {}

    static final class Request extends FuseRequest {
        int replies;
        int repliedBytes = -2;

        Request(FuseSession session, Reactor origin) {
            super(session, origin);
        }

        @Override
        protected void onReplied(int replyBytes) {
            replies++;
            repliedBytes = replyBytes;
        }
    }

    final FuseSession session;
    final Request request;
    Cut messageCut = LINUX_MESSAGE;
    Cut replyCut = LINUX_REPLY;

    /** Called when dispatch said PENDING: must make the request complete. */
    Runnable whilePending = () -> {
        throw new AssertionError("pending");
    };

    int uid = 1000;
    int gid = 100;
    int replyRoom = 16 + 4096;

    private long lastUnique = 0x1122334455667700L;

    FuseTestClient(FuseSession session, Reactor origin) {
        this.session = session;
        request = new Request(session, origin);
    }

    // --- arguments

    /** Little-endian arguments: Integer, Long, Short, byte[]; a String gets its NUL. */
    static byte[] args(Object... values) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (Object value : values) {
            ByteBuffer b = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
            switch (value) {
                case Long l -> out.write(b.putLong(l).array(), 0, 8);
                case Integer i -> out.write(b.putInt(i).array(), 0, 4);
                case Short s -> out.write(b.putShort(s).array(), 0, 2);
                case byte[] bytes -> out.write(bytes, 0, bytes.length);
                case String s -> {
                    byte[] bytes = s.getBytes(StandardCharsets.UTF_8);
                    out.write(bytes, 0, bytes.length);
                    out.write(0);
                }
                default -> throw new IllegalArgumentException(value.toString());
            }
        }
        return out.toByteArray();
    }

    byte[] message(int opcode, long nodeid, byte[] arguments) {
        ByteBuffer b =
                ByteBuffer.allocate(FUSE_IN_HEADER_SIZE + arguments.length).order(ByteOrder.LITTLE_ENDIAN);
        lastUnique += 2;
        b.putInt(b.capacity()).putInt(opcode).putLong(lastUnique).putLong(nodeid);
        b.putInt(uid).putInt(gid).putInt(4711).putInt(0).put(arguments);
        return b.array();
    }

    /** The same with extensions behind it, a multiple of 8 bytes. */
    byte[] extended(int opcode, long nodeid, byte[] arguments, byte[] extensions) {
        byte[] message = message(opcode, nodeid, args(arguments, extensions));
        short words = (short) (extensions.length / 8);
        ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN).putShort(FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET, words);
        return message;
    }

    /** The extension that carries one security label. */
    static byte[] label(String name, byte[] value) {
        byte[] named = args(value.length, 0, name, value);
        byte[] padded = Arrays.copyOf(named, (named.length + 7) & ~7);
        return args(FUSE_SECCTX_HEADER_SIZE + padded.length, 1, padded);
    }

    // --- sending

    Reply send(int opcode, long nodeid, Object... arguments) {
        return sendMessage(message(opcode, nodeid, args(arguments)));
    }

    Reply sendMessage(byte[] message) {
        try (Arena arena = Arena.ofConfined()) {
            Pieces in = new Pieces(arena, message.length, messageCut);
            Pieces out = new Pieces(arena, replyRoom, replyCut);
            in.put(message);
            int bytes = dispatch(in, out, message.length);
            in.checkUntouched();
            out.checkUntouched();
            return reply(bytes, out.get(), message);
        }
    }

    private int dispatch(Pieces in, Pieces out, int messageBytes) {
        request.messageIovecs = in.iovecs;
        request.messageIovecCount = in.count;
        request.messageBytes = messageBytes;
        request.replyIovecs = out.iovecs;
        request.replyIovecCount = out.count;
        request.replyCapacityBytes = replyRoom;
        int before = request.replies;
        int bytes = session.dispatch(request);
        if (bytes != FuseSession.PENDING) {
            assertEquals(before, request.replies, "called back although it had completed");
            return bytes;
        }
        // Whatever the guest does to its memory now must make no difference.
        in.scribbleOverHead();
        whilePending.run();
        assertEquals(before + 1, request.replies, "called back once");
        return request.repliedBytes;
    }

    private static Reply reply(int bytes, byte[] room, byte[] message) {
        assertTrue(bytes >= 0 && bytes <= room.length, "reply of " + bytes + " bytes in a room of " + room.length);
        ByteBuffer all = ByteBuffer.wrap(room).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes == 0) {
            return new Reply(0, 0, all.slice(0, 0));
        }
        assertTrue(bytes >= FUSE_OUT_HEADER_SIZE);
        assertEquals(bytes, all.getInt(FUSE_OUT_HEADER_LEN_OFFSET), "length in the header");
        if (message.length >= FUSE_IN_HEADER_NODEID_OFFSET) {
            ByteBuffer sent = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
            assertEquals(sent.getLong(FUSE_IN_HEADER_UNIQUE_OFFSET), all.getLong(FUSE_OUT_HEADER_UNIQUE_OFFSET));
        }
        int error = all.getInt(FUSE_OUT_HEADER_ERROR_OFFSET);
        assertTrue(error <= 0 && error > -512, "error " + error);
        assertTrue(error == 0 || bytes == FUSE_OUT_HEADER_SIZE, "an error has no body");
        ByteBuffer body = all.slice(FUSE_OUT_HEADER_SIZE, bytes - FUSE_OUT_HEADER_SIZE);
        return new Reply(bytes, error, body.order(ByteOrder.LITTLE_ENDIAN));
    }

    // --- operations

    static final long ALL_FLAGS = -1;

    Reply init() {
        return init(7, 45, ALL_FLAGS);
    }

    Reply init(int major, int minor, long flags) {
        return send(FUSE_INIT, 0, major, minor, 1 << 20, (int) flags, (int) (flags >>> 32), new byte[44]);
    }

    Reply lookup(long parent, String name) {
        return send(FUSE_LOOKUP, parent, name);
    }

    Reply create(long parent, String name, int flags) {
        return send(FUSE_CREATE, parent, flags, 0644, 022, 0, name);
    }

    Reply mkdir(long parent, String name) {
        return send(FUSE_MKDIR, parent, 0755, 022, name);
    }

    Reply getattr(long nodeid) {
        return send(FUSE_GETATTR, nodeid, 0, 0, 0L);
    }

    Reply open(long nodeid, int flags) {
        return send(FUSE_OPEN, nodeid, flags, 0);
    }

    Reply write(long nodeid, long handle, long offset, byte[] data) {
        return send(FUSE_WRITE, nodeid, handle, offset, data.length, 0, 0L, 0, 0, data);
    }

    Reply read(long nodeid, long handle, long offset, int size) {
        return send(FUSE_READ, nodeid, handle, offset, size, 0, 0L, 0, 0);
    }

    Reply readdir(long nodeid, long handle, long offset, int size, boolean plus) {
        return send(plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid, handle, offset, size, 0, 0L, 0, 0);
    }

    /** Everything a directory lists, from one call after the other. */
    List<Entry> list(long nodeid, int size, boolean plus) {
        long handle = send(FUSE_OPENDIR, nodeid, 0, 0).ok().u64(0);
        List<Entry> all = new ArrayList<>();
        for (long offset = 0; ; offset = all.get(all.size() - 1).offset()) {
            List<Entry> some =
                    entries(readdir(nodeid, handle, offset, size, plus).ok(), plus);
            if (some.isEmpty()) {
                break;
            }
            all.addAll(some);
        }
        send(FUSE_RELEASEDIR, nodeid, handle, 0, 0, 0L).ok();
        return all;
    }

    static List<Entry> entries(Reply reply, boolean plus) {
        List<Entry> entries = new ArrayList<>();
        ByteBuffer b = reply.body();
        int head = plus ? FUSE_DIRENTPLUS_DIRENT_OFFSET : 0;
        for (int at = 0; at < b.limit(); ) {
            int dirent = at + head;
            int nameLength = b.getInt(dirent + FUSE_DIRENT_NAMELEN_OFFSET);
            byte[] name = new byte[nameLength];
            b.get(dirent + FUSE_DIRENT_NAME_OFFSET, name);
            int end = dirent + FUSE_DIRENT_NAME_OFFSET + nameLength;
            for (; end % 8 != 0; end++) {
                assertEquals(0, b.get(end), "padding");
            }
            entries.add(new Entry(
                    new String(name, StandardCharsets.UTF_8),
                    b.getLong(dirent + FUSE_DIRENT_INO_OFFSET),
                    b.getLong(dirent + FUSE_DIRENT_OFF_OFFSET),
                    b.getInt(dirent + FUSE_DIRENT_TYPE_OFFSET),
                    plus ? b.getLong(at + FUSE_ENTRY_OUT_NODEID_OFFSET) : 0));
            at = end;
        }
        return entries;
    }

    /** Memory in pieces, each between guards, and the iovecs that describe them. */
    private static final class Pieces {
        final long iovecs;
        final int count;
        private final int total;
        private final byte[] array;
        private final long[] bases;
        private final int[] lengths;

        Pieces(Arena arena, int total, Cut cut) {
            this.total = total;
            List<Integer> cuts = new ArrayList<>();
            for (int left = total; left > 0; ) {
                int piece = Math.min(left, cut.lengths[Math.min(cuts.size(), cut.lengths.length - 1)]);
                cuts.add(piece);
                left -= piece;
            }
            count = cuts.size();
            assertTrue(count <= MAX_IOVECS);
            iovecs = arena.allocate((long) Iovecs.IOVEC_SIZE * Math.max(1, count))
                    .address();
            lengths = cuts.stream().mapToInt(Integer::intValue).toArray();
            bases = new long[count];
            var memory = arena.allocate(total + (count + 1L) * GUARD_BYTES).fill(GUARD);
            long at = memory.address() + GUARD_BYTES;
            for (int i = 0; i < count; i++) {
                bases[i] = at;
                Iovecs.set(iovecs, i, at, lengths[i]);
                at += lengths[i] + GUARD_BYTES;
            }
            array = new byte[count * Iovecs.IOVEC_SIZE];
            Memory.copyToArray(iovecs, array, 0, array.length);
        }

        void put(byte[] bytes) {
            int at = 0;
            for (int i = 0; i < count; i++) {
                Memory.copyFromArray(bytes, at, bases[i], lengths[i]);
                at += lengths[i];
            }
        }

        byte[] get() {
            byte[] all = new byte[total];
            int at = 0;
            for (int i = 0; i < count; i++) {
                Memory.copyToArray(bases[i], all, at, lengths[i]);
                at += lengths[i];
            }
            return all;
        }

        /** Header and arguments become garbage; data of a WRITE begins behind them. */
        void scribbleOverHead() {
            int at = 0;
            for (int i = 0; i < count; i++) {
                for (int j = 0; j < lengths[i] && at < FUSE_IN_HEADER_SIZE + FUSE_WRITE_IN_SIZE; j++, at++) {
                    Memory.putByte(bases[i] + j, (byte) 0xff);
                }
            }
        }

        void checkUntouched() {
            byte[] now = new byte[array.length];
            Memory.copyToArray(iovecs, now, 0, now.length);
            assertEquals(ByteBuffer.wrap(array), ByteBuffer.wrap(now), "array of iovecs");
            for (int i = 0; i < count; i++) {
                for (int j = 1; j <= GUARD_BYTES; j++) {
                    assertEquals(GUARD, Memory.getByte(bases[i] - j), "guard before a piece");
                    assertEquals(GUARD, Memory.getByte(bases[i] + lengths[i] + j - 1), "guard behind a piece");
                }
            }
        }
    }
}

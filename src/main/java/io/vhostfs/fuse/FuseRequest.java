package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * One FUSE message and its reply, preallocated by the transport (one per ring slot).
 *
 * <p>The transport fills the iovec fields and calls {@link FuseSession#dispatch} on the origin's thread; when that
 * returned {@link FuseSession#PENDING}, {@link #onReplied} tells when the reply is written. The iovecs may point into guest
 * memory: each byte there is read at most once, into private memory, and only what was copied is looked at. The arrays of
 * iovecs themselves are private to the transport and the session: a read or write of data borrows the array in place, with
 * its ends cut to the data, and puts it back before the reply is written.
 */
public abstract class FuseRequest extends FsRequest {
    /**
     * Private memory: the message without data at its start (the longest is SYMLINK: header, a name and a target), a reply
     * that cannot be written in place from {@link #BODY_OFFSET} on. No message that has a body in its reply is longer than
     * that offset, save SYMLINK, whose names are no longer needed when it is answered.
     */
    static final int SCRATCH_SIZE = 4608;

    static final int BODY_OFFSET = 512;

    /** Room in the scratch for a directory listing: a page, which is what kernels before Linux 6.13 ask for. */
    static final int BODY_CAPACITY = SCRATCH_SIZE - BODY_OFFSET;

    /** Names are scanned eight bytes at a time and may be read past their end. */
    private static final int SCRATCH_SLACK = 8;

    /** The message: array of {@code struct iovec}, their number, and the bytes in all. */
    public long messageIovecs;

    public int messageIovecCount;
    public long messageBytes;

    /** Room for the reply. */
    public long replyIovecs;

    public int replyIovecCount;
    public long replyCapacityBytes;

    // --- the header, as it was copied

    int opcode;
    long unique;
    long nodeid;

    /** Where the arguments end: the message's length without extensions. */
    long messageEnd;

    /** Of the extensions that follow there. */
    int extensionBytes;

    /** The session's state when the message came; it is answered by the rules of that state. */
    FuseState state;

    final long scratch;
    final DirectoryPacker packer = new DirectoryPacker();

    /** Borrowed from the session while a value or a listing is larger than the scratch. */
    @Nullable
    LargeBuffer large;

    /** ACCESS: the permissions asked for. */
    int accessMask;

    // BATCH_FORGET: what has been done of it.
    int forgetIndex;
    int forgetCount;

    // COPY_FILE_RANGE: see FileCopy.
    long copyInode;
    long copyHandle;
    long copyOffset;
    long copyHandle2;
    long copyOffset2;
    long copyLength;
    long copied;
    /** The unit of sharing; 0: the rest is read and written. */
    int copyBlock;

    private final FuseSession session;

    /** Keeps the scratch memory alive as long as the request. */
    @SuppressWarnings("unused")
    private final MemorySegment scratchOwner;

    private boolean bodyBounced;

    // The iovecs whose ends were cut, and what they were; 0 when none is.
    private long cutFirst;
    private long cutFirstBase;
    private long cutFirstLength;
    private long cutLast;
    private long cutLastLength;

    protected FuseRequest(FuseSession session, Reactor origin) {
        super(session.client(), origin);
        this.session = session;
        this.state = session.state();
        scratchOwner = Arena.ofAuto().allocate(SCRATCH_SIZE + SCRATCH_SLACK, 64);
        scratch = scratchOwner.address();
    }

    /** Called on the origin's thread: the reply is in its iovecs; {@code replyBytes} of it, 0 when none is due (FORGET). */
    protected abstract void onReplied(int replyBytes);

    /**
     * Called on the origin's thread: the request is over without a reply, because the owner of the memory in which its
     * message or reply lies truncated it. A transport whose memory is its own has no reason to override this.
     */
    protected void onMemoryFault(InternalError fault) {
        throw fault;
    }

    @Override
    public final void onComplete(int status) {
        int replyBytes = session.complete(this, status);
        if (replyBytes != FuseSession.PENDING) {
            onReplied(replyBytes);
        }
    }

    // --- the message

    /** Copies the header; false when there is none, or when its length is not that of a message of these bytes. */
    boolean takeHeader() {
        if (messageBytes < FUSE_IN_HEADER_SIZE) {
            takeUniqueOfTornHeader();
            return false;
        }
        if (Iovecs.length(messageIovecs, 0) >= FUSE_IN_HEADER_SIZE) {
            copyLongs(Iovecs.base(messageIovecs, 0), scratch, FUSE_IN_HEADER_SIZE);
        } else {
            Iovecs.gather(messageIovecs, messageIovecCount, 0, scratch, FUSE_IN_HEADER_SIZE);
        }
        opcode = Memory.getInt(scratch + FUSE_IN_HEADER_OPCODE_OFFSET);
        unique = Memory.getLong(scratch + FUSE_IN_HEADER_UNIQUE_OFFSET);
        nodeid = Memory.getLong(scratch + FUSE_IN_HEADER_NODEID_OFFSET);
        uid = Memory.getInt(scratch + FUSE_IN_HEADER_UID_OFFSET);
        gid = Memory.getInt(scratch + FUSE_IN_HEADER_GID_OFFSET);
        pid = Memory.getInt(scratch + FUSE_IN_HEADER_PID_OFFSET);
        long length = Memory.getUnsignedInt(scratch + FUSE_IN_HEADER_LEN_OFFSET);
        extensionBytes = 8 * Memory.getUnsignedShort(scratch + FUSE_IN_HEADER_TOTAL_EXTLEN_OFFSET);
        messageEnd = length - extensionBytes;
        return length <= messageBytes && messageEnd >= FUSE_IN_HEADER_SIZE;
    }

    private void takeUniqueOfTornHeader() {
        opcode = 0;
        Memory.putLong(scratch + FUSE_IN_HEADER_UNIQUE_OFFSET, 0);
        Iovecs.gather(messageIovecs, messageIovecCount, 0, scratch, messageBytes);
        unique = Memory.getLong(scratch + FUSE_IN_HEADER_UNIQUE_OFFSET);
    }

    /** Copies the {@code size} bytes behind the header, a multiple of 8; false when the message is shorter. */
    boolean takeArguments(int size) {
        if (messageEnd < FUSE_IN_HEADER_SIZE + size) {
            return false;
        }
        long to = scratch + FUSE_IN_HEADER_SIZE;
        long firstLength = Iovecs.length(messageIovecs, 0);
        if (firstLength >= FUSE_IN_HEADER_SIZE + size) {
            copyLongs(Iovecs.base(messageIovecs, 0) + FUSE_IN_HEADER_SIZE, to, size);
        } else if (firstLength == FUSE_IN_HEADER_SIZE
                && messageIovecCount > 1
                && Iovecs.length(messageIovecs, 1) >= size) {
            copyLongs(Iovecs.base(messageIovecs, 1), to, size);
        } else {
            Iovecs.gather(messageIovecs, messageIovecCount, FUSE_IN_HEADER_SIZE, to, size);
        }
        return true;
    }

    /**
     * Copies what follows the arguments, at most {@code limit} bytes, to where they end in the scratch.
     *
     * @return the bytes copied
     */
    int takeRest(int argumentBytes, int limit) {
        int from = FUSE_IN_HEADER_SIZE + argumentBytes;
        int length = (int) Math.min(messageEnd - from, limit);
        Iovecs.gather(messageIovecs, messageIovecCount, from, scratch + from, length);
        return length;
    }

    int argumentInt(int offset) {
        return Memory.getInt(scratch + FUSE_IN_HEADER_SIZE + offset);
    }

    long argumentUnsignedInt(int offset) {
        return Memory.getUnsignedInt(scratch + FUSE_IN_HEADER_SIZE + offset);
    }

    long argumentLong(int offset) {
        return Memory.getLong(scratch + FUSE_IN_HEADER_SIZE + offset);
    }

    // --- data that is not copied

    /** Makes the part of the message behind {@code skipBytes} the data to write from. The message is long enough. */
    void borrowMessage(long skipBytes, long lengthBytes) {
        borrow(messageIovecs, skipBytes, lengthBytes);
    }

    /** Makes the reply's room behind the header the data to read into. There is enough of it. */
    void borrowReply(long lengthBytes) {
        borrow(replyIovecs, FUSE_OUT_HEADER_SIZE, lengthBytes);
    }

    private void borrow(long iovecs, long skipBytes, long lengthBytes) {
        dataIovecs = iovecs;
        dataIovecCount = 0;
        if (lengthBytes == 0) {
            return;
        }
        long skip = skipBytes;
        int first = 0;
        while (skip >= Iovecs.length(iovecs, first)) {
            skip -= Iovecs.length(iovecs, first++);
        }
        cutFirst = iovecs + (long) first * Iovecs.IOVEC_SIZE;
        cutFirstBase = Iovecs.base(cutFirst, 0);
        cutFirstLength = Iovecs.length(cutFirst, 0);
        Iovecs.set(cutFirst, 0, cutFirstBase + skip, cutFirstLength - skip);

        long left = lengthBytes;
        int last = 0;
        while (left > Iovecs.length(cutFirst, last)) {
            left -= Iovecs.length(cutFirst, last++);
        }
        cutLast = cutFirst + (long) last * Iovecs.IOVEC_SIZE;
        cutLastLength = Iovecs.length(cutLast, 0);
        Iovecs.set(cutLast, 0, Iovecs.base(cutLast, 0), left);
        dataIovecs = cutFirst;
        dataIovecCount = last + 1;
    }

    /** Puts a borrowed array back as it was. The last before the first: they may be the same. */
    private void giveBack() {
        Iovecs.set(cutLast, 0, Iovecs.base(cutLast, 0), cutLastLength);
        Iovecs.set(cutFirst, 0, cutFirstBase, cutFirstLength);
        cutFirst = 0;
    }

    // --- the reply

    /** Before a reply is written: what was borrowed goes back. */
    void release() {
        if (cutFirst != 0) {
            giveBack();
        }
        LargeBuffer buffer = large;
        if (buffer != null) {
            large = null;
            session.giveBack(buffer);
        }
    }

    /** Where to write a body of {@code size} bytes: in its place, or in the scratch when the iovecs split it. */
    long body(int size) {
        long firstLength = Iovecs.length(replyIovecs, 0);
        if (firstLength >= FUSE_OUT_HEADER_SIZE + size) {
            bodyBounced = false;
            return Iovecs.base(replyIovecs, 0) + FUSE_OUT_HEADER_SIZE;
        }
        if (firstLength == FUSE_OUT_HEADER_SIZE && Iovecs.length(replyIovecs, 1) >= size) {
            bodyBounced = false;
            return Iovecs.base(replyIovecs, 1);
        }
        bodyBounced = true;
        return scratch + BODY_OFFSET;
    }

    /** Ends the reply whose body was written where {@link #body} said; returns the bytes in all. */
    int replyBody(int size) {
        if (bodyBounced) {
            Iovecs.scatter(scratch + BODY_OFFSET, size, replyIovecs, replyIovecCount, FUSE_OUT_HEADER_SIZE);
        }
        return replyHeader(size, 0);
    }

    /** A reply whose body is at {@code address}. */
    int replyCopy(long address, int size) {
        Iovecs.scatter(address, size, replyIovecs, replyIovecCount, FUSE_OUT_HEADER_SIZE);
        return replyHeader(size, 0);
    }

    /** A reply without a body: {@code status} is 0 or a negative errno. */
    int replyStatus(int status) {
        return replyHeader(0, status);
    }

    /** Writes the header of a reply whose body of {@code size} bytes is in its place. */
    int replyHeader(int size, int status) {
        if (replyCapacityBytes < FUSE_OUT_HEADER_SIZE) {
            return 0;
        }
        boolean whole = Iovecs.length(replyIovecs, 0) >= FUSE_OUT_HEADER_SIZE;
        long at = whole ? Iovecs.base(replyIovecs, 0) : scratch;
        int length = FUSE_OUT_HEADER_SIZE + size;
        Memory.putInt(at + FUSE_OUT_HEADER_LEN_OFFSET, length);
        Memory.putInt(at + FUSE_OUT_HEADER_ERROR_OFFSET, status);
        Memory.putLong(at + FUSE_OUT_HEADER_UNIQUE_OFFSET, unique);
        if (!whole) {
            Iovecs.scatter(scratch, FUSE_OUT_HEADER_SIZE, replyIovecs, replyIovecCount, 0);
        }
        return length;
    }

    /** Whether the reply has room for {@code bodyBytes} behind its header. */
    boolean hasRoom(long bodyBytes) {
        return bodyBytes <= replyCapacityBytes - FUSE_OUT_HEADER_SIZE;
    }

    private static void copyLongs(long from, long to, int size) {
        for (int i = 0; i < size; i += 8) {
            Memory.putLong(to + i, Memory.getLong(from + i));
        }
    }
}

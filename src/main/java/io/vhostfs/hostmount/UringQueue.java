package io.vhostfs.hostmount;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.uring.UringConstants.*;

import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.uring.Ring;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One of the kernel's queues of requests (one per processor, FUSE_OVER_IO_URING), polled by one reactor.
 *
 * <p>Invariant: an entry is the kernel's (its command is under way in the ring) or ours (a request lies in it that was not
 * answered); the answer and the wait for the entry's next request are one command (COMMIT_AND_FETCH). There are as many
 * submission entries as entries, so a command always has room. All on the reactor's thread.
 *
 * <p>An entry has a header ({@code struct fuse_uring_req_header}: the message's header and first argument; the reply's
 * header) and a payload: the rest of the message, then the reply's body. What a message says is copied before the reply is
 * written; data of a WRITE is read from the payload, data of a READ goes there.
 */
final class UringQueue implements RequestSource, ChannelRequest.Owner {
    /** Entries of a client whose locks stay in its kernel: requests with data in flight, as of a channel. */
    static final int ENTRIES = 32;

    /** Entries of a client whose requests may wait for locks: more than may wait, so that the unlock gets through. */
    static final int ENTRIES_WITH_LOCKS = 128;

    /** What the kernel asks for: the largest WRITE, and as many pages. */
    private static final int PAYLOAD_BYTES = FuseOptions.MAX_WRITE_BYTES;

    /** Three iovecs of the message, two of the reply, then the header. */
    private static final int REPLY_IOVECS_OFFSET = 3 * Iovecs.IOVEC_SIZE;

    private static final int HEADER_OFFSET = 128;
    private static final int ENTRY_BYTES = 512;

    private static final int MAX_LOGGED_ERRORS = 16;

    private static final Logger LOG = LoggerFactory.getLogger(UringQueue.class);

    private final RequestSource.Owner owner;
    private final Ring ring;
    private final int queueId;
    private final FuseSession session;
    private final Reactor reactor;
    private final ChannelRequest[] requests;
    private final InFlight inFlight = new InFlight();
    private boolean broken;
    private int errors;
    private boolean registering;
    private int registerStatus;
    private final HugepageMemory memory;
    private final HugepageMemory rarelyUsed;

    /**
     * On the reactor, which has opened the ring, with the mount's device as its file.
     *
     * @param queueId the processor whose requests come here
     */
    UringQueue(RequestSource.Owner owner, Ring ring, int queueId, FuseSession session, Reactor reactor) {
        this.owner = owner;
        this.ring = ring;
        this.queueId = queueId;
        this.session = session;
        this.reactor = reactor;
        int entries = ring.entries();
        long ownBytes = (long) entries * ENTRY_BYTES;
        memory = HugepageMemory.reserve((long) ENTRIES * PAYLOAD_BYTES + ownBytes, "a queue of a host mount");
        // The kernel uses the entry again that came back last, so these are touched only while many requests wait.
        rarelyUsed = HugepageMemory.reserveForProcessor(
                (long) Math.max(1, entries - ENTRIES) * PAYLOAD_BYTES, "requests of a host mount that wait");
        requests = new ChannelRequest[entries];
        for (int i = 0; i < entries; i++) {
            requests[i] = new ChannelRequest(this, session, reactor, i);
            long own = memory.address() + (long) ENTRIES * PAYLOAD_BYTES + (long) i * ENTRY_BYTES;
            requests[i].messageIovecs = own;
            requests[i].replyIovecs = own + REPLY_IOVECS_OFFSET;
        }
    }

    private static long header(ChannelRequest request) {
        return request.messageIovecs + HEADER_OFFSET;
    }

    private long payload(int entry) {
        return entry < ENTRIES
                ? memory.address() + (long) entry * PAYLOAD_BYTES
                : rarelyUsed.address() + (long) (entry - ENTRIES) * PAYLOAD_BYTES;
    }

    // --- life cycle

    /**
     * Hands all entries to the kernel, which uses its queues when each processor's has some.
     *
     * @return 0, or why the kernel does not want them, as a negative errno; it then goes on without its queues
     */
    int register() {
        for (int i = requests.length - 1; i >= 0; i--) {
            ChannelRequest request = requests[i];
            Iovecs.set(request.messageIovecs, 0, header(request), FUSE_URING_REQ_HEADER_SIZE);
            Iovecs.set(request.messageIovecs, 1, payload(i), PAYLOAD_BYTES);
            long sqe = command(request, FUSE_IO_URING_CMD_REGISTER);
            Memory.putLong(sqe + IO_URING_SQE_ADDR_OFFSET, request.messageIovecs);
            Memory.putInt(sqe + IO_URING_SQE_LEN_OFFSET, 2);
        }
        registering = true;
        poll();
        registering = false;
        return registerStatus;
    }

    @Override
    public int wakeFd() {
        return ring.eventFd();
    }

    @Override
    public void drain(Runnable drained) {
        inFlight.drain(drained);
    }

    /** The last answers first. The kernel ends the requests that nobody took when the mount's files are closed. */
    @Override
    public void free() {
        if (!broken) {
            ring.submit();
        }
        ring.close();
        memory.close();
        rarelyUsed.close();
    }

    // --- polling

    /** One system call for the answers of the turn before and for what has come, none when there is neither. */
    @Override
    public int poll() {
        int work = broken ? 0 : ring.submit();
        if (work < 0) {
            broken = true;
            disconnect(work);
        }
        long cqe = nextCompletion();
        if (cqe != 0) {
            // What came may have been asked for after the answers of the turn before were seen.
            reactor.forgetWallClock();
        }
        for (; cqe != 0; cqe = nextCompletion()) {
            int entry = (int) Memory.getLong(cqe + IO_URING_CQE_USER_DATA_OFFSET);
            int status = Memory.getInt(cqe + IO_URING_CQE_RES_OFFSET);
            ring.completionTaken();
            work++;
            if (status == 0) {
                receive(requests[entry]);
            } else if (registering) {
                registerStatus = status;
            } else {
                disconnect(status);
            }
        }
        return work;
    }

    private long nextCompletion() {
        return inFlight.isClosed() ? 0 : ring.peekCompletion();
    }

    @Override
    public boolean prepareToSleep() {
        return inFlight.isClosed() || ring.enableEvents();
    }

    @Override
    public void wake() {
        ring.disableEvents();
    }

    private void disconnect(int status) {
        boolean isUsual = status == -Errno.ENOTCONN || status == -Errno.ECONNABORTED || status == -Errno.ENODEV;
        if (!isUsual && errors++ < MAX_LOGGED_ERRORS) {
            LOG.error("{}: io_uring: {}; the mount ends", owner.describe(), Errno.name(status));
        }
        inFlight.close();
        owner.onDisconnected();
    }

    // --- a request

    private void receive(ChannelRequest request) {
        long header = header(request);
        long exchange = header + FUSE_URING_REQ_HEADER_RING_ENT_IN_OUT_OFFSET;
        request.commitId = Memory.getLong(exchange + FUSE_URING_ENT_IN_OUT_COMMIT_ID_OFFSET);
        long payloadBytes = Memory.getUnsignedInt(exchange + FUSE_URING_ENT_IN_OUT_PAYLOAD_SZ_OFFSET);
        long messageBytes = Memory.getUnsignedInt(header + FUSE_IN_HEADER_LEN_OFFSET);
        long argumentBytes = messageBytes - FUSE_IN_HEADER_SIZE - payloadBytes;
        long payload = payload(request.entry);
        Iovecs.set(request.messageIovecs, 0, header, FUSE_IN_HEADER_SIZE);
        Iovecs.set(request.messageIovecs, 1, header + FUSE_URING_REQ_HEADER_OP_IN_OFFSET, argumentBytes);
        Iovecs.set(request.messageIovecs, 2, payload, payloadBytes);
        request.messageIovecCount = 3;
        request.messageBytes = messageBytes;
        Iovecs.set(request.replyIovecs, 0, header, FUSE_OUT_HEADER_SIZE);
        Iovecs.set(request.replyIovecs, 1, payload, PAYLOAD_BYTES);
        request.replyIovecCount = 2;
        request.replyCapacityBytes = FUSE_OUT_HEADER_SIZE + PAYLOAD_BYTES;
        int replyBytes = session.dispatch(request);
        if (replyBytes == FuseSession.PENDING) {
            inFlight.started();
        } else {
            reply(request, replyBytes);
        }
    }

    @Override
    public void onReplied(ChannelRequest request, int replyBytes) {
        reply(request, replyBytes);
        inFlight.ended();
    }

    /** Also where no reply is due: the kernel waits for its entry. */
    private void reply(ChannelRequest request, int replyBytes) {
        long header = header(request);
        if (replyBytes == 0) {
            Memory.putInt(header + FUSE_OUT_HEADER_LEN_OFFSET, FUSE_OUT_HEADER_SIZE);
            Memory.putInt(header + FUSE_OUT_HEADER_ERROR_OFFSET, 0);
            Memory.putLong(header + FUSE_OUT_HEADER_UNIQUE_OFFSET, request.commitId);
        }
        Memory.putInt(
                header + FUSE_URING_REQ_HEADER_RING_ENT_IN_OUT_OFFSET + FUSE_URING_ENT_IN_OUT_PAYLOAD_SZ_OFFSET,
                Math.max(0, replyBytes - FUSE_OUT_HEADER_SIZE));
        long sqe = command(request, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
        Memory.putLong(sqe + IO_URING_SQE_CMD_OFFSET + FUSE_URING_CMD_REQ_COMMIT_ID_OFFSET, request.commitId);
    }

    private long command(ChannelRequest request, int command) {
        long sqe = ring.nextSqe();
        assert sqe != 0 : "as many submission entries as entries";
        Memory.putByte(sqe + IO_URING_SQE_OPCODE_OFFSET, (byte) IORING_OP_URING_CMD);
        // File 0 of the ring.
        Memory.putByte(sqe + IO_URING_SQE_FLAGS_OFFSET, (byte) IOSQE_FIXED_FILE);
        Memory.putInt(sqe + IO_URING_SQE_CMD_OP_OFFSET, command);
        Memory.putLong(sqe + IO_URING_SQE_USER_DATA_OFFSET, request.entry);
        Memory.putShort(sqe + IO_URING_SQE_CMD_OFFSET + FUSE_URING_CMD_REQ_QID_OFFSET, (short) queueId);
        return sqe;
    }
}

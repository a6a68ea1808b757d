package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.concurrent.atomic.AtomicInteger;
import org.jctools.queues.varhandle.MpmcVarHandleArrayQueue;
import org.jspecify.annotations.Nullable;

/**
 * One client's session: what was negotiated, and the dispatch of its messages to the file system.
 *
 * <p>Invariant: whatever the client sends, it reaches only inodes and handles of its own {@link FsClient}; INIT, DESTROY
 * and {@link #reset} replace that client, so that nothing of an earlier mount is left. Several reactors may dispatch at
 * once: what they share is one immutable snapshot, everything else belongs to the request.
 */
public final class FuseSession {
    /** The reply comes later, through {@link FuseRequest#onReplied}. */
    public static final int PENDING = -1;

    /** Large values and listings in flight at once: 16 MiB. Beyond that a client gets ENOMEM, or a shorter listing. */
    private static final int MAX_LARGE_BUFFERS = 256;

    /** One BATCH_FORGET: as many as a message of the largest size holds, so that it keeps a reactor for milliseconds. */
    private static final int MAX_BATCH_FORGETS = (1 << 20) / FUSE_FORGET_ONE_SIZE;

    /** Entries of a BATCH_FORGET copied at once. */
    private static final int FORGETS_PER_COPY = FuseRequest.BODY_CAPACITY / FUSE_FORGET_ONE_SIZE;

    private final FileSystem fileSystem;
    private final FuseOptions options;
    private final Reactor home;
    private final ChangeFeed changes;
    private final MpmcVarHandleArrayQueue<LargeBuffer> largeBuffers = new MpmcVarHandleArrayQueue<>(MAX_LARGE_BUFFERS);
    private final AtomicInteger largeBuffersMade = new AtomicInteger();
    private volatile FuseState state;

    /** Takes {@code client}, which was attached to {@code fileSystem}, over: the session detaches it. */
    public FuseSession(FileSystem fileSystem, FsClient client, FuseOptions options) {
        this(fileSystem, client, options, new ChangeFeed());
    }

    /** The same; {@code changes} is told of what the client changes. */
    public FuseSession(FileSystem fileSystem, FsClient client, FuseOptions options, ChangeFeed changes) {
        this.fileSystem = fileSystem;
        this.changes = changes;
        this.options = options;
        home = fileSystem.home();
        if (options.writebackCache()) {
            client.setAlone();
        }
        state = FuseState.beforeInit(client, options);
    }

    /** The client that messages act for now; INIT, DESTROY and {@link #reset} replace it. */
    public FsClient client() {
        return state.client;
    }

    /** The minor protocol version agreed on; 0 before INIT. */
    public int minorVersion() {
        return state.minor;
    }

    /** The INIT flags agreed on ({@code FUSE_*}, bits 32 and up from flags2); 0 before INIT. */
    public long initFlags() {
        return state.flags;
    }

    /**
     * Forgets everything about the client, as for a device that was reset: the next message must be an INIT. Home reactor
     * only.
     */
    public void reset() {
        state = FuseState.beforeInit(renewClient(), options);
    }

    /** Ends requests that wait for other clients, with EINTR. Any thread; takes effect later. */
    public void interruptWaiting() {
        home.send(() -> fileSystem.interruptWaiting(state.client));
    }

    /** Ends the session; nothing may be dispatched any more. Home reactor only. */
    public void close() {
        fileSystem.detach(state.client);
    }

    /**
     * Handles one message, on the thread of its origin.
     *
     * @return bytes of the reply written (0: none is due), or {@link #PENDING}
     */
    public int dispatch(FuseRequest request) {
        try {
            int reply = handle(request);
            Memory.deliverFault();
            return reply;
        } catch (InternalError truncated) {
            return abandon(request, truncated);
        }
    }

    private int handle(FuseRequest request) {
        if (!request.takeHeader()) {
            return refuse(request, -Errno.EIO);
        }
        FuseState s = state;
        request.state = s;
        request.client = s.client;
        if (!s.initialised && !isHandledBeforeInit(request.opcode)) {
            return refuse(request, -Errno.EIO);
        }
        int status = FuseDecoder.decode(request, s, this);
        if (status == FuseDecoder.SUBMIT) {
            Memory.deliverFault();
            status = fileSystem.submit(request);
            return status == FileSystem.PENDING ? PENDING : answer(request, status);
        }
        return status == FuseDecoder.CONTROL ? control(request) : refuse(request, status);
    }

    FuseState state() {
        return state;
    }

    /** The file system is done with a request: the bytes of its reply, or {@link #PENDING} when there is more to do. */
    int complete(FuseRequest request, int status) {
        try {
            int reply =
                    switch (request.opcode) {
                        case FUSE_BATCH_FORGET -> forgetOn(request);
                        case FUSE_COPY_FILE_RANGE, FUSE_COPY_FILE_RANGE_64 ->
                            copy(request, FileCopy.advance(request, this, status));
                        default -> answer(request, status);
                    };
            Memory.deliverFault();
            return reply;
        } catch (InternalError truncated) {
            return abandon(request, truncated);
        }
    }

    private int answer(FuseRequest request, int status) {
        if (status >= 0 && changes.isHeard()) {
            changes.publish(this, request);
        }
        return FuseEncoder.reply(request, status);
    }

    /** The number under which the client knows an inode. */
    long nodeidOf(long inode) {
        return state.nodeidOf(inode);
    }

    /** Ends a request whose message or reply lies in memory that its owner truncated, while it is not the file system's. */
    private static int abandon(FuseRequest request, InternalError truncated) {
        request.release();
        request.onMemoryFault(truncated);
        return 0;
    }

    /** A large buffer, or null when all are in use. */
    @Nullable
    LargeBuffer borrowLarge() {
        LargeBuffer buffer = largeBuffers.poll();
        if (buffer == null
                && largeBuffersMade.getAndUpdate(n -> Math.min(n + 1, MAX_LARGE_BUFFERS)) < MAX_LARGE_BUFFERS) {
            return new LargeBuffer();
        }
        return buffer;
    }

    void giveBack(LargeBuffer buffer) {
        largeBuffers.offer(buffer);
    }

    private static boolean isHandledBeforeInit(int opcode) {
        return opcode == FUSE_INIT || opcode == FUSE_DESTROY || isWithoutReply(opcode);
    }

    private static boolean isWithoutReply(int opcode) {
        return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_NOTIFY_REPLY;
    }

    private static int refuse(FuseRequest request, int status) {
        return isWithoutReply(request.opcode) ? 0 : request.replyStatus(status);
    }

    /** What is not the file system's business. */
    private int control(FuseRequest request) {
        return switch (request.opcode) {
            case FUSE_INIT -> init(request);
            case FUSE_DESTROY -> renew(request);
            case FUSE_BATCH_FORGET -> forgetFirst(request);
            case FUSE_COPY_FILE_RANGE, FUSE_COPY_FILE_RANGE_64 -> copy(request, FileCopy.start(request, this));
            default -> 0;
        };
    }

    private int init(FuseRequest request) {
        int status = FuseInit.check(request);
        if (status == FuseInit.OTHER_MAJOR) {
            return FuseInit.replyVersion(request);
        }
        if (status != 0) {
            return request.replyStatus(status);
        }
        request.takeRest(FuseInit.SHORT_SIZE, FUSE_INIT_IN_SIZE - FuseInit.SHORT_SIZE);
        return renew(request);
    }

    // --- a new client: INIT and DESTROY

    /**
     * Replaces the client on the home reactor. A kernel that sends INIT knows nothing of what an earlier one left, and one
     * that was rebooted sent no DESTROY.
     */
    private int renew(FuseRequest request) {
        if (home.isCurrent()) {
            renewState(request);
            return replyRenewed(request);
        }
        request.route = () -> {
            renewState(request);
            request.route = () -> {
                request.route = null;
                request.onReplied(replyRenewed(request));
            };
            request.origin.send(request);
        };
        home.send(request);
        return PENDING;
    }

    private void renewState(FuseRequest request) {
        FsClient client = renewClient();
        request.state = request.opcode == FUSE_INIT
                ? FuseInit.agree(request, client, options)
                : FuseState.beforeInit(client, options);
        state = request.state;
    }

    /** The new client before the old one goes: between them they keep the root alive. */
    private FsClient renewClient() {
        FsClient old = state.client;
        FsClient client = fileSystem.attach(old.rootInode());
        if (old.isAlone()) {
            client.setAlone();
        }
        client.setAccessTimes(old.accessTimes());
        fileSystem.detach(old);
        return client;
    }

    private int replyRenewed(FuseRequest request) {
        return request.opcode == FUSE_INIT ? FuseInit.reply(request, request.state, options) : request.replyStatus(0);
    }

    // --- COPY_FILE_RANGE: clones, reads and writes in turn

    int cloneBlockBytes() {
        return fileSystem.cloneBlockBytes();
    }

    private int copy(FuseRequest request, int step) {
        int s = step;
        while (s == FileCopy.SUBMIT) {
            int status = fileSystem.submit(request);
            if (status == FileSystem.PENDING) {
                return PENDING;
            }
            s = FileCopy.advance(request, this, status);
        }
        return answer(request, s);
    }

    // --- BATCH_FORGET: one FORGET after the other

    private int forgetFirst(FuseRequest request) {
        long entryBytes = request.messageEnd - FUSE_IN_HEADER_SIZE - FUSE_BATCH_FORGET_IN_SIZE;
        long count = request.argumentUnsignedInt(FUSE_BATCH_FORGET_IN_COUNT_OFFSET);
        if (!request.state.initialised || count > entryBytes / FUSE_FORGET_ONE_SIZE || count > MAX_BATCH_FORGETS) {
            return 0;
        }
        request.operation = FsOp.FORGET;
        request.forgetCount = (int) count;
        request.forgetIndex = 0;
        return forgetNext(request);
    }

    private int forgetOn(FuseRequest request) {
        request.forgetIndex++;
        return forgetNext(request);
    }

    private int forgetNext(FuseRequest request) {
        for (; request.forgetIndex < request.forgetCount; request.forgetIndex++) {
            if (takeForget(request) && fileSystem.submit(request) == FileSystem.PENDING) {
                return PENDING;
            }
        }
        return 0;
    }

    /** Reads one entry; false when it means the root, which a client never gives back. */
    private static boolean takeForget(FuseRequest request) {
        int index = request.forgetIndex % FORGETS_PER_COPY;
        long copies = request.scratch + FuseRequest.BODY_OFFSET;
        if (index == 0) {
            long from =
                    FUSE_IN_HEADER_SIZE + FUSE_BATCH_FORGET_IN_SIZE + (long) request.forgetIndex * FUSE_FORGET_ONE_SIZE;
            int entries = Math.min(FORGETS_PER_COPY, request.forgetCount - request.forgetIndex);
            Iovecs.gather(
                    request.messageIovecs,
                    request.messageIovecCount,
                    from,
                    copies,
                    (long) entries * FUSE_FORGET_ONE_SIZE);
            Memory.deliverFault();
        }
        long entry = copies + (long) index * FUSE_FORGET_ONE_SIZE;
        long nodeid = Memory.getLong(entry + FUSE_FORGET_ONE_NODEID_OFFSET);
        request.inode = request.state.inodeOf(nodeid);
        request.count = Memory.getLong(entry + FUSE_FORGET_ONE_NLOOKUP_OFFSET);
        return nodeid != FUSE_ROOT_ID;
    }
}

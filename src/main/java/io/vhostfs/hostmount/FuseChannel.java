package io.vhostfs.hostmount;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.MemoryPool;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One file of {@code /dev/fuse}, polled by one reactor: requests are read, dispatched, and answered on the same file.
 *
 * <p>Invariant: a buffer belongs to the next read, or to one request in flight whose data lies in it, or to the pool; and
 * every request that was read is answered once, unless none is due. Reads do not block; a reactor that falls asleep is
 * woken by the file's becoming readable. All on the reactor's thread.
 *
 * <p>A buffer is laid out so that the data of a WRITE begins at a page: the message is read to just in front of it.
 */
final class FuseChannel implements RequestSource, ChannelRequest.Owner {
    /** What may be in flight: more than the buffers, for requests without data that wait (for a lock, say). */
    static final int MAX_REQUESTS = 512;

    /** Requests with data in flight: 32 MiB of them, many times what keeps a device busy. */
    private static final int BUFFERS = 32;

    /** Requests taken in one turn: enough to pay for the call, few enough that others do not wait long. */
    private static final int BATCH = 32;

    /** A channel where nothing came looks again after so many turns at most: a look is a system call. */
    private static final int MAX_SKIPPED_TURNS = 16;

    /** The same where all but FORGET and INTERRUPT come through queues: several FORGETs then come in one message. */
    private static final int MAX_SKIPPED_TURNS_WITH_QUEUES = 256;

    private static final int PAGE = MemoryPool.PAGE_SIZE;

    /** Where in a buffer a message starts. */
    private static final int MESSAGE_OFFSET = PAGE - FUSE_IN_HEADER_SIZE - FUSE_WRITE_IN_SIZE;

    private static final int DATA_BYTES = FuseOptions.MAX_WRITE_BYTES;
    private static final int MESSAGE_BYTES = FUSE_IN_HEADER_SIZE + FUSE_WRITE_IN_SIZE + DATA_BYTES;

    /** A request's own memory: the message's iovec, two of the reply, and the reply: without data STATX is the longest. */
    private static final int REQUEST_BYTES = 1024;

    private static final int REPLY_OFFSET = 3 * Iovecs.IOVEC_SIZE;
    private static final int REPLY_BYTES = REQUEST_BYTES - REPLY_OFFSET;

    private static final int MAX_LOGGED_ERRORS = 16;

    private static final Logger LOG = LoggerFactory.getLogger(FuseChannel.class);

    private final RequestSource.Owner owner;
    private final int fd;
    private final FuseSession session;
    private final Reactor reactor;
    private final HugepageMemory memory;
    private final MemoryPool buffers;
    private @Nullable ChannelRequest free;
    private long buffer;
    private final InFlight inFlight = new InFlight();
    private int emptyPolls;
    private int turnsToSkip;
    private int maxSkippedTurns = MAX_SKIPPED_TURNS;
    private boolean initialised;
    private int errors;

    /** On the reactor, which has the file among those that wake it. */
    FuseChannel(RequestSource.Owner owner, int fd, FuseSession session, Reactor reactor) {
        this.owner = owner;
        this.fd = fd;
        this.session = session;
        this.reactor = reactor;
        int bufferBytes = PAGE + DATA_BYTES;
        long poolBytes = MemoryPool.regionBytesFor(bufferBytes, BUFFERS);
        memory = HugepageMemory.reserve(poolBytes + (long) MAX_REQUESTS * REQUEST_BYTES, "buffers of a host mount");
        buffers = MemoryPool.of("host mount", memory.address(), poolBytes, bufferBytes, BUFFERS);
        for (int i = MAX_REQUESTS - 1; i >= 0; i--) {
            ChannelRequest request = new ChannelRequest(this, session, reactor, i);
            request.messageIovecs = memory.address() + poolBytes + (long) i * REQUEST_BYTES;
            request.messageIovecCount = 1;
            request.replyIovecs = request.messageIovecs + Iovecs.IOVEC_SIZE;
            put(request);
        }
    }

    @Override
    public int wakeFd() {
        return fd;
    }

    /** From now on most requests come through queues. */
    void besideQueues() {
        maxSkippedTurns = MAX_SKIPPED_TURNS_WITH_QUEUES;
    }

    // --- life cycle

    @Override
    public void drain(Runnable drained) {
        inFlight.drain(drained);
    }

    @Override
    public void free() {
        memory.close();
    }

    // --- polling

    @Override
    public int poll() {
        if (turnsToSkip > 0) {
            turnsToSkip--;
            return 0;
        }
        int taken = take();
        emptyPolls = taken != 0 ? 0 : Math.min(emptyPolls + 1, maxSkippedTurns);
        turnsToSkip = emptyPolls;
        return taken;
    }

    /** The kernel wakes whoever waits when a request is queued; what came before that is looked for here. */
    @Override
    public boolean prepareToSleep() {
        turnsToSkip = 0;
        return take() == 0;
    }

    @Override
    public void wake() {
        turnsToSkip = 0;
    }

    private int take() {
        int taken = 0;
        while (taken < BATCH && !inFlight.isClosed() && free != null && hasBuffer()) {
            long length = Libc.read(fd, buffer + MESSAGE_OFFSET, MESSAGE_BYTES);
            if (length == -Errno.EAGAIN) {
                break;
            }
            taken++;
            reactor.forgetWallClock();
            if (length >= FUSE_IN_HEADER_SIZE) {
                receive(length);
            } else if (!isWorthAnotherRead(length)) {
                disconnect(length);
            }
        }
        return taken;
    }

    private boolean hasBuffer() {
        if (buffer == 0) {
            buffer = buffers.acquire();
        }
        return buffer != 0;
    }

    /** ENOENT: the request was interrupted before it was read; EIO: it did not fit, and the kernel has failed it. */
    private static boolean isWorthAnotherRead(long status) {
        return status == -Errno.EINTR || status == -Errno.ENOENT || status == -Errno.EIO;
    }

    private void disconnect(long status) {
        if (status != -Errno.ENODEV && status != -Errno.ECONNABORTED) {
            LOG.error("{}: /dev/fuse: {}; the mount ends", owner.describe(), Errno.name((int) status));
        }
        inFlight.close();
        owner.onDisconnected();
    }

    // --- a request

    private void receive(long length) {
        ChannelRequest request = takeFree();
        long message = buffer + MESSAGE_OFFSET;
        int opcode = Memory.getInt(message + FUSE_IN_HEADER_OPCODE_OFFSET);
        // A message that is answered with data is copied before that is written: it may reach into the data's place.
        long dataBytes = repliesWithData(opcode) ? DATA_BYTES : 0;
        set(request, message, length, buffer + PAGE, dataBytes);
        int replyBytes = session.dispatch(request);
        if (replyBytes == FuseSession.PENDING) {
            inFlight.started();
            if (dataBytes != 0 || needsItsMessage(opcode)) {
                request.buffer = buffer;
                buffer = 0;
            }
            return;
        }
        reply(request, replyBytes);
        put(request);
    }

    /** A message, and room for its reply: {@code dataBytes} at {@code data} behind the header; 0 bytes: no data. */
    private static void set(ChannelRequest request, long message, long lengthBytes, long data, long dataBytes) {
        Iovecs.set(request.messageIovecs, 0, message, lengthBytes);
        request.messageBytes = lengthBytes;
        request.repliesData = dataBytes != 0;
        if (request.repliesData) {
            Iovecs.set(request.replyIovecs, 0, reply(request), FUSE_OUT_HEADER_SIZE);
            Iovecs.set(request.replyIovecs, 1, data, dataBytes);
            request.replyIovecCount = 2;
            request.replyCapacityBytes = FUSE_OUT_HEADER_SIZE + dataBytes;
        } else {
            Iovecs.set(request.replyIovecs, 0, reply(request), REPLY_BYTES);
            request.replyIovecCount = 1;
            request.replyCapacityBytes = REPLY_BYTES;
        }
    }

    /** Where replies start: the header, and the body of one without data. */
    private static long reply(ChannelRequest request) {
        return request.messageIovecs + REPLY_OFFSET;
    }

    private static boolean repliesWithData(int opcode) {
        return switch (opcode) {
            case FUSE_READ, FUSE_READDIR, FUSE_READDIRPLUS, FUSE_READLINK, FUSE_GETXATTR, FUSE_LISTXATTR -> true;
            default -> false;
        };
    }

    /** What is not copied out of the message when it is decoded. */
    private static boolean needsItsMessage(int opcode) {
        return opcode == FUSE_WRITE || opcode == FUSE_BATCH_FORGET;
    }

    @Override
    public void onReplied(ChannelRequest request, int replyBytes) {
        reply(request, replyBytes);
        if (request.buffer != 0) {
            buffers.release(request.buffer);
            request.buffer = 0;
        }
        put(request);
        turnsToSkip = 0;
        inFlight.ended();
    }

    private void reply(ChannelRequest request, int replyBytes) {
        if (replyBytes == 0) {
            return;
        }
        long written;
        if (request.repliesData && replyBytes > FUSE_OUT_HEADER_SIZE) {
            long data = Iovecs.base(request.replyIovecs, 1);
            Iovecs.set(request.replyIovecs, 1, data, replyBytes - FUSE_OUT_HEADER_SIZE);
            written = Libc.writev(fd, request.replyIovecs, 2);
        } else {
            written = Libc.write(fd, reply(request), replyBytes);
        }
        if (written < 0) {
            onWriteError(request, (int) written);
        } else if (!initialised && session.minorVersion() != 0) {
            initialised = true;
            owner.onInitialised();
        }
    }

    /** ENOENT: who asked was interrupted and is gone. ENODEV, EPERM: the mount is gone, as the next read will say. */
    private void onWriteError(ChannelRequest request, int status) {
        if (status == -Errno.ENOENT || status == -Errno.ENODEV || status == -Errno.EPERM) {
            return;
        }
        if (errors++ < MAX_LOGGED_ERRORS) {
            LOG.error("{}: a reply was refused: {}", owner.describe(), Errno.name(status));
        }
        // The caller would wait for ever for what the kernel did not take.
        Memory.putInt(reply(request) + FUSE_OUT_HEADER_LEN_OFFSET, FUSE_OUT_HEADER_SIZE);
        Memory.putInt(reply(request) + FUSE_OUT_HEADER_ERROR_OFFSET, -Errno.EIO);
        Libc.write(fd, reply(request), FUSE_OUT_HEADER_SIZE);
    }

    private ChannelRequest takeFree() {
        ChannelRequest request = Objects.requireNonNull(free);
        free = request.nextFree;
        request.nextFree = null;
        return request;
    }

    private void put(ChannelRequest request) {
        request.nextFree = free;
        free = request;
    }
}

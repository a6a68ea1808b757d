package io.vhostfs.frontend;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.vhost.VhostUserConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.UnixSocket;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * One connection to a vhost-user back end: sends messages with file descriptors, receives replies.
 *
 * <p>A reply is awaited at most {@link #TIMEOUT_MS}. Nothing is checked about what is sent, so that tests can send garbage.
 * One thread at a time.
 */
public final class FrontEndSocket implements AutoCloseable {
    /** A loaded machine may stall a back end for seconds; a longer wait is a hang. */
    static final int TIMEOUT_MS = 30_000;

    /** More than any reply of the protocol holds. */
    private static final int MAX_PAYLOAD_BYTES = 4096;

    private static final int POLLFD_SIZE = 8;
    private static final int POLLFD_EVENTS_OFFSET = 4;
    private static final int POLLFD_REVENTS_OFFSET = 6;
    private static final int UCRED_SIZE = 12;

    /** A back end that has just started has bound its socket, and may not listen yet. */
    private static final long STARTING_NS = TimeUnit.SECONDS.toNanos(1);

    private static final long RETRY_NS = TimeUnit.MILLISECONDS.toNanos(1);

    private final Arena arena = Arena.ofShared();
    private final long pollfds = arena.allocate(2 * POLLFD_SIZE, 8).address();
    private final long buffer =
            arena.allocate(VHOST_USER_HEADER_SIZE + MAX_PAYLOAD_BYTES, 8).address();
    private final UnixSocket socket;
    private final int fd;
    private boolean closed;

    /** Takes over a connected stream socket. */
    public FrontEndSocket(int fd) {
        this.fd = fd;
        this.socket = new UnixSocket(fd);
    }

    /** Connects to who listens there, or is about to. */
    public static FrontEndSocket connect(Path path) throws IOException {
        if (!UnixSocket.fits(path.toString())) {
            throw new FrontEndException("socket path is longer than a unix socket's can be: " + path);
        }
        int fd = UnixSocket.open();
        if (fd < 0) {
            throw new FrontEndException("socket: " + Errno.name(fd));
        }
        long startNs = System.nanoTime();
        int result = UnixSocket.connect(fd, path.toString());
        while (result == -Errno.ECONNREFUSED && System.nanoTime() - startNs < STARTING_NS) {
            LockSupport.parkNanos(RETRY_NS);
            result = UnixSocket.connect(fd, path.toString());
        }
        if (result < 0) {
            Libc.close(fd);
            throw new FrontEndException("connect to " + path + ": " + Errno.name(result));
        }
        return new FrontEndSocket(fd);
    }

    /** The socket's descriptor, for {@code poll(2)}. */
    public int fd() {
        return fd;
    }

    /** The process that listens on the other side (of a pair: that made it). */
    public int peerPid() throws IOException {
        try (Arena local = Arena.ofConfined()) {
            long ucred = local.allocate(UCRED_SIZE, 8).address();
            long length = local.allocate(4, 8).address();
            Memory.putInt(length, UCRED_SIZE);
            int result = Libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, length);
            if (result < 0) {
                throw new FrontEndException("getsockopt(SO_PEERCRED): " + Errno.name(result));
            }
            return Memory.getInt(ucred);
        }
    }

    /** Sends a message with a good header. */
    public void send(int request, int flags, byte[] payload, int... fds) throws IOException {
        byte[] message = new byte[VHOST_USER_HEADER_SIZE + payload.length];
        MemorySegment view = MemorySegment.ofArray(message);
        view.set(ValueLayout.JAVA_INT_UNALIGNED, 0, request);
        view.set(ValueLayout.JAVA_INT_UNALIGNED, VHOST_USER_HEADER_FLAGS_OFFSET, VHOST_USER_VERSION | flags);
        view.set(ValueLayout.JAVA_INT_UNALIGNED, VHOST_USER_HEADER_SIZE_OFFSET, payload.length);
        System.arraycopy(payload, 0, message, VHOST_USER_HEADER_SIZE, payload.length);
        sendBytes(message, fds);
    }

    /** Sends any bytes, with the descriptors attached to the first of them. */
    public void sendBytes(byte[] bytes, int... fds) throws IOException {
        try (Arena local = Arena.ofConfined()) {
            MemorySegment copy = local.allocate(Math.max(1, bytes.length), 8);
            Memory.copyFromArray(bytes, 0, copy.address(), bytes.length);
            int sent = 0;
            while (sent < bytes.length) {
                long n = socket.send(copy.address() + sent, bytes.length - sent, fds, sent == 0 ? fds.length : 0, 0);
                if (n < 0 && n != -Errno.EINTR) {
                    throw new FrontEndException("send to the back end: " + Errno.name((int) n));
                }
                sent += (int) Math.max(0, n);
            }
        }
    }

    /** Receives the reply to {@code request}; returns its payload. Descriptors that come along are closed. */
    public byte[] receive(int request) throws IOException {
        receiveFully(buffer, VHOST_USER_HEADER_SIZE, request);
        int gotRequest = Memory.getInt(buffer);
        int flags = Memory.getInt(buffer + VHOST_USER_HEADER_FLAGS_OFFSET);
        int size = Memory.getInt(buffer + VHOST_USER_HEADER_SIZE_OFFSET);
        if (gotRequest != request || (flags & VHOST_USER_REPLY) == 0 || size < 0 || size > MAX_PAYLOAD_BYTES) {
            throw new FrontEndException(String.format(
                    "reply to message %d has request %d, flags %#x, size %d", request, gotRequest, flags, size));
        }
        receiveFully(buffer + VHOST_USER_HEADER_SIZE, size, request);
        byte[] payload = new byte[size];
        Memory.copyToArray(buffer + VHOST_USER_HEADER_SIZE, payload, 0, size);
        return payload;
    }

    /** Whether the back end has closed the connection. */
    public boolean hungUp() {
        Memory.putInt(pollfds, fd);
        Memory.putShort(pollfds + POLLFD_EVENTS_OFFSET, (short) 0);
        Libc.poll(pollfds, 1, 0);
        return (Memory.getShort(pollfds + POLLFD_REVENTS_OFFSET) & (POLLHUP | POLLERR)) != 0;
    }

    /** Waits until {@code eventFd} is readable, the peer is gone, or the time is over. */
    void awaitReadable(int eventFd, int timeoutMs) {
        Memory.putInt(pollfds, fd);
        Memory.putShort(pollfds + POLLFD_EVENTS_OFFSET, (short) 0);
        Memory.putInt(pollfds + POLLFD_SIZE, eventFd);
        Memory.putShort(pollfds + POLLFD_SIZE + POLLFD_EVENTS_OFFSET, (short) POLLIN);
        Libc.poll(pollfds, 2, timeoutMs);
    }

    /** Waits until the back end closes the connection; false when it did not within {@code timeoutMs}. */
    public boolean awaitHangUp(int timeoutMs) {
        Memory.putInt(pollfds, fd);
        Memory.putShort(pollfds + POLLFD_EVENTS_OFFSET, (short) 0);
        return Libc.poll(pollfds, 1, timeoutMs) > 0;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            socket.close();
            Libc.close(fd);
            arena.close();
        }
    }

    private void receiveFully(long address, int length, int request) throws IOException {
        long deadlineNs = System.nanoTime() + TIMEOUT_MS * 1_000_000L;
        int got = 0;
        while (got < length) {
            Memory.putInt(pollfds, fd);
            Memory.putShort(pollfds + POLLFD_EVENTS_OFFSET, (short) POLLIN);
            int leftMs = (int) Math.max(0, (deadlineNs - System.nanoTime()) / 1_000_000);
            int ready = Libc.poll(pollfds, 1, leftMs);
            if (ready == 0) {
                throw new FrontEndException(
                        "the back end did not answer message " + request + " within " + TIMEOUT_MS + " ms");
            }
            long n = Libc.read(fd, address + got, length - got);
            if (n == 0 || (n < 0 && n != -Errno.EINTR)) {
                throw new FrontEndException("the back end closed the connection at message " + request
                        + (n == 0 ? "" : ": " + Errno.name((int) n)));
            }
            got += (int) Math.max(0, n);
        }
    }
}

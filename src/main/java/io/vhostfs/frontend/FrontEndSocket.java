package io.vhostfs.frontend;

import static io.vhostfs.frontend.VhostUserWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

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

    private static final int SOCKADDR_UN_SIZE = 110;
    private static final int SOCKADDR_UN_PATH_OFFSET = 2;
    private static final int MSGHDR_SIZE = 56;
    private static final int MSGHDR_MSG_IOV_OFFSET = 16;
    private static final int MSGHDR_MSG_IOVLEN_OFFSET = 24;
    private static final int MSGHDR_MSG_CONTROL_OFFSET = 32;
    private static final int MSGHDR_MSG_CONTROLLEN_OFFSET = 40;
    private static final int CMSGHDR_SIZE = 16;
    private static final int POLLFD_SIZE = 8;
    private static final int POLLFD_EVENTS_OFFSET = 4;
    private static final int POLLFD_REVENTS_OFFSET = 6;
    private static final int UCRED_SIZE = 12;

    private final Arena arena = Arena.ofShared();
    private final long iovec = arena.allocate(Iovecs.IOVEC_SIZE, 8).address();
    private final long msghdr = arena.allocate(MSGHDR_SIZE, 8).address();
    private final long control = arena.allocate(CMSGHDR_SIZE + 4 * 256, 8).address();
    private final long pollfds = arena.allocate(2 * POLLFD_SIZE, 8).address();
    private final long buffer =
            arena.allocate(VHOST_USER_HEADER_SIZE + MAX_PAYLOAD_BYTES, 8).address();
    private final int fd;
    private boolean closed;

    /** Takes over a connected stream socket. */
    public FrontEndSocket(int fd) {
        this.fd = fd;
    }

    public static FrontEndSocket connect(Path path) throws IOException {
        byte[] name = path.toString().getBytes(StandardCharsets.UTF_8);
        if (name.length >= SOCKADDR_UN_SIZE - SOCKADDR_UN_PATH_OFFSET) {
            throw new FrontEndException("socket path is longer than a unix socket's can be: " + path);
        }
        int fd = Libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            throw new FrontEndException("socket: " + Errno.name(fd));
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(SOCKADDR_UN_SIZE, 8);
            Memory.putShort(address.address(), (short) AF_UNIX);
            Memory.copyFromArray(name, 0, address.address() + SOCKADDR_UN_PATH_OFFSET, name.length);
            int result = Libc.connect(fd, address.address(), SOCKADDR_UN_SIZE);
            if (result < 0) {
                Libc.close(fd);
                throw new FrontEndException("connect to " + path + ": " + Errno.name(result));
            }
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
        view.set(java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED, 0, request);
        view.set(
                java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED,
                VHOST_USER_HEADER_FLAGS_OFFSET,
                VHOST_USER_VERSION | flags);
        view.set(java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED, VHOST_USER_HEADER_SIZE_OFFSET, payload.length);
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
                prepareMessage(copy.address() + sent, bytes.length - sent, sent == 0 ? fds : new int[0]);
                long n = Libc.sendmsg(fd, msghdr, MSG_NOSIGNAL);
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
            Libc.close(fd);
            arena.close();
        }
    }

    private void prepareMessage(long address, long length, int[] fds) {
        Iovecs.set(iovec, 0, address, length);
        Memory.zero(msghdr, MSGHDR_SIZE);
        Memory.putLong(msghdr + MSGHDR_MSG_IOV_OFFSET, iovec);
        Memory.putLong(msghdr + MSGHDR_MSG_IOVLEN_OFFSET, 1);
        if (fds.length > 0) {
            int bytes = CMSGHDR_SIZE + Integer.BYTES * fds.length;
            Memory.putLong(control, bytes);
            Memory.putInt(control + 8, SOL_SOCKET);
            Memory.putInt(control + 12, SCM_RIGHTS);
            for (int i = 0; i < fds.length; i++) {
                Memory.putInt(control + CMSGHDR_SIZE + (long) Integer.BYTES * i, fds[i]);
            }
            Memory.putLong(msghdr + MSGHDR_MSG_CONTROL_OFFSET, control);
            Memory.putLong(msghdr + MSGHDR_MSG_CONTROLLEN_OFFSET, (bytes + 7) & ~7);
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

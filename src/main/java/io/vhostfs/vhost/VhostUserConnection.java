package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.MSG_DONTWAIT;
import static io.vhostfs.os.LibcConstants.POLLIN;
import static io.vhostfs.os.LibcConstants.POLLOUT;
import static io.vhostfs.vhost.VhostUserConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.UnixSocket;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * One message at a time over a front end's socket: frames, descriptors, replies.
 *
 * <p>Invariant: the message at hand is in private memory, complete, and at most {@link #MAX_PAYLOAD_BYTES} long; it is
 * valid until the next {@link #receive}, which also closes the descriptors of it that nobody took. Waiting for the front
 * end never keeps the server from hearing its reactors: {@link Interrupts}. One thread.
 */
final class VhostUserConnection implements AutoCloseable {
    /** More than the largest request we know (a memory table of eight regions: 264 bytes). */
    static final int MAX_PAYLOAD_BYTES = 4096;

    private static final int POLLFD_SIZE = 8;
    private static final int POLLFD_EVENTS_OFFSET = 4;
    private static final int POLLFD_REVENTS_OFFSET = 6;

    /** What has to be heard while the connection waits. */
    interface Interrupts {
        /** Readable when {@link #onWake} has something to do. */
        int wakeFd();

        /** Somebody wrote to the wake fd. */
        void onWake() throws VhostUserException;

        /** A listening socket whose visitors are sent away meanwhile, or -1. */
        int listenFd();

        void onVisitor();
    }

    private final int fd;
    private final Interrupts interrupts;
    private final UnixSocket socket;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment buffer = arena.allocate(VHOST_USER_HEADER_SIZE + MAX_PAYLOAD_BYTES + 4, Long.BYTES);
    private final MemorySegment pollfds = arena.allocate(3L * POLLFD_SIZE, Long.BYTES);
    // The payload starts 8-aligned behind the header's 12 bytes and 4 of padding.
    private final long header = buffer.address() + 4;
    private final long payload = header + VHOST_USER_HEADER_SIZE;

    /** Owns {@code fd} from now on. */
    VhostUserConnection(int fd, Interrupts interrupts) {
        this.fd = fd;
        this.interrupts = interrupts;
        socket = new UnixSocket(fd);
    }

    /** Waits for the next request; false when the front end closed the connection between two. */
    boolean receive() throws VhostUserException {
        socket.closeReceivedFds();
        if (!readFully(header, VHOST_USER_HEADER_SIZE, true)) {
            return false;
        }
        if ((flags() & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION) {
            throw VhostUserException.ended("header flags 0x" + Integer.toHexString(flags()) + ": version is not 1");
        }
        if ((flags() & VHOST_USER_REPLY) != 0) {
            throw VhostUserException.ended(requestName(request()) + " has the reply flag");
        }
        if (Integer.compareUnsigned(size(), MAX_PAYLOAD_BYTES) > 0) {
            throw VhostUserException.ended(requestName(request()) + " announces " + Integer.toUnsignedString(size())
                    + " bytes, the limit is " + MAX_PAYLOAD_BYTES);
        }
        readFully(payload, size(), false);
        if (socket.fdsTruncated()) {
            throw VhostUserException.ended(requestName(request()) + " came with more file descriptors than fit");
        }
        return true;
    }

    int request() {
        return Memory.getInt(header + VHOST_USER_HEADER_REQUEST_OFFSET);
    }

    int flags() {
        return Memory.getInt(header + VHOST_USER_HEADER_FLAGS_OFFSET);
    }

    boolean needsReply() {
        return (flags() & VHOST_USER_NEED_REPLY) != 0;
    }

    /** Bytes of the payload. */
    int size() {
        return Memory.getInt(header + VHOST_USER_HEADER_SIZE_OFFSET);
    }

    /** Where the payload is; a reply is built in the same place. */
    long payload() {
        return payload;
    }

    int fdCount() {
        return socket.receivedFdCount();
    }

    /** The descriptor belongs to the caller from now on. */
    int takeFd(int index) {
        return socket.takeReceivedFd(index);
    }

    /** Descriptor without taking it. */
    int fd(int index) {
        return socket.receivedFd(index);
    }

    /** Answers the message at hand with the first {@code sizeBytes} of the payload. */
    void reply(int sizeBytes) throws VhostUserException {
        Memory.putInt(header + VHOST_USER_HEADER_FLAGS_OFFSET, VHOST_USER_VERSION | VHOST_USER_REPLY);
        Memory.putInt(header + VHOST_USER_HEADER_SIZE_OFFSET, sizeBytes);
        long length = VHOST_USER_HEADER_SIZE + (long) sizeBytes;
        long done = 0;
        while (done < length) {
            awaitReady(POLLOUT);
            long sent = socket.send(header + done, length - done, new int[0], 0, MSG_DONTWAIT);
            if (sent >= 0) {
                done += sent;
            } else if (sent != -Errno.EAGAIN && sent != -Errno.EINTR) {
                throw VhostUserException.ended("the reply cannot be sent: " + Errno.name((int) sent));
            }
        }
    }

    void replyU64(long value) throws VhostUserException {
        Memory.putLong(payload, value);
        reply(Long.BYTES);
    }

    @Override
    public void close() {
        socket.close();
        Libc.close(fd);
        arena.close();
    }

    /** False when the stream ends before the first byte and may. */
    private boolean readFully(long address, int length, boolean endAllowed) throws VhostUserException {
        int done = 0;
        while (done < length) {
            awaitReady(POLLIN);
            long received = socket.receive(address + done, length - done, MSG_DONTWAIT);
            if (received > 0) {
                done += (int) received;
            } else if (received == 0 || received == -Errno.ECONNRESET) {
                if (done == 0 && endAllowed) {
                    return false;
                }
                throw VhostUserException.ended("the front end went away in the middle of a message");
            } else if (received != -Errno.EAGAIN && received != -Errno.EINTR) {
                throw VhostUserException.ended("the socket cannot be read: " + Errno.name((int) received));
            }
        }
        return true;
    }

    private void awaitReady(int events) throws VhostUserException {
        while (true) {
            setPollfd(0, fd, events);
            setPollfd(1, interrupts.wakeFd(), POLLIN);
            setPollfd(2, interrupts.listenFd(), POLLIN);
            int ready = Libc.poll(pollfds.address(), 3, -1);
            if (ready < 0) {
                if (ready != -Errno.EINTR) {
                    throw VhostUserException.ended("poll: " + Errno.name(ready));
                }
                continue;
            }
            if (returnedEvents(1) != 0) {
                interrupts.onWake();
            }
            if (returnedEvents(0) != 0) {
                return;
            }
            if (returnedEvents(2) != 0) {
                interrupts.onVisitor();
            }
        }
    }

    private void setPollfd(int index, int polledFd, int events) {
        pollfds.set(ValueLayout.JAVA_INT, (long) index * POLLFD_SIZE, polledFd);
        pollfds.set(ValueLayout.JAVA_SHORT, (long) index * POLLFD_SIZE + POLLFD_EVENTS_OFFSET, (short) events);
        pollfds.set(ValueLayout.JAVA_SHORT, (long) index * POLLFD_SIZE + POLLFD_REVENTS_OFFSET, (short) 0);
    }

    private int returnedEvents(int index) {
        return pollfds.get(ValueLayout.JAVA_SHORT, (long) index * POLLFD_SIZE + POLLFD_REVENTS_OFFSET);
    }
}

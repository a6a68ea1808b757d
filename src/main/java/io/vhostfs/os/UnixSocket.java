package io.vhostfs.os;

import static io.vhostfs.os.LibcConstants.AF_UNIX;
import static io.vhostfs.os.LibcConstants.MSG_CMSG_CLOEXEC;
import static io.vhostfs.os.LibcConstants.MSG_CTRUNC;
import static io.vhostfs.os.LibcConstants.MSG_NOSIGNAL;
import static io.vhostfs.os.LibcConstants.SCM_RIGHTS;
import static io.vhostfs.os.LibcConstants.SOCK_CLOEXEC;
import static io.vhostfs.os.LibcConstants.SOCK_STREAM;
import static io.vhostfs.os.LibcConstants.SOL_SOCKET;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * A Unix stream socket that carries file descriptors beside its bytes (unix(7), SCM_RIGHTS).
 *
 * <p>Invariant: a descriptor that arrived is either in {@link #receivedFd} and not yet taken, or belongs to who took it;
 * {@link #closeReceivedFds} closes the rest. The socket itself belongs to the caller. One thread at a time.
 */
public final class UnixSocket implements AutoCloseable {
    /** SCM_MAX_FD of Linux: no message carries more. */
    public static final int MAX_FDS = 253;

    /** Longest path of a socket, its final NUL not counted. */
    public static final int MAX_PATH_BYTES = 107;

    private static final int SOCKADDR_UN_SIZE = 110;
    private static final int SOCKADDR_UN_SUN_PATH_OFFSET = 2;

    private static final int MSGHDR_SIZE = 56;
    private static final int MSGHDR_MSG_IOV_OFFSET = 16;
    private static final int MSGHDR_MSG_IOVLEN_OFFSET = 24;
    private static final int MSGHDR_MSG_CONTROL_OFFSET = 32;
    private static final int MSGHDR_MSG_CONTROLLEN_OFFSET = 40;
    private static final int MSGHDR_MSG_FLAGS_OFFSET = 48;

    private static final int CMSGHDR_SIZE = 16;
    private static final int CMSGHDR_CMSG_LEVEL_OFFSET = 8;
    private static final int CMSGHDR_CMSG_TYPE_OFFSET = 12;

    private static final int CONTROL_BYTES = CMSGHDR_SIZE + align(MAX_FDS * Integer.BYTES);

    private final int fd;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment header = arena.allocate(MSGHDR_SIZE, Long.BYTES);
    private final MemorySegment iovec = arena.allocate(16, Long.BYTES);
    private final MemorySegment control = arena.allocate(CONTROL_BYTES, Long.BYTES);
    private final int[] fds = new int[MAX_FDS];
    private int fdCount;
    private boolean truncated;

    /** Takes no ownership of {@code fd}: {@link #close} frees memory only. */
    public UnixSocket(int fd) {
        this.fd = fd;
    }

    /** A new stream socket, close-on-exec; negative errno. */
    public static int open() {
        return Libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }

    /** bind(2) to a path; negative errno. */
    public static int bind(int fd, String path) {
        try (Arena arena = Arena.ofConfined()) {
            return Libc.bind(fd, address(arena, path), SOCKADDR_UN_SIZE);
        }
    }

    /** connect(2) to a path; negative errno. */
    public static int connect(int fd, String path) {
        try (Arena arena = Arena.ofConfined()) {
            return Libc.connect(fd, address(arena, path), SOCKADDR_UN_SIZE);
        }
    }

    /** Whether {@code path} fits into a socket address. */
    public static boolean fits(String path) {
        return path.getBytes(StandardCharsets.UTF_8).length <= MAX_PATH_BYTES;
    }

    /**
     * Receives at most {@code lengthBytes}, and the descriptors that came along: those are added to the ones not taken
     * yet. Bytes received, 0 at the end of the stream, or the negative errno.
     */
    public long receive(long address, long lengthBytes, int flags) {
        prepare(address, lengthBytes, CONTROL_BYTES);
        long received = Libc.recvmsg(fd, header.address(), flags | MSG_CMSG_CLOEXEC);
        if (received >= 0) {
            collectFds();
        }
        return received;
    }

    /** Sends at most {@code lengthBytes} with {@code count} descriptors; bytes sent, or the negative errno. */
    public long send(long address, long lengthBytes, int[] fdsToSend, int count, int flags) {
        prepare(address, lengthBytes, count == 0 ? 0 : CMSGHDR_SIZE + align(count * Integer.BYTES));
        if (count > 0) {
            control.set(ValueLayout.JAVA_LONG, 0, CMSGHDR_SIZE + (long) count * Integer.BYTES);
            control.set(ValueLayout.JAVA_INT, CMSGHDR_CMSG_LEVEL_OFFSET, SOL_SOCKET);
            control.set(ValueLayout.JAVA_INT, CMSGHDR_CMSG_TYPE_OFFSET, SCM_RIGHTS);
            MemorySegment.copy(fdsToSend, 0, control, ValueLayout.JAVA_INT, CMSGHDR_SIZE, count);
        }
        return Libc.sendmsg(fd, header.address(), flags | MSG_NOSIGNAL);
    }

    /** Descriptors received and not closed or forgotten since. */
    public int receivedFdCount() {
        return fdCount;
    }

    /** The descriptor, -1 when it was taken. */
    public int receivedFd(int index) {
        return fds[index];
    }

    /** The descriptor, which now belongs to the caller. */
    public int takeReceivedFd(int index) {
        int taken = fds[index];
        fds[index] = -1;
        return taken;
    }

    /** Whether descriptors were lost because there were too many, since {@link #closeReceivedFds}. */
    public boolean fdsTruncated() {
        return truncated;
    }

    /** Closes what nobody took. */
    public void closeReceivedFds() {
        for (int i = 0; i < fdCount; i++) {
            if (fds[i] >= 0) {
                Libc.close(fds[i]);
            }
        }
        fdCount = 0;
        truncated = false;
    }

    @Override
    public void close() {
        closeReceivedFds();
        arena.close();
    }

    private void prepare(long address, long lengthBytes, long controlBytes) {
        iovec.set(ValueLayout.JAVA_LONG, 0, address);
        iovec.set(ValueLayout.JAVA_LONG, 8, lengthBytes);
        header.fill((byte) 0);
        header.set(ValueLayout.JAVA_LONG, MSGHDR_MSG_IOV_OFFSET, iovec.address());
        header.set(ValueLayout.JAVA_LONG, MSGHDR_MSG_IOVLEN_OFFSET, 1);
        header.set(ValueLayout.JAVA_LONG, MSGHDR_MSG_CONTROL_OFFSET, controlBytes == 0 ? 0 : control.address());
        header.set(ValueLayout.JAVA_LONG, MSGHDR_MSG_CONTROLLEN_OFFSET, controlBytes);
    }

    private void collectFds() {
        truncated |= (header.get(ValueLayout.JAVA_INT, MSGHDR_MSG_FLAGS_OFFSET) & MSG_CTRUNC) != 0;
        long end = header.get(ValueLayout.JAVA_LONG, MSGHDR_MSG_CONTROLLEN_OFFSET);
        long at = 0;
        while (at + CMSGHDR_SIZE <= end) {
            long length = control.get(ValueLayout.JAVA_LONG, at);
            if (control.get(ValueLayout.JAVA_INT, at + CMSGHDR_CMSG_LEVEL_OFFSET) == SOL_SOCKET
                    && control.get(ValueLayout.JAVA_INT, at + CMSGHDR_CMSG_TYPE_OFFSET) == SCM_RIGHTS) {
                for (long i = at + CMSGHDR_SIZE; i + Integer.BYTES <= at + length; i += Integer.BYTES) {
                    keep(control.get(ValueLayout.JAVA_INT, i));
                }
            }
            at += align((int) length);
        }
    }

    private void keep(int received) {
        if (fdCount == MAX_FDS) {
            Libc.close(received);
            truncated = true;
        } else {
            fds[fdCount++] = received;
        }
    }

    private static long address(Arena arena, String path) {
        if (!fits(path)) {
            throw new IllegalArgumentException("a socket's path has at most " + MAX_PATH_BYTES + " bytes: " + path);
        }
        MemorySegment address = arena.allocate(SOCKADDR_UN_SIZE, Long.BYTES);
        address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
        address.setString(SOCKADDR_UN_SUN_PATH_OFFSET, path);
        return address.address();
    }

    private static int align(int bytes) {
        return (bytes + Long.BYTES - 1) & -Long.BYTES;
    }
}

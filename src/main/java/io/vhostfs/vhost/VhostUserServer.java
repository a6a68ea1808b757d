package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.FD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.F_SETFD;
import static io.vhostfs.os.LibcConstants.POLLIN;
import static io.vhostfs.os.LibcConstants.SOCK_CLOEXEC;
import static io.vhostfs.os.LibcConstants.SOL_SOCKET;
import static io.vhostfs.os.LibcConstants.SO_ACCEPTCONN;
import static io.vhostfs.os.LibcConstants.S_IFMT;
import static io.vhostfs.os.LibcConstants.S_IFSOCK;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.Threads;
import io.vhostfs.os.UnixSocket;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * Offers one device on one socket to one front end at a time, and to the next one when that has gone.
 *
 * <p>Invariant: a front end that goes, dies or sends nonsense ends its own session and nothing else; the next is let in
 * only when nothing of the one before is left: rings off their reactors, memory unmapped, descriptors closed. A second
 * front end that comes meanwhile is sent away at once. One thread per server; the reactors of the device must run until
 * {@link #close} has returned.
 */
public final class VhostUserServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(VhostUserServer.class);
    private static final int BACKLOG = 4;

    /** After a failed accept (no file descriptors left, say) before the next try. */
    private static final int RETRY_MS = 1000;

    private final VhostDeviceBackend device;
    private final int fd;
    private final boolean listening;
    private final @Nullable Path path;
    private final @Nullable Object pathKey;
    private final EventFd wakeFd = new EventFd();
    private final Thread thread;
    private final CompletableFuture<@Nullable Void> ended = new CompletableFuture<>();
    private volatile boolean stopping;
    private volatile boolean connected;

    private VhostUserServer(VhostDeviceBackend device, int fd, boolean listening, @Nullable Path path)
            throws IOException {
        if (device.queueCount() < 1 || device.queueCount() > VhostUserConstants.VHOST_USER_VRING_INDEX_MASK + 1) {
            throw new IllegalArgumentException(device.name() + ": " + device.queueCount() + " queues");
        }
        this.device = device;
        this.fd = fd;
        this.listening = listening;
        this.path = path;
        this.pathKey = path == null ? null : fileKey(path);
        thread = Thread.ofPlatform().daemon().name("vhost-" + device.name()).unstarted(this::serve);
    }

    /**
     * Listens on a Unix socket. A socket file that nobody listens on any more is replaced; anything else at that path is
     * left alone.
     *
     * @param permissions of the socket file, or null for what the umask leaves
     * @throws IOException with a message that names the path and the remedy
     */
    public static VhostUserServer listen(
            Path path, @Nullable Set<PosixFilePermission> permissions, VhostDeviceBackend device) throws IOException {
        String text = path.toAbsolutePath().toString();
        if (!UnixSocket.fits(text)) {
            throw new IOException("the path of a socket has at most " + UnixSocket.MAX_PATH_BYTES + " bytes: " + text
                    + "; remedy: choose a shorter one");
        }
        removeStale(path, text);
        int fd = UnixSocket.open();
        if (fd < 0) {
            throw new IOException("cannot make a socket: " + Errno.name(fd));
        }
        boolean bound = false;
        try {
            int result = UnixSocket.bind(fd, text);
            if (result < 0) {
                throw new IOException("cannot bind the socket " + text + ": " + Errno.name(result) + remedy(result));
            }
            bound = true;
            if (permissions != null) {
                // Nobody can connect before listen.
                Files.setPosixFilePermissions(path, permissions);
            }
            result = Libc.listen(fd, BACKLOG);
            if (result < 0) {
                throw new IOException("cannot listen on the socket " + text + ": " + Errno.name(result));
            }
            return new VhostUserServer(device, fd, true, path);
        } catch (IOException | RuntimeException e) {
            Libc.close(fd);
            if (bound) {
                Files.deleteIfExists(path);
            }
            throw e;
        }
    }

    /**
     * Serves a socket that this process was started with: a listening one, or one that is connected to its front end
     * already and is served until that disconnects. The server owns the descriptor.
     *
     * @throws IOException when {@code fd} is no socket
     */
    public static VhostUserServer onFd(int fd, VhostDeviceBackend device) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_INT);
            MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, Integer.BYTES);
            int result = Libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value.address(), length.address());
            if (result < 0) {
                throw new IOException("file descriptor " + fd + " is not a socket: " + Errno.name(result)
                        + "; remedy: pass the number of an inherited vhost-user socket");
            }
            Libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
            return new VhostUserServer(device, fd, value.get(ValueLayout.JAVA_INT, 0) != 0, null);
        }
    }

    /** Lets front ends in. */
    public synchronized void start() {
        if (!stopping) {
            thread.start();
        }
    }

    /** Whether a front end is connected. */
    public boolean isConnected() {
        return connected;
    }

    /** Completes when the server is closed, or when the front end of a connected descriptor has gone. */
    public CompletableFuture<@Nullable Void> ended() {
        return ended.copy();
    }

    /** Ends the session, if there is one, as if the front end had gone; then stops listening and removes the socket. */
    @Override
    public void close() {
        synchronized (this) {
            if (!stopping) {
                stopping = true;
                if (thread.getState() == Thread.State.NEW) {
                    thread.start();
                } else {
                    wakeFd.signal();
                }
            }
        }
        Threads.join(thread);
    }

    private void serve() {
        try {
            if (!listening && !stopping) {
                session(fd);
                return;
            }
            while (!stopping) {
                int connection = accept();
                if (connection >= 0) {
                    session(connection);
                }
            }
            removeSocket();
        } finally {
            synchronized (this) {
                stopping = true;
                wakeFd.close();
            }
            ended.complete(null);
        }
    }

    private void session(int connectionFd) {
        connected = true;
        LOG.info("{}: front end connected", device.name());
        Hub hub = new Hub();
        try (VhostUserSession session =
                new VhostUserSession(device, new VhostUserConnection(connectionFd, hub), wakeFd)) {
            hub.session = session;
            session.run();
            LOG.info("{}: front end disconnected", device.name());
        } catch (VhostUserException e) {
            LOG.atLevel(stopping ? Level.INFO : Level.WARN).log("{}: session ended: {}", device.name(), e.getMessage());
        } catch (RuntimeException | Error e) {
            LOG.error("{}: session ended by an internal error", device.name(), e);
        }
        connected = false;
    }

    /** A connection, or -1 when it is time to look at {@link #stopping} again. */
    private int accept() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment pollfds = arena.allocate(16, Long.BYTES);
            pollfds.set(ValueLayout.JAVA_INT, 0, fd);
            pollfds.set(ValueLayout.JAVA_SHORT, 4, (short) POLLIN);
            pollfds.set(ValueLayout.JAVA_INT, 8, wakeFd.fd());
            pollfds.set(ValueLayout.JAVA_SHORT, 12, (short) POLLIN);
            Libc.poll(pollfds.address(), 2, -1);
            if (pollfds.get(ValueLayout.JAVA_SHORT, 14) != 0) {
                wakeFd.drain();
            }
            if (stopping || pollfds.get(ValueLayout.JAVA_SHORT, 6) == 0) {
                return -1;
            }
            int connection = Libc.accept4(fd, 0, 0, SOCK_CLOEXEC);
            if (connection < 0 && connection != -Errno.EINTR && connection != -Errno.ECONNABORTED) {
                LOG.warn("{}: accept: {}", device.name(), Errno.name(connection));
                Libc.poll(pollfds.asSlice(8).address(), 1, RETRY_MS);
            }
            return connection;
        }
    }

    private void removeSocket() {
        Libc.close(fd);
        if (path != null) {
            try {
                if (pathKey != null && pathKey.equals(fileKey(path))) {
                    Files.deleteIfExists(path);
                }
            } catch (IOException e) {
                LOG.warn("{}: cannot remove {}: {}", device.name(), path, e.toString());
            }
        }
    }

    private static @Nullable Object fileKey(Path path) throws IOException {
        try {
            return Files.getAttribute(path, "fileKey", LinkOption.NOFOLLOW_LINKS);
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    private static void removeStale(Path path, String text) throws IOException {
        int mode;
        try {
            mode = (int) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
        } catch (NoSuchFileException e) {
            return;
        }
        if ((mode & S_IFMT) != S_IFSOCK) {
            throw new IOException(text + " exists and is not a socket; remedy: choose another path, or remove it");
        }
        int probe = UnixSocket.open();
        int result = probe < 0 ? probe : UnixSocket.connect(probe, text);
        if (probe >= 0) {
            Libc.close(probe);
        }
        if (result == -Errno.ECONNREFUSED) {
            Files.deleteIfExists(path);
        } else if (result >= 0) {
            throw new IOException("another process listens on " + text + "; remedy: stop it, or choose another path");
        } else if (result != -Errno.ENOENT) {
            throw new IOException(
                    "cannot tell whether somebody listens on " + text + ": " + Errno.name(result) + remedy(result));
        }
    }

    private static String remedy(int errno) {
        return switch (-errno) {
            case Errno.EACCES, Errno.EPERM, Errno.EROFS -> "; remedy: choose a directory that this user may write to";
            case Errno.ENOENT, Errno.ENOTDIR -> "; remedy: make its directory first";
            default -> "";
        };
    }

    /** What a waiting session listens to besides its front end. */
    private final class Hub implements VhostUserConnection.Interrupts {
        private @Nullable VhostUserSession session;

        @Override
        public int wakeFd() {
            return wakeFd.fd();
        }

        @Override
        public void onWake() throws VhostUserException {
            wakeFd.drain();
            if (stopping) {
                throw VhostUserException.ended("the server stops");
            }
            if (session != null) {
                session.onWake();
            }
        }

        @Override
        public int listenFd() {
            return listening ? fd : -1;
        }

        @Override
        public void onVisitor() {
            int visitor = Libc.accept4(fd, 0, 0, SOCK_CLOEXEC);
            if (visitor >= 0) {
                Libc.close(visitor);
                LOG.warn("{}: another front end was sent away, one is connected", device.name());
            }
        }
    }
}

package io.vhostfs.hostmount;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One directory of a file system mounted on this host: a FUSE session whose channels are spread over reactors.
 *
 * <p>Invariant: whatever ends it (its owner, somebody who unmounts it, an aborted connection), all its handles and
 * references are given back, and its channels are closed after the last request was answered. Started and closed by
 * ordinary threads.
 */
public final class HostMount implements AutoCloseable {
    /** A kernel sends INIT at once; who waits longer has a reactor that does not turn. */
    private static final int INIT_TIMEOUT_SECONDS = 30;

    private static final Logger LOG = LoggerFactory.getLogger(HostMount.class);

    /**
     * What is mounted where.
     *
     * @param name what messages and the table of mounts call it
     * @param directory an existing directory
     * @param channels how many files of {@code /dev/fuse} to read requests from
     * @param privileged whether set-user-ID bits and device files mean something there; a guest can make both
     */
    public record Config(String name, Path directory, int channels, boolean privileged) {}

    private record Polled(Reactor reactor, FuseChannel channel) {}

    private final Config config;
    private final MountPoint mountPoint;
    private final Reactor home;
    private final FuseSession session;
    private final ChangeFeed changes;
    private final boolean isShared;
    private @Nullable Invalidator invalidator;
    private final List<Integer> fds = new ArrayList<>();
    private final List<Polled> channels = new ArrayList<>();
    private final CountDownLatch initialised = new CountDownLatch(1);
    private final Events events = new Events();
    private boolean closed;

    private HostMount(
            Config config,
            MountPoint mountPoint,
            Reactor home,
            FuseSession session,
            ChangeFeed changes,
            boolean isShared) {
        this.config = config;
        this.mountPoint = mountPoint;
        this.home = home;
        this.session = session;
        this.changes = changes;
        this.isShared = isShared;
    }

    /**
     * Mounts; when this returns, the mount answers.
     *
     * @param changes of all clients of the file system
     * @param reactors those over which the channels are spread, the file system's home first
     * @throws HostMountException when the host refuses; nothing is left mounted
     */
    public static HostMount start(
            Config config,
            FileSystem fileSystem,
            long rootInode,
            FuseOptions options,
            ChangeFeed changes,
            List<Reactor> reactors)
            throws IOException, InterruptedException {
        MountPoint mountPoint = MountPoint.at(config.directory());
        Reactor home = fileSystem.home();
        FuseSession session =
                home.ask(() -> new FuseSession(fileSystem, fileSystem.attach(rootInode), options, changes));
        HostMount mount = new HostMount(config, mountPoint, home, session, changes, options.invalidateChangedData());
        try {
            mount.open(reactors);
        } catch (IOException | InterruptedException | RuntimeException e) {
            mount.close();
            throw e;
        }
        return mount;
    }

    private synchronized void open(List<Reactor> reactors) throws IOException, InterruptedException {
        int first = FuseDevice.open();
        fds.add(first);
        mountPoint.mount(first, config.name(), config.privileged());
        while (fds.size() < config.channels()) {
            fds.add(FuseDevice.cloneOf(first));
        }
        for (int i = 0; i < fds.size(); i++) {
            Reactor reactor = reactors.get(i % reactors.size());
            int fd = fds.get(i);
            channels.add(reactor.ask(() -> {
                FuseChannel channel = new FuseChannel(events, fd, session, reactor);
                reactor.addWakeFd(fd);
                reactor.addPoller(channel);
                return new Polled(reactor, channel);
            }));
        }
        if (isShared) {
            Invalidator told = new Invalidator(config.name(), session, first);
            invalidator = told;
            told.start();
            changes.subscribe(session, told);
        }
        boolean answered = initialised.await(INIT_TIMEOUT_SECONDS, TimeUnit.SECONDS);
        if (!answered || events.disconnected.get()) {
            throw new HostMountException(
                    mountPoint.directory() + ": the kernel and vhostfs did not agree on FUSE within "
                            + INIT_TIMEOUT_SECONDS + " s; remedy: Linux 5.4 or newer");
        }
    }

    /** Where it is mounted. */
    public Path directory() {
        return mountPoint.directory();
    }

    /** Unmounts, answers what is under way, and gives everything back. Again: no effect. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            changes.unsubscribe(session);
            mountPoint.unmount(List.copyOf(fds));
            if (invalidator != null) {
                invalidator.stop();
            }
            stopChannels();
        } catch (InterruptedException e) {
            LOG.warn("{}: interrupted while it was being unmounted", events.describe());
            Thread.currentThread().interrupt();
        }
    }

    /** First nothing is read, then whatever waits for something else ends with the session, then all is answered. */
    private void stopChannels() throws InterruptedException {
        CountDownLatch drained = new CountDownLatch(channels.size());
        for (Polled polled : channels) {
            polled.reactor().ask(() -> {
                polled.channel().drain(drained::countDown);
                return true;
            });
        }
        home.ask(() -> {
            session.close();
            return true;
        });
        drained.await();
        for (Polled polled : channels) {
            polled.reactor().ask(() -> {
                polled.reactor().removePoller(polled.channel());
                polled.reactor().removeWakeFd(polled.channel().fd());
                polled.channel().free();
                return true;
            });
        }
        fds.forEach(Libc::close);
    }

    /** Told by channels, on their reactors. */
    private final class Events implements FuseChannel.Owner {
        private final AtomicBoolean disconnected = new AtomicBoolean();

        @Override
        public void onInitialised() {
            initialised.countDown();
        }

        @Override
        public void onDisconnected() {
            if (disconnected.compareAndSet(false, true)) {
                initialised.countDown();
                Thread.ofPlatform().name("unmounted").start(() -> {
                    LOG.info("{}: unmounted", describe());
                    close();
                });
            }
        }

        @Override
        public String describe() {
            return config.name() + " at " + mountPoint.directory();
        }
    }
}

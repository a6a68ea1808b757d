package io.vhostfs.hostmount;

import io.vhostfs.fsdev.AccessTimes;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.fuse.FuseConstants;
import io.vhostfs.fuse.FuseOptions;
import io.vhostfs.fuse.FuseSession;
import io.vhostfs.os.Errno;
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
 * One directory of a file system mounted on this host: a FUSE session whose channels and queues are spread over reactors.
 *
 * <p>Invariant: whatever ends it (its owner, somebody who unmounts it, an aborted connection), all its handles and
 * references are given back, and its files are closed after the last request was answered. Started and closed by
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
     * @param uring whether requests come through io_uring where this kernel has that
     * @param accessTimes when what is read gets a new access time
     */
    public record Config(
            String name, Path directory, int channels, boolean privileged, boolean uring, AccessTimes accessTimes) {}

    private record Polled(Reactor reactor, RequestSource source) {}

    private final Config config;
    private final MountPoint mountPoint;
    private final Reactor home;
    private final FuseSession session;
    private final ChangeFeed changes;
    private final boolean isShared;
    private @Nullable Invalidator invalidator;
    private final int device;
    private final KernelQueues rings;
    private final List<Integer> fds = new ArrayList<>();
    private final List<Polled> sources = new ArrayList<>();
    private final CountDownLatch initialised = new CountDownLatch(1);
    private final Events events = new Events();
    private boolean closed;

    private HostMount(
            Config config,
            MountPoint mountPoint,
            Reactor home,
            FuseSession session,
            ChangeFeed changes,
            boolean isShared,
            int device,
            KernelQueues rings) {
        this.device = device;
        this.rings = rings;
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
        int device = FuseDevice.open();
        HostMount mount;
        try {
            mount = attach(config, mountPoint, device, fileSystem, rootInode, options, changes, reactors);
        } catch (InterruptedException | RuntimeException e) {
            Libc.close(device);
            throw e;
        }
        try {
            mount.open(reactors);
        } catch (IOException | InterruptedException | RuntimeException e) {
            mount.close();
            throw e;
        }
        return mount;
    }

    private static HostMount attach(
            Config config,
            MountPoint mountPoint,
            int device,
            FileSystem fileSystem,
            long rootInode,
            FuseOptions options,
            ChangeFeed changes,
            List<Reactor> reactors)
            throws InterruptedException {
        boolean isShared = options.invalidateChangedData();
        int entries = isShared ? UringQueue.ENTRIES_WITH_LOCKS : UringQueue.ENTRIES;
        KernelQueues rings =
                config.uring() ? KernelQueues.open(device, entries, reactors) : KernelQueues.none("uring=off");
        FuseOptions local = options.onThisHost(rings.areThere());
        Reactor home = fileSystem.home();
        FuseSession session = home.ask(() -> {
            FsClient client = fileSystem.attach(rootInode);
            client.setAccessTimes(config.accessTimes());
            return new FuseSession(fileSystem, client, local, changes);
        });
        return new HostMount(config, mountPoint, home, session, changes, isShared, device, rings);
    }

    private synchronized void open(List<Reactor> reactors) throws IOException, InterruptedException {
        fds.add(device);
        List<KernelQueues.Polled> queues = rings.attach(events, session);
        queues.forEach(q -> sources.add(new Polled(q.reactor(), q.queue())));
        mountPoint.mount(device, config.name(), config.privileged());
        Reactor first = reactors.get(0);
        FuseChannel channel = first.ask(() -> new FuseChannel(events, device, session, first));
        add(first, channel);
        if (isShared) {
            Invalidator told = new Invalidator(config.name(), session::minorVersion, device);
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
        if ((session.initFlags() & FuseConstants.FUSE_OVER_IO_URING) != 0 && register(queues)) {
            LOG.info("{}: requests come through io_uring", events.describe());
            first.ask(() -> {
                channel.besideQueues();
                return true;
            });
        } else {
            LOG.info("{}: requests come by read(2); {}", events.describe(), rings.whyNone());
            addChannels(reactors);
        }
    }

    private void add(Reactor reactor, RequestSource source) throws InterruptedException {
        sources.add(new Polled(reactor, source));
        start(reactor, source);
    }

    private static void start(Reactor reactor, RequestSource source) throws InterruptedException {
        reactor.ask(() -> {
            reactor.addWakeFd(source.wakeFd());
            reactor.addPoller(source);
            return true;
        });
    }

    /** Hands the queues to the kernel; false when it goes on without them, since it did not take all. */
    private boolean register(List<KernelQueues.Polled> queues) throws InterruptedException {
        int refused = 0;
        for (KernelQueues.Polled polled : queues) {
            start(polled.reactor(), polled.queue());
            int status = polled.reactor().ask(polled.queue()::register);
            refused = refused != 0 ? refused : status;
        }
        if (refused != 0) {
            LOG.warn("{}: io_uring: {}", events.describe(), Errno.name(refused));
        }
        return refused == 0;
    }

    private void addChannels(List<Reactor> reactors) throws IOException, InterruptedException {
        while (fds.size() < config.channels()) {
            Reactor reactor = reactors.get(fds.size() % reactors.size());
            int fd = FuseDevice.cloneOf(device);
            fds.add(fd);
            add(reactor, reactor.ask(() -> new FuseChannel(events, fd, session, reactor)));
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
            List<Integer> held = new ArrayList<>(fds);
            held.addAll(rings.fds());
            mountPoint.unmount(held);
            if (invalidator != null) {
                invalidator.stop();
            }
            stopSources();
        } catch (InterruptedException e) {
            LOG.warn("{}: interrupted while it was being unmounted", events.describe());
            Thread.currentThread().interrupt();
        }
    }

    /** First nothing is taken, then whatever waits for something else ends with the session, then all is answered. */
    private void stopSources() throws InterruptedException {
        CountDownLatch drained = new CountDownLatch(sources.size());
        for (Polled polled : sources) {
            polled.reactor().ask(() -> {
                polled.source().drain(drained::countDown);
                return true;
            });
        }
        home.ask(() -> {
            session.close();
            return true;
        });
        drained.await();
        for (Polled polled : sources) {
            polled.reactor().ask(() -> {
                polled.reactor().removePoller(polled.source());
                polled.reactor().removeWakeFd(polled.source().wakeFd());
                polled.source().free();
                return true;
            });
        }
        fds.forEach(Libc::close);
    }

    /** Told by sources, on their reactors. */
    private final class Events implements RequestSource.Owner {
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

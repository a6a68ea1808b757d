package io.vhostfs.target;

import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.hostmount.HostMount;
import io.vhostfs.reactor.CoreMask;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.Reactors;
import io.vhostfs.vhost.VhostUserServer;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A running target: everything that a {@link TargetConfig} names.
 *
 * <p>Started and closed by one ordinary thread. What was started before an error is stopped again before the error is
 * thrown. Closing ends sessions first, then stores, then reactors, so that nothing acknowledged is lost.
 */
public final class Target implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Target.class);

    private final TargetConfig config;
    private final Reactors reactors;
    private final Map<String, MountedStore> stores = new LinkedHashMap<>();
    private final List<Share> shares = new ArrayList<>();
    private final List<HostMount> mounts = new ArrayList<>();
    private @Nullable GrowthWatch growthWatch;

    private record Share(ShareConfig config, VirtioFsDevice device, VhostUserServer server, Reactor home) {}

    private Target(TargetConfig config) throws InterruptedException {
        this.config = config;
        reactors = config.coreMask().isEmpty()
                ? Reactors.start(List.of(Reactor.Config.named("reactor").withIdlePolicy(config.idlePolicy())))
                : Reactors.start(CoreMask.parse(config.coreMask()).requireAllowed(), config.idlePolicy());
    }

    /**
     * Starts a target; when this returns, its sockets take front ends and its mounts answer.
     *
     * @throws IOException when a socket or a mount cannot be made
     */
    public static Target start(TargetConfig config) throws IOException, InterruptedException {
        Target target = new Target(config);
        try {
            int next = 0;
            StoreOptions options = StoreOptions.DEFAULT.withMetaCacheBytes(config.metaCacheBytes());
            for (DeviceConfig device : config.devices()) {
                Reactor home = target.reactors.get(next++ % target.reactors.count());
                target.stores.put(
                        device.name(),
                        MountedStore.open(device, config.create(), options, home, target.reactors.all()));
            }
            for (ShareConfig share : config.shares()) {
                target.setQuota(share);
            }
            for (ShareConfig share : config.shares()) {
                target.addShare(share);
            }
            for (Share share : target.shares) {
                share.server().start();
            }
            for (ShareConfig share : config.shares()) {
                target.mount(share);
            }
            target.stores.values().forEach(MountedStore::warmUp);
            target.growthWatch = GrowthWatch.start(target.stores.values());
            return target;
        } catch (IOException | InterruptedException | RuntimeException e) {
            target.close();
            throw e;
        }
    }

    private MountedStore storeOf(ShareConfig share) {
        MountedStore store = stores.get(config.deviceOf(share).name());
        if (store == null) {
            throw new IllegalStateException("no store for " + share.describe());
        }
        return store;
    }

    private void setQuota(ShareConfig share) throws InterruptedException {
        if (share.quota() != null) {
            MountedStore store = storeOf(share);
            store.setQuota(store.resolveDirectory(share.root()), share.quota());
        }
    }

    private void addShare(ShareConfig share) throws IOException, InterruptedException {
        if (!share.hasDevice()) {
            return;
        }
        MountedStore store = storeOf(share);
        long root = store.resolveDirectory(share.root());
        Reactor home = store.fileSystem().home();
        List<Reactor> order = fromHome(home);
        VirtioFsDevice device =
                home.ask(() -> new VirtioFsDevice(share, store.fileSystem(), root, store.changes(), order));
        VhostUserServer server = share.socket() != null
                ? VhostUserServer.listen(share.socket(), null, device)
                : VhostUserServer.onFd(share.fd(), device);
        shares.add(new Share(share, device, server, home));
    }

    private void mount(ShareConfig share) throws IOException, InterruptedException {
        if (share.mount() == null) {
            return;
        }
        MountedStore store = storeOf(share);
        long root = store.resolveDirectory(share.root());
        mounts.add(HostMount.start(
                new HostMount.Config(
                        share.tag(),
                        share.mount(),
                        share.queues(),
                        share.privileged(),
                        share.uring(),
                        share.accessTimes()),
                store.fileSystem(),
                root,
                VirtioFsDevice.optionsOf(share),
                store.changes(),
                fromHome(store.fileSystem().home())));
    }

    /** All reactors, {@code home} first. */
    private List<Reactor> fromHome(Reactor home) {
        List<Reactor> order = new ArrayList<>(reactors.all());
        order.remove(home);
        order.addFirst(home);
        return order;
    }

    /** How its stores and reactors are doing. Any ordinary thread, before {@link #close}. */
    public TargetStatus status() throws InterruptedException {
        List<TargetStatus.Store> storeStates = new ArrayList<>();
        for (MountedStore store : stores.values()) {
            storeStates.add(store.status());
        }
        List<TargetStatus.Turns> turns = new ArrayList<>();
        for (Reactor r : reactors.all()) {
            turns.add(new TargetStatus.Turns(
                    r.name(), r.turns(), r.busyTurns(), r.sleeps(), r.failures(), r.longestBusySpanNs()));
        }
        return new TargetStatus(storeStates, turns);
    }

    /** The stores that a device error has made read-only, and by which; also after {@link #close}. */
    public List<String> failures() {
        return stores.values().stream()
                .map(MountedStore::failure)
                .filter(failure -> !failure.isEmpty())
                .toList();
    }

    /** Says for each share how a guest is attached. */
    public void describe(PrintWriter out) {
        for (ShareConfig share : config.shares()) {
            if (share.mount() != null) {
                out.printf("share %s: mounted at %s%n", share.tag(), share.mount());
            }
        }
        for (Share share : shares) {
            ShareConfig c = share.config();
            if (c.socket() == null) {
                out.printf("share %s: serving file descriptor %d%n", c.tag(), c.fd());
                continue;
            }
            out.printf("share %s: listening on %s; attach a guest with%n", c.tag(), c.socket());
            out.printf(
                    "  qemu-system-x86_64 ... -object memory-backend-memfd,id=ram,size=4G,share=on"
                            + " -machine q35,memory-backend=ram \\%n"
                            + "    -chardev socket,id=c-%s,path=%s \\%n"
                            + "    -device vhost-user-fs-pci,chardev=c-%s,tag=%s,queue-size=1024%s%n",
                    c.tag(), c.socket(), c.tag(), c.tag(), c.queues() > 1 ? ",num-request-queues=" + c.queues() : "");
            out.printf("  and in the guest: mount -t virtiofs %s /mnt%n", c.tag());
        }
    }

    @Override
    public void close() {
        for (HostMount mount : mounts) {
            mount.close();
        }
        for (Share share : shares) {
            share.server().close();
        }
        try {
            for (Share share : shares) {
                share.home().ask(() -> {
                    share.device().close();
                    return true;
                });
            }
            if (growthWatch != null) {
                growthWatch.close();
            }
            for (MountedStore store : stores.values()) {
                store.close();
            }
        } catch (InterruptedException e) {
            LOG.warn("interrupted while stores were being closed; the next start replays their logs");
            Thread.currentThread().interrupt();
        } finally {
            reactors.close();
        }
    }
}

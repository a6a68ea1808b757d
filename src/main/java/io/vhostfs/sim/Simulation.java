package io.vhostfs.sim;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.blobfs.BlobFs;
import io.vhostfs.blobfs.FileSystemVisitor;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.FormatOptions;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.frontend.SharedMemory;
import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.VirtioFsDevice;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * One seed from mkfs to the last crash: a target that lives and dies on a simulated disk, a guest that works on it, and the
 * promises that are checked after each mount.
 *
 * <p>Invariant: everything that happens follows from the seed. One thread.
 */
public final class Simulation {
    private static final long MS = 1_000_000L;

    /** A turn costs about this. */
    private static final int MAX_TURN_NS = 3000;

    private static final int MAX_MOUNT_ATTEMPTS = 50;

    private final long seed;
    private final SimOptions options;
    private final SharedMemory memory;
    private final TraceHash trace = new TraceHash();
    private final SimRandom random;
    private final SimClock clock;
    private final SimPlan plan;
    private final SimDisk disk;
    private final SimDriver driver;
    private final SimGuest guest;
    private final GuestRequests requests;
    private final SimGrowth growth;

    /** For what came to simulations later: seeds that do nothing of it do what they did. */
    private final SimRandom more;

    private final long memoryMark;

    private @Nullable Mounted mounted;
    private boolean damageSeen;
    private boolean wasKilled;
    private long crashes;
    private long mounts;

    /** A target that runs. */
    private record Mounted(
            Reactor reactor, BlobStore store, BlockChannel channel, BlobFs fileSystem, VirtioFsDevice device) {}

    /** The power went while something was asked. */
    private static final class PowerLost extends RuntimeException {
        private static final long serialVersionUID = 1L;

        PowerLost() {
            super("the power went", null, false, false);
        }
    }

    private Simulation(long seed, SimOptions options, SharedMemory memory) {
        this.seed = seed;
        this.options = options;
        this.memory = memory;
        clock = new SimClock(options.simulatedSeconds());
        random = new SimRandom(seed);
        more = new SimRandom(~seed);
        plan = SimPlan.draw(random.split(), options.damagePercent());
        disk = new SimDisk(plan, clock, random.split(), more.split(), trace);
        growth = new SimGrowth(plan, disk, more.split());
        driver = new SimDriver(memory);
        memoryMark = memory.mark();
        ModelNode root = new ModelNode(ModelTree.ROOT, LibcConstants.S_IFDIR, 0755);
        guest = new SimGuest(plan, driver, random.split(), trace, new History(ModelTree.empty(root)));
        requests = guest.requests();
    }

    /** Memory that a simulation needs for its guest. */
    public static long memoryBytes() {
        return SimDriver.memoryBytes() + (1 << 20);
    }

    /** Runs one seed; what goes wrong is in the result. */
    public static SimResult run(long seed, SimOptions options, SharedMemory memory) {
        long mark = memory.mark();
        Simulation simulation = new Simulation(seed, options, memory);
        Throwable failure = null;
        try {
            simulation.run();
        } catch (Exception | AssertionError | StackOverflowError e) {
            failure = e;
        } finally {
            simulation.abandon();
            memory.release(mark);
        }
        return simulation.result(failure);
    }

    private SimResult result(@Nullable Throwable failure) {
        String report = failure == null ? "" : report();
        return new SimResult(
                seed,
                requests.answered(),
                crashes,
                mounts,
                plan.faults().errorsInjected + plan.faults().damageInjected,
                disk.requests,
                trace.value(),
                failure,
                report);
    }

    private String report() {
        StringBuilder text = new StringBuilder("plan: ").append(plan).append('\n');
        requests.recent().forEach(line -> text.append("  ").append(line).append('\n'));
        return text.append("after ")
                .append(requests.answered())
                .append(" operations and ")
                .append(crashes)
                .append(" crashes at simulated time ")
                .append(clock.monotonicNs())
                .append(" ns")
                .toString();
    }

    private void run() {
        makeFileSystem();
        while (crashes < options.crashes() && requests.answered() < options.steps()) {
            recover();
            work();
            if (plan.faults().hasDamaged()) {
                recoverDamaged();
                return;
            }
        }
        recover();
        stop(true);
        check();
    }

    // --- mkfs

    private void makeFileSystem() {
        while (true) {
            boolean cut = random.percent(30);
            disk.armCut(cut ? random.between(1, 40) : 0);
            try {
                format();
                disk.armCut(0);
                disk.setLogEnd((8 + plan.logBytes() / SimDisk.BLOCK) * SimDisk.BLOCK);
                growth.formatted();
                return;
            } catch (StoreException | IllegalStateException e) {
                requirePowerCut("mkfs", e);
            }
            crashed("mkfs");
            // Whatever is there now must be refused, or be whole.
            checkUnfinished();
        }
    }

    private void format() {
        long nowNs = clock.wallClockNs();
        UUID uuid = new UUID(random.nextLong(), random.nextLong());
        BlobStore.format(disk, new FormatOptions(uuid, "sim", plan.logBytes(), random.nextLong(), nowNs));
        BlobStore store = BlobStore.open(disk, plan.options());
        try {
            BlobFs.format(store, nowNs, 0, 0);
            store.closeBlocking();
        } finally {
            store.abandon();
        }
        if (disk.isPowerOff()) {
            throw new SimFailure("mkfs ended well although the power went");
        }
    }

    private void requirePowerCut(String what, RuntimeException e) {
        if (!disk.isPowerOff()) {
            throw new SimFailure(what + " failed: " + e.getMessage(), e);
        }
    }

    private void checkUnfinished() {
        try {
            mount();
        } catch (StoreException e) {
            guest.remember("unfinished mkfs is refused: " + e.getMessage());
            return;
        }
        observe();
        abandon();
    }

    // --- life and death of the target

    private void crashed(String during) {
        crashes++;
        guest.remember("--- the power goes during " + during);
        abandon();
        disk.powerOn();
        clock.advance(random.between(1L, 1000 * MS));
    }

    /** Gives back what the target held; on the disk nothing happens. */
    private void abandon() {
        driver.detach();
        guest.forgetCalls();
        Mounted m = mounted;
        mounted = null;
        if (m != null) {
            m.store().abandon();
        }
        memory.release(memoryMark);
        growth.forget();
        disk.refreshCapacity();
    }

    private Mounted mounted() {
        return Objects.requireNonNull(mounted);
    }

    /** Mounts, looks at everything and compares, as often as the power goes meanwhile. */
    private void recover() {
        for (int attempt = 0; ; attempt++) {
            if (attempt == MAX_MOUNT_ATTEMPTS) {
                throw new SimFailure("no mount succeeds within " + attempt + " attempts");
            }
            if (random.percent(40)) {
                check();
            }
            boolean cut = attempt < MAX_MOUNT_ATTEMPTS / 2 && random.percent(30);
            disk.armCut(cut ? random.skewed(400) : 0);
            try {
                maintain();
                mount();
                growth.check(mounted().store());
                Observation found = observe();
                disk.armCut(0);
                int prefix = new Oracle(guest.history(), guest.files()).match(found);
                guest.remember(
                        "--- mounted: " + prefix + " of " + guest.history().length() + " changes, "
                                + guest.history().durable() + " were synced");
                guest.restart(found);
                return;
            } catch (StoreException e) {
                requirePowerCut("mount", e);
            } catch (PowerLost e) {
                // As planned.
            }
            crashed("recovery");
        }
    }

    /** What is done now and then with a store that nobody serves. */
    private void maintain() {
        if (plan.grows() && more.percent(8)) {
            growth.growOffline(guest);
        }
        if (plan.discards() && more.percent(8)) {
            growth.trimOffline(guest);
        }
        if (disk.isPowerOff()) {
            throw new PowerLost();
        }
    }

    /**
     * Mounts a disk that was damaged: it may be refused with a word about which block, or answer EIO; fsck must find it; but
     * what can be read is right.
     */
    private void recoverDamaged() {
        List<String> problems = fsck();
        try {
            mount();
        } catch (StoreException e) {
            if (problems.isEmpty() || !String.valueOf(e.getMessage()).contains("block")) {
                throw new SimFailure("a mount was refused with \"" + e.getMessage() + "\"; fsck finds " + problems, e);
            }
            return;
        }
        Observation found = observe();
        if (found.isIncomplete() && problems.isEmpty()) {
            throw new SimFailure("something cannot be read, but fsck finds nothing");
        }
        found.contents().forEach((inode, content) -> {
            if (!guest.wasCopiedInto(inode) && !Pattern.isOwn(content, inode)) {
                throw new SimFailure("inode " + inode + " has bytes of another file or place");
            }
        });
        if (!found.isIncomplete() && plan.faults().onlyNodes) {
            new Oracle(guest.history(), guest.files()).match(found);
        }
    }

    private void mount() {
        BlobStore store = BlobStore.open(disk, plan.options());
        Reactor reactor =
                new Reactor(Reactor.Config.named("home").withClock(clock).withMailboxCapacity(1024));
        try {
            store.handOver();
            disk.setLive(reactor);
            store.start(reactor);
            BlockChannel channel = disk.openChannel(reactor);
            Listener listener = new Listener();
            BlobFs.mount(store, reactor, disk, channel, listener);
            Patience patience = new Patience(clock, random);
            while (listener.fileSystem == null && listener.problem.isEmpty()) {
                turn(reactor);
                patience.spend("a mount does not end");
            }
            BlobFs fileSystem = listener.fileSystem;
            if (fileSystem == null) {
                throw new StoreException(StoreException.Kind.DAMAGED, listener.problem);
            }
            String mode = random.percent(50) ? "exclusive" : "shared";
            ShareConfig share = ShareConfig.parse("tag=sim,socket=/simulated,mode=" + mode);
            VirtioFsDevice device =
                    new VirtioFsDevice(share, fileSystem, ModelTree.ROOT, new ChangeFeed(), List.of(reactor));
            mounted = new Mounted(reactor, store, channel, fileSystem, device);
            driver.attach(device, 1);
        } finally {
            if (mounted == null) {
                store.abandon();
            }
        }
        mounts++;
    }

    private static final class Listener implements BlobFs.MountListener {
        private @Nullable BlobFs fileSystem;
        private String problem = "";

        @Override
        public void onMounted(BlobFs mountedFileSystem) {
            fileSystem = mountedFileSystem;
        }

        @Override
        public void onFailed(int errno, String why) {
            problem = why + " (" + Errno.name(errno) + ")";
        }
    }

    /** One turn of a reactor, and of the world around it. */
    private void turn(Reactor reactor) {
        clock.checkLimits();
        int work = reactor.runOnce();
        Throwable thrown = reactor.failure();
        Mounted m = mounted;
        if (thrown == null && m != null) {
            thrown = m.store().unexpected();
        }
        if (thrown != null) {
            throw thrown instanceof SimFailure known ? known : new SimFailure("the target threw " + thrown, thrown);
        }
        if (disk.isPowerOff()) {
            throw new PowerLost();
        }
        long next = disk.nextDueNs();
        if (work > 0 || random.percent(20)) {
            clock.advance(random.below(MAX_TURN_NS));
        } else if (next != Long.MAX_VALUE) {
            clock.advanceTo(next);
        } else {
            clock.advance(random.below((int) MS));
        }
    }

    private Observation observe() {
        ask(FuseMessage.init());
        Observation found = new Observation(this::ask, random);
        found.run();
        return found;
    }

    private byte[] ask(FuseMessage message, int... allowedErrors) {
        Object[] answer = new Object[2];
        requests.sendAlone(message, answer);
        Patience patience = new Patience(clock, random);
        while (answer[1] == null) {
            turn(mounted().reactor());
            requests.takeAnswers();
            patience.spend("no answer to a request");
        }
        int error = (int) answer[0];
        for (int allowed : allowedErrors) {
            if (error == allowed) {
                return new byte[0];
            }
        }
        if (error == -Errno.EIO && plan.faults().hasDamaged()) {
            throw new Observation.Unreadable();
        }
        if (error != 0) {
            throw new SimFailure(
                    "opcode " + message.opcode() + " of inode " + message.nodeid() + " failed: " + Errno.name(error));
        }
        return (byte[]) answer[1];
    }

    // --- work

    /** The guest works until the target ends, one way or another. */
    private void work() {
        plan.faults().setEnabled(true);
        int operations = random.skewed(2 * plan.operationsPerCrash());
        boolean atRequest = random.percent(70);
        disk.armCut(atRequest ? random.skewed(3 * plan.operationsPerCrash()) : 0);
        if (plan.disk().slowRoots() && more.percent(40)) {
            disk.armCutAfterRoot(more.skewed(8), more.skewed(60));
        }
        // What a killed target left in the disk's cache is what the next one found: both must outlive a cut.
        if (wasKilled && more.percent(60)) {
            disk.armCut(more.skewed(60));
        }
        wasKilled = false;
        try {
            drive(operations);
            finish();
        } catch (PowerLost e) {
            // What the target answered before is in the ring.
            driver.flush();
            requests.takeAnswers();
            crashed("work");
        } finally {
            plan.faults().setEnabled(false);
        }
    }

    private void drive(int operations) {
        long until = requests.answered() + operations;
        Patience patience = new Patience(clock, random);
        while (requests.answered() < until) {
            boolean issued = false;
            while (requests.inFlight() < plan.concurrency() && random.percent(70)) {
                guest.issue();
                issued = true;
            }
            if (random.oneIn(2000)) {
                // Timers run: commits, checkpoints, time stamps.
                clock.advance(random.between(MS, 12_000 * MS));
            }
            if (plan.grows() && (requests.sawNoSpace() ? more.oneIn(50) : more.oneIn(3000))) {
                requests.forgetNoSpace();
                growth.start(mounted().store(), guest);
                // What is new is used at once, and must not be before it may.
                if (more.percent(30)) {
                    disk.armCutAfterRoot(1, more.skewed(60));
                }
            }
            turn(mounted().reactor());
            if (!damageSeen && plan.faults().hasDamaged()) {
                // Soon: what is damaged is written again before long.
                damageSeen = true;
                if (more.percent(70)) {
                    disk.armCut(more.between(1, 200));
                }
            }
            if (requests.takeAnswers() > 0 || issued) {
                patience.renew();
            } else {
                patience.spend("nothing in flight is answered");
            }
        }
    }

    /** The end of a life that no request to the disk brought about. */
    private void finish() {
        int how = random.below(10);
        if (how < 5) {
            disk.cutPower();
            throw new PowerLost();
        }
        if (how < 7) {
            kill();
            return;
        }
        drain();
        stop(false);
    }

    private void kill() {
        driver.flush();
        requests.takeAnswers();
        disk.killChannels();
        wasKilled = true;
        crashes++;
        guest.remember("--- the target is killed");
        abandon();
    }

    private void drain() {
        Patience patience = new Patience(clock, random);
        while (requests.inFlight() > 0) {
            turn(mounted().reactor());
            if (requests.takeAnswers() > 0) {
                patience.renew();
            } else {
                patience.spend("nothing in flight is answered");
            }
        }
    }

    /** An orderly end; afterwards everything is durable. */
    private void stop(boolean forGood) {
        Mounted m = mounted();
        guest.remember("--- unmounted in order");
        driver.detach();
        m.device().close();
        int status = await("unmount", done -> m.fileSystem().unmount(done::add));
        m.channel().close();
        int closed = await("close", done -> m.store().close(new BlobStore.CommitWaiter() {
            @Override
            public void onCommitted(int result) {
                done.add(result);
            }
        }));
        growth.requireEnded();
        boolean good = status == 0 && closed == 0;
        if (!good && !plan.faults().hasErred()) {
            throw new SimFailure("an unmount failed: " + Errno.name(Math.min(status, closed)));
        }
        abandon();
        if (good) {
            guest.history().madeDurable(guest.history().length());
            guest.files().values().forEach(FileModel::madeDurable);
        }
        if (!forGood && random.percent(50)) {
            disk.cutPower();
            disk.powerOn();
        }
    }

    private interface Starter {
        void start(List<Integer> done);
    }

    private int await(String what, Starter starter) {
        List<Integer> done = new ArrayList<>();
        starter.start(done);
        Patience patience = new Patience(clock, random);
        while (done.isEmpty()) {
            turn(mounted().reactor());
            patience.spend(what + " does not end");
        }
        return done.get(0);
    }

    // --- fsck

    private void check() {
        List<String> problems = fsck();
        if (!problems.isEmpty()) {
            throw new SimFailure("fsck finds " + problems.size() + " problems: " + problems);
        }
    }

    private List<String> fsck() {
        disk.armCut(0);
        List<String> problems = new ArrayList<>();
        BlobStore.check(disk, problems::add, new FileSystemVisitor());
        return problems;
    }
}

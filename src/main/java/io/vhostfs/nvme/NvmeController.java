package io.vhostfs.nvme;

import static io.vhostfs.nvme.NvmeConstants.*;

import io.vhostfs.memory.DmaSpace;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeException.Kind;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One NVMe controller: brought up, watched, reset when it fails, shut down.
 *
 * <p>Invariants: while it is reset, no reactor touches its queues. When it has died, everything in flight has failed with
 * EIO, after the bus was told to let it transfer nothing any more. Its namespaces' formats do not change while it lives.
 *
 * <p>Opened, asked and closed by ordinary threads, which may block. Its own thread ({@link #startWatching}), or whoever calls
 * {@link #watch} by hand, deals with events, aborts and resets. Reactors only {@link #attach} and {@link #detach}, and leave
 * requests.
 */
public final class NvmeController implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(NvmeController.class);

    /** Status register and events are looked at this often. */
    private static final long WATCH_INTERVAL_NS = TimeUnit.MILLISECONDS.toNanos(100);

    /** Attempts of one reset, the later ones after a reset of the PCI function. */
    private static final int RESET_ATTEMPTS = 3;

    /** Resets in a row without one command that succeeded: more do not help. */
    private static final int MAX_RESETS_IN_VAIN = 4;

    /** Failed commands, and aborts, that are logged one by one. */
    private static final int MAX_LOGGED_FAILURES = 64;

    private static final int EVENT_NOTICE = 2;
    private static final int EVENT_SMART = 1;

    /** What it is doing. */
    public enum State {
        LIVE,
        RESETTING,
        /** Every command fails. */
        DEAD,
        CLOSED
    }

    private final NvmeTransport transport;
    private final NvmeOptions options;
    private final String name;
    private final Registers registers;
    private final AdminQueue adminQueue;
    private final AdminCommands admin;
    private final NvmeCounters counters = new NvmeCounters();

    /** Held for admin commands and resets; never by a reactor. */
    private final ReentrantLock lock = new ReentrantLock();

    /** Held for moments: who has which queue pair. */
    private final Object attachLock = new Object();

    private final List<QueuePair> pairs = new ArrayList<>();
    private volatile State state = State.RESETTING;
    private volatile @Nullable String resetReason;
    private volatile String deathReason = "";
    private final ConcurrentLinkedQueue<Long> aborts = new ConcurrentLinkedQueue<>();
    private final AtomicInteger loggedFailures = new AtomicInteger();
    private int resetsInVain;
    private int releasedRetirements;
    private boolean released;
    private @Nullable Thread watcher;
    private @Nullable ControllerInfo info;
    private volatile List<NamespaceInfo> namespaces = List.of();
    private boolean volatileCache;

    /**
     * Brings a controller up; it owns the transport from here on, and closes it when it cannot be brought up.
     *
     * @throws NvmeException when that is impossible
     */
    public static NvmeController open(NvmeTransport transport, NvmeOptions options) throws NvmeException {
        NvmeController controller = null;
        try {
            controller = new NvmeController(transport, options);
            controller.bringUp();
            controller.state = State.LIVE;
            return controller;
        } catch (NvmeException | RuntimeException e) {
            if (controller != null) {
                controller.letGo();
            } else {
                transport.close();
            }
            throw e;
        }
    }

    private NvmeController(NvmeTransport transport, NvmeOptions options) throws NvmeException {
        this.transport = transport;
        this.options = options;
        this.name = transport.name();
        registers = new Registers(transport);
        adminQueue = new AdminQueue(transport);
        admin = new AdminCommands(name, adminQueue, options.adminTimeoutNs());
    }

    public String name() {
        return name;
    }

    public State state() {
        return state;
    }

    /** Why it died; empty while it lives. */
    public String deathReason() {
        return deathReason;
    }

    public ControllerInfo info() {
        ControllerInfo known = info;
        if (known == null) {
            throw new IllegalStateException(name + " was never identified");
        }
        return known;
    }

    public List<NamespaceInfo> namespaces() {
        return namespaces;
    }

    /** Whether there is a volatile write cache, and it is on. */
    public boolean hasVolatileCache() {
        return volatileCache;
    }

    public int queuePairCount() {
        return pairs.size();
    }

    public NvmeOptions options() {
        return options;
    }

    public NvmeCounters counters() {
        return counters;
    }

    public long zeroCopyBytes() {
        return pairs.stream().mapToLong(QueuePair::zeroCopyBytes).sum();
    }

    public long bouncedBytes() {
        return pairs.stream().mapToLong(QueuePair::bouncedBytes).sum();
    }

    public DmaSpace dma() {
        return transport.dma();
    }

    /** What was transferred and what went wrong so far, in one line. */
    public String summary() {
        return "zero-copy bytes %d, bounced bytes %d, memory mapped %d bytes, not mapped %d; %s"
                .formatted(zeroCopyBytes(), bouncedBytes(), dma().mappedBytes(), dma().unmappedBytes(), counters);
    }

    /** An eventfd that becomes readable with a completion on this pair; -1 when completions raise no interrupts. */
    public int interruptFd(QueuePair pair) {
        return options.interrupts() ? transport.interruptFd(pair.id()) : -1;
    }

    private void bringUp() throws NvmeException {
        registers.readCapabilities();
        registers.disable();
        adminQueue.reset(registers.doorbellStride());
        transport.setBusMaster(true);
        registers.enable();
        ControllerInfo now = admin.identifyController();
        List<NamespaceInfo> nowThere = admin.identifyNamespaces(now);
        ControllerInfo before = info;
        if (before != null && !before.serial().equals(now.serial())) {
            throw new NvmeException(Kind.FAILED, name + ": is another drive since its reset");
        }
        checkFormats(nowThere);
        info = now;
        namespaces = nowThere;
        volatileCache = now.volatileCache() && admin.isVolatileCacheOn();
        makeQueues(now);
        admin.enableEvents();
    }

    private void makeQueues(ControllerInfo now) throws NvmeException {
        int wanted = pairs.isEmpty() ? options.maxQueuePairs() : pairs.size();
        int granted = admin.requestQueuePairs(wanted);
        while (granted > 1 && !registers.hasDoorbells(granted)) {
            granted--;
        }
        int entries = Integer.highestOneBit(Math.min(options.queueEntries(), registers.maxQueueEntries()));
        if (pairs.isEmpty()) {
            DataPointer pointer = new DataPointer(transport.dma(), now.sgls());
            for (int id = 1; id <= granted; id++) {
                pairs.add(new QueuePair(this, id, entries, pointer, transport.dma()));
            }
        } else if (granted < pairs.size() || entries < pairs.getFirst().entries()) {
            throw new NvmeException(Kind.FAILED, name + ": offers fewer or shorter queues since its reset");
        }
        boolean shadows = now.hasShadowDoorbells() && admin.useShadowDoorbells();
        for (QueuePair pair : pairs) {
            pair.reset(registers.doorbell(pair.id(), false), registers.doorbell(pair.id(), true));
            if (shadows) {
                useShadows(pair);
            }
            admin.create(pair, options.interrupts() && transport.interruptFd(pair.id()) >= 0 ? pair.id() : -1);
        }
    }

    private void useShadows(QueuePair pair) {
        long sq = adminQueue.shadowAddress() + 2L * pair.id() * registers.doorbellStride();
        long cq = sq + registers.doorbellStride();
        if (cq + Integer.BYTES <= adminQueue.shadowAddress() + NVME_PAGE_BYTES) {
            pair.useShadows(sq, cq, sq + NVME_PAGE_BYTES, cq + NVME_PAGE_BYTES);
        }
    }

    /** Capacities may grow; whatever else changes would have I/O go to the wrong place. */
    private void checkFormats(List<NamespaceInfo> now) throws NvmeException {
        for (NamespaceInfo known : namespaces) {
            NamespaceInfo current = now.stream()
                    .filter(n -> n.nsid() == known.nsid())
                    .findFirst()
                    .orElse(null);
            if (current == null
                    || current.blockBytes() != known.blockBytes()
                    || current.blocks() < known.blocks()
                    || !current.identity().equals(known.identity())) {
                throw new NvmeException(
                        Kind.FAILED,
                        name + ": namespace " + known.nsid() + " was deleted, shrunk, formatted or replaced while it"
                                + " was in use; restart the target");
            }
        }
    }

    /** A queue pair for this reactor, or null when all are in use. On the reactor's thread. */
    public @Nullable QueuePair attach(Reactor reactor, QueuePair.Owner owner) {
        synchronized (attachLock) {
            for (QueuePair pair : pairs) {
                if (!pair.isAttached()) {
                    pair.attach(reactor, owner, options.ioTimeoutNs(), state == State.LIVE);
                    return pair;
                }
            }
            return null;
        }
    }

    /** Gives a pair back that has nothing in flight. On its reactor's thread. */
    public void detach(QueuePair pair) {
        synchronized (attachLock) {
            pair.detach();
        }
    }

    public SmartLog smart() throws NvmeException {
        return ask(admin::smart);
    }

    public List<ErrorLogEntry> errors() throws NvmeException {
        return ask(admin::errors);
    }

    private interface Question<T> {
        T ask() throws NvmeException;
    }

    private <T> T ask(Question<T> question) throws NvmeException {
        lock.lock();
        try {
            if (state != State.LIVE) {
                throw new NvmeException(Kind.FAILED, name + ": cannot be asked, it is " + state + deathReason);
            }
            return question.ask();
        } finally {
            lock.unlock();
        }
    }

    /** Whether a fault of some access to memory came from registers that are gone; the controller is given up then. */
    public boolean isEndedByFault() {
        boolean gone = state == State.DEAD || (state == State.LIVE && isGone());
        if (gone) {
            wakeWatcher();
        }
        return gone;
    }

    /** Asks for a reset; any thread. */
    void requestReset(String reason) {
        if (state == State.LIVE) {
            resetReason = reason;
            wakeWatcher();
        }
    }

    /** Asks for the end of a command; any thread. */
    void requestAbort(int queueId, int slot) {
        aborts.add((long) queueId << 32 | slot);
        wakeWatcher();
    }

    void onCommandFailed(int queueId, long command, int status) {
        counters.failures.increment();
        int count = loggedFailures.incrementAndGet();
        if (count <= MAX_LOGGED_FAILURES) {
            LOG.warn(
                    "{}: command 0x{} of queue {} for namespace {} failed at block {} with {}{}",
                    name,
                    Integer.toHexString(Memory.getUnsignedByte(command)),
                    queueId,
                    Memory.getInt(command + NVME_SQE_NSID),
                    Memory.getLong(command + NVME_SQE_CDW10),
                    NvmeStatus.describe(status),
                    count == MAX_LOGGED_FAILURES ? "; further ones are only counted" : "");
        }
    }

    private void wakeWatcher() {
        Thread thread = watcher;
        if (thread != null) {
            LockSupport.unpark(thread);
        }
    }

    /** Starts the thread that watches. */
    public void startWatching() {
        Thread thread = Thread.ofPlatform().name("nvme " + name).daemon(true).unstarted(() -> {
            while (state != State.CLOSED && !released) {
                watch();
                LockSupport.parkNanos(this, WATCH_INTERVAL_NS);
            }
        });
        watcher = thread;
        thread.start();
    }

    /** Looks after the controller once: its status, aborts, resets and events. */
    public void watch() {
        lock.lock();
        try {
            if (state == State.LIVE) {
                watchLive();
            } else if (state == State.DEAD && transport.isRemovalRequested()) {
                release();
            }
        } finally {
            lock.unlock();
        }
    }

    private void watchLive() {
        try {
            if (transport.isRemovalRequested()) {
                die("it is being unplugged");
            } else if (isGone()) {
                die("it is gone: unplugged, or without power");
            } else if (resetReason != null || registers.isFatal()) {
                reset(resetReason != null ? resetReason : "controller fatal status");
            } else {
                sendAborts();
                handleEvents();
                releaseRetiredMemory();
            }
            Memory.deliverFault();
        } catch (InternalError unmapped) {
            die("its registers are gone: it was unplugged");
        } catch (NvmeException e) {
            if (isGone()) {
                die("it is gone: unplugged, or without power");
            } else {
                reset(e.getMessage());
            }
        }
    }

    /** A device that was taken off the bus reads as all ones, or its mapping faults. */
    private boolean isGone() {
        try {
            boolean gone = registers.isGone();
            Memory.deliverFault();
            return gone;
        } catch (InternalError unmapped) {
            return true;
        }
    }

    /** Memory that must not be used any more stays mapped until what was under way to it has ended. */
    private void releaseRetiredMemory() {
        int retired = dma().retirements();
        if (retired != releasedRetirements) {
            boolean ended = true;
            synchronized (attachLock) {
                for (QueuePair pair : pairs) {
                    ended &= pair.hasEndedAllSince(retired);
                }
            }
            if (ended) {
                dma().releaseRetired(retired);
                releasedRetirements = retired;
            }
        }
    }

    private void sendAborts() throws NvmeException {
        for (Long abort = aborts.poll(); abort != null; abort = aborts.poll()) {
            counters.aborts.increment();
            boolean done = admin.abort((int) (abort >>> 32), abort.intValue());
            if (counters.aborts.sum() <= MAX_LOGGED_FAILURES) {
                LOG.warn(
                        "{}: command {} of queue {} took longer than {} ms and was {}",
                        name,
                        abort.intValue(),
                        abort >>> 32,
                        TimeUnit.NANOSECONDS.toMillis(options.ioTimeoutNs()),
                        done ? "aborted" : "not aborted in time");
            }
        }
    }

    private void handleEvents() throws NvmeException {
        // Bounded: a drive may send the next event at once, for ever.
        for (int i = 0; i < AdminQueue.MAX_EVENT_REQUESTS; i++) {
            int event = adminQueue.takeEvent();
            if (event == 0) {
                return;
            }
            counters.asyncEvents.increment();
            int type = event & 7;
            int what = event >>> 8 & 0xff;
            int log = event >>> 16 & 0xff;
            LOG.warn("{}: reports an event of type {}, {}", name, type, what);
            if (type == EVENT_SMART) {
                LOG.warn("{}: its health: {}", name, admin.smart());
            } else {
                admin.acknowledge(log);
            }
            if (type == EVENT_NOTICE) {
                onNamespacesChanged();
            }
            adminQueue.requestEvent();
        }
    }

    private void onNamespacesChanged() throws NvmeException {
        List<NamespaceInfo> now = admin.identifyNamespaces(info());
        try {
            checkFormats(now);
            namespaces = now;
            LOG.info("{}: its namespaces are now {}", name, now);
        } catch (NvmeException e) {
            die(e.getMessage());
        }
    }

    private void reset(String reason) {
        LOG.error("{}: is reset: {}", name, reason);
        counters.resets.increment();
        synchronized (attachLock) {
            state = State.RESETTING;
            pairs.forEach(QueuePair::askToStop);
        }
        while (!allStopped()) {
            transport.pause();
        }
        boolean progress = false;
        for (QueuePair pair : pairs) {
            progress |= pair.takeSucceededSinceReset();
        }
        resetsInVain = progress ? 0 : resetsInVain + 1;
        if (resetsInVain > MAX_RESETS_IN_VAIN) {
            die("it was reset " + MAX_RESETS_IN_VAIN + " times in a row, and nothing succeeded between");
            return;
        }
        for (int attempt = 1; attempt <= RESET_ATTEMPTS; attempt++) {
            if (attempt == 1 || transport.resetFunction()) {
                if (tryBringUp()) {
                    return;
                }
            }
        }
        die("it cannot be reset");
    }

    private boolean tryBringUp() {
        try {
            aborts.clear();
            resetReason = null;
            bringUp();
        } catch (NvmeException e) {
            LOG.error("{}: its reset failed: {}", name, e.getMessage());
            return false;
        }
        synchronized (attachLock) {
            state = State.LIVE;
            pairs.forEach(QueuePair::askToResume);
        }
        return true;
    }

    private boolean allStopped() {
        synchronized (attachLock) {
            return pairs.stream().allMatch(pair -> !pair.isAttached() || pair.isStopped());
        }
    }

    private void die(String reason) {
        LOG.error("{}: is given up: {}; its requests fail from now on", name, reason);
        deathReason = ": " + reason;
        // Before the requests' memory goes back to its owners.
        transport.setBusMaster(false);
        synchronized (attachLock) {
            state = State.DEAD;
            pairs.forEach(QueuePair::askToDie);
        }
    }

    /** Lets the operating system have the device, when no reactor can touch its registers any more. */
    private void release() {
        if (!released && allStopped()) {
            released = true;
            transport.close();
        }
    }

    /** Tells the drive to make its cache safe, and lets go of it. All pairs must be detached. */
    @Override
    public void close() {
        synchronized (attachLock) {
            if (pairs.stream().anyMatch(QueuePair::isAttached)) {
                throw new IllegalStateException(name + ": queue pairs are attached");
            }
        }
        lock.lock();
        try {
            if (state == State.CLOSED) {
                return;
            }
            boolean live = state == State.LIVE;
            state = State.CLOSED;
            LOG.info("{}: closed; {}", name, summary());
            if (live && !registers.shutDown(options.adminTimeoutNs())) {
                LOG.warn("{}: does not say that its cache is safe; do not cut its power yet", name);
            }
        } catch (NvmeException e) {
            LOG.warn("{}: cannot be shut down: {}", name, e.getMessage());
        } finally {
            letGo();
            lock.unlock();
        }
        endWatcher();
    }

    private void endWatcher() {
        Thread thread = watcher;
        if (thread != null) {
            LockSupport.unpark(thread);
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void letGo() {
        if (!released) {
            released = true;
            try {
                registers.disable();
                Memory.deliverFault();
            } catch (NvmeException | InternalError e) {
                LOG.debug("{}: cannot be stopped", name, e);
            }
            transport.setBusMaster(false);
            transport.close();
        }
        pairs.forEach(QueuePair::free);
        adminQueue.free();
    }
}

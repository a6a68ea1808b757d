package io.vhostfs.reactor;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jctools.queues.varhandle.MpscVarHandleArrayQueue;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One thread that runs its pollers in turn, drains its mailbox and its timers.
 *
 * <p>Invariant: pollers, messages and timers run on the reactor's thread only, one at a time. A reactor that was not
 * started is driven by hand ({@link #runOnce}) by the one thread that made it: simulations, mkfs and tests use it so.
 *
 * <p>A turn is mailbox, timers, pollers. What one of them throws ends that one alone ({@link Poller#onError}); the
 * reactor lives on. Idle turns end in sleep as the {@link IdlePolicy} says, and no send, timer or notification that a
 * poller asked for is lost to it.
 */
public final class Reactor {
    /** The core of a reactor that runs wherever the kernel lets it. */
    public static final int UNPINNED = -1;

    /** Messages that one turn takes, so that a flood of them does not starve the pollers. */
    private static final int MESSAGES_PER_TURN = 256;

    /** A busy reactor looks at its timers this often: reading the clock costs a tenth of a short turn. */
    private static final int TURNS_PER_TIMER_CHECK = 8;

    /** How long turns take is measured so many at a time: a look at the clock costs a tenth of a short one. */
    private static final int TURNS_PER_SPAN = 8;

    /** An idle reactor asks this often whether it has been idle for long enough. */
    private static final int IDLE_TURNS_PER_CLOCK_READ = 16;

    /** Falling asleep and waking up takes about this long. */
    private static final long SHORTEST_SLEEP_NS = 20_000;

    /** Errors of messages and timers logged in full; a poller's is logged once, since it is then removed. */
    private static final int MAX_LOGGED_FAILURES = 64;

    private static final Logger LOG = LoggerFactory.getLogger(Reactor.class);
    private static final Poller[] NO_POLLERS = {};

    // Read by senders too: rarely written.
    private final MpscVarHandleArrayQueue<Message> mailbox;
    private final Doorbell doorbell;
    private final Config config;
    private final ReactorClock clock;
    private final ReactorTurn turn = new ReactorTurn();
    private final TimerHeap timers = new TimerHeap();
    private final OneShotTimers oneShots = new OneShotTimers();
    private Poller[] pollers = NO_POLLERS;
    private int[] wakeFds = {};
    private volatile Thread thread;
    private volatile boolean started;
    private volatile boolean stopping;
    private volatile boolean ended;

    /**
     * How a reactor runs.
     *
     * @param name thread name, and what errors call it
     * @param core core to pin to, or {@link #UNPINNED}
     * @param idlePolicy what an idle turn does
     * @param spinNs how long {@link IdlePolicy#ADAPTIVE} polls in vain before it sleeps
     * @param mailboxCapacity messages that may wait at once
     * @param clock where its time comes from, or null for the system's clocks
     */
    public record Config(
            String name,
            int core,
            IdlePolicy idlePolicy,
            long spinNs,
            int mailboxCapacity,
            @Nullable ReactorClock clock) {

        /** Twice what a sleep and its wake-up cost, so that spinning never costs more than a sleep too early. */
        public static final long DEFAULT_SPIN_NS = 100_000;

        /** More than all preallocated requests of a large configuration. */
        public static final int DEFAULT_MAILBOX_CAPACITY = 1 << 16;

        public static final int MAX_MAILBOX_CAPACITY = 1 << 24;

        public Config {
            if (core < UNPINNED || core >= CoreMask.MAX_CORES) {
                throw new CoreMaskException("reactor " + name + ": there is no core " + core);
            }
            if (spinNs < 0 || mailboxCapacity < 2 || mailboxCapacity > MAX_MAILBOX_CAPACITY) {
                throw new IllegalArgumentException("reactor " + name + ": spin of " + spinNs + " ns and mailbox of "
                        + mailboxCapacity + " messages; possible are 0 or more ns, 2 to " + MAX_MAILBOX_CAPACITY);
            }
        }

        /** Unpinned and adaptive. */
        public static Config named(String name) {
            return new Config(name, UNPINNED, IdlePolicy.ADAPTIVE, DEFAULT_SPIN_NS, DEFAULT_MAILBOX_CAPACITY, null);
        }

        public Config withCore(int newCore) {
            return new Config(name, newCore, idlePolicy, spinNs, mailboxCapacity, clock);
        }

        public Config withIdlePolicy(IdlePolicy newIdlePolicy) {
            return new Config(name, core, newIdlePolicy, spinNs, mailboxCapacity, clock);
        }

        public Config withSpinNs(long newSpinNs) {
            return new Config(name, core, idlePolicy, newSpinNs, mailboxCapacity, clock);
        }

        public Config withMailboxCapacity(int newMailboxCapacity) {
            return new Config(name, core, idlePolicy, spinNs, newMailboxCapacity, clock);
        }

        public Config withClock(ReactorClock newClock) {
            return new Config(name, core, idlePolicy, spinNs, mailboxCapacity, newClock);
        }
    }

    /** Unpinned and adaptive. */
    public Reactor(String name) {
        this(Config.named(name));
    }

    public Reactor(Config config) {
        this(config, new Doorbell());
    }

    /** For tests that do something at each step of falling asleep. */
    Reactor(Config config, Doorbell doorbell) {
        this.config = config;
        this.doorbell = doorbell;
        clock = config.clock() != null ? config.clock() : new SystemClock();
        mailbox = new MpscVarHandleArrayQueue<>(config.mailboxCapacity());
        thread = Thread.currentThread();
    }

    public String name() {
        return config.name();
    }

    public Config config() {
        return config;
    }

    /**
     * Starts the thread and returns when it runs, pinned. From here on what says "own thread only" means the new thread.
     *
     * @throws ReactorException when the kernel refuses; the message says what and the remedy
     */
    public void start() {
        requireOwnThread();
        if (started) {
            throw new ReactorException("reactor " + name() + " was started before");
        }
        openDoorbell();
        started = true;
        CompletableFuture<@Nullable Void> running = new CompletableFuture<>();
        Thread t = Thread.ofPlatform().name(name()).daemon(true).unstarted(() -> main(running));
        thread = t;
        t.start();
        try {
            running.join();
        } catch (CompletionException e) {
            throw new ReactorException("reactor " + name() + " does not start: " + e.getCause(), e);
        }
    }

    /** Whether the caller runs on this reactor's thread. */
    public boolean isCurrent() {
        return Thread.currentThread() == thread;
    }

    /**
     * Runs a message on the reactor's thread, later; from its own thread too. Any thread. A message must not be sent again
     * before it has run. What is sent to a reactor that has ended never runs.
     *
     * @throws ReactorException when the mailbox is full and waiting would be for ever
     */
    public void send(Message message) {
        // Its compare-and-set of the producer index is the volatile publication that the doorbell asks for.
        if (!mailbox.offer(message)) {
            sendSlowPath(message);
        }
        doorbell.ring();
    }

    /**
     * Ends a sleep, so that pollers see what the caller published before by a volatile store; a poller that looks for it in
     * {@link Poller#prepareToSleep} too misses nothing. Any thread.
     */
    public void wake() {
        doorbell.ring();
    }

    /**
     * Runs {@code question} on the reactor and waits for its result. For control threads: it allocates and blocks.
     *
     * @throws ReactorException when called on the reactor's own thread, when the reactor ends without an answer, or, with
     *     the cause, when the question throws
     */
    public <T extends @Nullable Object> T ask(Supplier<T> question) throws InterruptedException {
        if (isCurrent()) {
            throw new ReactorException("reactor " + name() + " would wait for itself: call the code directly");
        }
        Question<T> message = new Question<>(question);
        send(message);
        while (!message.answered.await(10, TimeUnit.MILLISECONDS)) {
            if (ended && !thread.isAlive() && message.answered.getCount() != 0) {
                throw new ReactorException("reactor " + name() + " has ended");
            }
        }
        return message.result(name());
    }

    /** Own thread only. Takes effect with the next turn. */
    public void addPoller(Poller poller) {
        requireOwnThread();
        Poller[] more = Arrays.copyOf(pollers, pollers.length + 1);
        more[pollers.length] = poller;
        pollers = more;
    }

    /** Own thread only. The poller, this very object, does not run again; no effect when it is not there. */
    @SuppressWarnings("ReferenceEquality") // identity is meant
    public void removePoller(Poller poller) {
        requireOwnThread();
        for (int i = 0; i < pollers.length; i++) {
            if (pollers[i] == poller) {
                Poller[] fewer = new Poller[pollers.length - 1];
                System.arraycopy(pollers, 0, fewer, 0, i);
                System.arraycopy(pollers, i + 1, fewer, i, fewer.length - i);
                pollers = fewer;
                return;
            }
        }
    }

    /**
     * A file descriptor that ends a sleep when it becomes readable. Own thread only.
     *
     * <p>Edge-triggered: nobody needs to read an eventfd for the reactor's sake, and one that stays readable does not end
     * the next sleep. A poller that leaves something unread refuses to sleep ({@link Poller#prepareToSleep}).
     */
    public void addWakeFd(int fd) {
        requireOwnThread();
        if (started) {
            doorbell.add(fd);
        }
        wakeFds = Arrays.copyOf(wakeFds, wakeFds.length + 1);
        wakeFds[wakeFds.length - 1] = fd;
    }

    /** Own thread only; best before the file is closed. */
    public void removeWakeFd(int fd) {
        requireOwnThread();
        if (started) {
            doorbell.remove(fd);
        }
        wakeFds = Arrays.stream(wakeFds).filter(other -> other != fd).toArray();
    }

    /** Runs {@code message} once, not before {@code delayNs} from now. Own thread only. */
    public void schedule(long delayNs, Message message) {
        schedule(oneShots.take(message), delayNs);
    }

    /**
     * Runs a timer's action once, not before {@code delayNs} from now; a timer that is scheduled is moved. Own thread only.
     */
    public void schedule(ReactorTimer timer, long delayNs) {
        assert isCurrent();
        timers.put(timer, nowNs() + Math.clamp(delayNs, 0, Long.MAX_VALUE / 2));
    }

    /** Takes a timer back; no effect when it is not scheduled. Own thread only. */
    public void cancel(ReactorTimer timer) {
        assert isCurrent();
        if (timer.isScheduled()) {
            timers.remove(timer);
        }
    }

    /** Nanoseconds of a monotonic clock, read at most once in a turn. Own thread only. */
    public long nowNs() {
        if (!turn.nowRead) {
            turn.nowNs = clock.monotonicNs();
            turn.nowRead = true;
        }
        return turn.nowNs;
    }

    /** Nanoseconds since 1970, for time stamps of files; read at most once in a turn, unless told to. Own thread only. */
    public long wallClockNs() {
        if (!turn.wallClockRead) {
            turn.wallClockNs = clock.wallClockNs();
            turn.wallClockRead = true;
        }
        return turn.wallClockNs;
    }

    /**
     * Has {@link #wallClockNs} read the clock again: for pollers that take one request after the other from someone who
     * sees each answer at once, and could find a file made before the moment at which it asked for it. Own thread only.
     */
    public void forgetWallClock() {
        turn.wallClockRead = false;
    }

    /** What a poller, message or timer threw last and nobody dealt with, or null; for who drives a reactor by hand. */
    public @Nullable Throwable failure() {
        return turn.failure;
    }

    /**
     * For who drives a reactor by hand and waits for something: what failed may be what it waits for.
     *
     * @throws ReactorException when there is a {@link #failure}
     */
    public void checkFailure() {
        Throwable failure = turn.failure;
        if (failure != null) {
            throw new ReactorException("reactor " + name() + ": " + failure, failure);
        }
    }

    /** Turns so far. Any thread. */
    public long turns() {
        return turn.turns();
    }

    /** Turns that found something to do. Any thread. */
    public long busyTurns() {
        return turn.busyTurns();
    }

    /** Times that the thread went to sleep. Any thread. */
    public long sleeps() {
        return turn.sleeps();
    }

    /** Messages and timers that threw. Any thread. */
    public long failures() {
        return turn.failures();
    }

    /**
     * The longest time that a few turns in a row ({@value #TURNS_PER_SPAN}) took, one of them busy: no turn was longer.
     * Counts what the kernel ran on the core meanwhile. Any thread.
     */
    public long longestBusySpanNs() {
        return turn.longestBusySpanNs();
    }

    /** One turn: mailbox, timers, pollers. Returns the work done. Own thread only, of a reactor that was not started. */
    public int runOnce() {
        int work = turn(true);
        // What is scheduled between turns counts from then.
        turn.forgetTime();
        return work;
    }

    /** Ends the thread after its current turn and what is in the mailbox, and waits for it, unless called from within. */
    public void stop() throws InterruptedException {
        stopping = true;
        doorbell.ring();
        if (started && !isCurrent()) {
            thread.join();
        }
    }

    private void openDoorbell() {
        try {
            doorbell.open(name());
            for (int fd : wakeFds) {
                doorbell.add(fd);
            }
        } catch (RuntimeException e) {
            doorbell.close();
            throw e;
        }
    }

    private void main(CompletableFuture<@Nullable Void> running) {
        try {
            if (config.core() != UNPINNED) {
                CoreMask.pinCallingThread(config.core());
            }
        } catch (RuntimeException e) {
            doorbell.close();
            ended = true;
            running.completeExceptionally(e);
            return;
        }
        running.complete(null);
        while (!stopping) {
            try {
                loop();
            } catch (Throwable t) {
                onFailure(t);
            }
        }
        ended = true;
        runLastMessages();
        doorbell.close();
    }

    /** At most a mailbox full: a message that sends itself again would have no end. */
    private void runLastMessages() {
        turn.running = null;
        Message message;
        for (int left = config.mailboxCapacity(); left > 0 && (message = mailbox.poll()) != null; left--) {
            turn.next();
            try {
                message.run();
            } catch (Throwable t) {
                onMessageFailure(message, t);
            }
        }
    }

    private void loop() {
        int count = 0;
        int idleTurns = 0;
        int turnsOfSpan = 0;
        long idleSinceNs = 0;
        turn.startSpan(clock.monotonicNs());
        while (!stopping) {
            boolean checkTimers = idleTurns != 0 || ++count % TURNS_PER_TIMER_CHECK == 0;
            boolean busy = turn(checkTimers) != 0;
            if (++turnsOfSpan == TURNS_PER_SPAN) {
                turnsOfSpan = 0;
                turn.endSpan(clock.monotonicNs());
            }
            if (busy) {
                idleTurns = 0;
                continue;
            }
            Thread.onSpinWait();
            if (config.idlePolicy() == IdlePolicy.BUSY) {
                idleTurns = 1;
            } else if (config.idlePolicy() == IdlePolicy.INTERRUPT) {
                idleTurns = 1;
                turnsOfSpan = 0;
                sleep();
            } else if (idleTurns++ == 0) {
                idleSinceNs = nowNs();
            } else if (idleTurns % IDLE_TURNS_PER_CLOCK_READ == 0 && nowNs() - idleSinceNs >= config.spinNs()) {
                idleTurns = 0;
                turnsOfSpan = 0;
                sleep();
            }
        }
    }

    private int turn(boolean checkTimers) {
        turn.next();
        int work;
        try {
            work = drainMailbox();
            if (checkTimers && timers.size() != 0) {
                work += expireTimers();
            }
            work += pollAll();
        } catch (Throwable t) {
            onFailure(t);
            work = 1;
        }
        if (work != 0) {
            turn.countBusy();
        }
        return work;
    }

    private int drainMailbox() {
        turn.running = null;
        int count = 0;
        Message message;
        while (count < MESSAGES_PER_TURN && (message = mailbox.relaxedPoll()) != null) {
            count++;
            try {
                message.run();
            } catch (Throwable t) {
                onMessageFailure(message, t);
            }
        }
        Memory.deliverFault();
        return count;
    }

    private void onMessageFailure(Message message, Throwable thrown) {
        onFailure(thrown);
        try {
            message.onFailure(thrown);
        } catch (Throwable t) {
            LOG.error("reactor {}: a message failed in dealing with its failure", name(), t);
        }
    }

    /** Runs what is due; what these schedule in turn, however short, waits for the next turn. */
    private int expireTimers() {
        long now = nowNs();
        long end = timers.nextSequence();
        int count = 0;
        ReactorTimer first;
        while ((first = timers.first()) != null && first.deadlineNs - now <= 0 && first.sequence - end < 0) {
            timers.remove(first);
            count++;
            first.action.run();
        }
        return count;
    }

    @SuppressWarnings("ReferenceEquality") // the array is replaced by every change
    private int pollAll() {
        Poller[] all = pollers;
        int work = 0;
        for (Poller poller : all) {
            turn.running = poller;
            work += poller.poll();
            Memory.deliverFault();
            if (pollers != all) {
                // One of the rest may just have been removed; they have their turn with the next.
                return work + 1;
            }
        }
        return work;
    }

    /** Sleeps, if nothing speaks against it. */
    private void sleep() {
        Poller[] all = pollers;
        int asked = 0;
        boolean mayStillSleep = true;
        turn.endSpan(clock.monotonicNs());
        doorbell.announceSleep();
        while (mayStillSleep && asked < all.length) {
            mayStillSleep = prepare(all[asked++]);
        }
        if (mayStillSleep && mailbox.isEmpty() && !stopping) {
            long timeoutNs = nextTimerNs();
            if (timeoutNs < 0 || timeoutNs >= SHORTEST_SLEEP_NS) {
                turn.countSleep();
                int result = doorbell.await(timeoutNs);
                assert result >= 0 || result == -Errno.EINTR : Errno.name(result);
            }
        }
        doorbell.withdrawSleep();
        turn.startSpan(clock.monotonicNs());
        for (int i = 0; i < asked; i++) {
            wake(all[i]);
        }
    }

    /** Nanoseconds until the next timer, or -1 when there is none. */
    private long nextTimerNs() {
        ReactorTimer first = timers.first();
        if (first == null) {
            return -1;
        }
        turn.forgetTime();
        return Math.max(0, first.deadlineNs - nowNs());
    }

    private boolean prepare(Poller poller) {
        try {
            return poller.prepareToSleep();
        } catch (Throwable t) {
            turn.running = poller;
            onFailure(t);
            return false;
        }
    }

    private void wake(Poller poller) {
        try {
            poller.wake();
        } catch (Throwable t) {
            turn.running = poller;
            onFailure(t);
        }
    }

    @SuppressWarnings("ReferenceEquality") // identity is meant
    private void onFailure(Throwable thrown) {
        Poller culprit = turn.running;
        turn.running = null;
        if (culprit != null && isDealtWithBy(culprit, thrown)) {
            return;
        }
        if (thrown instanceof InternalError) {
            for (Poller poller : pollers) {
                if (poller != culprit && isDealtWithBy(poller, thrown)) {
                    return;
                }
            }
        }
        turn.failure = thrown;
        if (culprit != null) {
            LOG.error("reactor {}: poller {} is removed: it failed and has not dealt with it", name(), culprit, thrown);
            removePoller(culprit);
        } else if (turn.countFailure() <= MAX_LOGGED_FAILURES) {
            LOG.error("reactor {}: a message or timer failed; failure {}", name(), turn.failures(), thrown);
        }
    }

    private boolean isDealtWithBy(Poller poller, Throwable thrown) {
        try {
            return poller.onError(thrown);
        } catch (Throwable t) {
            LOG.error("reactor {}: poller {} failed in dealing with a failure", name(), poller, t);
            return false;
        }
    }

    private void sendSlowPath(Message message) {
        do {
            if (isCurrent() || ended) {
                throw new ReactorException(
                        "mailbox of reactor " + name() + " is full: " + config.mailboxCapacity() + " messages wait");
            }
            Thread.onSpinWait();
        } while (!mailbox.offer(message));
    }

    private void requireOwnThread() {
        if (!isCurrent()) {
            throw new ReactorException("reactor " + name() + ": called from thread "
                    + Thread.currentThread().getName() + "; send a message or ask");
        }
    }

    /** A supplier on its way to the reactor and its result on the way back. */
    private static final class Question<T extends @Nullable Object> implements Message {
        final CountDownLatch answered = new CountDownLatch(1);
        private final Supplier<T> question;
        private @Nullable T answer;
        private @Nullable Throwable failure;

        Question(Supplier<T> question) {
            this.question = question;
        }

        @Override
        public void run() {
            try {
                answer = question.get();
            } catch (Throwable t) {
                failure = t;
            }
            answered.countDown();
        }

        @SuppressWarnings("NullAway") // a null answer is one that the question gave
        T result(String reactorName) {
            if (failure != null) {
                throw new ReactorException("reactor " + reactorName + ": " + failure, failure);
            }
            return answer;
        }
    }
}

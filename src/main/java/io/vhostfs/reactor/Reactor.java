package io.vhostfs.reactor;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jctools.queues.MpscArrayQueue;
import org.jspecify.annotations.Nullable;

/**
 * One thread that runs its pollers in turn and drains its mailbox.
 *
 * <p>Invariant: pollers and messages run on the reactor's thread only, one at a time. A reactor that was not started is
 * driven by hand ({@link #runOnce}) by the one thread that made it: simulations, mkfs and tests use it so.
 */
public final class Reactor {
    /** Messages waiting at once: more than all preallocated requests of a large configuration. */
    private static final int MAILBOX_CAPACITY = 1 << 16;

    private final String name;
    private final MpscArrayQueue<Message> mailbox = new MpscArrayQueue<>(MAILBOX_CAPACITY);
    private final List<Poller> pollers = new ArrayList<>();
    private volatile Thread thread;
    private volatile boolean stopping;

    public Reactor(String name) {
        this.name = name;
        this.thread = Thread.currentThread();
    }

    public String name() {
        return name;
    }

    public void start() {
        Thread t = Thread.ofPlatform().name(name).unstarted(this::loop);
        thread = t;
        t.start();
    }

    /** Whether the caller runs on this reactor's thread. */
    public boolean isCurrent() {
        return Thread.currentThread() == thread;
    }

    /** Any thread. A message must not be sent again before it has run. */
    public void send(Message message) {
        while (!mailbox.offer(message)) {
            Thread.onSpinWait();
        }
    }

    /** Own thread only. */
    public void addPoller(Poller poller) {
        pollers.add(poller);
    }

    /** Own thread only. */
    public void removePoller(Poller poller) {
        pollers.remove(poller);
    }

    /** A file descriptor whose readability ends a sleep. Own thread only. */
    public void addWakeFd(int fd) {}

    /** Own thread only. */
    public void removeWakeFd(int fd) {}

    /** Runs {@code message} once, not before {@code delayNs} from now. Own thread only. */
    public void schedule(long delayNs, Message message) {}

    /** Nanoseconds of a monotonic clock, read at the start of this turn. */
    public long nowNs() {
        return System.nanoTime();
    }

    /** Nanoseconds since 1970, for time stamps of files. */
    public long wallClockNs() {
        return TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis());
    }

    /** One turn: mailbox, timers, pollers. Returns the work done. */
    public int runOnce() {
        int work = mailbox.drain(Message::run, 256);
        for (int i = 0; i < pollers.size(); i++) {
            work += pollers.get(i).poll();
        }
        return work;
    }

    /** Ends the thread after its current turn and waits for it. */
    public void stop() throws InterruptedException {
        stopping = true;
        @Nullable Thread t = thread;
        if (t != null && t != Thread.currentThread()) {
            t.join();
        }
    }

    private void loop() {
        while (!stopping) {
            if (runOnce() == 0) {
                Thread.onSpinWait();
            }
        }
    }
}

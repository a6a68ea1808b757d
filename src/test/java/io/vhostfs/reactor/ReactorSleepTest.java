package io.vhostfs.reactor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A lost wake-up shows as a test that hangs until its timeout: nothing else happens on these reactors. */
@Timeout(120)
class ReactorSleepTest {
    private static final int SENDERS = 3;
    private static final int ROUNDS = 10_000;

    @ParameterizedTest
    @EnumSource(IdlePolicy.class)
    void noMessageOfManySendersIsLostToASleepingReactor(IdlePolicy policy) throws Exception {
        Reactor reactor = started(policy);
        List<Thread> senders = new ArrayList<>();
        AtomicInteger ran = new AtomicInteger();
        for (int i = 0; i < SENDERS; i++) {
            senders.add(Thread.ofPlatform().start(() -> {
                Semaphore answers = new Semaphore(0);
                Message message = () -> {
                    ran.incrementAndGet();
                    answers.release();
                };
                for (int round = 0; round < ROUNDS; round++) {
                    reactor.send(message);
                    answers.acquireUninterruptibly();
                }
            }));
        }
        for (Thread sender : senders) {
            sender.join();
        }
        assertEquals(SENDERS * ROUNDS, ran.get());
        assertEquals(policy == IdlePolicy.BUSY, reactor.sleeps() == 0);
        reactor.stop();
    }

    @Test
    void aMessageSentAtAnyMomentOfFallingAsleepIsNotLost() throws Exception {
        Reactor reactor = started(IdlePolicy.INTERRUPT);
        AtomicInteger ran = new AtomicInteger();
        Message message = ran::incrementAndGet;
        for (int round = 1; round <= 5 * ROUNDS; round++) {
            reactor.send(message);
            awaitSpinning(ran, round);
            // The reactor is on its way to sleep now: hit each of its steps.
            for (int delay = round & 31; delay > 0; delay--) {
                Thread.onSpinWait();
            }
        }
        reactor.stop();
    }

    @ParameterizedTest
    @EnumSource(Step.class)
    void aMessageSentAtEachStepOfFallingAsleepIsNotLost(Step step) throws Exception {
        CountDownLatch ran = new CountDownLatch(10);
        SteppedDoorbell doorbell = new SteppedDoorbell(step);
        Reactor reactor = new Reactor(Reactor.Config.named("stepped").withIdlePolicy(IdlePolicy.INTERRUPT), doorbell);
        doorbell.atStep = () -> sendFromElsewhere(reactor, ran::countDown);
        reactor.addPoller(doorbell);
        reactor.start();
        ran.await();
        reactor.stop();
    }

    @Test
    void twoSleepyReactorsPassAMessageToAndFro() throws Exception {
        Reactor ping = started(IdlePolicy.INTERRUPT);
        Reactor pong = started(IdlePolicy.INTERRUPT);
        CountDownLatch done = new CountDownLatch(1);
        int[] left = {ROUNDS};
        Message[] there = new Message[1];
        Message back = () -> {
            if (--left[0] == 0) {
                done.countDown();
            } else {
                pong.send(there[0]);
            }
        };
        there[0] = () -> ping.send(back);
        pong.send(there[0]);
        done.await();
        ping.stop();
        pong.stop();
    }

    @Test
    void noKickIsLostBetweenAPollersLastLookAndTheSleep() throws Exception {
        Reactor reactor = started(IdlePolicy.INTERRUPT);
        KickedSource source = new KickedSource();
        reactor.ask(() -> {
            reactor.addPoller(source);
            reactor.addWakeFd(source.eventFd);
            return 0;
        });
        for (int round = 0; round < ROUNDS; round++) {
            source.submit();
            source.done.acquire();
        }
        reactor.ask(() -> {
            reactor.removeWakeFd(source.eventFd);
            reactor.removePoller(source);
            return 0;
        });
        assertEquals(source.prepared, source.woken);
        assertEquals(0, Libc.close(source.eventFd));
        reactor.stop();
    }

    @Test
    void aPollerThatRefusesToSleepKeepsTheReactorAwakeAndEveryPreparationIsTakenBack() throws Exception {
        Reactor reactor = started(IdlePolicy.INTERRUPT);
        CountingPoller before = new CountingPoller(true);
        CountingPoller refusing = new CountingPoller(false);
        CountingPoller behind = new CountingPoller(true);
        long sleeps = reactor.ask(() -> {
            reactor.addPoller(before);
            reactor.addPoller(refusing);
            reactor.addPoller(behind);
            return reactor.sleeps();
        });
        refusing.polledOften.await();
        assertEquals(sleeps, reactor.sleeps());
        reactor.stop();
        assertTrue(refusing.prepared > 0);
        assertEquals(refusing.prepared, refusing.woken);
        assertEquals(refusing.prepared, before.prepared);
        assertEquals(before.prepared, before.woken);
        assertEquals(0, behind.prepared + behind.woken);
    }

    @Test
    void aFileDescriptorThatStaysReadableDoesNotKeepTheReactorAwake() throws Exception {
        Reactor reactor = started(IdlePolicy.INTERRUPT);
        int eventFd = Libc.eventfd(1, LibcConstants.EFD_CLOEXEC);
        reactor.ask(() -> {
            reactor.addWakeFd(eventFd);
            return 0;
        });
        long turns = turnsDuringTimers(reactor, 20);
        assertTrue(turns < 200, turns + " turns");
        reactor.stop();
        Libc.close(eventFd);
    }

    @ParameterizedTest
    @EnumSource(names = {"ADAPTIVE", "INTERRUPT"})
    void anIdleReactorLeavesItsCoreAlone(IdlePolicy policy) throws Exception {
        Reactor reactor = started(policy);
        long thread = reactor.ask(() -> Thread.currentThread().threadId());
        turnsDuringTimers(reactor, 5);
        long cpuBefore = ManagementFactory.getThreadMXBean().getThreadCpuTime(thread);
        long wallBefore = System.nanoTime();
        turnsDuringTimers(reactor, 40);
        long cpu = ManagementFactory.getThreadMXBean().getThreadCpuTime(thread) - cpuBefore;
        long wall = System.nanoTime() - wallBefore;
        reactor.stop();
        assertTrue(cpu * 20 < wall, cpu + " ns of processor time in " + wall + " ns");
    }

    @Test
    void sendersThatRaceWithTheEndHitNothingElse() throws Exception {
        for (int i = 0; i < 100; i++) {
            Reactor reactor = started(IdlePolicy.INTERRUPT);
            CountDownLatch sending = new CountDownLatch(SENDERS);
            List<Thread> senders = new ArrayList<>();
            for (int s = 0; s < SENDERS; s++) {
                senders.add(Thread.ofPlatform().start(() -> {
                    sending.countDown();
                    for (int n = 0; n < 1000; n++) {
                        reactor.send(() -> {});
                    }
                }));
            }
            sending.await();
            reactor.stop();
            // Whoever gets the reactor's file numbers next must not see a late write.
            int next = Libc.eventfd(0, LibcConstants.EFD_CLOEXEC | LibcConstants.EFD_NONBLOCK);
            for (Thread sender : senders) {
                sender.join();
            }
            long buffer = PermanentMemory.allocate(Long.BYTES);
            assertTrue(Libc.read(next, buffer, Long.BYTES) < 0, "a stranger's eventfd was written");
            Libc.close(next);
        }
    }

    /** The turns it takes to run {@code count} timers, 10 ms apart, on an otherwise idle reactor. */
    private static long turnsDuringTimers(Reactor reactor, int count) throws InterruptedException {
        long before = reactor.turns();
        CountDownLatch fired = new CountDownLatch(count);
        reactor.send(() -> {
            for (int i = 1; i <= count; i++) {
                reactor.schedule(i * 10_000_000L, fired::countDown);
            }
        });
        fired.await();
        return reactor.turns() - before;
    }

    private static Reactor started(IdlePolicy policy) {
        Reactor reactor = new Reactor(Reactor.Config.named("sleepy").withIdlePolicy(policy));
        reactor.start();
        return reactor;
    }

    /** Answers quickly while the other thread runs on another core, and leaves the core to it when it does not. */
    private static void awaitSpinning(AtomicInteger counter, int value) {
        for (int spins = 0; counter.get() != value; spins++) {
            if (spins < 2000) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(1000);
            }
        }
    }

    @Test
    void theEndWaitsForARingerThatHasNotWrittenYet() throws Exception {
        CountDownLatch closed = new CountDownLatch(1);
        CountDownLatch ringing = new CountDownLatch(1);
        AtomicBoolean wroteToClosed = new AtomicBoolean();
        Doorbell doorbell = new Doorbell() {
            @Override
            void writeEventFd() {
                ringing.countDown();
                try {
                    // Long enough for an end that does not wait; it only makes a wrong end go unnoticed if too short.
                    wroteToClosed.set(closed.await(100, TimeUnit.MILLISECONDS));
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
                super.writeEventFd();
            }

            @Override
            void close() {
                super.close();
                closed.countDown();
            }
        };
        Reactor reactor = new Reactor(Reactor.Config.named("ending").withIdlePolicy(IdlePolicy.INTERRUPT), doorbell);
        // It falls asleep again and again, and wakes up by itself while the ringer is at its system call.
        ReactorTimer[] timer = new ReactorTimer[1];
        timer[0] = new ReactorTimer(() -> reactor.schedule(timer[0], 1_000_000));
        reactor.schedule(timer[0], 1_000_000);
        reactor.start();
        Thread ringer = Thread.ofPlatform().start(() -> {
            while (ringing.getCount() != 0) {
                reactor.send(() -> {});
            }
        });
        ringing.await();
        reactor.stop();
        ringer.join();
        assertFalse(wroteToClosed.get());
    }

    private static void sendFromElsewhere(Reactor reactor, Message message) {
        try {
            Thread.ofPlatform().start(() -> reactor.send(message)).join();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    enum Step {
        BEFORE_ANNOUNCING,
        WHILE_PREPARING,
        BEFORE_SLEEPING
    }

    /** Does something at one step of falling asleep, on the reactor's thread. */
    private static final class SteppedDoorbell extends Doorbell implements Poller {
        Runnable atStep = () -> {};
        private final Step step;

        SteppedDoorbell(Step step) {
            this.step = step;
        }

        @Override
        void announceSleep() {
            reached(Step.BEFORE_ANNOUNCING);
            super.announceSleep();
        }

        @Override
        public boolean prepareToSleep() {
            reached(Step.WHILE_PREPARING);
            return true;
        }

        @Override
        int await(long timeoutNs) {
            // Opening the doorbell tries a sleep of no length.
            if (timeoutNs != 0) {
                reached(Step.BEFORE_SLEEPING);
            }
            return super.await(timeoutNs);
        }

        @Override
        public int poll() {
            return 0;
        }

        @Override
        public void wake() {}

        private void reached(Step now) {
            if (now == step) {
                atStep.run();
            }
        }
    }

    /** Like a virtqueue: work is counted in shared memory, and a kick is sent only when the poller asked for one. */
    private static final class KickedSource implements Poller {
        final int eventFd = Libc.eventfd(0, LibcConstants.EFD_CLOEXEC | LibcConstants.EFD_NONBLOCK);
        final Semaphore done = new Semaphore(0);
        int prepared;
        int woken;
        private int seen;
        private final AtomicInteger submitted = new AtomicInteger();
        private final AtomicInteger wantsKick = new AtomicInteger();
        private final long one = PermanentMemory.allocate(Long.BYTES);

        KickedSource() {
            Memory.putLong(one, 1);
        }

        void submit() {
            submitted.incrementAndGet();
            if (wantsKick.get() != 0) {
                assertEquals(Long.BYTES, Libc.write(eventFd, one, Long.BYTES));
            }
        }

        @Override
        public int poll() {
            int work = submitted.get() - seen;
            seen += work;
            done.release(work);
            return work;
        }

        @Override
        public boolean prepareToSleep() {
            prepared++;
            wantsKick.set(1);
            return submitted.get() == seen;
        }

        @Override
        public void wake() {
            woken++;
            wantsKick.set(0);
        }
    }

    private static final class CountingPoller implements Poller {
        final CountDownLatch polledOften = new CountDownLatch(1000);
        int prepared;
        int woken;
        private final boolean maySleep;

        CountingPoller(boolean maySleep) {
            this.maySleep = maySleep;
        }

        @Override
        public int poll() {
            polledOften.countDown();
            return 0;
        }

        @Override
        public boolean prepareToSleep() {
            prepared++;
            return maySleep;
        }

        @Override
        public void wake() {
            woken++;
        }
    }
}

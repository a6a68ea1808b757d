package io.vhostfs.reactor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(60)
class ReactorTest {
    private final ManualClock clock = new ManualClock();
    private final Reactor byHand = new Reactor(Reactor.Config.named("by-hand").withClock(clock));
    private final List<String> log = new ArrayList<>();

    @Test
    void aTurnRunsMailboxThenTimersThenPollersInOrder() {
        byHand.addPoller(poller("a"));
        byHand.addPoller(poller("b"));
        byHand.schedule(0, () -> log.add("timer"));
        byHand.send(() -> log.add("message 1"));
        byHand.send(() -> log.add("message 2"));
        assertEquals(5, byHand.runOnce());
        assertEquals(List.of("message 1", "message 2", "timer", "a", "b"), log);
    }

    @Test
    void timersRunInDeadlineOrderAndNotBefore() {
        byHand.schedule(300, () -> log.add("300"));
        byHand.schedule(100, () -> log.add("100"));
        byHand.schedule(200, () -> log.add("200 first"));
        byHand.schedule(200, () -> log.add("200 second"));
        clock.nowNs += 99;
        byHand.runOnce();
        assertEquals(List.of(), log);
        clock.nowNs += 101;
        byHand.runOnce();
        assertEquals(List.of("100", "200 first", "200 second"), log);
        clock.nowNs += 100;
        byHand.runOnce();
        assertEquals("300", log.getLast());
    }

    @Test
    void aTimerCanBeMovedCancelledAndScheduledByItsOwnAction() {
        ReactorTimer[] self = new ReactorTimer[1];
        self[0] = new ReactorTimer(() -> {
            log.add("periodic");
            byHand.schedule(self[0], 0);
        });
        ReactorTimer moved = new ReactorTimer(() -> log.add("moved"));
        byHand.schedule(self[0], 0);
        byHand.schedule(moved, 0);
        byHand.schedule(moved, 1000);
        byHand.runOnce();
        byHand.runOnce();
        assertEquals(List.of("periodic", "periodic"), log);
        byHand.cancel(self[0]);
        byHand.cancel(self[0]);
        clock.nowNs += 1000;
        byHand.runOnce();
        assertEquals(List.of("periodic", "periodic", "moved"), log);
        assertFalse(moved.isScheduled());
    }

    @Test
    void timeStandsStillWithinATurn() {
        clock.nowNs = 5;
        byHand.send(() -> {
            long now = byHand.nowNs();
            long wallClock = byHand.wallClockNs();
            clock.nowNs++;
            assertEquals(now, byHand.nowNs());
            assertEquals(wallClock, byHand.wallClockNs());
            log.add("checked");
        });
        byHand.runOnce();
        assertEquals(List.of("checked"), log);
        assertEquals(6, byHand.nowNs());
    }

    @Test
    void aPollerRemovedByAnotherDoesNotRunAgain() {
        TestPoller victim = poller("victim");
        byHand.addPoller(new TestPoller("remover", log) {
            @Override
            public int poll() {
                byHand.removePoller(victim);
                return super.poll();
            }
        });
        byHand.addPoller(victim);
        byHand.runOnce();
        byHand.runOnce();
        assertEquals(List.of("remover", "remover"), log);
    }

    @Test
    void aPollerThatThrowsIsToldAndRemovedAndTheOthersGoOn() {
        RuntimeException thrown = new RuntimeException("as the test wants it");
        TestPoller failing = new TestPoller("failing", log) {
            @Override
            public int poll() {
                super.poll();
                throw thrown;
            }
        };
        byHand.addPoller(poller("before"));
        byHand.addPoller(failing);
        byHand.addPoller(poller("after"));
        byHand.runOnce();
        byHand.runOnce();
        assertSame(thrown, failing.error);
        assertEquals(List.of("before", "failing", "before", "after"), log);
    }

    @Test
    void aPollerThatDealsWithItsErrorStays() {
        TestPoller failing = new TestPoller("failing", log) {
            @Override
            public int poll() {
                super.poll();
                throw new InternalError("as the test wants it");
            }
        };
        failing.dealsWithErrors = true;
        byHand.addPoller(failing);
        byHand.runOnce();
        byHand.runOnce();
        assertEquals(List.of("failing", "failing"), log);
    }

    @Test
    void memoryFaultIsOfferedToTheOtherPollersBeforeAnInnocentOneIsRemoved() {
        TestPoller owner = poller("owner");
        owner.dealsWithErrors = true;
        TestPoller innocent = new TestPoller("innocent", log) {
            @Override
            public int poll() {
                if (super.poll() == 1 && log.size() == 1) {
                    throw new InternalError("as the test wants it");
                }
                return 1;
            }
        };
        byHand.addPoller(innocent);
        byHand.addPoller(owner);
        byHand.runOnce();
        byHand.runOnce();
        assertTrue(owner.error instanceof InternalError);
        assertEquals(List.of("innocent", "innocent", "owner"), log);
    }

    @Test
    void aMessageThatThrowsLeavesTheNextOnesAlone() {
        byHand.send(() -> {
            throw new IllegalStateException("as the test wants it");
        });
        byHand.send(() -> log.add("next"));
        byHand.runOnce();
        byHand.runOnce();
        assertEquals(List.of("next"), log);
    }

    @Test
    void aMessageThatThrowsIsToldAndCounted() {
        byHand.send(new Message() {
            @Override
            public void run() {
                throw new IncompatibleClassChangeError("as the test wants it");
            }

            @Override
            public void onFailure(Throwable thrown) {
                log.add(String.valueOf(thrown.getMessage()));
                throw new IllegalStateException("as the test wants it, too");
            }
        });
        byHand.send(() -> log.add("next"));
        byHand.runOnce();
        assertEquals(List.of("as the test wants it", "next"), log);
        assertEquals(1, byHand.failures());
    }

    @Test
    void aFullMailboxIsAnErrorForItsOwnThread() {
        Reactor small = new Reactor(Reactor.Config.named("small").withMailboxCapacity(4));
        for (int i = 0; i < 4; i++) {
            small.send(() -> log.add("message"));
        }
        ReactorException e = assertThrows(ReactorException.class, () -> small.send(() -> {}));
        assertTrue(e.toString().contains("small"), e.toString());
        small.runOnce();
        assertEquals(4, log.size());
    }

    @ParameterizedTest
    @EnumSource(IdlePolicy.class)
    void aStartedReactorRunsMessagesAndTimersOnItsThreadAndStops(IdlePolicy policy) throws Exception {
        Reactor reactor = new Reactor(Reactor.Config.named("started").withIdlePolicy(policy));
        reactor.start();
        assertFalse(reactor.isCurrent());
        assertTrue(reactor.ask(reactor::isCurrent));
        assertEquals("started", reactor.ask(() -> Thread.currentThread().getName()));
        CountDownLatch fired = new CountDownLatch(3);
        reactor.send(() -> {
            reactor.schedule(3_000_000, fired::countDown);
            reactor.schedule(1_000, fired::countDown);
            reactor.schedule(100_000, fired::countDown);
        });
        fired.await();
        reactor.stop();
        assertThrows(ReactorException.class, () -> reactor.ask(() -> 1));
    }

    @Test
    void aTimerIsNotEarlyOnTheSystemsClock() throws Exception {
        Reactor reactor = new Reactor("timer");
        reactor.start();
        long[] late = new long[1];
        CountDownLatch fired = new CountDownLatch(1);
        reactor.send(() -> {
            long deadline = reactor.nowNs() + 2_000_000;
            reactor.schedule(2_000_000, () -> {
                late[0] = System.nanoTime() - deadline;
                fired.countDown();
            });
        });
        fired.await();
        reactor.stop();
        assertTrue(late[0] >= 0, "early by " + -late[0] + " ns");
    }

    @Test
    void aLongTurnShowsAndSleepDoesNot() throws Exception {
        Reactor reactor = new Reactor(Reactor.Config.named("test").withIdlePolicy(IdlePolicy.INTERRUPT));
        reactor.start();
        long turnNs = 20_000_000;
        CountDownLatch later = new CountDownLatch(1);
        reactor.send(() -> {
            long start = System.nanoTime();
            while (System.nanoTime() - start < turnNs) {
                Thread.onSpinWait();
            }
            reactor.schedule(1_000_000_000L, later::countDown);
        });
        later.await();
        long longest = reactor.ask(reactor::longestBusySpanNs);
        reactor.stop();
        assertTrue(longest >= turnNs, longest + " ns");
        assertTrue(longest < 1_000_000_000L, "time asleep counts as a turn: " + longest + " ns");
    }

    @Test
    void messagesSentBeforeStopRun() throws Exception {
        Reactor reactor = new Reactor(Reactor.Config.named("stopped").withIdlePolicy(IdlePolicy.INTERRUPT));
        reactor.start();
        AtomicBoolean ran = new AtomicBoolean();
        for (int i = 0; i < 10_000; i++) {
            reactor.send(() -> {});
        }
        reactor.send(() -> ran.set(true));
        reactor.stop();
        assertTrue(ran.get());
    }

    @Test
    void askPassesOnWhatTheQuestionThrowsAndRefusesToWaitForItself() throws Exception {
        Reactor reactor = new Reactor("asked");
        reactor.start();
        IllegalStateException thrown = new IllegalStateException("as the test wants it");
        ReactorException e = assertThrows(
                ReactorException.class,
                () -> reactor.ask(() -> {
                    throw thrown;
                }));
        assertSame(thrown, e.getCause());
        assertTrue(reactor.ask(() -> {
            assertThrows(ReactorException.class, () -> reactor.ask(() -> 1));
            return true;
        }));
        reactor.stop();
    }

    @Test
    void ownThreadCallsFromElsewhereAreRefused() throws Exception {
        Reactor reactor = new Reactor("mine");
        reactor.start();
        assertThrows(ReactorException.class, () -> reactor.addPoller(poller("a")));
        assertThrows(ReactorException.class, () -> reactor.addWakeFd(0));
        assertThrows(ReactorException.class, reactor::start);
        reactor.stop();
    }

    @Test
    void aPinnedReactorRunsOnItsCoreAndLeavesTheStarterWhereItWas() throws Exception {
        CoreMask before = CoreMask.allowed();
        int core = before.cores()[before.count() - 1];
        Reactor reactor = new Reactor(Reactor.Config.named("pinned").withCore(core));
        reactor.start();
        assertEquals(CoreMask.parse(Integer.toString(core)), reactor.ask(CoreMask::allowed));
        assertEquals(before, CoreMask.allowed());
        reactor.stop();
    }

    @Test
    void aCoreThatIsNotThereFailsTheStart() {
        Reactor reactor = new Reactor(Reactor.Config.named("nowhere").withCore(1023));
        ReactorException e = assertThrows(ReactorException.class, reactor::start);
        assertTrue(e.toString().contains("1023"), e.toString());
    }

    @Test
    void aGroupHasOneReactorPerCore() throws Exception {
        CoreMask allowed = CoreMask.allowed();
        try (Reactors reactors = Reactors.start(allowed, IdlePolicy.INTERRUPT)) {
            assertEquals(allowed.count(), reactors.count());
            assertSame(reactors.get(0), reactors.home());
            for (int i = 0; i < reactors.count(); i++) {
                assertEquals(
                        CoreMask.parse(Integer.toString(allowed.cores()[i])),
                        reactors.get(i).ask(CoreMask::allowed));
            }
        }
    }

    private TestPoller poller(String name) {
        return new TestPoller(name, log);
    }

    private static final class ManualClock implements ReactorClock {
        long nowNs = Long.MAX_VALUE - 150;

        @Override
        public long monotonicNs() {
            return nowNs;
        }

        @Override
        public long wallClockNs() {
            return nowNs;
        }
    }
}

package io.vhostfs.reactor;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * What changes in every turn, on cache lines of its own: senders that read the reactor's other fields do not miss because
 * of it. Written by the reactor's thread only; the counters are read by any.
 */
final class ReactorTurn extends ReactorTurnFields {
    private static final VarHandle TURNS = handle("turns");
    private static final VarHandle BUSY_TURNS = handle("busyTurns");
    private static final VarHandle SLEEPS = handle("sleeps");
    private static final VarHandle FAILURES = handle("failures");
    private static final VarHandle LONGEST_BUSY_SPAN_NS = handle("longestBusySpanNs");

    @SuppressWarnings("unused")
    private long p0, p1, p2, p3, p4, p5, p6, p7;

    /** Starts a turn: both clocks are to be read again. */
    void next() {
        forgetTime();
        TURNS.setOpaque(this, turns + 1);
    }

    void forgetTime() {
        nowRead = false;
        wallClockRead = false;
    }

    void countBusy() {
        BUSY_TURNS.setOpaque(this, busyTurns + 1);
    }

    void countSleep() {
        SLEEPS.setOpaque(this, sleeps + 1);
    }

    /** Measures the turns since the span was started, if one of them was busy, and starts the next. */
    void endSpan(long nowNs) {
        if (busyTurns != spanBusyTurns && nowNs - spanStartNs > longestBusySpanNs) {
            LONGEST_BUSY_SPAN_NS.setOpaque(this, nowNs - spanStartNs);
        }
        startSpan(nowNs);
    }

    void startSpan(long nowNs) {
        spanStartNs = nowNs;
        spanBusyTurns = busyTurns;
    }

    long longestBusySpanNs() {
        return (long) LONGEST_BUSY_SPAN_NS.getOpaque(this);
    }

    long turns() {
        return (long) TURNS.getOpaque(this);
    }

    long busyTurns() {
        return (long) BUSY_TURNS.getOpaque(this);
    }

    long countFailure() {
        FAILURES.setOpaque(this, failures + 1);
        return failures;
    }

    long failures() {
        return (long) FAILURES.getOpaque(this);
    }

    long sleeps() {
        return (long) SLEEPS.getOpaque(this);
    }

    private static VarHandle handle(String field) {
        try {
            return MethodHandles.lookup().findVarHandle(ReactorTurnFields.class, field, long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }
}

/** The virtual machine lays out a superclass's fields first. */
class ReactorTurnPadding {
    @SuppressWarnings("unused")
    private long p0, p1, p2, p3, p4, p5, p6, p7;
}

class ReactorTurnFields extends ReactorTurnPadding {
    long turns;
    long busyTurns;
    long sleeps;
    long longestBusySpanNs;

    long spanStartNs;

    /** {@link #busyTurns} when the span was started. */
    long spanBusyTurns;

    long nowNs;
    long wallClockNs;
    boolean nowRead;
    boolean wallClockRead;

    /** Failures of messages and timers. */
    long failures;

    /** What was thrown last and not dealt with. */
    @Nullable
    Throwable failure;

    /** The poller that runs, or ran last; null while messages and timers run. */
    @Nullable
    Poller running;
}

package io.vhostfs.sim;

import io.vhostfs.os.Errno;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A guest's requests in flight, and the judge of the errors that they are answered with.
 *
 * <p>Invariant: each request holds a slot of the driver until its answer was heard or the target is gone; while one
 * concerns an inode, that inode is counted as in use. One thread.
 */
final class GuestRequests {
    private static final int REMEMBERED = 300;
    private static final String OBSERVE = "observe opcode ";

    /** What happens when an answer comes. */
    interface Answer {
        void on(int error, byte[] body);
    }

    /** A request in flight. */
    private record Call(String what, Answer answer) {
        boolean isObservation() {
            return what.startsWith(OBSERVE);
        }
    }

    private final SimPlan plan;
    private final SimDriver driver;
    private final TraceHash trace;
    private final GuestView view;
    private final @Nullable Call[] calls = new @Nullable Call[SimDriver.SLOTS];
    private final Deque<String> recent = new ArrayDeque<>();
    private int inFlight;
    private long answered;
    private boolean sawNoSpace;

    GuestRequests(SimPlan plan, SimDriver driver, TraceHash trace, GuestView view) {
        this.plan = plan;
        this.driver = driver;
        this.trace = trace;
        this.view = view;
    }

    int inFlight() {
        return inFlight;
    }

    /** How many there were in all. */
    long answered() {
        return answered;
    }

    /** What happened last, for a report. */
    Deque<String> recent() {
        return recent;
    }

    void remember(String what) {
        recent.add(what);
        if (recent.size() > REMEMBERED) {
            recent.remove();
        }
    }

    /** The target is gone: nothing in flight will be answered. */
    void abandon() {
        for (int slot = 0; slot < calls.length; slot++) {
            Call call = calls[slot];
            if (call != null) {
                remember("unanswered: " + call.what());
            }
            calls[slot] = null;
        }
        inFlight = 0;
    }

    // --- requests and answers

    /** Sends a request that concerns its inode only; true. */
    boolean send(String what, FuseMessage m, Answer answer) {
        view.known(m.nodeid()).inFlight++;
        return start(what, m, true, (error, body) -> {
            view.known(m.nodeid()).inFlight--;
            answer.on(error, body);
        });
    }

    /** Sends a request that concerns another inode, too; true. */
    boolean send(String what, FuseMessage m, long other, Answer answer) {
        view.known(other).inFlight++;
        return send(what, m, (error, body) -> {
            view.known(other).inFlight--;
            answer.on(error, body);
        });
    }

    void sendWithoutReply(String what, FuseMessage m) {
        start(what, m, false, (error, body) -> {});
    }

    /** Sends one request, the only one; the answer is taken by {@link #takeAnswers}. */
    void sendAlone(FuseMessage m, Object[] result) {
        start(OBSERVE + m.opcode() + " inode " + m.nodeid(), m, true, (error, body) -> {
            result[0] = error;
            result[1] = body;
        });
    }

    private boolean start(String what, FuseMessage m, boolean hasReply, Answer answer) {
        int slot = driver.freeSlot();
        if (slot < 0) {
            throw new IllegalStateException("no slot is free");
        }
        calls[slot] = new Call(what, answer);
        inFlight++;
        driver.send(slot, m, hasReply);
        return true;
    }

    /** Takes all answers that are there; returns how many. */
    int takeAnswers() {
        int n = 0;
        for (int slot = driver.takeCompleted(); slot >= 0; slot = driver.takeCompleted()) {
            Call call = Objects.requireNonNull(calls[slot]);
            calls[slot] = null;
            inFlight--;
            answered++;
            n++;
            int error = driver.error(slot);
            byte[] body = driver.body(slot);
            trace.add(error);
            trace.add(body);
            if (!call.isObservation()) {
                remember(call.what() + " = " + (error == 0 ? "ok" : Errno.name(error)));
            }
            call.answer().on(error, body);
        }
        return n;
    }

    // --- judging

    /** Whether an error may come for reasons that the model does not know. */
    boolean isExcused(int error, boolean frees) {
        if (error == -Errno.ENOSPC) {
            sawNoSpace = true;
            return plan.small() && !frees;
        }
        return plan.faults().hasErred() && (error == -Errno.EIO || error == -Errno.EROFS);
    }

    /** Whether the disk was full since it last grew. */
    boolean sawNoSpace() {
        return sawNoSpace;
    }

    void forgetNoSpace() {
        sawNoSpace = false;
    }

    static String name(int error) {
        return error == 0 ? "success" : Errno.name(error);
    }

    /** False when the operation failed for a reason that is no fault. */
    boolean succeeded(String what, int error, int expected, boolean frees) {
        if (error == expected) {
            return error == 0;
        }
        if (isExcused(error, frees)) {
            return false;
        }
        throw new SimFailure(what + " was answered with " + name(error) + ", not " + name(expected));
    }
}

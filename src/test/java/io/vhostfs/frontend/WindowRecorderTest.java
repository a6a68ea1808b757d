package io.vhostfs.frontend;

import static org.junit.jupiter.api.Assertions.*;

import java.util.List;
import org.junit.jupiter.api.Test;

class WindowRecorderTest {
    private static final long WINDOW_NS = WindowRecorder.MIN_WINDOW_NS;

    /** Operations of each window, all with the same latency. */
    private static BenchSample record(long[] operations, long[] latenciesNs) {
        WindowRecorder recorder = new WindowRecorder(operations.length * WINDOW_NS);
        recorder.start(0);
        for (int window = 0; window < operations.length; window++) {
            for (long i = 0; i < operations[window]; i++) {
                recorder.record(latenciesNs[window]);
            }
            assertEquals(window + 1 < operations.length, recorder.advance((window + 1) * WINDOW_NS));
        }
        return recorder.sample();
    }

    @Test
    void figuresAreThoseOfTheFastestQuarter() {
        BenchSample sample = record(
                new long[] {10, 100, 10, 10, 100, 10, 10, 10}, new long[] {900, 20, 900, 900, 40, 900, 900, 900});
        assertEquals(200 / 4e-3, sample.opsPerSecond(), 1);
        assertEquals(20, sample.p50Ns());
        assertEquals(40, sample.maxNs());
        assertEquals(260 / 16e-3, sample.allOpsPerSecond(), 1);
    }

    @Test
    void aWindowThatEndsLateCountsItsWholeTime() {
        WindowRecorder recorder = new WindowRecorder(WINDOW_NS);
        recorder.start(0);
        assertTrue(recorder.advance(WINDOW_NS - 1));
        recorder.record(1);
        assertFalse(recorder.advance(4 * WINDOW_NS));
        assertEquals(1 / 8e-3, recorder.sample().opsPerSecond(), 1);
    }

    @Test
    void whatEndsAfterTheLastWindowDoesNotCount() {
        WindowRecorder recorder = new WindowRecorder(WINDOW_NS);
        recorder.start(0);
        recorder.record(5);
        assertFalse(recorder.advance(WINDOW_NS));
        recorder.record(5);
        assertFalse(recorder.advance(3 * WINDOW_NS));
        assertEquals(1, recorder.operations());
    }

    @Test
    void aSecondRunStartsEmpty() {
        WindowRecorder recorder = new WindowRecorder(WINDOW_NS);
        for (int run = 0; run < 2; run++) {
            recorder.start(run * 10L * WINDOW_NS);
            recorder.record(5);
            recorder.advance((run * 10L + 1) * WINDOW_NS);
            assertEquals(1, recorder.operations());
        }
    }

    @Test
    void aStallShowsInWhatIsSaidOfAllWindows() {
        WindowRecorder recorder = new WindowRecorder(8 * WINDOW_NS);
        recorder.start(0);
        for (int window = 1; window <= 8; window++) {
            int operations = window == 3 ? 1 : 100;
            for (int i = 0; i < operations; i++) {
                recorder.record(window == 3 ? 1_000_000 : 1000);
            }
            recorder.advance(window * WINDOW_NS);
        }
        BenchSample sample = recorder.sample();
        assertEquals(1000, sample.maxNs(), 10);
        assertEquals(1_000_000, sample.allMaxNs(), 10_000);
        assertEquals(1_000_000, sample.allP999Ns(), 10_000);
        assertEquals(1000, sample.allP99Ns(), 10);
    }

    @Test
    void windowsOfSlowOperationsAreLonger() {
        WindowRecorder recorder = new WindowRecorder(100 * WINDOW_NS);
        recorder.plan(100 * WINDOW_NS, WINDOW_NS / 10.0);
        recorder.start(0);
        assertTrue(recorder.advance(WINDOW_NS));
        int windows = 0;
        for (long nowNs = WINDOW_NS; recorder.advance(nowNs); nowNs += WINDOW_NS) {
            recorder.record(7);
            windows++;
        }
        assertEquals(99, windows, "ten windows of ten");
        assertEquals(WINDOW_NS, recorder.operationNs(), WINDOW_NS / 50.0);
    }

    private static BenchSample sample(double opsPerSecond, double p50Ns) {
        return new BenchSample(opsPerSecond, p50Ns, 1, 1, 1, 1, 1, 1, 1, 1, 1);
    }

    @Test
    void theMedianIsTakenOfEachFigure() {
        BenchSample low = sample(1, 9);
        BenchSample middle = sample(2, 8);
        BenchSample high = sample(9, 1);
        assertEquals(sample(2, 8), BenchSample.median(List.of(high, low, middle)));
        assertEquals(1.5, BenchSample.median(List.of(low, middle)).opsPerSecond());
    }
}

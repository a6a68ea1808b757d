package io.vhostfs.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.frontend.SharedMemory;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Seeds that fail or hang are reported and do not end the others. */
@Timeout(120)
class SimRunnerTest {
    private static final long MS = 1_000_000;

    static {
        // Mounts by the thousand, and disks that fail on purpose.
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.blobstore", "off");
    }

    private static SimResult result(long seed, boolean fails) {
        return new SimResult(seed, 1, 0, 0, 0, 0, 0, fails ? new SimFailure("seed " + seed) : null, "");
    }

    @Test
    void aFailureIsToldBeforeTheOtherSeedsHaveEnded() throws IOException, InterruptedException {
        AtomicBoolean told = new AtomicBoolean();
        SimRunner runner = new SimRunner(SimOptions.DEFAULT, 2, 0, 2, 10, (seed, options, memory) -> {
            while (seed == 1 && !told.get()) {
                Thread.onSpinWait();
            }
            return result(seed, seed == 0);
        });
        List<Long> failed = new ArrayList<>();
        SimRunner.Totals totals = runner.run(
                100,
                result -> {
                    failed.add(result.seed());
                    told.set(true);
                },
                t -> {});
        assertEquals(List.of(0L), failed);
        assertEquals(2, totals.seeds);
    }

    @Test
    void aSeedThatNeverEndsIsGivenUpAndTheOthersGoOn() throws IOException, InterruptedException {
        AtomicBoolean over = new AtomicBoolean();
        SimOptions options = new SimOptions(1, 1, 1, 20 * MS);
        SimRunner runner = new SimRunner(options, 1, 0, 6, 10, (seed, o, memory) -> {
            while (seed == 3 && !over.get()) {
                Thread.onSpinWait();
            }
            return result(seed, false);
        });
        SimRunner.Totals totals = runner.run(100, failed -> {}, t -> {});
        over.set(true);
        assertEquals(6, totals.seeds);
        assertEquals(1, totals.failures.size());
        assertEquals(3, totals.failures.get(0).seed());
    }

    @Test
    void theWatchdogInterruptsASeed() throws IOException, InterruptedException {
        SimOptions options =
                new SimOptions(Long.MAX_VALUE, Integer.MAX_VALUE, Long.MAX_VALUE / 2_000_000_000, 300 * MS);
        Set<Long> seeds = new TreeSet<>();
        SimRunner runner = new SimRunner(options, 2, 40, 3, 10, (seed, o, memory) -> {
            SimResult result = Simulation.run(seed, o, memory);
            while (result.failure() == null) {
                // Its disk was damaged, which ends a seed soon: again.
                result = Simulation.run(seed, o, memory);
            }
            return result;
        });
        SimRunner.Totals totals = runner.run(
                100,
                failed -> {
                    seeds.add(failed.seed());
                    assertTrue(String.valueOf(failed.failure()).contains("watchdog"), String.valueOf(failed.failure()));
                },
                t -> {});
        assertEquals(Set.of(40L, 41L, 42L), seeds);
        assertEquals(3, totals.seeds);
    }

    @Test
    void simulatedTimeIsLimited() throws IOException {
        try (SharedMemory memory = new SharedMemory(Simulation.memoryBytes())) {
            SimOptions options = new SimOptions(Long.MAX_VALUE, Integer.MAX_VALUE, 20, Long.MAX_VALUE);
            SimResult result = Simulation.run(7, options, memory);
            assertTrue(String.valueOf(result.failure()).contains("simulated time"), String.valueOf(result.failure()));
        }
    }
}

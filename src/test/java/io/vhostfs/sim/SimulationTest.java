package io.vhostfs.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.frontend.SharedMemory;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The whole stack keeps its promises through crashes, seed by seed; see docs/simulation.md. */
class SimulationTest {
    private static final int FIXED_SEEDS = 60;
    private static final int FRESH_SEEDS = 60;

    static {
        // Mounts by the thousand, and disks that fail on purpose.
        System.setProperty("org.slf4j.simpleLogger.log.io.vhostfs.blobstore", "off");
    }

    private static SimResult run(long seed, SimOptions options) throws IOException {
        try (SharedMemory memory = new SharedMemory(Simulation.memoryBytes())) {
            return Simulation.run(seed, options, memory);
        }
    }

    private static void assertGood(SimResult result) {
        if (result.failure() != null) {
            throw new AssertionError(
                    "seed " + result.seed() + " (again: vhostfs sim --seed " + result.seed() + " --seeds 1)\n"
                            + result.report(),
                    result.failure());
        }
    }

    private static void assertGood(long firstSeed, int seeds) throws IOException, InterruptedException {
        SimRunner.Totals totals =
                new SimRunner(SimOptions.DEFAULT, 2, firstSeed, seeds, 1).run(3600, failed -> {}, t -> {});
        totals.failures.forEach(SimulationTest::assertGood);
        assertEquals(seeds, totals.seeds);
        assertTrue(totals.crashes > seeds, "crashes: " + totals.crashes);
    }

    @Test
    void aSeedAlwaysDoesTheSame() throws IOException {
        SimOptions options = new SimOptions(3000, 12);
        List<Long> traces = new ArrayList<>();
        for (long seed = 1; seed <= 4; seed++) {
            SimResult first = run(seed, options);
            SimResult second = run(seed, options);
            assertGood(first);
            assertEquals(first.trace(), second.trace(), "seed " + seed);
            assertEquals(first, second);
            traces.add(first.trace());
        }
        assertNotEquals(traces.get(0), traces.get(1));
    }

    @Test
    void fixedSeedsKeepThePromises() throws IOException, InterruptedException {
        assertGood(1000, FIXED_SEEDS);
    }

    @Test
    void freshSeedsKeepThePromises() throws IOException, InterruptedException {
        long seed = new SecureRandom().nextLong() >>> 16;
        System.out.println("simulation of seeds from " + seed + " on");
        assertGood(seed, FRESH_SEEDS);
    }
}

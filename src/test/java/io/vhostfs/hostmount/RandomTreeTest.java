package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Threads that change one tree by its mounts at once, what all mounts and fsck say of it then; needs root. */
@Tag("hostmount")
class RandomTreeTest {
    private static final int THREADS = 8;

    /** Of each thread. {@code -Dvhostfs.tree.operations=100000} for a long run, {@code -Dvhostfs.tree.seed=…} for another. */
    private static final int OPERATIONS = Integer.getInteger("vhostfs.tree.operations", 600);

    private static final int MOUNTS = Integer.getInteger("vhostfs.tree.mounts", 2);
    private static final long SEED = Long.getLong("vhostfs.tree.seed", 1);

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private final List<Path> mounts = new ArrayList<>();

    private Path mountPoint() throws IOException {
        mounts.add(points.make(directory, "mount" + mounts.size()));
        return mounts.getLast();
    }

    private record Outcome(int done, int stale) {}

    private Outcome run(int thread) {
        int done = 0;
        Path root = mounts.get(thread % mounts.size());
        try (RandomTree tree = new RandomTree(root, mounts.size() > 1, SEED * THREADS + thread)) {
            for (int i = 0; i < OPERATIONS; i++) {
                done += tree.step() ? 1 : 0;
            }
            return new Outcome(done, tree.stale());
        }
    }

    private void runAll() throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(THREADS)) {
            List<Future<Outcome>> results = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                int thread = i;
                results.add(threads.submit(() -> run(thread)));
            }
            int done = 0;
            int stale = 0;
            for (Future<Outcome> result : results) {
                done += result.get().done();
                stale += result.get().stale();
            }
            int all = THREADS * OPERATIONS;
            System.out.println(mounts.size() + " mounts, seed " + SEED + ": " + done + " of " + all
                    + " calls did something, " + stale + " met a directory that had moved");
            assertTrue(done > all / 10, "most calls do nothing");
        }
    }

    private void runAndRestart(List<String> shares) throws Exception {
        String store = "file:" + directory.resolve("store");
        List<String> options = new ArrayList<>(List.of("--bdev", store + ",size=1G", "-m", "0x3"));
        shares.forEach(share -> options.addAll(List.of("--share", share)));
        Map<String, String> before;
        try (MountedTarget target = MountedTarget.start(directory, options.toArray(new String[0]))) {
            runAll();
            before = RandomTree.survey(mounts.getFirst());
            for (Path mount : mounts) {
                assertEquals(before, RandomTree.survey(mount));
            }
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
        try (MountedTarget target = MountedTarget.start(directory, options.toArray(new String[0]))) {
            assertEquals(before, RandomTree.survey(mounts.getFirst()), "after a restart");
            assertEquals(0, target.stop());
        }
    }

    @Test
    void aTreeOfOneClientStaysWhole() throws Exception {
        runAndRestart(List.of("tag=t,queues=2,mount=" + mountPoint() + MountMode.URING.option()));
    }

    @Test
    void aTreeOfSeveralMountsStaysWhole() throws Exception {
        List<String> shares = new ArrayList<>();
        for (int i = 0; i < MOUNTS; i++) {
            shares.add("tag=t" + i + ",mode=shared,queues=2,mount=" + mountPoint() + MountMode.READ.option());
        }
        runAndRestart(shares);
    }
}

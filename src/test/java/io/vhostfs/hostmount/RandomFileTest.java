package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Random reads, writes, maps, truncations, allocations and copies of several files, against a model; needs root. */
@Tag("hostmount")
@ParameterizedClass
@EnumSource(MountMode.class)
class RandomFileTest {
    /** {@code -Dvhostfs.random.operations=1000000} for a long run, {@code -Dvhostfs.random.seed=…} for another one. */
    private static final int OPERATIONS = Integer.getInteger("vhostfs.random.operations", 2_500);

    /** How often a long run says how far it is. */
    private static final int OPERATIONS_PER_LINE = 50_000;

    /** {@code -Dvhostfs.random.directory=DIR}: there instead, to try the model on another file system. */
    private static final String ELSEWHERE = System.getProperty("vhostfs.random.directory", "");

    private static final int FILES = 3;
    private static final long SEED = Long.getLong("vhostfs.random.seed", 1);

    @Parameter
    MountMode mode = MountMode.READ;

    @TempDir
    Path directory;

    @RegisterExtension
    final MountPoints points = new MountPoints();

    private Path mount;
    private Path second;

    @BeforeEach
    void makeMountPoints() throws IOException {
        mount = points.make(directory, "mount");
        second = points.make(directory, "second");
    }

    private static void run(long seed, Path... directories) {
        Random random = new Random(seed);
        List<RandomFile> files = new ArrayList<>();
        System.out.println(OPERATIONS + " operations, seed " + seed);
        try {
            for (int i = 0; i < FILES; i++) {
                String name = "file" + i;
                files.add(new RandomFile(
                        random,
                        Arrays.stream(directories).map(d -> d.resolve(name)).toArray(Path[]::new)));
            }
            for (int i = 0; i < OPERATIONS; i++) {
                files.get(random.nextInt(FILES)).step(files.get(random.nextInt(FILES)));
                if ((i + 1) % OPERATIONS_PER_LINE == 0) {
                    System.out.println((i + 1) + " done");
                }
            }
            files.forEach(RandomFile::checkAll);
        } finally {
            files.forEach(RandomFile::close);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",no-open=on"})
    void filesOfOneClientAreWhatWasMadeOfThem(String option) throws Exception {
        if (!ELSEWHERE.isEmpty()) {
            Path there = Files.createTempDirectory(Path.of(ELSEWHERE), "random");
            run(SEED, there);
            MountedTarget.run(0, directory, "rm", "-rf", there.toString());
            return;
        }
        String store = "file:" + directory.resolve("store");
        try (MountedTarget target =
                MountedTarget.serve(directory, store + ",size=64M", "tag=t,mount=" + mount + mode.option() + option)) {
            run(SEED, mount);
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
    }

    @Test
    void filesOfTwoMountsAreTheSameOnBoth() throws Exception {
        String store = "file:" + directory.resolve("store");
        try (MountedTarget target = MountedTarget.start(
                directory,
                "--bdev",
                store + ",size=64M",
                "-m",
                "0x3",
                "--share",
                "tag=t,mode=shared,queues=2,mount=" + mount + mode.option(),
                "--share",
                "tag=u,mode=shared,mount=" + second + mode.option())) {
            run(SEED + 1, mount, second);
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
    }
}

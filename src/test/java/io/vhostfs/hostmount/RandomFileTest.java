package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Random reads, writes, maps, truncations, allocations and copies on mounts, against a model; needs root. */
@Tag("hostmount")
@ParameterizedClass
@EnumSource(MountMode.class)
class RandomFileTest {
    /** {@code -Dvhostfs.random.operations=1000000} for a long run, {@code -Dvhostfs.random.seed=…} for another one. */
    private static final int OPERATIONS = Integer.getInteger("vhostfs.random.operations", 2_500);

    private static final long SEED = Long.getLong("vhostfs.random.seed", 1);

    @Parameter
    MountMode mode = MountMode.READ;

    @TempDir
    Path directory;

    private Path mount;
    private Path second;

    @BeforeEach
    void makeMountPoints() throws IOException {
        mount = Files.createDirectory(directory.toRealPath().resolve("mount"));
        second = Files.createDirectory(directory.toRealPath().resolve("second"));
    }

    @AfterAll
    static void restoreTheKernelsParameter() throws IOException {
        MountMode.restore();
    }

    @AfterEach
    void clear() throws IOException, InterruptedException {
        for (Path path : new Path[] {mount, second}) {
            while (MountTable.read().at(path) != null) {
                MountedTarget.run(0, directory, "umount", "-l", path.toString());
            }
        }
    }

    private static void run(RandomFile file) {
        for (int i = 0; i < OPERATIONS; i++) {
            file.step();
        }
        file.checkAll();
    }

    @Test
    void aFileOfOneClientIsWhatWasMadeOfIt() throws Exception {
        String store = "file:" + directory.resolve("store");
        try (MountedTarget target = MountedTarget.start(
                directory, "--bdev", store + ",size=64M", "--share", "tag=t,mount=" + mount + mode.option())) {
            try (RandomFile file = new RandomFile(SEED, mount.resolve("file"))) {
                run(file);
            }
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
    }

    @Test
    void aFileOfTwoMountsIsTheSameOnBoth() throws Exception {
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
            try (RandomFile file = new RandomFile(SEED + 1, mount.resolve("file"), second.resolve("file"))) {
                run(file);
            }
            assertEquals(0, target.stop());
        }
        MountedTarget.check(Path.of("").toAbsolutePath(), store);
    }
}

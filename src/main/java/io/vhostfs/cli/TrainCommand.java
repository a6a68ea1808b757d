package io.vhostfs.cli;

import io.vhostfs.frontend.BenchRunner;
import io.vhostfs.frontend.BenchWorkload;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/**
 * {@code vhostfs train}: what the launcher records into the AOT cache, namely a target that starts and serves every kind
 * of request for a moment.
 */
@Command(name = "train", hidden = true, description = "Run what the launcher records into its AOT cache.")
final class TrainCommand implements Callable<Integer> {
    private static final int MILLIS = 50;
    private static final int DATA_BYTES = 4 << 20;

    @Override
    public Integer call() throws Exception {
        Path directory = Files.createTempDirectory("vhostfs-train");
        Path socket = directory.resolve("s");
        TargetConfig config = new TargetConfig(
                "",
                IdlePolicy.ADAPTIVE,
                List.of(DeviceConfig.parse("malloc:64M")),
                List.of(ShareConfig.parse("tag=train,socket=" + socket)),
                true);
        try (Target target = Target.start(config)) {
            target.describe(new PrintWriter(Writer.nullWriter()));
            BenchRunner.Options options =
                    new BenchRunner.Options(BenchWorkload.all(), 1, MILLIS, MILLIS, DATA_BYTES, false);
            new BenchRunner(options, line -> {}).run(List.of(new BenchRunner.Target("train", socket, 0)));
        } finally {
            Files.deleteIfExists(socket);
            Files.deleteIfExists(directory);
        }
        return ExitCodes.OK;
    }
}

package io.vhostfs.cli;

import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code vhostfs demo}: a guest that mounts a share and verifies what it wrote there, from nothing. */
@Command(
        name = "demo",
        description = {
            "Create a file-backed store, serve it, boot a small Debian guest, mount the share in it, run fio with verify,",
            "and print throughput and latency. Needs no special hardware; without KVM the guest is emulated, and the",
            "figures then are the emulator's."
        })
final class DemoCommand implements Callable<Integer> {
    private static final String TAG = "demo";

    /** fio's exit code is the script's; the terse lines are the table. */
    private static final String GUEST_SCRIPT =
            """
            #!/bin/sh
            set -e
            mkdir -p /mnt/demo
            mount -t virtiofs demo /mnt/demo
            echo "guest: Linux $(uname -r) mounted $(grep virtiofs /proc/mounts)"
            fio --output-format=terse --terse-version=3 --directory=/mnt/demo --ioengine=psync --group_reporting \\
              --verify=crc32c --verify_fatal=1 \\
              --name=randwrite-4k-direct --rw=randwrite --bs=4k --size=16m --direct=1 \\
              --name=randrw-4k-cached --stonewall --rw=randrw --bs=4k --size=16m --fsync_on_close=1 \\
              --name=seqwrite-128k --stonewall --rw=write --bs=128k --size=64m --direct=1
            sync
            df -h /mnt/demo
            umount /mnt/demo
            echo "guest: unmounted"
            """;

    @Option(names = "--keep", description = "Keep the store and the guest's output; print where they are.")
    private boolean keep;

    @Option(
            names = "--size",
            paramLabel = "SIZE",
            defaultValue = "1G",
            description = "Size of the store's file, which is sparse (default: ${DEFAULT-VALUE}).")
    private String size = "1G";

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        PrintWriter out = spec.commandLine().getOut();
        Path home = Installation.home();
        out.println("demo: checking packages");
        out.flush();
        Installation.run(List.of(home.resolve("ci/packages").toString(), "install", "demo"));
        out.println("demo: preparing the guest (downloads a Debian kernel the first time)");
        out.flush();
        Installation.run(List.of(home.resolve("ci/guest/mkguest").toString()));
        Path work = Files.createTempDirectory("vhostfs-demo");
        try {
            return serveAndVerify(out, home, work);
        } finally {
            if (keep) {
                out.println("demo: kept " + work);
            } else {
                deleteTree(work);
            }
            out.flush();
        }
    }

    private int serveAndVerify(PrintWriter out, Path home, Path work) throws Exception {
        Path socket = work.resolve("demo.sock");
        TargetConfig config = new TargetConfig(
                "",
                IdlePolicy.ADAPTIVE,
                List.of(DeviceConfig.parse("file:" + work.resolve("store") + ",size=" + size)),
                List.of(ShareConfig.parse("tag=" + TAG + ",socket=" + socket)),
                true);
        Path script = Files.writeString(work.resolve("job.sh"), GUEST_SCRIPT);
        List<String> output = new ArrayList<>();
        int code;
        try (Target target = Target.start(config)) {
            target.describe(out);
            out.println("demo: booting the guest");
            out.flush();
            code = runGuest(out, home, socket, script, output);
        }
        List<FioTable.Row> rows = FioTable.parse(output);
        boolean verified = code == 0 && !rows.isEmpty() && rows.stream().allMatch(row -> row.error() == 0);
        out.println();
        out.print(FioTable.format(rows));
        out.println();
        out.println(
                verified
                        ? "demo: every block was verified; target stopped cleanly"
                        : "demo: FAILED, guest's exit code " + code);
        return verified ? ExitCodes.OK : ExitCodes.IO;
    }

    private static int runGuest(PrintWriter out, Path home, Path socket, Path script, List<String> output)
            throws IOException, InterruptedException {
        Process guest = new ProcessBuilder(
                        home.resolve("ci/guest/runguest").toString(),
                        "--time",
                        "600",
                        "--fs",
                        TAG + "=" + socket,
                        "--script",
                        script.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader reader = guest.inputReader(StandardCharsets.UTF_8)) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                output.add(line);
                if (!line.startsWith("3;")) {
                    out.println("  " + line);
                    out.flush();
                }
            }
        }
        return guest.waitFor();
    }

    private static void deleteTree(Path directory) throws IOException {
        try (Stream<Path> tree = Files.walk(directory)) {
            for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}

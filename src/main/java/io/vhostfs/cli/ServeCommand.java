package io.vhostfs.cli;

import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.ConfigFile;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import io.vhostfs.vhost.Capabilities;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code vhostfs serve}: the target itself. Runs until SIGTERM or SIGINT, then stops cleanly. */
@Command(
        name = "serve",
        description = {
            "Serve shares to virtual machines until SIGTERM or SIGINT. SIGUSR1 prints how stores and reactors are doing.",
            "Exit code 0 after a clean stop, 74 when a device error had made a store read-only."
        },
        footer = {
            "",
            "Example: two shares of one store, polled on core 1:",
            "  vhostfs serve --bdev file:/srv/store,size=100G --create -m 0x2 --poll busy \\",
            "    --share tag=home,socket=/run/vhostfs/home.sock \\",
            "    --share tag=pub,socket=/run/vhostfs/pub.sock,root=/pub,mode=shared"
        })
final class ServeCommand implements Callable<Integer> {
    @Option(
            names = "--bdev",
            paramLabel = "[NAME=]BDEV",
            description = {
                "A block device with a file system: malloc:SIZE, file:PATH[,size=SIZE][,direct=on],",
                "nvme:PCI-ADDRESS[,nsid=N][,interrupts=on|off][,timeout=SECONDS][,unsafe-noiommu=on].",
                "With ,discard=on at the end the device is told of blocks that were freed, so that a file shrinks.",
                "May be given several times; shares then name theirs with bdev=NAME."
            })
    private List<String> devices = new ArrayList<>();

    @Option(
            names = "--share",
            paramLabel = "SHARE",
            description = {
                "tag=T,socket=PATH[,bdev=NAME][,root=/sub][,mode=exclusive|shared][,queues=N]",
                "With mount=DIR[,privileged=on][,uring=off], beside socket= or instead of it, mounted on this host too.",
                "With atime=relative or strict, reading changes access times, as a mount's relatime and strictatime say.",
                "With quota=SIZE and inodes=N, what it may use; none takes a limit away.",
                "May be given several times."
            })
    private List<String> shares = new ArrayList<>();

    @Option(
            names = {"-m", "--cpumask"},
            paramLabel = "MASK",
            description = "Cores to run on, as 0x6 or [1,2]; one reactor each. Default: one reactor, not pinned.")
    private String coreMask = "";

    @Option(
            names = "--poll",
            paramLabel = "POLICY",
            description = {
                "busy: never sleep; adaptive: spin for a while, then sleep until a kick; interrupt: sleep at once.",
                "Default: adaptive."
            })
    private IdlePolicy idlePolicy = IdlePolicy.ADAPTIVE;

    @Option(
            names = "--create",
            arity = "0..1",
            fallbackValue = "true",
            description =
                    "Make a file that does not exist yet, and format a device that is empty. A malloc store always is.")
    private boolean create;

    @Option(
            names = "--meta-cache",
            paramLabel = "SIZE",
            description = {
                "Memory of each store for the nodes of its tree, from 4M to 64G; a larger tree is read as needed.",
                "Default: 64M."
            })
    private @Nullable String metaCache;

    @Option(
            names = {"-c", "--config"},
            paramLabel = "FILE",
            description =
                    "Take the options above from FILE too: one 'name = value' a line, such as 'bdev = malloc:1G'.")
    private @Nullable Path configFile;

    @Option(
            names = "--socket-path",
            paramLabel = "PATH",
            description = "As QEMU's conventions for vhost-user back ends ask for: the socket of the only share.")
    private @Nullable String socketPath;

    @Option(
            names = "--fd",
            paramLabel = "FDNUM",
            description = "As --socket-path, with an inherited socket's descriptor.")
    private @Nullable Integer fd;

    @Option(
            names = "--tag",
            paramLabel = "T",
            description = "The tag that goes with --socket-path or --fd (default: ${DEFAULT-VALUE}).",
            defaultValue = "vhostfs")
    private String tag = "vhostfs";

    @Option(
            names = "--print-capabilities",
            description = "Print what this back end can do as JSON, as QEMU's conventions ask for, and exit.")
    private boolean printCapabilities;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        PrintWriter out = spec.commandLine().getOut();
        if (printCapabilities) {
            out.println(Capabilities.json());
            out.flush();
            return ExitCodes.OK;
        }
        if (configFile != null) {
            readConfigFile(configFile);
        }
        CountDownLatch stop = new CountDownLatch(1);
        CompletableFuture<Integer> exitCode = new CompletableFuture<>();
        List<String> failures = List.of();
        try {
            failures = serve(out, stop, exitCode);
        } catch (RuntimeException e) {
            exitCode.complete(ExitCodes.SOFTWARE);
            throw e;
        }
        LoggerFactory.getLogger(ServeCommand.class).info("stopped");
        for (String failure : failures) {
            LoggerFactory.getLogger(ServeCommand.class)
                    .error("{}: what was changed and not synced before is lost; the device needs mending", failure);
        }
        int code = failures.isEmpty() ? ExitCodes.OK : ExitCodes.IO;
        exitCode.complete(code);
        return code;
    }

    /** From start to stop; returns the stores that a device error has made read-only. */
    private List<String> serve(PrintWriter out, CountDownLatch stop, CompletableFuture<Integer> exitCode)
            throws Exception {
        Target started;
        try (Target target = Target.start(configuration())) {
            started = target;
            Runtime.getRuntime().addShutdownHook(new Thread(() -> stopCleanly(stop, exitCode), "stop"));
            target.describe(out);
            out.flush();
            StatusSignal.onUsr1(() -> printStatus(target, out));
            stop.await();
        }
        return started.failures();
    }

    private static void printStatus(Target target, PrintWriter out) {
        try {
            out.print(target.status().text());
            out.flush();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Keeps the JVM alive until the stores are closed; a clean stop is exit code 0, not the signal's 143. */
    private static void stopCleanly(CountDownLatch stop, CompletableFuture<Integer> exitCode) {
        stop.countDown();
        Runtime.getRuntime().halt(exitCode.join());
    }

    private void readConfigFile(Path file) throws Exception {
        ServeCommand inFile = new ServeCommand();
        try {
            new CommandLine(inFile)
                    .setCaseInsensitiveEnumValuesAllowed(true)
                    .parseArgs(ConfigFile.readOptions(file).toArray(String[]::new));
        } catch (CommandLine.ParameterException e) {
            throw new CliException(ExitCodes.CONFIG, file + ": " + e.getMessage());
        } catch (java.nio.file.NoSuchFileException e) {
            throw new CliException(ExitCodes.NO_INPUT, "no configuration file " + file);
        }
        devices.addAll(inFile.devices);
        shares.addAll(inFile.shares);
        // What the command line says goes before the file.
        var given = spec.commandLine().getParseResult();
        if (!given.hasMatchedOption("--cpumask")) {
            coreMask = inFile.coreMask;
        }
        if (!given.hasMatchedOption("--poll")) {
            idlePolicy = inFile.idlePolicy;
        }
        create |= inFile.create;
        if (metaCache == null) {
            metaCache = inFile.metaCache;
        }
    }

    private TargetConfig configuration() {
        List<ShareConfig> all = new ArrayList<>();
        for (String share : shares) {
            all.add(ShareConfig.parse(share));
        }
        if (socketPath != null) {
            all.add(ShareConfig.parse("tag=" + tag + ",socket=" + socketPath));
        }
        if (fd != null) {
            all.add(ShareConfig.parse("tag=" + tag + ",fd=" + fd));
        }
        return new TargetConfig(
                coreMask,
                idlePolicy,
                devices.stream().map(DeviceConfig::parse).toList(),
                all,
                create,
                MetaCacheSize.parse(metaCache));
    }
}

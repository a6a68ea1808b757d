package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDeviceException;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.frontend.FrontEndException;
import io.vhostfs.reactor.CoreMaskException;
import io.vhostfs.target.ConfigException;
import java.io.IOException;
import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ScopeType;

/** Entry point of {@code bin/vhostfs}: picks the command, and turns what it throws into one line and an exit code. */
@Command(
        name = "vhostfs",
        description = "A polled vhost-user-fs target: shares files with virtual machines at memory speed.",
        version = "vhostfs 0.1.0",
        mixinStandardHelpOptions = true,
        scope = ScopeType.INHERIT,
        sortOptions = false,
        usageHelpAutoWidth = true,
        subcommands = {
            ServeCommand.class,
            MkfsCommand.class,
            InfoCommand.class,
            FsckCommand.class,
            GrowCommand.class,
            TrimCommand.class,
            DoctorCommand.class,
            SetupCommand.class,
            NvmeCommand.class,
            BenchCommand.class,
            DemoCommand.class,
            TrainCommand.class,
            SimCommand.class,
        })
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        System.exit(run(arguments));
    }

    static int run(String... arguments) {
        return commandLine().execute(arguments);
    }

    static CommandLine commandLine() {
        return new CommandLine(new Main())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler(Main::wrongUse)
                .setExecutionExceptionHandler(Main::failed);
    }

    private static int wrongUse(CommandLine.ParameterException e, String[] arguments) {
        PrintWriter err = e.getCommandLine().getErr();
        String command = e.getCommandLine().getCommandSpec().qualifiedName();
        err.println(command + ": " + e.getMessage());
        err.println("Try '" + command + " --help'.");
        err.flush();
        return ExitCodes.USAGE;
    }

    private static int failed(Exception e, CommandLine commandLine, CommandLine.ParseResult parsed) {
        PrintWriter err = commandLine.getErr();
        String command = commandLine.getCommandSpec().qualifiedName();
        int code = exitCodeOf(e);
        if (code == ExitCodes.SOFTWARE) {
            err.println(command + ": internal error; please report it with what follows");
            e.printStackTrace(err);
        } else {
            err.println(command + ": " + e.getMessage());
        }
        err.flush();
        return code;
    }

    /** Typed exceptions carry a message for the user; anything else is a bug. */
    private static int exitCodeOf(Exception e) {
        return switch (e) {
            case CliException known -> known.exitCode();
            case ConfigException known -> ExitCodes.CONFIG;
            case CoreMaskException known -> ExitCodes.CONFIG;
            case StoreException store ->
                switch (store.kind()) {
                    case NOT_A_STORE, UNSUPPORTED, DAMAGED -> ExitCodes.DATA;
                    case UNUSABLE -> ExitCodes.USAGE;
                    case IO -> ExitCodes.IO;
                };
            case FrontEndException known -> ExitCodes.UNAVAILABLE;
            case BlockDeviceException device ->
                switch (device.kind()) {
                    case INVALID, UNSUPPORTED -> ExitCodes.USAGE;
                    case MISSING -> ExitCodes.NO_INPUT;
                    case BUSY, NOT_PERMITTED -> ExitCodes.CANNOT_CREATE;
                    case IO -> ExitCodes.IO;
                };
            case IOException known -> ExitCodes.CANNOT_CREATE;
            default -> ExitCodes.SOFTWARE;
        };
    }
}

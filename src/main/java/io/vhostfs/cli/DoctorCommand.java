package io.vhostfs.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code vhostfs doctor}. */
@Command(
        name = "doctor",
        description = "Show what on this host is missing or slow, each with its remedy.",
        footer = {"", "Exit code 0: all is well; 1: something is missing or slow."})
final class DoctorCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it
    private CommandSpec spec;

    @Override
    public Integer call() {
        List<Doctor.Finding> findings = new Doctor(Path.of("/")).examine();
        PrintWriter out = spec.commandLine().getOut();
        boolean healthy = true;
        for (Doctor.Finding finding : findings) {
            String mark =
                    switch (finding.verdict()) {
                        case OK -> "ok     ";
                        case SLOW -> "slow   ";
                        case MISSING -> "missing";
                    };
            out.printf("%s  %-26s %s%n", mark, finding.subject(), finding.found());
            if (finding.verdict() != Doctor.Verdict.OK) {
                healthy = false;
                out.printf("         %-26s remedy: %s%n", "", finding.remedy());
            }
        }
        out.flush();
        return healthy ? ExitCodes.OK : ExitCodes.FINDINGS;
    }
}

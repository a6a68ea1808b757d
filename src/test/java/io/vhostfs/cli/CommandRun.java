package io.vhostfs.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import picocli.CommandLine;

/** Runs commands as the launcher does, but in this process; remembers what the last one said on both outputs. */
final class CommandRun {
    private StringWriter said = new StringWriter();

    void expect(int exitCode, String... arguments) {
        said = new StringWriter();
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(said)).setErr(new PrintWriter(said));
        assertEquals(exitCode, commandLine.execute(arguments), said::toString);
    }

    void assertSaid(String text) {
        assertTrue(said.toString().contains(text), said.toString());
    }
}

package io.vhostfs.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicNode;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;

class ChecksTest {
    private static List<String> failures(String... output) throws Throwable {
        List<String> failures = new ArrayList<>();
        for (DynamicNode node : Checks.results(List.of(output), 125, "Kernel panic")) {
            try {
                ((DynamicTest) node).getExecutable().execute();
            } catch (AssertionError e) {
                failures.add(e.getMessage());
            }
        }
        return failures;
    }

    @Test
    void aScriptWhoseChecksAllPassedHasNoFailure() throws Throwable {
        assertEquals(List.of(), failures("plan mount df", "ok mount 0.10", "ok df 1.20", "done"));
    }

    @Test
    void aFailedCheckTellsItsReasonAndWhatItPrinted() throws Throwable {
        assertEquals(
                List.of("df: free blocks: 0\n# a line"),
                failures("plan mount df", "ok mount 0.10", "not ok df free blocks: 0", "# a line", "done"));
    }

    @Test
    void aCheckWithoutAResultFailsAsDoesTheScriptThatDidNotEnd() throws Throwable {
        assertEquals(
                List.of(
                        "df: the guest did not get that far: exit code 125\nKernel panic",
                        "the script did not come to its end: exit code 125\nKernel panic"),
                failures("plan mount df", "ok mount 0.10"));
    }

    @Test
    void aGuestThatDidNotBootFails() throws Throwable {
        assertEquals(List.of("the script did not come to its end: exit code 125\nKernel panic"), failures());
    }
}

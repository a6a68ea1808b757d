package io.vhostfs.frontend;

import static org.junit.jupiter.api.Assertions.*;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BenchRunnerTest {
    @TempDir
    Path first;

    @TempDir
    Path second;

    private static BenchRunner.Options quick(List<BenchWorkload> workloads, boolean stopOthers) {
        return new BenchRunner.Options(workloads, 1, 25, 0, 4 << 20, stopOthers);
    }

    @Test
    void everyWorkloadRunsAndLeavesNothingBehind() throws Exception {
        try (Virtiofsd backEnd = new Virtiofsd(first)) {
            List<String> progress = new ArrayList<>();
            BenchReport report = new BenchRunner(quick(BenchWorkload.all(), false), progress::add)
                    .run(List.of(new BenchRunner.Target("virtiofsd", backEnd.socket(), 0)));
            assertEquals(BenchWorkload.all().size(), report.results().size());
            for (BenchReport.Result result : report.results()) {
                BenchSample sample = result.samples().get(0);
                assertTrue(sample.allOpsPerSecond() > 0, result.workload().id());
                assertTrue(sample.p50Ns() <= sample.p99Ns() && sample.p99Ns() <= sample.maxNs());
            }
            assertTrue(progress.containsAll(
                    BenchWorkload.all().stream().map(BenchWorkload::id).toList()));
            assertArrayEquals(new String[0], backEnd.shared().toFile().list());
        }
    }

    @Test
    void severalTargetsTakeTurnsWhileTheOthersAreStopped() throws Exception {
        List<BenchWorkload> workloads = BenchWorkload.all().stream()
                .filter(workload -> workload.name().equals("getattr"))
                .toList();
        try (Virtiofsd a = new Virtiofsd(first);
                Virtiofsd b = new Virtiofsd(second)) {
            BenchReport report = new BenchRunner(quick(workloads, true), line -> {})
                    .run(List.of(
                            new BenchRunner.Target("a", a.socket(), 0), new BenchRunner.Target("b", b.socket(), 0)));
            assertEquals(List.of("a", "b"), report.targets());
            String[] lines = report.tsv().split("\n", -1);
            assertEquals("getattr-qd1\ta\t", lines[1].substring(0, 14));
            assertEquals("getattr-qd1\tb\t", lines[2].substring(0, 14));
            assertEquals(1 + 2 * 2 + 1, lines.length);
            assertTrue(report.json().contains("\"workload\":\"getattr\",\"queue_depth\":32"));
            assertTrue(report.text().contains("getattr-qd32"));
        }
    }

    @Test
    void changedDataIsFound() throws Exception {
        try (Virtiofsd backEnd = new Virtiofsd(first);
                FrontEnd frontEnd = FrontEnd.connect(backEnd.socket(), FrontEnd.Options.DEFAULT)) {
            FuseClient client = new FuseClient(frontEnd);
            BenchFiles files = new BenchFiles(client, client.init(), 2 << 20);
            files.verify();
            client.write(files.data().nodeid(), files.data().fh(), (1 << 20) + 77, new byte[] {0x55});
            FrontEndException e = assertThrows(FrontEndException.class, files::verify);
            assertEquals("data differ at byte " + ((1 << 20) + 77), e.getMessage());
        }
    }
}

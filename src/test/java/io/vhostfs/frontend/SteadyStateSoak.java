package io.vhostfs.frontend;

import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;

/**
 * Millions of reads, overwrites and getattrs through the rings of a target in the same process; run by
 * {@link SteadyStateSoakTest} in a JVM that never collects garbage.
 *
 * <p>Ends with an error when the heap has grown by more than a byte per request once the code was warm, or, under Epsilon,
 * when the heap is full.
 */
final class SteadyStateSoak {
    private static final long DATA_BYTES = 8 << 20;
    private static final int TURN_MS = 200;
    private static final int WARM_UP_REQUESTS = 1_000_000;

    private final FuseClient client;
    private final BenchFiles files;
    private final WindowRecorder recorder = new WindowRecorder(TURN_MS * 1_000_000L);
    private long requests;

    private SteadyStateSoak(FrontEnd frontEnd) throws IOException {
        client = new FuseClient(frontEnd);
        files = new BenchFiles(client, client.init(), DATA_BYTES);
    }

    /** Arguments: a directory for the socket, and the number of requests. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path socket = Path.of(arguments[0]).resolve("soak.sock");
        long wanted = Long.parseLong(arguments[1]);
        TargetConfig config = new TargetConfig(
                "",
                IdlePolicy.BUSY,
                List.of(DeviceConfig.parse("malloc:128M")),
                List.of(ShareConfig.parse("tag=soak,socket=" + socket)),
                true);
        Target target = Target.start(config);
        try (FrontEnd frontEnd = FrontEnd.connect(socket, FrontEnd.Options.DEFAULT)) {
            new SteadyStateSoak(frontEnd).run(wanted);
        } finally {
            target.close();
        }
    }

    private void run(long wanted) throws IOException {
        LoadGenerator[] loads = BenchWorkload.all().stream()
                .filter(workload -> List.of("randread-4k-qd32", "randwrite-4k-qd32", "getattr-qd32")
                        .contains(workload.id()))
                .map(this::load)
                .toArray(LoadGenerator[]::new);
        drive(loads, WARM_UP_REQUESTS);
        long before = heapBytes();
        long done = requests;
        drive(loads, wanted);
        long grown = heapBytes() - before;
        files.verify();
        System.out.printf("%d requests, heap grown by %d bytes%n", requests - done, grown);
        if (grown > requests - done) {
            throw new IllegalStateException("requests make garbage");
        }
    }

    private LoadGenerator load(BenchWorkload workload) {
        try {
            return new LoadGenerator(client, workload, files);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** In turns, until {@code more} requests were answered. */
    private void drive(LoadGenerator[] loads, long more) throws IOException {
        long goal = requests + more;
        for (int turn = 0; requests < goal; turn++) {
            loads[turn % loads.length].run(recorder);
            requests += recorder.operations();
        }
    }

    /** What Epsilon never gives back. */
    private static long heapBytes() {
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }
}

package io.vhostfs.vhost;

import static io.vhostfs.vhost.TestFrontEnd.frame;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Any sequence of requests, cut and changed anyhow, ends in a session that is cleaned up. */
class VhostUserSessionFuzzTest {
    private static final int MAX_REQUESTS = 40;
    private static final Reactor REACTOR = new Reactor("fuzz");

    @BeforeAll
    static void start() {
        REACTOR.start();
    }

    @AfterAll
    static void stop() throws Exception {
        REACTOR.stop();
    }

    @FuzzTest
    void everySessionEnds(FuzzedDataProvider data) throws Exception {
        EchoDevice device = new EchoDevice("fuzz", EchoTarget.QUEUES, REACTOR);
        List<SampleRequest> samples = SampleRequest.all();
        try (Session session = new Session(device)) {
            for (int i = 0; i < MAX_REQUESTS && data.remainingBytes() > 0; i++) {
                SampleRequest sample = samples.get(data.consumeInt(0, samples.size() - 1));
                byte[] frame = frame(sample.request(), 1 | data.consumeInt(0, 1) << 3, sample.payload());
                byte[] changes = data.consumeBytes(data.consumeInt(0, 16));
                for (int k = 0; k + 1 < changes.length; k += 2) {
                    frame[(changes[k] & 0xff) % frame.length] = changes[k + 1];
                }
                session.front.sendRaw(frame, sample.fds(session.front, data.consumeInt(0, 2)));
            }
        }
        assertEquals(1, device.disconnects.get());
    }

    /** The same, from seeds, for runs without a fuzzer: a ring that runs, then requests with single bytes changed. */
    @Test
    void everySessionEndsForManySeeds() throws Exception {
        List<SampleRequest> samples = SampleRequest.all();
        int started = 0;
        for (int seed = 0; seed < 200; seed++) {
            Random random = new Random(seed);
            EchoDevice device = new EchoDevice("fuzz", EchoTarget.QUEUES, REACTOR);
            try (Session session = new Session(device)) {
                session.front.startRing(1, 64, TestFrontEnd.EVENT_IDX);
                for (int i = 0; i < MAX_REQUESTS; i++) {
                    SampleRequest sample = samples.get(random.nextInt(samples.size()));
                    byte[] frame = frame(sample.request(), 1 | random.nextInt(2) << 3, sample.payload());
                    for (int k = random.nextInt(3); k > 0; k--) {
                        // Rarely in the header: what follows that is noise.
                        int at = random.nextInt(10) == 0 ? random.nextInt(12) : 12 + random.nextInt(frame.length);
                        frame[Math.min(at, frame.length - 1)] = (byte) random.nextInt(256);
                    }
                    session.front.sendRaw(frame, sample.fds(session.front));
                }
            }
            assertEquals(1, device.disconnects.get());
            started += (int)
                    device.events.stream().filter(e -> e.startsWith("started")).count();
            assertEquals(
                    device.events.stream().filter(e -> e.startsWith("started")).count(),
                    device.events.stream().filter(e -> e.startsWith("stopped")).count());
        }
        assertTrue(started >= 200);
    }

    /** A server on one end of a socket pair, a front end on the other. */
    private static final class Session implements AutoCloseable {
        final TestFrontEnd front;
        private final VhostUserServer server;

        Session(EchoDevice device) throws IOException {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment fds = arena.allocate(8, 8);
                assertEquals(0, Libc.socketpair(LibcConstants.AF_UNIX, LibcConstants.SOCK_STREAM, 0, fds.address()));
                server = VhostUserServer.onFd(fds.get(ValueLayout.JAVA_INT, 0), device);
                front = new TestFrontEnd(fds.get(ValueLayout.JAVA_INT, 4));
                server.start();
            }
        }

        @Override
        public void close() {
            front.close();
            server.ended().orTimeout(60, TimeUnit.SECONDS).join();
            server.close();
        }
    }
}

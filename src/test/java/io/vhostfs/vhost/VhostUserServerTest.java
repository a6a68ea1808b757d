package io.vhostfs.vhost;

import static io.vhostfs.vhost.TestFrontEnd.state;
import static io.vhostfs.vhost.TestFrontEnd.u64;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.reactor.Reactor;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class VhostUserServerTest {
    private static final long EVENT_IDX = 1L << 29;
    private static final long INDIRECT = 1L << 28;

    @TempDir
    Path directory;

    private final Reactor reactor = new Reactor("test");
    private Path path;
    private EchoDevice device;
    private VhostUserServer server;

    @BeforeEach
    void start() throws Exception {
        reactor.start();
        path = directory.resolve("share.sock");
        device = new EchoDevice("echo", 2, reactor);
        server = VhostUserServer.listen(path, null, device);
        server.start();
    }

    @AfterEach
    void stop() throws Exception {
        server.close();
        reactor.stop();
    }

    @Test
    void requestsComeBackThroughAStartedRing() throws Exception {
        try (TestFrontEnd front = new TestFrontEnd(path)) {
            front.startRing(1, 64, EVENT_IDX | INDIRECT);
            for (int i = 0; i < 1000; i++) {
                front.echo(i);
            }
            assertNotEquals(0, TestFrontEnd.signals(front.callFd));
        }
    }

    @Test
    void aRingGoesOnWhereGetVringBaseStoppedIt() throws Exception {
        try (TestFrontEnd front = new TestFrontEnd(path)) {
            front.startRing(0, 8, EVENT_IDX);
            for (int i = 0; i < 13; i++) {
                front.echo(i);
            }
            int base = front.ask(VHOST_USER_GET_VRING_BASE, state(0, 0)).u32(4);
            assertEquals(13, base);
            front.startRing(0, base);
            front.echo(99);
            assertEquals(List.of("started 0", "stopped 0", "started 0"), device.events);
        }
    }

    @Test
    void theNextFrontEndIsServedAfterTheFirstHasGone() throws Exception {
        for (int i = 0; i < 3; i++) {
            try (TestFrontEnd front = new TestFrontEnd(path)) {
                front.startRing(1, 64, INDIRECT);
                front.echo(i);
            }
        }
        server.close();
        assertEquals(3, device.disconnects.get());
        assertTrue(path.toFile().exists() == false);
    }

    @Test
    void unknownRequestsAreRefusedAndTheSessionGoesOn() throws Exception {
        try (TestFrontEnd front = new TestFrontEnd(path)) {
            front.startRing(1, 64, INDIRECT);
            assertEquals(1, front.sendAcknowledged(4711, u64(0)));
            front.echo(1);
        }
    }
}

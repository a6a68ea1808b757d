package io.vhostfs.vhost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.os.UnixSocket;
import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class VhostUserServerTest {
    @TempDir
    Path directory;

    private final Reactor reactor = new Reactor("server-test");
    private final EchoDevice device = new EchoDevice("echo", 2, reactor);

    @BeforeEach
    void start() {
        reactor.start();
    }

    @AfterEach
    void stop() throws Exception {
        reactor.stop();
    }

    private VhostUserServer listen(Path path) throws IOException {
        VhostUserServer server = VhostUserServer.listen(path, null, device);
        server.start();
        return server;
    }

    private static void echoes(TestFrontEnd front) {
        front.startRing(1, 64, TestFrontEnd.EVENT_IDX);
        front.echo(7);
    }

    @Test
    void theNextFrontEndIsServedWhenTheOneBeforeHasGone() throws Exception {
        Path path = directory.resolve("s");
        try (VhostUserServer server = listen(path)) {
            assertFalse(server.isConnected());
            for (int i = 0; i < 5; i++) {
                try (TestFrontEnd front = new TestFrontEnd(path)) {
                    echoes(front);
                    assertTrue(server.isConnected());
                }
            }
        }
        assertEquals(5, device.disconnects.get());
    }

    @Test
    void aSecondFrontEndIsSentAwayWhileOneIsConnected() throws Exception {
        Path path = directory.resolve("s");
        try (VhostUserServer server = listen(path);
                TestFrontEnd front = new TestFrontEnd(path)) {
            front.negotiate(0);
            try (TestFrontEnd visitor = new TestFrontEnd(path)) {
                assertNull(visitor.receive());
            }
            echoes(front);
            assertTrue(server.isConnected());
        }
    }

    @Test
    void closingTheServerEndsTheSessionAndRemovesTheSocket() throws Exception {
        Path path = directory.resolve("s");
        VhostUserServer server = listen(path);
        try (TestFrontEnd front = new TestFrontEnd(path)) {
            echoes(front);
            server.close();
            front.awaitClosed();
        }
        server.close();
        assertFalse(Files.exists(path));
        assertEquals(1, device.disconnects.get());
        assertTrue(server.ended().isDone());
    }

    @Test
    void aSocketThatIsNoLongerOursIsLeftAlone() throws Exception {
        Path path = directory.resolve("s");
        VhostUserServer server = listen(path);
        Files.delete(path);
        try (VhostUserServer successor = listen(path)) {
            server.close();
            assertTrue(Files.exists(path));
            assertFalse(successor.isConnected());
        }
    }

    @Test
    void aServerThatWasNeverStartedIsClosed() throws Exception {
        Path path = directory.resolve("s");
        VhostUserServer.listen(path, null, device).close();
        assertFalse(Files.exists(path));
    }

    @Test
    void aStaleSocketIsReplaced() throws Exception {
        Path path = directory.resolve("s");
        int dead = UnixSocket.open();
        assertEquals(0, UnixSocket.bind(dead, path.toString()));
        assertEquals(0, Libc.listen(dead, 1));
        Libc.close(dead);
        assertTrue(Files.exists(path));
        try (VhostUserServer server = listen(path);
                TestFrontEnd front = new TestFrontEnd(path)) {
            echoes(front);
            assertTrue(server.isConnected());
        }
    }

    @Test
    void aSocketThatSomebodyListensOnIsNotTaken() throws Exception {
        Path path = directory.resolve("s");
        try (VhostUserServer first = listen(path)) {
            String message = failure(() -> listen(path));
            assertTrue(message.contains(path.toString()) && message.contains("remedy"), message);
            try (TestFrontEnd front = TestFrontEnd.connectWhenFree(path)) {
                echoes(front);
            }
            assertFalse(first.ended().isDone());
        }
    }

    @Test
    void aFileThatIsNoSocketIsNotRemoved() throws Exception {
        Path path = Files.writeString(directory.resolve("s"), "precious");
        String message = failure(() -> listen(path));
        assertTrue(message.contains("not a socket"), message);
        assertEquals("precious", Files.readString(path));
    }

    @Test
    void aPathThatIsTooLongOrInNoDirectoryIsNamedWithARemedy() {
        for (Path path : new Path[] {directory.resolve("x".repeat(120)), directory.resolve("missing/s")}) {
            String message = failure(() -> listen(path));
            assertTrue(message.contains(path.toString()) && message.contains("remedy"), message);
        }
    }

    @Test
    void theSocketGetsThePermissionsAskedFor() throws Exception {
        Path path = directory.resolve("s");
        try (VhostUserServer server =
                VhostUserServer.listen(path, PosixFilePermissions.fromString("rw-rw----"), device)) {
            assertEquals("rw-rw----", PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
            assertFalse(server.isConnected());
        }
    }

    @Test
    void anInheritedListeningSocketIsServed() throws Exception {
        Path path = directory.resolve("s");
        int fd = UnixSocket.open();
        assertEquals(0, UnixSocket.bind(fd, path.toString()));
        assertEquals(0, Libc.listen(fd, 1));
        try (VhostUserServer server = VhostUserServer.onFd(fd, device)) {
            server.start();
            for (int i = 0; i < 2; i++) {
                try (TestFrontEnd front = new TestFrontEnd(path)) {
                    echoes(front);
                }
            }
        }
        assertTrue(Files.exists(path), "it belongs to who made it");
    }

    @Test
    void anInheritedConnectionIsServedUntilItEnds() throws Exception {
        int[] pair = socketPair();
        try (VhostUserServer server = VhostUserServer.onFd(pair[0], device)) {
            server.start();
            try (TestFrontEnd front = new TestFrontEnd(pair[1])) {
                echoes(front);
            }
            server.ended().join();
        }
        assertEquals(1, device.disconnects.get());
    }

    @Test
    void aDescriptorThatIsNoSocketIsRefused() {
        int fd = Libc.eventfd(0, 0);
        String message = failure(() -> VhostUserServer.onFd(fd, device));
        assertTrue(message.contains("not a socket"), message);
        Libc.close(fd);
    }

    private static String failure(Executable attempt) {
        return String.valueOf(assertThrows(IOException.class, attempt).getMessage());
    }

    private static int[] socketPair() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment fds = arena.allocate(8, 8);
            assertEquals(0, Libc.socketpair(LibcConstants.AF_UNIX, LibcConstants.SOCK_STREAM, 0, fds.address()));
            return fds.toArray(ValueLayout.JAVA_INT);
        }
    }
}

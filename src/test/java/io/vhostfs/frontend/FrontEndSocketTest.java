package io.vhostfs.frontend;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.os.Libc;
import io.vhostfs.os.UnixSocket;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FrontEndSocketTest {
    @TempDir
    Path directory;

    private Path path;
    private int fd;

    @BeforeEach
    void bind() {
        path = directory.resolve("socket");
        fd = UnixSocket.open();
        assertTrue(fd >= 0);
        assertEquals(0, UnixSocket.bind(fd, path.toString()));
    }

    @AfterEach
    void close() {
        Libc.close(fd);
    }

    @Test
    void aBackEndThatHasBoundItsSocketIsWaitedFor() throws Exception {
        Thread connecting = Thread.currentThread();
        Thread backEnd = Thread.ofPlatform().start(() -> {
            while (connecting.getState() != Thread.State.TIMED_WAITING) {
                Thread.onSpinWait();
            }
            Libc.listen(fd, 1);
        });
        try (FrontEndSocket socket = FrontEndSocket.connect(path)) {
            assertEquals(ProcessHandle.current().pid(), socket.peerPid());
        }
        backEnd.join();
    }

    @Test
    void aSocketThatNobodyListensOnIsRefused() {
        FrontEndException refused = assertThrows(FrontEndException.class, () -> FrontEndSocket.connect(path));
        assertEquals("connect to " + path + ": ECONNREFUSED", refused.getMessage());
    }
}

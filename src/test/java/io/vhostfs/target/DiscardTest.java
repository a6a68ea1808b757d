package io.vhostfs.target;

import static io.vhostfs.target.TestTargets.await;
import static io.vhostfs.target.TestTargets.config;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A file on the host that holds a store becomes smaller when guests delete. */
class DiscardTest {
    private static final int BIG = 48 << 20;
    private static final int KEPT = 3 << 20;

    @TempDir
    Path directory;

    /** What the host's file system has given to the file. */
    private static long allocatedBytes(Path file) {
        try {
            Process stat = new ProcessBuilder("stat", "-c", "%b", file.toString()).start();
            String blocks = new String(stat.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            return Long.parseLong(blocks.trim()) * 512;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on"})
    void theHostsFileShrinksWhenABigFileIsUnlinked(String options) throws Exception {
        Path store = directory.resolve("store");
        byte[] kept = TestTargets.random(2, KEPT);
        String device = "file:" + store + ",size=128M" + options;
        try (Target target = Target.start(
                        config(List.of(device + ",discard=on"), "tag=t,socket=" + directory.resolve("t.sock")));
                Guest guest = Guest.mount(directory.resolve("t.sock"))) {
            assertNotNull(target);
            long big = TestTargets.makeFile(guest.fuse, FuseClient.ROOT, "big", TestTargets.random(1, BIG));
            TestTargets.makeFile(guest.fuse, FuseClient.ROOT, "kept", kept);
            guest.fuse.syncfs();
            long full = allocatedBytes(store);
            assertTrue(full >= BIG + KEPT, full + " bytes");
            guest.fuse.unlink(FuseClient.ROOT, "big");
            guest.fuse.forget(big, 1);
            await("a smaller file", () -> allocatedBytes(store) <= full - BIG * 9L / 10);
            assertArrayEquals(kept, TestTargets.readFile(guest.fuse, FuseClient.ROOT, "kept"));
        }
        StoreCheck.assertSound(device);
    }
}

package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFREG;
import static io.vhostfs.target.TestTargets.await;
import static io.vhostfs.target.TestTargets.config;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.FuseErrnoException;
import io.vhostfs.os.Errno;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Stores whose devices become larger while guests use them. */
class GrowTest {
    private static final long SMALL = 16 << 20;
    private static final long LARGE = 96 << 20;
    private static final int PIECE = 1 << 20;

    @TempDir
    Path directory;

    private Path path(String name) {
        return directory.resolve(name);
    }

    private Target start(String deviceOptions) throws IOException, InterruptedException {
        return Target.start(config(
                List.of("file:" + path("store") + ",size=16M" + deviceOptions), "tag=t,socket=" + path("t.sock")));
    }

    private void setLength(long bytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path("store").toFile(), "rw")) {
            file.setLength(bytes);
        }
    }

    private static long sizeBytes(FuseClient fuse) {
        try {
            FuseClient.Statfs statfs = fuse.statfs();
            return statfs.blocks() * statfs.bsize();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Writes one file until nothing more fits in; returns its bytes. */
    private static long fill(FuseClient fuse, String name) throws IOException {
        FuseClient.Handle file = fuse.create(FuseClient.ROOT, name, O_RDWR, S_IFREG | 0644);
        long bytes = 0;
        try {
            while (true) {
                byte[] piece = new byte[PIECE];
                SectorPattern.fill(piece, 1, bytes, 1);
                bytes += fuse.write(file.nodeid(), file.fh(), bytes, piece);
            }
        } catch (FuseErrnoException e) {
            assertEquals(Errno.ENOSPC, e.errno(), e.getMessage());
        }
        fuse.fsync(file.nodeid(), file.fh(), false);
        fuse.release(file.nodeid(), file.fh(), O_RDWR);
        return bytes;
    }

    private static void assertFilled(FuseClient fuse, String name, long bytes) throws IOException {
        byte[] data = TestTargets.readFile(fuse, FuseClient.ROOT, name);
        assertTrue(data.length >= bytes, name + " has " + data.length + " bytes");
        for (int at = 0; at < bytes; at += SectorPattern.SECTOR) {
            assertEquals(1, SectorPattern.version(data, at, 1, at), name + " at byte " + at);
        }
    }

    @Test
    void aFullStoreGrowsWithItsFileUnderTheGuestThatUsesIt() throws Exception {
        long first;
        long second;
        try (Target target = start("");
                Guest guest = Guest.mount(path("t.sock"))) {
            assertNotNull(target);
            first = fill(guest.fuse, "first");
            setLength(LARGE);
            await("the new size", () -> sizeBytes(guest.fuse) == LARGE);
            second = fill(guest.fuse, "second");
            assertTrue(second > (LARGE - SMALL) * 9 / 10, second + " bytes more went in");
            assertFilled(guest.fuse, "first", first);
        }
        StoreCheck.assertSound("file:" + path("store"));
        try (Target target = start("");
                Guest guest = Guest.mount(path("t.sock"))) {
            assertNotNull(target);
            assertEquals(LARGE, sizeBytes(guest.fuse));
            assertFilled(guest.fuse, "first", first);
            assertFilled(guest.fuse, "second", second);
        }
    }

    @Test
    void aStoreFollowsADeviceThatGrewWhileNobodyServedIt() throws Exception {
        List<Path> sockets = List.of(path("t.sock"));
        List<String> options = List.of(
                "--create",
                "--bdev",
                "file:" + path("store") + ",size=16M",
                "--share",
                "tag=t,socket=" + path("t.sock"));
        try (ServeProcess serve = ServeProcess.start(path("log"), sockets, options);
                Guest guest = Guest.mount(path("t.sock"))) {
            setLength(LARGE);
            await("the new size", () -> sizeBytes(guest.fuse) == LARGE);
            serve.kill();
        }
        StoreCheck.assertSound("file:" + path("store"));
        setLength(2 * LARGE);
        try (Target target = start("");
                Guest guest = Guest.mount(path("t.sock"))) {
            assertNotNull(target);
            await("the size of the device", () -> sizeBytes(guest.fuse) == 2 * LARGE);
        }
        StoreCheck.assertSound("file:" + path("store"));
    }
}

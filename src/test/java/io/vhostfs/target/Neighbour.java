package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A guest of another share that goes on doing verified I/O on a thread of its own, to see that nothing a test does to one
 * share disturbs another.
 */
final class Neighbour implements AutoCloseable {
    private static final int FILE_BYTES = 256 << 10;
    private static final int FILES = 4;

    private final Thread thread;
    private final Path socket;
    private final AtomicLong rounds = new AtomicLong();
    private volatile boolean stopping;
    private volatile @Nullable Throwable failure;

    Neighbour(Path socket) {
        this.socket = socket;
        thread = new Thread(this::run, "neighbour");
        thread.start();
    }

    /** Returns when the neighbour has begun and ended a whole round since the call; fails when it found something wrong. */
    void awaitProgress() {
        long before = rounds.get();
        await("progress of the neighbour", () -> rounds.get() >= before + 2 || failure != null);
        assertNull(failure, () -> "the neighbour failed: " + failure);
    }

    private void run() {
        try (Guest guest = Guest.mount(socket)) {
            long dir = guest.fuse.mkdir(FuseClient.ROOT, "neighbour", 0755).nodeid();
            byte[][] contents = new byte[FILES][];
            for (int i = 0; i < FILES; i++) {
                contents[i] = random(i, FILE_BYTES);
                makeFile(guest.fuse, dir, "file-" + i, contents[i]);
            }
            Random random = new Random(1);
            while (!stopping) {
                for (int i = 0; i < FILES; i++) {
                    round(guest.fuse, dir, "file-" + i, contents[i], random);
                }
                rounds.incrementAndGet();
            }
            for (int i = 0; i < FILES; i++) {
                assertArrayEquals(contents[i], readFile(guest.fuse, dir, "file-" + i));
            }
        } catch (IOException | RuntimeException | Error e) {
            failure = e;
        }
    }

    private static void round(FuseClient fuse, long dir, String name, byte[] content, Random random)
            throws IOException {
        long nodeid = fuse.lookup(dir, name).nodeid();
        FuseClient.Handle file = fuse.open(nodeid, O_RDWR);
        int at = random.nextInt(FILE_BYTES - 20_000);
        byte[] patch = random(random.nextLong(), 1 + random.nextInt(20_000));
        assertEquals(patch.length, fuse.write(nodeid, file.fh(), at, patch));
        System.arraycopy(patch, 0, content, at, patch.length);
        int from = random.nextInt(FILE_BYTES - 65_536);
        assertArrayEquals(Arrays.copyOfRange(content, from, from + 65_536), fuse.read(nodeid, file.fh(), from, 65_536));
        fuse.fsync(nodeid, file.fh(), true);
        fuse.release(nodeid, file.fh(), O_RDWR);
        fuse.forget(nodeid, 1);
        long made = makeFile(fuse, dir, "made", patch);
        fuse.rename(dir, "made", dir, "moved", 0);
        assertArrayEquals(patch, readFile(fuse, dir, "moved"));
        fuse.unlink(dir, "moved");
        fuse.forget(made, 1);
    }

    /** Ends the thread and says whether all went well to the end. */
    @Override
    public void close() {
        stopping = true;
        await("end of the neighbour", () -> !thread.isAlive());
        assertNull(failure, () -> "the neighbour failed: " + failure);
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Crc32c;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** How fast a mount after a crash replays the log, beside how fast its bytes could be copied and checksummed. */
class ReplaySpeedTest {
    private static final int ROOT = 1;
    private static final int FILES = 40_000;
    private static final int DIRECTORIES = 64;
    private static final int ROUNDS = 4;

    /** Of copying and checksumming, which is bound by memory; what is asked for, 200 MB/s, is a fiftieth of 10 GB/s. */
    private static final double LEAST_PART = 1 / 100.0;

    @Test
    void replayKeepsUpWithAFastDisk() {
        FsFixture fixture = new FsFixture(new MallocDevice(4L << 30), StoreOptions.DEFAULT);
        FsTestClient client = fixture.newClient();
        long[] directories = new long[DIRECTORIES];
        for (int i = 0; i < DIRECTORIES; i++) {
            directories[i] = client.mkdir(ROOT, "d" + i);
        }
        fixture.store.requestCheckpoint();
        assertEquals(0, client.call(FsOp.SYNCFS));
        long before = fixture.store.logBytesWritten();
        load(client, directories);
        assertEquals(0, client.call(FsOp.SYNCFS));
        long bytes = fixture.store.logBytesWritten() - before;
        assertTrue(fixture.store.checkpointsCompleted() <= 1, "the log was trimmed meanwhile");
        long groups = fixture.store.sequence();
        fixture.crash();

        // Reading only, the log is the same the next time; and its changes must fit into the cache.
        StoreOptions options =
                StoreOptions.DEFAULT.withMetaCacheBytes(256 << 20).withReadOnly();
        double replay = 0;
        for (int round = 0; round < ROUNDS; round++) {
            long start = cpuNs();
            BlobStore store = BlobStore.open(fixture.device, options);
            replay = Math.max(replay, bytes / ((cpuNs() - start) / 1e9));
            assertEquals(groups, store.sequence(), "not all of the log was replayed");
            store.abandon();
        }
        double peer = copyAndChecksum(bytes);
        System.out.printf(
                Locale.ROOT,
                "replay of %.1f MB: %.0f MB/s; copy and checksum: %.0f MB/s%n",
                bytes / 1e6,
                replay / 1e6,
                peer / 1e6);
        assertTrue(replay > LEAST_PART * peer, replay / peer + " of copying and checksumming");
        fixture.mount();
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    /** Makes files all over the place, writes a little into some, renames and deletes others. */
    private static void load(FsTestClient client, long[] directories) {
        Random random = new Random(1);
        byte[] data = new byte[300];
        for (int i = 0; i < FILES; i++) {
            long directory = directories[random.nextInt(DIRECTORIES)];
            String name = "file-" + i;
            long file = client.create(directory, name);
            switch (random.nextInt(4)) {
                case 0 -> client.write(file, 0, data);
                case 1 -> assertEquals(0, client.tryUnlink(directory, name));
                case 2 ->
                    assertEquals(
                            0, client.tryRename(directory, name, directories[random.nextInt(DIRECTORIES)], name, 0));
                default -> {}
            }
            client.forget(file, 1);
        }
    }

    /** Of this thread, which does all of it: a loaded machine takes the processor away, but not from this clock. */
    private static long cpuNs() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static double copyAndChecksum(long bytes) {
        int record = 1 << 20;
        Crc32c crc = new Crc32c();
        double best = 0;
        try (HugepageMemory memory = HugepageMemory.reserve(bytes + 2L * record, "peer")) {
            long to = memory.address();
            for (int round = 0; round < ROUNDS; round++) {
                long sum = 0;
                long start = cpuNs();
                for (long at = record; at < bytes; at += record) {
                    Memory.copy(to + at, to, record);
                    sum += crc.of(to, record);
                }
                best = Math.max(best, bytes / ((cpuNs() - start) / 1e9));
                assertTrue(sum != 1);
            }
        }
        return best;
    }
}

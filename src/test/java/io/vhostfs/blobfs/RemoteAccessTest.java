package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class RemoteAccessTest {
    private static final int ROOT = 1;

    private static byte[] bytes(int length, int seed) {
        byte[] b = new byte[length];
        new Random(seed).nextBytes(b);
        return b;
    }

    @Test
    void mappedDataIsReadAndOverwrittenWithoutHome() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            FsTestClient other = fixture.newClientElsewhere(client.client, new Reactor("other"));
            long file = client.create(ROOT, "f");
            client.write(file, 0, bytes(16_384, 1));
            other.home = null;
            assertArrayEquals(bytes(16_384, 1), other.read(file, 0, 20_000));
            assertEquals(16_384, other.getattr(file).sizeBytes);
            other.write(file, 4096, bytes(4096, 2));
            assertTrue(other.getattr(file).modifyTimeNs > 0);
            assertArrayEquals(bytes(4096, 2), client.read(file, 4096, 4096));
            long handle = client.open(file);
            assertEquals(0, other.tryRead(file, handle, 0, 10));
            fixture.reactor.runOnce();
        }
    }

    @Test
    void whatChangesMetadataTravelsHomeAndBack() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            FsTestClient other = fixture.newClientElsewhere(client.client, new Reactor("other"));
            long dir = other.mkdir(ROOT, "d");
            long file = other.create(dir, "f");
            other.write(file, 0, bytes(10_000, 3));
            assertArrayEquals(bytes(10_000, 3), other.read(file, 0, 20_000));
            assertEquals(0, other.truncate(file, 100));
            assertEquals(0, other.fsync(file, false));
            assertEquals(-Errno.ENOENT, other.tryLookup(dir, "x"));
            assertEquals(3, other.list(dir, 10).size());
            assertEquals(100, client.getattr(file).sizeBytes);
            assertEquals(-Errno.EBADF, other.tryRead(file, 77, 0, 1));
        }
    }

    @Test
    void aTimeOfAnOverwriteElsewhereReachesTheTree() {
        FsFixture fixture = new FsFixture(64 << 20);
        FsTestClient client = fixture.newClient();
        FsTestClient other = fixture.newClientElsewhere(client.client, new Reactor("other"));
        long file = client.create(ROOT, "f");
        client.write(file, 0, new byte[8192]);
        client.request.newAttributes.modifyTimeNs = 5;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MTIME));
        other.request.keepsTimes = true;
        other.write(file, 0, new byte[4096]);
        assertEquals(5, client.getattr(file).modifyTimeNs);
        other.request.keepsTimes = false;
        other.write(file, 0, new byte[4096]);
        long modified = client.getattr(file).modifyTimeNs;
        assertTrue(modified > 5);
        fixture.remount();
        FsTestClient again = fixture.newClient();
        assertEquals(modified, again.getattr(again.lookup(ROOT, "f")).modifyTimeNs);
        fixture.close();
    }

    @Test
    void exclusiveOperationsAwaitOverwritesElsewhere() {
        DeferringDevice device = new DeferringDevice(new MallocDevice(64 << 20), 1, 512, 1);
        try (FsFixture fixture = new FsFixture(device, StoreOptions.DEFAULT)) {
            FsTestClient client = fixture.newClient();
            Reactor otherReactor = new Reactor("other");
            FsTestClient other = fixture.newClientElsewhere(client.client, otherReactor);
            long file = client.create(ROOT, "f");
            client.write(file, 0, new byte[8192]);
            FsTestClient.Request overwrite = other.newRequest();
            overwrite.inode = file;
            overwrite.length = 512;
            Memory.copyFromArray(bytes(512, 4), 0, overwrite.data, 512);
            overwrite.setData(overwrite.data, 512);
            other.start(overwrite, FsOp.WRITE);
            FsTestClient.Request partial = client.newRequest();
            partial.inode = file;
            partial.offset = 1000;
            partial.length = 100;
            Memory.copyFromArray(bytes(100, 5), 0, partial.data, 100);
            partial.setData(partial.data, 100);
            client.start(partial, FsOp.WRITE);
            for (int i = 0; i < 1000; i++) {
                fixture.reactor.runOnce();
            }
            assertEquals(FileSystem.PENDING, partial.status, "the overwrite has not ended");
            while (overwrite.status == FileSystem.PENDING) {
                otherReactor.runOnce();
            }
            assertEquals(0, client.await(partial));
            byte[] content = client.read(file, 0, 4096);
            assertArrayEquals(bytes(512, 4), Arrays.copyOf(content, 512));
            assertArrayEquals(bytes(100, 5), Arrays.copyOfRange(content, 1000, 1100));
        }
    }

    /** One thread overwrites the start of blocks while home writes to their middle. */
    @Test
    void noUpdateIsLostBetweenThreads() throws InterruptedException {
        int blocks = 16;
        FsFixture fixture = new FsFixture(64 << 20);
        FsTestClient client = fixture.newClient();
        long file = client.create(ROOT, "f");
        client.write(file, 0, new byte[blocks * 4096]);
        Reactor other = new Reactor("other");
        other.start();
        BlockChannel channel = other.ask(() -> fixture.device.openChannel(other));
        fixture.fileSystem.addReactor(other, channel);
        Overwriter overwriter = other.ask(() -> new Overwriter(fixture.fileSystem, client, other, file, blocks));
        long length = blocks * 4096L;
        Random random = new Random(6);
        byte[] middle = new byte[100];
        byte[][] expected = new byte[blocks][];
        int rounds = 0;
        while (overwriter.rounds < 50 || rounds < 500) {
            int b = random.nextInt(blocks);
            random.nextBytes(middle);
            client.write(file, b * 4096L + 1000, middle);
            expected[b] = middle.clone();
            if (rounds++ % 50 == 0) {
                client.write(file, length, bytes(4096, rounds));
                assertEquals(0, client.truncate(file, length));
                assertEquals(
                        0,
                        client.fallocate(
                                file,
                                LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE,
                                length,
                                1 << 20));
            }
        }
        overwriter.stopping = true;
        while (!overwriter.stopped) {
            fixture.reactor.runOnce();
        }
        assertEquals(List.of(), overwriter.errors());
        for (int b = 0; b < blocks; b++) {
            byte[] content = client.read(file, b * 4096L, 4096);
            assertEquals(overwriter.lastStamp[b], content[511], "block " + b);
            if (expected[b] != null) {
                assertArrayEquals(expected[b], Arrays.copyOfRange(content, 1000, 1100), "block " + b);
            }
        }
        other.ask(() -> {
            other.removePoller(overwriter);
            channel.close();
            return true;
        });
        other.stop();
        fixture.close();
    }

    private static final class Overwriter implements Poller {
        private final FileSystem fileSystem;
        private final FsRequestOf request;
        private final int blocks;
        final byte[] lastStamp;
        volatile int rounds;
        volatile boolean stopping;
        volatile boolean stopped;
        private int block;
        private byte stamp = 1;
        private boolean reading;
        private boolean waiting;
        private volatile String error = "";

        Overwriter(FileSystem fileSystem, FsTestClient client, Reactor reactor, long file, int blocks) {
            this.fileSystem = fileSystem;
            this.blocks = blocks;
            lastStamp = new byte[blocks];
            request = new FsRequestOf(client, reactor, this);
            request.inode = file;
            reactor.addPoller(this);
        }

        List<String> errors() {
            return error.isEmpty() ? List.of() : List.of(error);
        }

        @Override
        public int poll() {
            if (waiting || stopped) {
                return 0;
            }
            if (stopping) {
                stopped = true;
                return 0;
            }
            request.operation = reading ? FsOp.READ : FsOp.WRITE;
            request.offset = block * 4096L;
            request.length = 512;
            Memory.segment(request.memory, 512).fill(reading ? 0 : stamp);
            waiting = true;
            int status = fileSystem.submit(request);
            if (status != FileSystem.PENDING) {
                ended(status);
            }
            return 1;
        }

        void ended(int status) {
            waiting = false;
            if (status != 0 || request.count != 512) {
                error = "status " + status + ", count " + request.count;
            } else if (!reading) {
                lastStamp[block] = stamp;
            } else if (Memory.getByte(request.memory) != stamp || Memory.getByte(request.memory + 511) != stamp) {
                error = "read " + Memory.getByte(request.memory) + " instead of " + stamp;
            }
            if (reading) {
                block = (block + 1) % blocks;
                if (block == 0) {
                    int next = rounds + 1;
                    rounds = next;
                }
                stamp++;
            }
            reading = !reading;
        }

        @Override
        public boolean prepareToSleep() {
            return stopped;
        }

        @Override
        public void wake() {}
    }

    private static final class FsRequestOf extends FsRequest {
        private final Arena arena = Arena.ofAuto();
        final long memory = arena.allocate(4096, 4096).address();
        private final Overwriter owner;

        FsRequestOf(FsTestClient client, Reactor reactor, Overwriter owner) {
            super(client.client, reactor);
            this.owner = owner;
            dataIovecs = arena.allocate(16, 16).address();
            dataIovecCount = 1;
            Iovecs.set(dataIovecs, 0, memory, 512);
        }

        @Override
        public void onComplete(int status) {
            owner.ended(status);
        }
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.ForwardingDevice;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.UUID;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A checkpoint has to read the nodes that hold the bitmaps it changes, when the cache has dropped them. */
class CheckpointErrorsTest {
    private static final int ITEMS = 8000;
    private static final int VALUE_BYTES = 1000;

    private static final class FailingDevice extends ForwardingDevice {
        Predicate<BlockIo> fails = io -> false;

        FailingDevice() {
            super(new MallocDevice(64 << 20));
        }

        @Override
        protected BlockChannel openChannel(Reactor reactor, BlockChannel below) {
            return new LateChannel(reactor, below) {
                @Override
                public int submit(BlockIo io) {
                    return fails.test(io) ? -Errno.EIO : below.submit(io);
                }

                @Override
                public int poll() {
                    return 0;
                }

                @Override
                public int inFlight() {
                    return 0;
                }
            };
        }
    }

    private final FailingDevice device = new FailingDevice();
    private BlobStore store;
    private final StoreMemory memory = new StoreMemory(1 << 20);
    private final long value = memory.allocate(VALUE_BYTES);

    CheckpointErrorsTest() {
        BlobStore.format(device, new FormatOptions(new UUID(1, 2), "test", 1 << 20, 99, 0));
        store = open();
    }

    private BlobStore open() {
        return BlobStore.open(device, StoreOptions.DEFAULT.withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES));
    }

    @AfterEach
    void free() {
        store.abandon();
        device.close();
        memory.close();
    }

    private interface Attempt {
        int run();
    }

    private int await(Attempt attempt) {
        int status = attempt.run();
        while (status == BlobStore.NOT_RESIDENT) {
            Recovery.awaitNode(store);
            status = attempt.run();
        }
        return status;
    }

    private int put(long k0) {
        Memory.putLong(value, k0);
        int status = await(() -> {
            int prepared = store.prepare(k0, 7, VALUE_BYTES);
            return prepared == BlobStore.OK ? store.begin(BlobStore.logBytes(VALUE_BYTES)) : prepared;
        });
        if (status == BlobStore.OK) {
            store.put(k0, 7, value, VALUE_BYTES);
            store.end();
        }
        return status;
    }

    private void assertAllThere() {
        for (long k0 = 1; k0 <= ITEMS; k0++) {
            long key = k0;
            assertEquals(BlobStore.OK, await(() -> store.find(key, 7)), "item " + k0);
            assertEquals(k0, Memory.getLong(store.valueAddress));
        }
    }

    private int checkpoint() {
        long before = store.checkpointsCompleted();
        store.requestCheckpoint();
        store.driveUntil(() -> store.checkpointsCompleted() > before || store.failure() != 0);
        return store.failure();
    }

    @Test
    void aBitmapThatCannotBeReadEndsChangesAndLosesNothing() {
        for (long k0 = 1; k0 <= ITEMS; k0++) {
            assertEquals(BlobStore.OK, put(k0));
        }
        assertEquals(0, checkpoint());
        // Looking at all the others, the cache drops the leaf with the bitmaps.
        assertAllThere();
        device.fails = io -> io.operation == BlockIo.READ;
        assertEquals(BlobStore.OK, await(() -> store.reserve(0, 1)));
        store.begin(BlobStore.RANGE_LOG_BYTES);
        store.markUsed(store.reservedBlock, 1);
        store.end();
        assertEquals(-Errno.EIO, checkpoint());
        assertTrue(store.failureText().startsWith("reading the bitmap of group 0 failed"), store.failureText());
        assertEquals(-Errno.EROFS, put(1));
        device.fails = io -> false;
        // Before it is read again a node that could not be read is left alone for some turns.
        int[] turns = {0};
        store.driveUntil(() -> turns[0]++ > 10_000);
        assertAllThere();
        store.abandon();
        store = open();
        assertAllThere();
        assertEquals(0, checkpoint());
        store.closeBlocking();
        Reported reported = new Reported();
        BlobStore.check(device, reported, null);
        assertEquals("", reported.text);
    }

    private static final class Reported implements StoreReporter {
        String text = "";

        @Override
        public void problem(String problem) {
            text += problem;
        }
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.UUID;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/** A store and, beside it, what it should hold: keys in a TreeMap, allocated runs in another, one copy per group ended. */
final class StoreModel {
    record Key(long k0, long k1) implements Comparable<Key> {
        @Override
        public int compareTo(Key other) {
            return Node.compare(k0, k1, other.k0, other.k1);
        }
    }

    /** The change that one group made, to be undone or checked after a crash. */
    private record Change(long group, List<Runnable> undo) {}

    static final FormatOptions FORMAT = new FormatOptions(new UUID(0x1234, 0x5678), "test", 1 << 20, 99, 0);

    final Random random;
    final BlockDevice device;
    final StoreOptions options;
    final TreeMap<Key, byte[]> items = new TreeMap<>();
    final TreeMap<Long, Integer> runs = new TreeMap<>();
    private final TreeMap<Long, Long> stamps = new TreeMap<>();
    private final List<Change> changes = new ArrayList<>();
    private final long scratch = PermanentMemory.allocate(8192);
    BlobStore store;

    /** Of keys; small numbers make many hits. */
    int keySpace = 2000;

    int maxValueBytes = 300;
    long noSpace;

    StoreModel(long seed, BlockDevice device, StoreOptions options) {
        random = new Random(seed);
        this.device = device;
        this.options = options;
        BlobStore.format(device, FORMAT);
        store = BlobStore.open(device, options);
    }

    void reopen() {
        store = BlobStore.open(device, options);
    }

    /** From now on the store runs as one that is served, on a reactor driven by hand. */
    void serve() {
        store.handOver();
        store.start(new Reactor("test"));
    }

    // --- blocking style

    private static final class Woken extends BlobStore.Parkable {
        boolean done;

        @Override
        public void unpark() {
            done = true;
        }
    }

    private static final class Committed extends BlobStore.CommitWaiter {
        int status = 1;

        @Override
        public void onCommitted(int result) {
            status = result;
        }
    }

    /** Runs an operation again until it need not wait. */
    int run(IntSupplier operation) {
        while (true) {
            int status = operation.getAsInt();
            if (status != BlobStore.NOT_RESIDENT) {
                return status;
            }
            Woken woken = new Woken();
            store.park(woken);
            store.driveUntil(() -> woken.done);
        }
    }

    int commit() {
        Committed waiter = new Committed();
        store.commit(waiter);
        store.driveUntil(() -> waiter.status <= 0);
        if (waiter.status == 0) {
            changes.clear();
        }
        return waiter.status;
    }

    void checkpoint() {
        long before = store.checkpointsCompleted();
        store.requestCheckpoint();
        store.driveUntil(() -> store.checkpointsCompleted() > before || store.failure() != 0);
        changes.clear();
    }

    void turn(int times) {
        int[] left = {times};
        store.driveUntil(() -> left[0]-- <= 0);
    }

    // --- operations

    /** Must always succeed. */
    void deleteSomething() {
        if (random.nextBoolean() && !runs.isEmpty()) {
            assertEquals(BlobStore.OK, freeRun(randomRun()));
        } else if (!items.isEmpty()) {
            Key key = items.ceilingKey(randomKey());
            assertEquals(BlobStore.OK, apply(new Key[] {key == null ? items.firstKey() : key}, new byte[1][]));
        }
    }

    Key randomKey() {
        int n = random.nextInt(keySpace);
        return switch (n % 4) {
            case 0 -> new Key(1 + n / 16, (long) n << 50);
            case 1 -> new Key(-1L - n / 16, n);
            case 2 -> new Key(0, BlobStore.FIRST_USER_K1 + n);
            default -> new Key(5, (n * 0x9e3779b97f4a7c15L) | 1);
        };
    }

    byte[] randomValue() {
        byte[] value = new byte
                [random.nextInt(10) == 0
                        ? random.nextInt(BlobStore.MAX_VALUE_BYTES + 1)
                        : random.nextInt(maxValueBytes + 1)];
        random.nextBytes(value);
        return value;
    }

    /** One group of random changes; returns the status, and the model follows when it is OK. */
    int change() {
        int count = 1 + random.nextInt(4);
        Key[] keys = new Key[count];
        byte[][] values = new byte[count][];
        for (int i = 0; i < count; i++) {
            Key key = randomKey();
            byte[] now = items.get(key);
            boolean same = random.nextInt(3) == 0;
            keys[i] = key;
            if (random.nextInt(3) > 0) {
                values[i] = same && now != null ? new byte[now.length] : randomValue();
                random.nextBytes(values[i]);
            }
        }
        return apply(keys, values);
    }

    /** A null value deletes. */
    int apply(Key[] keys, byte[][] values) {
        int status = run(() -> {
            int logBytes = 0;
            for (int i = 0; i < keys.length; i++) {
                int length = values[i] == null ? 0 : values[i].length;
                int s = values[i] == null
                        ? store.prepareDelete(keys[i].k0, keys[i].k1)
                        : store.prepare(keys[i].k0, keys[i].k1, length);
                if (s != BlobStore.OK) {
                    return s;
                }
                logBytes += BlobStore.logBytes(length);
            }
            return store.begin(logBytes);
        });
        if (status != BlobStore.OK) {
            noSpace += status == -Errno.ENOSPC ? 1 : 0;
            return status;
        }
        List<Runnable> undo = new ArrayList<>();
        for (int i = 0; i < keys.length; i++) {
            Key key = keys[i];
            byte[] old = values[i] == null ? items.remove(key) : items.put(key, values[i]);
            undo.add(() -> restore(items, key, old));
            if (values[i] == null) {
                store.delete(key.k0, key.k1);
            } else {
                Memory.copyFromArray(values[i], 0, scratch, values[i].length);
                store.put(key.k0, key.k1, scratch, values[i].length);
            }
        }
        store.end();
        changes.add(new Change(store.sequence(), undo));
        return status;
    }

    private static <K, V> void restore(Map<K, V> map, K key, @Nullable V old) {
        if (old == null) {
            map.remove(key);
        } else {
            map.put(key, old);
        }
    }

    /** Allocates a run, or frees one. */
    int changeSpace() {
        if (random.nextInt(5) < 2 && !runs.isEmpty()) {
            return freeRun(randomRun());
        }
        return allocateRun(random.nextBoolean() ? 0 : random.nextLong(store.totalBlocks()), 1 + random.nextInt(40));
    }

    Long randomRun() {
        Long key = runs.ceilingKey(random.nextLong(store.totalBlocks()));
        return key == null ? runs.firstKey() : key;
    }

    int allocateRun(long goal, int blocks) {
        int status = run(() -> store.reserve(goal, blocks));
        if (status != BlobStore.OK) {
            noSpace += status == -Errno.ENOSPC ? 1 : 0;
            return status;
        }
        long block = store.reservedBlock;
        int n = store.reservedBlocks;
        assertTrue(n >= 1 && n <= blocks && block + n <= store.totalBlocks());
        Map.Entry<Long, Integer> before = runs.floorEntry(block + n - 1);
        assertTrue(before == null || before.getKey() + before.getValue() <= block, "a block was handed out twice");
        if (random.nextInt(10) == 0) {
            store.unreserve(block, n);
            return BlobStore.OK;
        }
        status = run(() -> store.begin(BlobStore.RANGE_LOG_BYTES));
        if (status != BlobStore.OK) {
            return status;
        }
        writeData(block, n, store.sequence() + 1);
        store.markUsed(block, n);
        store.end();
        runs.put(block, n);
        Long oldStamp = stamps.put(block, store.sequence());
        changes.add(new Change(store.sequence(), List.of(() -> {
            runs.remove(block);
            restore(stamps, block, oldStamp);
        })));
        return BlobStore.OK;
    }

    /** Data before metadata: the blocks of a run hold the number of the group that allocates it. */
    private void writeData(long block, int blocks, long stamp) {
        if (device instanceof CrashDevice disk) {
            for (int i = 0; i < blocks; i++) {
                disk.cacheBlock(block + i, data(block + i, stamp));
            }
            store.noteDataWrite(0);
        }
    }

    /** Names itself in every sector. */
    private static byte[] data(long block, long stamp) {
        ByteBuffer result = ByteBuffer.allocate(BlobStore.BLOCK_SIZE);
        for (int at = 0; at < BlobStore.BLOCK_SIZE; at += CrashDevice.SECTOR) {
            result.putLong(at, block).putLong(at + 8, stamp);
        }
        return result.array();
    }

    /** Every run still has the data that was written to it: its blocks were given to nobody else meanwhile. */
    void checkData() {
        if (device instanceof CrashDevice disk) {
            runs.forEach((block, n) -> {
                for (int i = 0; i < n; i++) {
                    assertArrayEquals(
                            data(block + i, Objects.requireNonNull(stamps.get(block))),
                            disk.readBlock(block + i),
                            "data of block " + (block + i));
                }
            });
        }
    }

    int freeRun(Long block) {
        int status = run(() -> store.begin(BlobStore.RANGE_LOG_BYTES));
        if (status != BlobStore.OK) {
            return status;
        }
        int n = Objects.requireNonNull(runs.remove(block));
        store.free(block, n);
        store.end();
        changes.add(new Change(store.sequence(), List.of(() -> runs.put(block, n))));
        return BlobStore.OK;
    }

    // --- checks

    void checkFind() {
        Key key = randomKey();
        int status = run(() -> store.find(key.k0, key.k1));
        byte[] expected = items.get(key);
        assertEquals(expected == null ? BlobStore.NOT_FOUND : BlobStore.OK, status);
        if (expected != null) {
            assertFound(key, expected);
        }
    }

    void checkCeiling() {
        Key key = randomKey();
        int status = run(() -> store.ceiling(key.k0, key.k1));
        Map.Entry<Key, byte[]> expected = items.ceilingEntry(key);
        assertEquals(expected == null ? BlobStore.NOT_FOUND : BlobStore.OK, status);
        if (expected != null) {
            assertFound(expected.getKey(), expected.getValue());
        }
    }

    void checkFloor() {
        Key key = randomKey();
        Map.Entry<Key, byte[]> expected = items.floorEntry(key);
        if (expected == null) {
            return; // The store's own items lie below the user's.
        }
        assertEquals(BlobStore.OK, run(() -> store.floor(key.k0, key.k1)));
        assertFound(expected.getKey(), expected.getValue());
    }

    private void assertFound(Key key, byte[] value) {
        assertEquals(key, new Key(store.foundK0, store.foundK1));
        assertArrayEquals(value, foundValue());
    }

    byte[] foundValue() {
        byte[] value = new byte[store.valueLength];
        Memory.copyToArray(store.valueAddress, value, 0, value.length);
        return value;
    }

    /** Every item, in order, and every block's bit. */
    void checkAll() {
        checkData();
        long k0 = 0;
        long k1 = BlobStore.FIRST_USER_K1;
        for (Map.Entry<Key, byte[]> expected : items.entrySet()) {
            long f0 = k0;
            long f1 = k1;
            assertEquals(BlobStore.OK, run(() -> store.ceiling(f0, f1)));
            assertFound(expected.getKey(), expected.getValue());
            k1 = store.foundK1 + 1;
            k0 = k1 == 0 ? store.foundK0 + 1 : store.foundK0;
        }
        long f0 = k0;
        long f1 = k1;
        assertEquals(BlobStore.NOT_FOUND, run(() -> store.ceiling(f0, f1)));
        long data = 0;
        for (Map.Entry<Long, Integer> run : runs.entrySet()) {
            for (int i = 0; i < run.getValue(); i++) {
                assertTrue(store.space().isUsed(run.getKey() + i), "block " + run.getKey() + i + " is not marked used");
            }
            data += run.getValue();
        }
        long nodes = store.treeNodes() * Node.BLOCKS;
        assertEquals(store.superblock().firstDataBlock() + nodes + data, store.usedBlocks());
    }

    /** After a crash: takes back the groups that the store does not have; none that was committed may be missing. */
    void rollBackTo(long group) {
        while (!changes.isEmpty() && changes.getLast().group > group) {
            Change change = changes.removeLast();
            List<Runnable> undo = change.undo;
            for (int i = undo.size() - 1; i >= 0; i--) {
                undo.get(i).run();
            }
        }
        changes.clear();
    }

    @Override
    public String toString() {
        return "model of " + items.size() + " items, " + runs.size() + " runs, last key "
                + Arrays.toString(items.isEmpty() ? new Object[0] : new Object[] {items.lastKey()});
    }
}

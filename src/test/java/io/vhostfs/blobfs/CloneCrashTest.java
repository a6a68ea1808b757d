package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.blobstore.CrashDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Files that share blocks are written, cut, punched, cloned and removed, several at once, on a disk that loses power.
 *
 * <p>Every sector written has a number of its own. A sector may only ever hold a number that was written there, or cloned to
 * there: since the last sync for what a crash left, in the running batch for what is read while all is well.
 */
class CloneCrashTest {
    private static final int SECTOR = 512;
    private static final int SECTORS = 640;
    private static final int FILES = 6;
    private static final int BATCHES = 60;

    private static final class File {
        final String name;
        final long inode;
        int sectors;
        final long[] now = new long[SECTORS];
        /** What a crash may bring back. */
        final List<Set<Long>> possible = new ArrayList<>();
        /** What the running batch may have made. */
        final List<Set<Long>> batch = new ArrayList<>();

        boolean mayBeMissing = true;
        boolean isRemoved;

        File(String name, long inode) {
            this.name = name;
            this.inode = inode;
            for (int i = 0; i < SECTORS; i++) {
                possible.add(new HashSet<>(Set.of(0L)));
                batch.add(new HashSet<>());
            }
        }
    }

    private record Op(int kind, File file, int at, int count, @Nullable File source, int from, long tag) {
        static final int WRITE = 0;
        static final int CLONE = 1;
        static final int TRUNCATE = 2;
        static final int PUNCH = 3;
        static final int ZERO = 4;
        static final int ALLOCATE = 5;
    }

    private final Random random = new Random();
    private final List<File> files = new ArrayList<>();
    private final List<File> removed = new ArrayList<>();
    private final List<FsTestClient.Request> requests = new ArrayList<>();
    private @Nullable FsTestClient client;
    private long lastTag;
    private int lastName;
    private long shared;

    private FsTestClient client() {
        return Objects.requireNonNull(client);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void everySectorHoldsWhatBelongsThere(long seed) {
        run(seed, 12);
    }

    void run(long seed, int crashes) {
        random.setSeed(seed);
        CrashDevice device = new CrashDevice(48 << 20, new Random(seed + 1));
        FsFixture f = new FsFixture(device, StoreOptions.DEFAULT);
        connect(f);
        for (int n = 0; n < crashes; n++) {
            int batches = 1 + random.nextInt(BATCHES);
            for (int i = 0; i < batches; i++) {
                step();
            }
            startSome();
            int turns = random.nextInt(60);
            for (int i = 0; i < turns; i++) {
                f.reactor.runOnce();
            }
            f.crash();
            device.crash(random, random.nextInt(4) * 33);
            assertEquals(List.of(), Checks.run(device), "after crash " + n + " of seed " + seed);
            f.mount();
            connect(f);
            afterCrash();
        }
        assertTrue(shared > 0, "something was shared");
        f.unmount();
        assertEquals(List.of(), Checks.run(device));
    }

    private void connect(FsFixture f) {
        FsTestClient c =
                new FsTestClient(f.fileSystem, f.reactor, f.fileSystem.attach(FileSystem.ROOT_INODE), SECTORS * SECTOR);
        client = c;
        requests.clear();
        for (int i = 0; i < 4; i++) {
            requests.add(c.newRequest());
        }
    }

    private void step() {
        switch (random.nextInt(8)) {
            case 0 -> sync();
            case 1 -> replace();
            default -> batch();
        }
    }

    private void sync() {
        if (random.nextBoolean()) {
            assertEquals(0, client().call(FsOp.SYNCFS));
            removed.clear();
            for (File file : files) {
                synced(file);
            }
        } else if (!files.isEmpty()) {
            File file = files.get(random.nextInt(files.size()));
            assertEquals(0, client().fsync(file.inode, random.nextBoolean()));
            synced(file);
        }
    }

    private static void synced(File file) {
        file.mayBeMissing = false;
        for (int i = 0; i < SECTORS; i++) {
            file.possible.set(i, new HashSet<>(Set.of(file.now[i])));
        }
    }

    private void replace() {
        if (files.size() == FILES) {
            File file = files.remove(random.nextInt(FILES));
            assertEquals(0, client().tryUnlink(FileSystem.ROOT_INODE, file.name));
            client().forget(file.inode, Long.MAX_VALUE);
            file.isRemoved = true;
            removed.add(file);
        }
        String name = "f" + lastName++;
        files.add(new File(name, client().create(FileSystem.ROOT_INODE, name)));
    }

    private Op any(File file) {
        int kind =
                switch (random.nextInt(12)) {
                    case 0, 1, 2, 3 -> Op.WRITE;
                    case 4, 5, 6, 7 -> Op.CLONE;
                    case 8 -> Op.PUNCH;
                    case 9 -> Op.ZERO;
                    case 10 -> Op.ALLOCATE;
                    default -> Op.TRUNCATE;
                };
        int at = random.nextInt(SECTORS);
        int count = 1 + random.nextInt(Math.min(SECTORS - at, random.nextBoolean() ? 12 : 300));
        if (kind != Op.CLONE) {
            boolean whole = random.nextBoolean();
            long tag = kind == Op.WRITE ? lastTag + 1 : 0;
            lastTag += kind == Op.WRITE ? count : 0;
            int from = whole ? at & ~7 : at;
            return new Op(kind, file, from, count, null, 0, tag);
        }
        File source = files.get(random.nextInt(files.size()));
        int from = random.nextInt(SECTORS) & ~7;
        count = Math.max(8, count & ~7);
        at = Math.min(at, SECTORS - count) & ~7;
        from = Math.min(from, SECTORS - count) & ~7;
        return new Op(kind, file, at, count, source, from, 0);
    }

    private List<Op> startSome() {
        List<Op> ops = new ArrayList<>();
        List<File> left = new ArrayList<>(files);
        while (ops.size() < requests.size() && !left.isEmpty() && random.nextInt(4) != 0) {
            ops.add(any(left.remove(random.nextInt(left.size()))));
        }
        for (File file : files) {
            for (int i = 0; i < SECTORS; i++) {
                file.batch.set(i, new HashSet<>(Set.of(file.now[i])));
            }
        }
        for (int round = 0; round < ops.size() + 1; round++) {
            ops.forEach(this::imagine);
        }
        for (File file : files) {
            for (int i = 0; i < SECTORS; i++) {
                file.possible.get(i).addAll(file.batch.get(i));
            }
        }
        for (int i = 0; i < ops.size(); i++) {
            start(requests.get(i), ops.get(i));
        }
        return ops;
    }

    /** What an operation may make of its sectors, whatever comes before it. */
    private void imagine(Op op) {
        int end = op.kind == Op.TRUNCATE ? SECTORS : op.at + op.count;
        for (int i = op.at; i < end; i++) {
            Set<Long> to = op.file.batch.get(i);
            File source = op.source;
            if (source != null) {
                to.addAll(source.batch.get(op.from + i - op.at));
            } else if (op.kind == Op.WRITE) {
                to.add(op.tag + i - op.at);
            } else if (op.kind != Op.ALLOCATE) {
                to.add(0L);
            }
        }
    }

    private void start(FsTestClient.Request r, Op op) {
        r.inode = op.file.inode;
        r.handle = 0;
        r.handle2 = 0;
        r.offset = (long) op.at * SECTOR;
        r.length = (long) op.count * SECTOR;
        r.flags = random.nextInt(10) == 0 ? LibcConstants.O_DSYNC : 0;
        switch (op.kind) {
            case Op.WRITE -> {
                for (int s = 0; s < op.count; s++) {
                    for (int i = 0; i < SECTOR; i += 8) {
                        Memory.putLong(r.data + (long) s * SECTOR + i, op.tag + s);
                    }
                }
                r.setData(r.data, r.length);
                client().start(r, FsOp.WRITE);
            }
            case Op.CLONE -> {
                r.inode2 = op.file.inode;
                r.offset2 = r.offset;
                r.inode = Objects.requireNonNull(op.source).inode;
                r.offset = (long) op.from * SECTOR;
                r.count = 0;
                client().start(r, FsOp.CLONE);
            }
            case Op.TRUNCATE -> {
                r.newAttributes.sizeBytes = r.offset;
                r.valid = FsRequest.SET_SIZE;
                client().start(r, FsOp.SETATTR);
            }
            default -> {
                r.mode = op.kind == Op.PUNCH
                        ? LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE
                        : op.kind == Op.ZERO ? LibcConstants.FALLOC_FL_ZERO_RANGE : 0;
                client().start(r, FsOp.FALLOCATE);
            }
        }
    }

    private void batch() {
        List<Op> ops = startSome();
        for (int i = 0; i < ops.size(); i++) {
            Op op = ops.get(i);
            int status = client().await(requests.get(i));
            boolean overlaps = op.source == op.file && op.from < op.at + op.count && op.at < op.from + op.count;
            if (status != 0) {
                assertTrue(op.kind == Op.CLONE && overlaps, op + ": " + status);
            } else if (op.kind == Op.CLONE) {
                shared += requests.get(i).count;
            }
        }
        for (File file : files) {
            learn(file, file.batch);
        }
    }

    /** Reads the file: each sector holds what it may. */
    private void learn(File file, List<Set<Long>> allowed) {
        long size = client().getattr(file.inode).sizeBytes;
        assertEquals(0, size % SECTOR);
        file.sectors = (int) (size / SECTOR);
        byte[] content = client().read(file.inode, 0, SECTORS * SECTOR);
        assertEquals(size, content.length);
        long at = client().request.data;
        for (int s = 0; s < SECTORS; s++) {
            long value = s < file.sectors ? Memory.getLong(at + (long) s * SECTOR) : 0;
            for (int i = 8; s < file.sectors && i < SECTOR; i += 8) {
                assertEquals(value, Memory.getLong(at + (long) s * SECTOR + i), "one sector, two writes");
            }
            Set<Long> possible = allowed.get(s);
            if (s < file.sectors || possible.contains(0L)) {
                int sector = s;
                assertTrue(
                        possible.contains(value),
                        () -> file.name + " sector " + sector + " holds " + value + ", possible are " + possible);
            }
            file.now[s] = value;
        }
    }

    private void afterCrash() {
        List<File> before = new ArrayList<>(files);
        before.addAll(removed);
        files.clear();
        removed.clear();
        for (File file : before) {
            int status = client().tryLookup(FileSystem.ROOT_INODE, file.name);
            if (status != 0) {
                assertTrue(file.mayBeMissing || file.isRemoved, file.name + " is missing");
                continue;
            }
            assertEquals(file.inode, client().request.attributes.inode);
            learn(file, file.possible);
            synced(file);
            file.isRemoved = false;
            files.add(file);
        }
        while (files.size() > FILES) {
            File file = files.removeLast();
            assertEquals(0, client().tryUnlink(FileSystem.ROOT_INODE, file.name));
            file.isRemoved = true;
            removed.add(file);
        }
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.vhostfs.FuzzSource;
import io.vhostfs.bdev.ImageDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Whatever is on the device, with checksums made right so that nothing stops at them: a mount, a check, reads and changes
 * end with an answer or with an exception that says what is wrong.
 */
class OnDiskFuzzTest {
    private static final int MAX_MUTATIONS = 12;
    private static final int MAX_INODES = 60;
    private static final int SEEDS = 1500;
    private static final int MAX_FAILURES = 8;

    private static final long[] INTERESTING = {
        0,
        1,
        2,
        3,
        7,
        8,
        63,
        64,
        127,
        128,
        255,
        256,
        2000,
        2001,
        3600,
        4000,
        4001,
        4095,
        4096,
        4097,
        16383,
        16384,
        32767,
        32768,
        65535,
        65536,
        1 << 30,
        (1 << 30) + 1,
        Integer.MAX_VALUE,
        Integer.MIN_VALUE,
        1L << 32,
        1L << 44,
        1L << 48,
        (1L << 56) - 1,
        1L << 56,
        3L << 56,
        1L << 60,
        (1L << 60) + 1,
        Long.MAX_VALUE,
        Long.MIN_VALUE,
        -1,
        -2,
        -4096
    };

    private static final Image IMAGE = new Image();

    /** A small file system with everything in it, and where its structures are. */
    private static final class Image {
        final ImageDevice device;
        final DiskEditor editor;
        final List<DiskEditor.Item> items;

        Image() {
            RichTree tree = RichTree.withClones(6 << 20, 24, 3);
            tree.addOrphan();
            for (int i = 0; i < 4; i++) {
                tree.logRecord(i);
            }
            tree.crash();
            device = tree.device;
            device.keep();
            editor = new DiskEditor(device);
            items = editor.items();
        }
    }

    private int mounted;
    private int refused;
    private int repaired;
    private int problems;
    private int readOnly;

    @FuzzTest
    void anyDeviceIsAnswered(FuzzedDataProvider data) {
        drive(FuzzSource.of(data));
    }

    /** The same, from seeds, for runs without a fuzzer. */
    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void anyDeviceIsAnsweredForManySeeds() {
        AssertionError failures = new AssertionError("some seeds fail");
        for (int seed = 0; seed < SEEDS && failures.getSuppressed().length < MAX_FAILURES; seed++) {
            try {
                Random random = new Random(seed);
                drive(FuzzSource.of(random, random.nextInt(1, MAX_MUTATIONS)));
            } catch (RuntimeException | Error e) {
                failures.addSuppressed(new AssertionError("seed " + seed, e));
            }
        }
        if (failures.getSuppressed().length > 0) {
            throw failures;
        }
        assertTrue(
                mounted > SEEDS / 5
                        && repaired > SEEDS / 5
                        && refused > SEEDS / 20
                        && problems > SEEDS / 2
                        && readOnly > SEEDS / 200,
                mounted + " mounted, " + readOnly + " of them read-only in the end, " + repaired + " repaired, "
                        + refused + " refused, " + problems + " with problems");
    }

    private void drive(FuzzSource source) {
        try {
            for (int i = 0; i < MAX_MUTATIONS && source.hasMore(); i++) {
                mutate(source);
            }
            // Mostly; sometimes the checksums are what is tried.
            if (source.number(0, 15) != 0) {
                IMAGE.editor.sealAll();
            }
            problems += check().isEmpty() ? 0 : 1;
            if (source.number(0, 2) == 0) {
                repair();
            } else {
                mountAndUse(source);
            }
        } finally {
            IMAGE.device.restore();
        }
    }

    // --- what is changed

    private static void mutate(FuzzSource source) {
        DiskEditor editor = IMAGE.editor;
        switch (source.number(0, 15)) {
            case 0 -> spoil(source, source.number(0, 5), 0, source.number(0, 20) == 0 ? 4095 : 180);
            case 1 -> spoil(source, pick(source, editor.logBlocks()), 0, source.number(0, 2) == 0 ? 63 : 4095);
            case 2 -> spoil(source, pick(source, editor.nodeBlocks()), 0, 63);
            case 3 -> spoil(source, pick(source, editor.nodeBlocks()), 64, 1000);
            case 4 -> {
                long block = pick(source, editor.innerBlocks());
                spoil(source, block, source.number(0, 1) == 0 ? 64 : 6592, 24 * 20);
            }
            case 5, 8, 9 -> copyItem(source);
            case 6 -> copyChild(source);
            case 7 -> flipInMap(source);
            default -> {
                DiskEditor.Item item = IMAGE.items.get(source.number(0, IMAGE.items.size() - 1));
                if (source.number(0, 3) == 0) {
                    spoilAt(source, item.slotOffset() + source.number(0, 23));
                } else if (item.length() > 0) {
                    spoilAt(source, item.valueOffset() + source.number(0, Math.min(item.length() - 1, 160)));
                }
            }
        }
    }

    /** One item says what another one of its size says: two extents of the same blocks, two names of one inode. */
    private static void copyItem(FuzzSource source) {
        DiskEditor.Item from = IMAGE.items.get(source.number(0, IMAGE.items.size() - 1));
        int at = source.number(0, IMAGE.items.size() - 1);
        for (int i = 0; i < IMAGE.items.size(); i++) {
            DiskEditor.Item to = IMAGE.items.get((at + i) % IMAGE.items.size());
            boolean isAlike = to.length() == from.length()
                    && !to.equals(from)
                    && IMAGE.editor.get(to.slotOffset() + 15, 1) == IMAGE.editor.get(from.slotOffset() + 15, 1);
            if (isAlike) {
                for (int b = 0; b < from.length(); b++) {
                    IMAGE.editor.put(to.valueOffset() + b, 1, IMAGE.editor.get(from.valueOffset() + b, 1));
                }
                return;
            }
        }
    }

    /** A node has two parents, or two places in one. */
    private static void copyChild(FuzzSource source) {
        int from = childOffset(source);
        int to = childOffset(source);
        for (int b = 0; b < 24; b++) {
            IMAGE.editor.put(to + b, 1, IMAGE.editor.get(from + b, 1));
        }
    }

    private static int childOffset(FuzzSource source) {
        long block = pick(source, IMAGE.editor.innerBlocks());
        int count = (int) IMAGE.editor.get((int) block * ImageDevice.BLOCK + 34, 2);
        return (int) block * ImageDevice.BLOCK + 6592 + 24 * source.number(0, Math.clamp(count - 1, 0, 407));
    }

    /** Some blocks are free that were not, or the other way round. */
    private static void flipInMap(FuzzSource source) {
        List<DiskEditor.Item> maps = IMAGE.items.stream()
                .filter(item -> IMAGE.editor.get(item.slotOffset(), 8) == 0)
                .toList();
        if (!maps.isEmpty()) {
            int at = maps.get(source.number(0, maps.size() - 1)).valueOffset()
                    + source.number(0, (int) (IMAGE.device.capacityBytes() / ImageDevice.BLOCK / 8) - 1);
            IMAGE.editor.put(at, 1, IMAGE.editor.get(at, 1) ^ source.number(1, 255));
        }
    }

    private static long pick(FuzzSource source, List<Long> blocks) {
        return blocks.get(source.number(0, blocks.size() - 1));
    }

    private static void spoil(FuzzSource source, long block, int from, int count) {
        spoilAt(source, (int) block * ImageDevice.BLOCK + from + source.number(0, count));
    }

    private static void spoilAt(FuzzSource source, int offset) {
        int width = 1 << source.number(0, 3);
        int at = source.number(0, 2) == 0 ? offset : offset & -width;
        long value = source.number(0, 3) == 0 ? source.any() : INTERESTING[source.number(0, INTERESTING.length - 1)];
        if (source.number(0, 5) == 0) {
            value = IMAGE.editor.get(at, width) + source.number(-2, 2);
        }
        IMAGE.editor.put(at, width, value);
    }

    // --- what is done with it

    /** Keeps what is said. */
    private static final class Report implements RepairReporter {
        final List<String> problems = new ArrayList<>();
        final List<String> rest = new ArrayList<>();

        @Override
        public void problem(String text) {
            problems.add(text);
        }

        @Override
        public void remark(String text) {
            rest.add(text);
        }

        @Override
        public void repaired(String text) {
            rest.add(text);
        }

        @Override
        public void lost(String text) {
            rest.add(text);
        }
    }

    private static List<String> check() {
        Report report = new Report();
        BlobStore.check(IMAGE.device, report, new FileSystemVisitor());
        return report.problems;
    }

    /** What a repair leaves is whole, but for blocks that two files claim: both can be read, and only people can tell. */
    private void repair() {
        Report report = new Report();
        try {
            BlobStore.repair(IMAGE.device, StoreOptions.DEFAULT, report, new BlobFsRepair(report, 1));
        } catch (StoreException e) {
            refused++;
            return;
        }
        List<String> left = new ArrayList<>(check());
        left.removeIf(p -> p.contains("SHARED_BLOCKS") || p.contains("something else uses"));
        assertEquals(List.of(), left, () -> report.problems + "\n" + report.rest);
        FsFixture fixture = FsFixture.mounted(IMAGE.device);
        assertEquals(List.of(), TreeSnapshot.of(fixture.fileSystem, fixture.reactor).refused, () -> "" + report.rest);
        fixture.settle();
        fixture.tryUnmount();
        repaired++;
    }

    private void mountAndUse(FuzzSource source) {
        FsFixture fixture;
        try {
            fixture = FsFixture.mounted(IMAGE.device);
        } catch (StoreException e) {
            refused++;
            return;
        }
        mounted++;
        FsTestClient client = new FsTestClient(
                fixture.fileSystem,
                fixture.reactor,
                fixture.fileSystem.attach(FileSystem.ROOT_INODE),
                TreeSnapshot.PIECE);
        use(client, source);
        fixture.settle();
        String failure = fixture.store.failureText();
        fixture.tryUnmount();
        readOnly += failure.isEmpty() ? 0 : 1;
        // What is damaged is known for that; no exception is to be the first to say so.
        RuntimeException unexpected = fixture.store.unexpected();
        if (unexpected != null) {
            throw unexpected;
        }
    }

    private record Found(long directory, FsTestClient.Entry entry) {}

    /** Reads all that can be found, and changes it; every answer is good. */
    private static void use(FsTestClient client, FuzzSource source) {
        Deque<Long> directories = new ArrayDeque<>(List.of(FileSystem.ROOT_INODE));
        Set<Long> seen = new HashSet<>();
        List<Found> all = new ArrayList<>();
        while (!directories.isEmpty() && all.size() < MAX_INODES) {
            long directory = directories.remove();
            List<FsTestClient.Entry> entries = new ArrayList<>();
            client.tryList(directory, 0, MAX_INODES, source.number(0, 1) == 1, entries);
            readAll(client, directory);
            for (FsTestClient.Entry entry : entries) {
                client.tryLookup(directory, entry.name());
                client.tryLookup(entry.inode(), ".");
                readAll(client, entry.inode());
                all.add(new Found(directory, entry));
                if (entry.type() == 4 && seen.add(entry.inode())) {
                    directories.add(entry.inode());
                }
            }
        }
        for (int i = 0; i < all.size(); i++) {
            long previous = all.get(Math.max(0, i - 1)).entry.inode();
            change(client, all.get(i), i + source.number(0, 11), previous);
        }
        if (source.number(0, 2) == 0) {
            // What two claim is given up by both.
            all.forEach(found -> client.truncate(found.entry.inode(), 0));
        }
    }

    private static void readAll(FsTestClient client, long inode) {
        client.tryGetattr(inode);
        long size = client.request.attributes.sizeBytes;
        client.tryRead(inode, 0, 0, TreeSnapshot.PIECE);
        client.tryRead(inode, 0, Math.max(0, size - 5000), TreeSnapshot.PIECE);
        client.seek(inode, 0, LibcConstants.SEEK_HOLE);
        client.seek(inode, Math.max(0, size / 2), LibcConstants.SEEK_DATA);
        client.request.inode = inode;
        client.request.setData(client.request.data, 4096);
        client.call(FsOp.READLINK);
        if (client.tryListxattr(inode, TreeSnapshot.PIECE) == 0) {
            for (String name : new String(
                            FsTestClient.bytes(client.request.data, (int) client.request.count),
                            java.nio.charset.StandardCharsets.UTF_8)
                    .split("\0", -1)) {
                client.tryGetxattr(inode, name, TreeSnapshot.PIECE);
            }
        }
        client.tryGetxattr(inode, "user.big", TreeSnapshot.PIECE);
    }

    private static void change(FsTestClient client, Found found, int kind, long previous) {
        long inode = found.entry.inode();
        String name = found.entry.name();
        client.tryGetattr(inode);
        long size = client.request.attributes.sizeBytes;
        switch (kind % 12) {
            case 0 -> client.tryWrite(inode, 0, 0, new byte[100], 0);
            case 1 -> client.tryWrite(inode, 0, Math.max(0, size - 10), new byte[9000], 0);
            case 2 -> client.truncate(inode, 10);
            case 3 -> client.truncate(inode, size + 5000);
            case 4 ->
                client.fallocate(
                        inode, LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE, 100, 9000);
            case 5 -> client.trySetxattr(inode, "user.big", new byte[5000], 0);
            case 6 -> client.removexattr(inode, "user.big");
            case 7 -> client.tryRename(found.directory, name, FileSystem.ROOT_INODE, "renamed", 0);
            case 8, 10 -> client.tryUnlink(found.directory, name);
            case 11 -> client.tryClone(inode, 0, previous, 4096L * (size % 5), 1 << 20);
            default -> client.tryRmdir(found.directory, name);
        }
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.ImageDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is damaged is made whole: nothing that could be read is read otherwise, and what is lost is told. */
@Timeout(value = 20, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class BlobFsRepairTest {
    private static final Pattern RANGE =
            Pattern.compile("items of inodes (\\d+) to (\\d+) (cannot be read|were chosen by their age)");
    private static final Pattern CONTENT =
            Pattern.compile("(mode|size|owner|device|bytes|target|attribute|modified) .*", Pattern.DOTALL);

    private static final class Report implements RepairReporter {
        final List<String> problems = new ArrayList<>();
        final List<String> repairs = new ArrayList<>();
        final List<String> losses = new ArrayList<>();

        @Override
        public void problem(String text) {
            problems.add(text);
        }

        @Override
        public void repaired(String text) {
            repairs.add(text);
        }

        @Override
        public void lost(String text) {
            losses.add(text);
        }

        boolean tells(String path, long inode) {
            for (String loss : losses) {
                Matcher range = RANGE.matcher(loss);
                boolean inRange = range.find()
                        && inode >= Long.parseLong(range.group(1))
                        && inode <= Long.parseLong(range.group(2));
                if (inRange || loss.matches("(?s).*inode " + inode + "\\b.*") || loss.contains("(" + path + ")")) {
                    return true;
                }
            }
            return false;
        }

        @Override
        public String toString() {
            return "problems " + problems + "\nrepairs " + repairs + "\nlosses " + losses;
        }
    }

    private final ImageDevice device;
    private final TreeSnapshot truth;
    private final Random random = new Random(9);

    BlobFsRepairTest() {
        RichTree tree = RichTree.withClones(16 << 20, 100, 78);
        tree.addOrphan();
        for (int i = 0; i < 6; i++) {
            tree.logRecord(i);
        }
        tree.crash();
        device = tree.device;
        device.keep();
        truth = mountAndRead();
        device.restore();
    }

    private TreeSnapshot mountAndRead() {
        FsFixture fixture = FsFixture.mounted(device);
        TreeSnapshot snapshot = TreeSnapshot.of(fixture.fileSystem, fixture.reactor);
        fixture.settle();
        fixture.tryUnmount();
        return snapshot;
    }

    private Report repair() {
        return repair(device, StoreOptions.DEFAULT);
    }

    private List<String> check() {
        Report report = new Report();
        BlobStore.check(device, report, new FileSystemVisitor());
        return report.problems;
    }

    /** Whether a leaf holds items of no inode, without which nothing is mounted. */
    private static boolean hasHeader(ImageDevice device, long leaf) {
        ByteBuffer node = Blocks.view(device.read(leaf, 4));
        int count = node.getShort(34);
        return count > 0 && node.getLong(64 + 24 * (count - 1)) == Items.SYSTEM;
    }

    private static Map<Long, TreeSnapshot.Entry> byInode(TreeSnapshot snapshot) {
        Map<Long, TreeSnapshot.Entry> map = new HashMap<>();
        snapshot.entries.values().forEach(e -> map.put(e.inode, e));
        return map;
    }

    /** What can be read of the device as it is; null when it does not mount. The device stays as it is. */
    private @Nullable TreeSnapshot readable() {
        return readable(device, truth, false);
    }

    private static @Nullable TreeSnapshot readable(ImageDevice device, TreeSnapshot truth, boolean isHalfRepaired) {
        byte[] now = device.copy();
        TreeSnapshot snapshot = null;
        try {
            FsFixture fixture = FsFixture.mounted(device);
            snapshot = TreeSnapshot.ofRemains(fixture.fileSystem, fixture.reactor, truth, isHalfRepaired);
            fixture.crash();
        } catch (StoreException e) {
            assertFalse(String.valueOf(e.getMessage()).isEmpty());
        }
        device.write(0, now);
        return snapshot;
    }

    private static void assertNothingReadableIsOther(String text, TreeSnapshot before, TreeSnapshot after) {
        Map<Long, TreeSnapshot.Entry> found = byInode(after);
        before.entries.forEach((path, e) -> {
            // A symbolic link is its target.
            boolean isUseless = e.type == 10 && e.facts.stream().noneMatch(f -> f.startsWith("target "));
            for (String fact : isUseless ? Set.<String>of() : e.facts) {
                TreeSnapshot.Entry now = found.get(e.inode);
                if (CONTENT.matcher(fact).matches()) {
                    assertTrue(
                            now != null && now.facts.contains(fact),
                            () -> text + ": " + path + " (inode " + e.inode + ") had " + cut(fact));
                }
            }
        });
    }

    private static String cut(String fact) {
        return fact.substring(0, Math.min(120, fact.length()));
    }

    /** Each file is as it was, or told to be lost. */
    private void assertLossesAreTold(String text, TreeSnapshot after, Report report) {
        Map<Long, TreeSnapshot.Entry> found = byInode(after);
        truth.entries.forEach((path, e) -> {
            TreeSnapshot.Entry now = found.get(e.inode);
            for (String fact : e.facts) {
                boolean same = now != null && now.facts.contains(fact);
                if (!same && CONTENT.matcher(fact).matches()) {
                    assertTrue(
                            report.tells(path, e.inode),
                            () -> text + ": nobody says that " + path + " (inode " + e.inode + ") lost " + cut(fact)
                                    + "\n" + report);
                }
            }
        });
    }

    private List<Long> targets() {
        List<Long> blocks = new ArrayList<>(List.of(0L, 1L, 2L, 3L, 4L, 5L));
        for (Blocks.LogRecord record : Blocks.log(device)) {
            blocks.add(record.block());
        }
        // Nodes are most of what is there.
        for (int i = 0; i < 3; i++) {
            blocks.addAll(Blocks.nodes(device).keySet());
        }
        return blocks;
    }

    private void spoil(long block) {
        byte[] garbage = new byte[ImageDevice.BLOCK];
        if (random.nextBoolean()) {
            random.nextBytes(garbage);
        }
        device.write(block, garbage);
    }

    @Test
    void anUndamagedStoreIsNotTouched() {
        long writes = device.writes;
        Report report = repair();
        assertEquals(List.of(), report.repairs);
        assertEquals(List.of(), report.losses);
        assertEquals(writes, device.writes);
        assertFalse(device.isChanged());
    }

    @Test
    void randomDamage() {
        List<Long> targets = targets();
        int mounted = 0;
        int lossless = 0;
        int reattached = 0;
        for (int round = 0; round < 120; round++) {
            List<Long> damaged = new ArrayList<>();
            for (int i = random.nextInt(4); i >= 0; i--) {
                damaged.add(targets.get(random.nextInt(targets.size())));
            }
            damaged.forEach(this::spoil);
            String text = "round " + round + ", blocks " + damaged;
            if (damaged.containsAll(List.of(0L, 1L))) {
                device.restore();
                continue;
            }
            TreeSnapshot before = readable();
            mounted += before == null ? 0 : 1;
            Report report = repair();
            assertEquals(List.of(), check(), text);
            TreeSnapshot after = mountAndRead();
            assertEquals(List.of(), after.refused, () -> text + "\n" + report);
            if (before != null) {
                assertNothingReadableIsOther(text, before, after);
            }
            boolean inLog = damaged.stream().anyMatch(b -> b > 5 && b < 8 + 256);
            if (!inLog) {
                assertLossesAreTold(text, after, report);
                lossless += report.losses.isEmpty() ? 1 : 0;
            }
            reattached += (int) after.entries.keySet().stream()
                    .filter(path -> path.matches("/lost\\+found/#\\d+/?"))
                    .count();
            assertEquals(List.of(), repair().repairs, text);
            device.restore();
        }
        assertTrue(mounted > 20 && lossless > 2 && reattached > 20, mounted + " " + lossless + " " + reattached);
    }

    /** Inner nodes, the root and root slots hold nothing that the leaves do not tell. */
    @Test
    void withoutInnerNodesOrRootsNothingIsLost() {
        long root = Blocks.nodes(device).entrySet().stream()
                .max(Map.Entry.comparingByValue())
                .orElseThrow()
                .getKey();
        for (List<Long> damaged : List.of(
                List.of(root),
                List.of(2L, 3L, 4L, 5L),
                List.of(2L, 4L),
                List.of(3L, 5L),
                List.of(2L, 3L, 4L, 5L, root))) {
            damaged.forEach(this::spoil);
            Report report = repair();
            assertEquals(List.of(), check(), "" + damaged);
            TreeSnapshot after = mountAndRead();
            // Without any root one node more may have been there.
            assertEquals(damaged.size() < 5, report.losses.isEmpty(), "" + damaged);
            assertEquals(List.of(), truth.wrongAgainst(after), damaged + "\n" + report);
            assertEquals(List.of(), after.wrongAgainst(truth), damaged + "\n" + report);
            device.restore();
        }
    }

    @Test
    void withoutRootsADamagedLogIsAppliedAsFarAsItGoesAndToldOf() {
        spoil(Blocks.log(device).get(2).block());
        for (long slot = 2; slot < 6; slot++) {
            spoil(slot);
        }
        Report report = repair();
        assertEquals(List.of(), check(), report::toString);
        assertTrue(report.losses.stream().anyMatch(l -> l.contains("the log records from")), report::toString);
        assertEquals(List.of(), mountAndRead().refused, report::toString);
    }

    @Test
    void aTreeOfThreeLevelsIsBuiltAnewFromItsLeaves() {
        RichTree tree = new RichTree(64 << 20, 4000, 6);
        tree.unmount();
        ImageDevice large = tree.device;
        TreeSnapshot all = treeOf(large);
        Blocks.nodes(large).forEach((block, level) -> {
            if (level > 0) {
                large.write(block, new byte[ImageDevice.BLOCK]);
            }
        });
        repair(large, StoreOptions.DEFAULT);
        TreeSnapshot after = treeOf(large);
        assertEquals(List.of(), all.wrongAgainst(after));
        assertEquals(List.of(), after.wrongAgainst(all));
    }

    /**
     * Thousands of items have to be changed, which takes more nodes than the cache has, so that the repair is several
     * checkpoints: it ends as one with plenty of memory does, and when the power goes in its midst what could be read
     * before still can be.
     */
    @Test
    void aRepairOfMoreThanTheCacheHolds() {
        RichTree tree = new RichTree(64 << 20, 1 << 20, 4000, 11);
        tree.unmount();
        ImageDevice large = tree.device;
        TreeSnapshot all = treeOf(large);
        List<Long> leaves = new ArrayList<>();
        Blocks.nodes(large).forEach((block, level) -> {
            if (level == 0 && !hasHeader(large, block)) {
                leaves.add(block);
            }
        });
        for (int i = 1; i < leaves.size(); i += 5) {
            large.write(leaves.get(i), new byte[ImageDevice.BLOCK]);
        }
        large.keep();
        TreeSnapshot before = readable(large, all, false);
        assertTrue(before != null);
        StoreOptions small = StoreOptions.DEFAULT.withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES);
        Report plentyReport = repair(large, StoreOptions.DEFAULT);
        TreeSnapshot plenty = treeOf(large);
        large.restore();
        long epoch = epoch(large);
        long writes = large.writes;
        Report report = repair(large, small);
        long needed = large.writes - writes;
        assertTrue(epoch(large) - epoch > 3, "checkpoints: " + (epoch(large) - epoch));
        TreeSnapshot after = treeOf(large);
        assertEquals(plentyReport.losses, report.losses);
        assertEquals(List.of(), plenty.wrongAgainst(after));
        assertEquals(List.of(), after.wrongAgainst(plenty));
        for (int cut = 1; cut < 4; cut++) {
            large.restore();
            large.writesUntilCut = needed * cut / 4;
            assertThrows(StoreException.class, () -> repair(large, small));
            large.writesUntilCut = Long.MAX_VALUE;
            TreeSnapshot between = readable(large, all, true);
            assertTrue(between != null);
            assertNothingReadableIsOther("cut " + cut, before, between);
            repair(large, small);
            assertNothingReadableIsOther("after cut " + cut, before, treeOf(large));
        }
    }

    private static long epoch(ImageDevice device) {
        return ByteBuffer.wrap(device.read(Blocks.newestSlot(device), 1))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong(40);
    }

    private static Report repair(ImageDevice device, StoreOptions options) {
        Report report = new Report();
        BlobStore.repair(device, options, report, new BlobFsRepair(report, 5_000_000_000L));
        return report;
    }

    /** Of a store that is clean. */
    private static TreeSnapshot treeOf(ImageDevice device) {
        Report left = new Report();
        assertEquals(0, BlobStore.check(device, left, new FileSystemVisitor()), left::toString);
        FsFixture fixture = FsFixture.mounted(device);
        TreeSnapshot tree = TreeSnapshot.of(fixture.fileSystem, fixture.reactor);
        fixture.unmount();
        return tree;
    }

    /** The power goes in the middle of a repair: what could be read before can still be, and the next repair ends. */
    @Test
    void aCutDuringARepair() {
        List<Long> targets = targets();
        for (int round = 0; round < 40; round++) {
            List<Long> damaged = new ArrayList<>();
            for (int i = random.nextInt(3); i >= 0; i--) {
                damaged.add(targets.get(random.nextInt(targets.size())));
            }
            damaged.forEach(this::spoil);
            if (damaged.containsAll(List.of(0L, 1L))) {
                device.restore();
                continue;
            }
            TreeSnapshot before = readable();
            byte[] image = device.copy();
            long writes = device.writes;
            repair();
            long needed = device.writes - writes;
            device.write(0, image);
            if (needed > 0) {
                device.writesUntilCut = random.nextLong(needed);
                assertThrows(StoreException.class, this::repair);
            }
            device.writesUntilCut = Long.MAX_VALUE;
            String text = "round " + round + ", blocks " + damaged;
            if (before != null) {
                TreeSnapshot between = readable();
                assertTrue(between != null, text);
                assertNothingReadableIsOther(text, before, between);
            }
            repair();
            assertEquals(List.of(), check(), text);
            TreeSnapshot after = mountAndRead();
            if (before != null) {
                assertNothingReadableIsOther(text, before, after);
            }
            device.restore();
        }
    }

    /** Also where the log, as it is applied, makes the end right that was wrong at the start. */
    @Test
    void aWrongMapOfFreeSpaceBeneathALogIsMended() {
        DiskEditor editor = new DiskEditor(device);
        DiskEditor.Item map = editor.items().stream()
                .filter(item -> editor.get(item.slotOffset(), 8) == 0)
                .findFirst()
                .orElseThrow();
        long firstNode = editor.nodeBlocks().stream().min(Long::compare).orElseThrow();
        for (long at = firstNode / 8; at < firstNode / 8 + 100; at++) {
            int offset = map.valueOffset() + (int) at;
            editor.put(offset, 1, editor.get(offset, 1) ^ (1 + random.nextInt(255)));
            editor.sealAll();
            String text = "blocks from " + 8 * at + " on";
            Report report = repair();
            assertTrue(report.repairs.stream().anyMatch(r -> r.contains("map of free space was wrong")), text);
            assertEquals(List.of(), check(), text);
            assertEquals(List.of(), report.losses, text);
            device.restore();
        }
    }

    /** A small file system, changed item by item as no operation would; unmounted. */
    private static ImageDevice withItems(BiConsumer<FsFixture, FsTestClient> change) {
        ImageDevice small = new ImageDevice(8 << 20);
        FsFixture fixture = new FsFixture(small, StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20));
        change.accept(fixture, fixture.newClient());
        fixture.unmount();
        return small;
    }

    private static void putRaw(FsFixture fixture, long k0, long k1, byte[] value) {
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(Math.max(1, value.length), 8).address();
            Memory.copyFromArray(value, 0, at, value.length);
            assertEquals(BlobStore.OK, fixture.store.prepare(k0, k1, value.length));
            assertEquals(BlobStore.OK, fixture.store.begin(BlobStore.logBytes(value.length)));
            fixture.store.put(k0, k1, at, value.length);
            assertEquals(BlobStore.OK, fixture.store.end());
        }
    }

    private static void deleteRaw(FsFixture fixture, long k0, long k1) {
        assertEquals(BlobStore.OK, fixture.store.prepareDelete(k0, k1));
        assertEquals(BlobStore.OK, fixture.store.begin(BlobStore.logBytes(0)));
        fixture.store.delete(k0, k1);
        assertEquals(BlobStore.OK, fixture.store.end());
    }

    private static Set<String> factsOf(TreeSnapshot snapshot, String path) {
        return Set.copyOf(Objects.requireNonNull(snapshot.entries.get(path)).facts);
    }

    private static byte[] inlineItem(int bytes) {
        byte[] item = new byte[Items.INLINE_DATA_OFFSET + bytes];
        Arrays.fill(item, (byte) 'x');
        Arrays.fill(item, 0, Items.INLINE_DATA_OFFSET, (byte) 0);
        item[0] = Items.VERSION;
        return item;
    }

    /** Behind the last key that an inode may have the search for its items must not begin anew. */
    @Test
    @Timeout(value = 1, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void anItemWithTheLastKeyOfItsInodeIsPassedOnce() {
        ImageDevice small = withItems((fixture, client) -> {
            assertEquals(0, client.trySymlink(1, "link", "target"));
            long link = client.request.attributes.inode;
            long directory = client.mkdir(1, "directory");
            putRaw(fixture, link, -1, new byte[16]);
            putRaw(fixture, directory, -1, new byte[16]);
        });
        Report report = repair(small, StoreOptions.DEFAULT);
        assertEquals(
                2,
                report.repairs.stream()
                        .filter(r -> r.contains("item ffffffffffffffff"))
                        .count(),
                "" + report);
        TreeSnapshot after = treeOf(small);
        assertTrue(factsOf(after, "/link").contains("target target"), after.entries.toString());
        assertEquals(Set.of("/", "/link", "/directory/"), after.entries.keySet());
    }

    /** Behind the greatest number there would be none for /lost+found. */
    @Test
    void anInodeWithANumberThatIsNeverGivenOutIsNone() {
        ImageDevice small = withItems((fixture, client) -> {
            long file = client.create(1, "file");
            assertEquals(BlobStore.OK, fixture.store.find(file, Items.INODE_KEY));
            byte[] inode = new byte[Items.INODE_SIZE];
            Memory.copyToArray(fixture.store.valueAddress, inode, 0, inode.length);
            putRaw(fixture, Items.SYSTEM - 1, Items.INODE_KEY, inode);
        });
        repair(small, StoreOptions.DEFAULT);
        assertEquals(Set.of("/", "/file"), treeOf(small).entries.keySet());
    }

    @Test
    void aCounterThatIsSpentIsNotCountedOn() {
        for (long counter : new long[] {-1, 0, Items.SYSTEM - 1, Long.MAX_VALUE}) {
            ImageDevice small = withItems((fixture, client) -> {});
            DiskEditor editor = new DiskEditor(small);
            editor.items().stream()
                    .filter(i -> editor.get(i.slotOffset() + 8, 8) == Items.NEXT_INODE_KEY)
                    .forEach(i -> editor.put(i.valueOffset() + Items.COUNTER_VALUE_OFFSET, 8, counter));
            editor.sealAll();
            assertThrows(StoreException.class, () -> FsFixture.mounted(small), "" + counter);
            repair(small, StoreOptions.DEFAULT);
            assertEquals(Set.of("/"), treeOf(small).entries.keySet(), "" + counter);
        }
    }

    @Test
    void aSymbolicLinkIsWholeOrLost() {
        List<Long> links = new ArrayList<>();
        ImageDevice small = withItems((fixture, client) -> {
            for (int i = 0; i < 5; i++) {
                assertEquals(0, client.trySymlink(1, "link" + i, "x".repeat(4000)));
                links.add(client.request.attributes.inode);
            }
            // The end of a target is there, and who knows of what.
            deleteRaw(fixture, links.get(0), Items.INODE_KEY);
            deleteRaw(fixture, links.get(0), Items.INLINE_KEY);
            // As many bytes as the size says, and not those.
            putRaw(fixture, links.get(1), Items.INLINE_KEY, inlineItem(3000));
            putRaw(fixture, links.get(1), Items.INLINE_KEY2, inlineItem(1000));
            // Only the owner and the like are lost.
            deleteRaw(fixture, links.get(2), Items.INODE_KEY);
            // It says that there is no target.
            assertEquals(BlobStore.OK, fixture.store.find(links.get(4), Items.INODE_KEY));
            byte[] inode = new byte[Items.INODE_SIZE];
            Memory.copyToArray(fixture.store.valueAddress, inode, 0, inode.length);
            Arrays.fill(inode, Items.INODE_SIZE_OFFSET, Items.INODE_SIZE_OFFSET + 8, (byte) 0);
            putRaw(fixture, links.get(4), Items.INODE_KEY, inode);
        });
        FsFixture fixture = FsFixture.mounted(small);
        FsTestClient client = fixture.newClient();
        assertEquals(0, client.tryLookup(1, "link1"));
        client.request.inode = links.get(1);
        client.request.setData(client.request.data, 4096);
        assertEquals(-Errno.EIO, client.call(FsOp.READLINK));
        fixture.unmount();
        Report report = repair(small, StoreOptions.DEFAULT);
        TreeSnapshot after = treeOf(small);
        assertEquals(List.of(), after.refused, report::toString);
        assertEquals(Set.of("/", "/link2", "/link3"), after.entries.keySet());
        for (int i : new int[] {0, 1, 4}) {
            assertTrue(report.tells("/link" + i, links.get(i)), report::toString);
        }
        String whole = "target " + "x".repeat(4000);
        assertTrue(factsOf(after, "/link2").contains(whole), report::toString);
        assertTrue(factsOf(after, "/link3").contains(whole), report::toString);
    }

    @Test
    void withoutSuperblocksTheRepairRefuses() {
        spoil(0);
        spoil(1);
        device.flipBit(0, 0);
        byte[] now = device.copy();
        try {
            repair();
            throw new AssertionError("not refused");
        } catch (StoreException e) {
            assertTrue(Arrays.equals(now, device.copy()));
        }
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.ImageDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreReporter;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.os.Errno;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Every block of metadata is damaged in turn, in every way: the damage is found and named, what needs the block is refused,
 * and nothing wrong is ever read.
 */
@Timeout(value = 20, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class DamageTest {
    private static final int RECORDS = 9;

    /** What the check of a damaged device is to say. */
    private enum Check {
        ERROR,
        /** What a crash leaves behind looks the same. */
        REMARK,
        /** Looks like a log that ends there. */
        NOTHING
    }

    /** A structure that may be damaged: where it is, which block a message names it by, and how it is found. */
    private record Target(String what, long block, int blocks, long named, Check check) {}

    private static final class Findings implements StoreReporter {
        final List<String> problems = new ArrayList<>();
        final List<String> remarks = new ArrayList<>();

        @Override
        public void problem(String text) {
            problems.add(text);
        }

        @Override
        public void remark(String text) {
            remarks.add(text);
        }
    }

    @SuppressWarnings("NullAway.Init") // build() does it
    private RichTree tree;

    @SuppressWarnings("NullAway.Init") // build() does it
    private ImageDevice device;

    @SuppressWarnings("NullAway.Init") // build() does it
    private TreeSnapshot truth;

    /** Without the last record of the log. */
    @SuppressWarnings("NullAway.Init") // build() does it
    private TreeSnapshot truthBeforeTheLast;

    private final Map<String, Integer> answers = new LinkedHashMap<>();
    private final Random random = new Random(5);

    private void build(int bytes, int files, int records) {
        tree = new RichTree(bytes, files, 77);
        tree.addOrphan();
        for (int i = 0; i < records; i++) {
            tree.logRecord(i);
        }
        tree.crash();
        device = tree.device;
        device.keep();
        truth = snapshot();
        truthBeforeTheLast = truth;
        List<Blocks.LogRecord> log = Blocks.log(device);
        if (!log.isEmpty()) {
            device.write(log.getLast().block(), new byte[ImageDevice.BLOCK]);
            truthBeforeTheLast = snapshot();
        }
    }

    private TreeSnapshot snapshot() {
        FsFixture fixture = FsFixture.mounted(device);
        TreeSnapshot snapshot = TreeSnapshot.of(fixture.fileSystem, fixture.reactor);
        fixture.unmount();
        device.restore();
        assertEquals(0, snapshot.refusals);
        return snapshot;
    }

    private List<Target> targets() {
        List<Target> targets = new ArrayList<>();
        for (int b = 0; b < 2; b++) {
            targets.add(new Target("superblock", b, 1, b, Check.ERROR));
        }
        for (int b = 2; b < 6; b++) {
            targets.add(new Target("root slot", b, 1, b, slotCheck(b)));
        }
        List<Blocks.LogRecord> log = Blocks.log(device);
        for (Blocks.LogRecord record : log) {
            boolean last = record.equals(log.getLast());
            for (int i = 0; i < record.blocks(); i++) {
                targets.add(new Target(
                        last ? "last log record" : "log record",
                        record.block() + i,
                        1,
                        record.block(),
                        last ? Check.NOTHING : Check.ERROR));
            }
        }
        Blocks.nodes(device).forEach((block, level) -> {
            for (int i = 0; i < Blocks.NODE_BLOCKS; i++) {
                targets.add(new Target("node of level " + level, block + i, 1, block, Check.ERROR));
            }
        });
        return targets;
    }

    /** Which blocks of the two slots a crash may leave torn: the copy of the newer one, and the older one's first. */
    private Check slotCheck(int block) {
        boolean inNewer = block % 2 == Blocks.newestSlot(device) % 2;
        return block < 4 == inNewer ? Check.ERROR : Check.REMARK;
    }

    private void assertNamed(Set<Long> blocks, String text, String message) {
        for (long block : blocks) {
            if (message.matches("(?s).*block " + block + "\\b.*")) {
                return;
            }
        }
        throw new AssertionError(text + " does not name one of the blocks " + blocks + ": " + message);
    }

    private Findings check(String text) {
        long writes = device.writes;
        Findings findings = new Findings();
        long problems = BlobStore.check(device, findings, new FileSystemVisitor());
        assertEquals(findings.problems.isEmpty(), problems == 0, text);
        assertEquals(writes, device.writes, text);
        return findings;
    }

    /** Looks at the damaged device in every way there is. */
    private void examine(String text, List<Target> damaged) {
        Set<Long> names = new HashSet<>();
        Check expected = Check.NOTHING;
        for (Target target : damaged) {
            names.add(target.named);
            expected = target.check.compareTo(expected) < 0 ? target.check : expected;
        }
        Findings findings = check(text);
        switch (expected) {
            case ERROR -> assertNamed(names, text, String.join("\n", findings.problems));
            case REMARK -> {
                assertEquals(List.of(), findings.problems, text);
                assertNamed(names, text, String.join("\n", findings.remarks));
            }
            case NOTHING -> assertEquals(List.of(), findings.problems, text);
            default -> throw new AssertionError(expected);
        }
        boolean mayEndEarly = damaged.stream().anyMatch(t -> t.check == Check.NOTHING);
        mountAndRead(
                text, names, mayEndEarly ? new TreeSnapshot[] {truth, truthBeforeTheLast} : new TreeSnapshot[] {truth});
        device.restore();
    }

    private void mountAndRead(String text, Set<Long> names, TreeSnapshot[] truths) {
        FsFixture fixture;
        try {
            fixture = FsFixture.mounted(device);
        } catch (StoreException e) {
            assertNamed(names, text + ": the refusal", String.valueOf(e.getMessage()));
            count("refused");
            return;
        }
        try {
            TreeSnapshot now = TreeSnapshot.of(fixture.fileSystem, fixture.reactor, truths);
            assertEquals(List.of(), now.wrongAgainst(truths));
            count(now.refusals > 0 ? "EIO" : "answered");
            fixture.settle();
            changeSomething(fixture);
            fixture.tryUnmount();
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError(text, e);
        }
    }

    /** Changes are refused or done. */
    private static void changeSomething(FsFixture fixture) {
        FsTestClient client = new FsTestClient(
                fixture.fileSystem,
                fixture.reactor,
                fixture.fileSystem.attach(FileSystem.ROOT_INODE),
                TreeSnapshot.PIECE);
        int status = client.tryCreate(FileSystem.ROOT_INODE, "new", 0);
        if (status == 0) {
            long inode = client.request.attributes.inode;
            status = client.tryWrite(inode, client.request.handle, 0, new byte[5000], 0);
            if (status == 0) {
                status = client.fsync(inode, false);
            }
        }
        assertTrue(status == 0 || status == -Errno.EIO || status == -Errno.EROFS, Errno.name(status));
    }

    private int answers(String answer) {
        return answers.getOrDefault(answer, 0);
    }

    private void count(String answer) {
        answers.merge(answer, 1, Integer::sum);
    }

    // --- the ways to damage a block

    private void damageInAllWays(List<Target> targets, int stride) {
        for (int t = 0; t < targets.size(); t += stride) {
            Target target = targets.get(t);
            String text = target.what + " in block " + target.block;
            byte[] content = device.read(target.block, 1);
            for (int bit : new int[] {random.nextInt(64 * 8), random.nextInt(4096 * 8)}) {
                device.flipBit(target.block, bit);
                examineUnless(isUnused(target, bit / 8), text + ", bit " + bit, target);
            }
            device.write(target.block, new byte[ImageDevice.BLOCK]);
            examineUnless(isZero(content), text + " is zeroes", target);
            byte[] garbage = new byte[ImageDevice.BLOCK];
            random.nextBytes(garbage);
            device.write(target.block, garbage);
            examine(text + " is garbage", List.of(target));
            Target other = targets.get((t + 1 + random.nextInt(targets.size() - 1)) % targets.size());
            device.write(target.block, device.read(other.block, 1));
            device.write(other.block, content);
            examineUnless(
                    Arrays.equals(device.read(target.block, 1), device.read(other.block, 1)),
                    text + " is swapped with " + other.what + " in block " + other.block,
                    target,
                    other);
        }
    }

    private void examineUnless(boolean noDamage, String text, Target... damaged) {
        if (noDamage) {
            device.restore();
        } else {
            examine(text, List.of(damaged));
        }
    }

    private static boolean isZero(byte[] bytes) {
        return Arrays.equals(bytes, new byte[bytes.length]);
    }

    /** Whether no checksum covers the byte: what lies behind the end of a log record. */
    private boolean isUnused(Target target, int at) {
        for (Blocks.LogRecord record : Blocks.log(device)) {
            if (record.block() == target.named) {
                int length = ByteBuffer.wrap(device.read(record.block(), 1))
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .getInt(32);
                return (target.block - record.block()) * ImageDevice.BLOCK + at >= length;
            }
        }
        return false;
    }

    @Test
    void anUndamagedDeviceIsCleanAndReadsAsItWas() {
        build(16 << 20, 100, RECORDS);
        Findings findings = check("undamaged");
        assertEquals(List.of(), findings.problems);
        assertEquals(List.of(), findings.remarks);
        mountAndRead("undamaged", Set.of(), new TreeSnapshot[] {truth});
        assertEquals(Map.of("answered", 1), answers);
    }

    @Test
    void everyBlockOfMetadataInEveryWay() {
        build(16 << 20, 100, RECORDS);
        List<Target> targets = targets();
        assertTrue(targets.stream().anyMatch(t -> t.what.equals("node of level 1")));
        damageInAllWays(targets, 1);
        assertTrue(answers("refused") > 50 && answers("EIO") > 50 && answers("answered") > 10, "" + answers);
    }

    @Test
    void aTreeOfThreeLevels() {
        build(64 << 20, 4000, 3);
        List<Target> inner = new ArrayList<>();
        List<Target> rest = new ArrayList<>();
        for (Target target : targets()) {
            (target.what.equals("node of level 1") || target.what.equals("node of level 2") ? inner : rest).add(target);
        }
        assertTrue(inner.stream().anyMatch(t -> t.what.equals("node of level 2")));
        damageInAllWays(inner, 5);
        damageInAllWays(rest, 300);
        assertTrue(answers("EIO") > 10, "" + answers);
    }

    @Test
    void anOlderVersionIsNotTakenForTheNewest() {
        build(16 << 20, 100, RECORDS);
        for (Target target : targets()) {
            String text = target.what + " in block " + target.block + " as it was before";
            if (target.what.startsWith("node") && target.block == target.named) {
                device.write(target.block, Blocks.olderNode(device, target.block));
                examine(text, List.of(target));
            } else if (target.what.equals("root slot")) {
                byte[] older = Arrays.copyOfRange(
                        tree.olderSlots,
                        (int) (target.block - 2) * ImageDevice.BLOCK,
                        (int) (target.block - 1) * ImageDevice.BLOCK);
                boolean same = Arrays.equals(older, device.read(target.block, 1));
                device.write(target.block, older);
                examineUnless(same, text, target);
            }
        }
        for (Blocks.LogRecord record : Blocks.log(device)) {
            boolean last = record.equals(Blocks.log(device).getLast());
            device.write(record.block(), Blocks.olderRecord(device, record));
            examine(
                    "log record in block " + record.block() + " of the ring's last round",
                    List.of(new Target("", record.block(), 1, record.block(), last ? Check.NOTHING : Check.ERROR)));
        }
        assertTrue(answers("refused") > 10 && answers("EIO") > 10 && answers("answered") > 2, "" + answers);
    }

    /** The one place where damage costs changes without a word: what docs/on-disk-format.md says about it is all of it. */
    @Test
    void theLastRecordOfTheLogIsTakenForOneThatACrashTore() {
        build(16 << 20, 100, RECORDS);
        Blocks.LogRecord last = Blocks.log(device).getLast();
        for (boolean inHeader : new boolean[] {false, true}) {
            device.flipBit(last.block(), inHeader ? 10 : 100 * 8);
            Findings findings = check("the last record");
            assertEquals(List.of(), findings.problems);
            assertEquals(inHeader ? 0 : 1, findings.remarks.size());
            if (!inHeader) {
                assertNamed(Set.of(last.block()), "the remark", findings.remarks.getFirst());
            }
            mountAndRead("the last record", Set.of(), new TreeSnapshot[] {truthBeforeTheLast});
            device.restore();
        }
        assertEquals(Map.of("answered", 2), answers);
    }

    /** A store that was unmounted in order has no such place: its log holds nothing. */
    @Test
    void afterAnUnmountNothingDependsOnTheLog() {
        build(16 << 20, 100, RECORDS);
        FsFixture fixture = FsFixture.mounted(device);
        fixture.settle();
        fixture.unmount();
        for (long block = 8; block < 8 + 256; block++) {
            device.write(block, new byte[ImageDevice.BLOCK]);
        }
        Findings findings = check("no log");
        assertEquals(List.of(), findings.problems);
        assertEquals(List.of(), findings.remarks);
        mountAndRead("no log", Set.of(), new TreeSnapshot[] {truth});
        assertEquals(Map.of("answered", 1), answers);
    }
}

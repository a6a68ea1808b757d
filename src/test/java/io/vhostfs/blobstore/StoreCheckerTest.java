package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.os.Errno;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StoreCheckerTest {
    private static final long SEED = 77;
    private static final StoreOptions OPTIONS = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);

    private final CrashDevice device = new CrashDevice(32 << 20, null);
    private final StoreModel model = new StoreModel(SEED, device, OPTIONS);

    /** Collects what is said; knows the model's blocks. */
    private static final class Findings extends StoreVisitor implements StoreReporter {
        final List<String> problems = new ArrayList<>();
        final List<String> remarks = new ArrayList<>();
        final Map<Long, Integer> runs;
        long items;

        Findings(Map<Long, Integer> runs) {
            this.runs = runs;
        }

        @Override
        public void problem(String text) {
            problems.add(text);
        }

        @Override
        public void remark(String text) {
            remarks.add(text);
        }

        @Override
        public void item(long k0, long k1, long valueAddress, int valueLength) {
            items++;
        }

        @Override
        public void end() {
            runs.forEach((block, n) -> useBlocks(block, n, "the run at " + block));
        }
    }

    private void fill(int changes) {
        for (int i = 0; i < changes; i++) {
            model.change();
            model.changeSpace();
        }
    }

    private Findings check() {
        Findings findings = new Findings(model.runs);
        long problems = BlobStore.check(device, findings, findings);
        assertEquals(findings.problems.size(), problems);
        return findings;
    }

    private void assertClean() {
        Findings findings = check();
        assertEquals(List.of(), findings.problems);
        assertEquals(model.items.size(), findings.items);
    }

    private static void assertNames(Findings findings, String part) {
        assertTrue(findings.problems.stream().anyMatch(p -> p.contains(part)), part + " in " + findings.problems);
    }

    @Test
    void findsNothingWrongWithAStoreThatWasClosed() {
        assertClean();
        fill(3000);
        model.store.closeBlocking();
        assertClean();
    }

    @Test
    void findsNothingWrongWithAStoreThatCrashedAndLooksAtItsLog() {
        fill(1000);
        model.checkpoint();
        fill(500);
        assertEquals(0, model.commit());
        device.kill();
        model.store.abandon();
        long writes = device.writes;
        assertClean();
        assertEquals(writes, device.writes);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1})
    void oneSuperblockIsEnoughButIsReported(long block) {
        fill(100);
        model.store.closeBlocking();
        device.flipByte(block * 4096 + 100);
        assertNames(check(), "superblock " + block + " has a wrong checksum");
        model.reopen();
        model.checkAll();
        model.store.abandon();
    }

    @Test
    void withoutSuperblocksNothingIsMounted() {
        model.store.closeBlocking();
        device.flipByte(100);
        device.flipByte(4096 + 100);
        assertEquals(2, check().problems.size());
        assertEquals(
                StoreException.Kind.DAMAGED,
                assertThrows(StoreException.class, model::reopen).kind());
        device.writeBlock(0, new byte[4096]);
        device.writeBlock(1, new byte[4096]);
        assertEquals(
                StoreException.Kind.NOT_A_STORE,
                assertThrows(StoreException.class, model::reopen).kind());
    }

    @ParameterizedTest
    @ValueSource(longs = {2, 3, 4, 5})
    void oneRootSlotBlockMayBeTorn(long block) {
        fill(100);
        model.checkpoint();
        fill(100);
        model.store.closeBlocking();
        byte[] whole = device.readBlock(block);
        device.flipByte(block * 4096 + 50);
        Findings findings = check();
        boolean firstOfOlder = block < 4 && block != newestSlot();
        boolean copyOfNewer = block >= 4 && block - 2 == newestSlot();
        if (firstOfOlder || copyOfNewer) {
            // The next checkpoint, torn in the middle of its first block, and this one, torn in its copy, look like
            // that.
            assertEquals(List.of(), findings.problems);
            assertEquals(1, findings.remarks.size());
        } else {
            assertNames(findings, "in block " + block + " has a wrong checksum");
        }
        model.reopen();
        assertArrayEquals(whole, device.readBlock(block), "a mount writes the block from its twin");
        model.checkAll();
        fill(100);
        model.checkpoint();
        fill(100);
        model.store.closeBlocking();
        assertClean();
    }

    @ParameterizedTest
    @ValueSource(longs = {2, 3})
    void aRootSlotWithBothBlocksDamagedIsNotPassedOver(long block) {
        fill(100);
        model.store.closeBlocking();
        device.flipByte(block * 4096 + 50);
        device.flipByte((block + 2) * 4096 + 50);
        StoreException e = assertThrows(StoreException.class, model::reopen);
        assertEquals(StoreException.Kind.DAMAGED, e.kind());
        assertTrue(String.valueOf(e.getMessage()).contains("block " + block + " has a wrong checksum"), e.getMessage());
        assertNames(check(), "in block " + block);
    }

    @Test
    void aDamagedLogRecordThatOthersFollowIsNotTakenForTheEnd() {
        fill(10);
        model.checkpoint();
        long first = model.store.superblock().logStart() + model.store.log().head();
        for (int i = 0; i < 3; i++) {
            fill(20);
            assertEquals(0, model.commit());
        }
        device.kill();
        model.store.abandon();
        for (int at : new int[] {5, 60, 200}) {
            device.flipByte(first * 4096 + at);
            StoreException e = assertThrows(StoreException.class, model::reopen);
            assertTrue(String.valueOf(e.getMessage()).contains("at block " + first + " is damaged"), e.getMessage());
            assertNames(check(), "at block " + first + " is damaged");
            device.flipByte(first * 4096 + at);
        }
        assertClean();
    }

    private long newestSlot() {
        ByteBuffer first = ByteBuffer.wrap(device.readBlock(2)).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer second = ByteBuffer.wrap(device.readBlock(3)).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer copy = ByteBuffer.wrap(device.readBlock(4)).order(ByteOrder.LITTLE_ENDIAN);
        return Math.max(first.getLong(40), copy.getLong(40)) > second.getLong(40) ? 2 : 3;
    }

    /** Block of every node of the last checkpoint, with its level. */
    private Map<Long, Integer> nodes() {
        ByteBuffer newest = null;
        for (long block = 2; block < 6; block++) {
            ByteBuffer slot = ByteBuffer.wrap(device.readBlock(block)).order(ByteOrder.LITTLE_ENDIAN);
            if (newest == null || slot.getLong(40) > newest.getLong(40)) {
                newest = slot;
            }
        }
        Map<Long, Integer> result = new HashMap<>();
        if (newest != null) {
            addNodes(newest.getLong(48), result);
        }
        return result;
    }

    private void addNodes(long block, Map<Long, Integer> result) {
        ByteBuffer node = ByteBuffer.wrap(readNode(block)).order(ByteOrder.LITTLE_ENDIAN);
        int level = node.getShort(32);
        result.put(block, level);
        if (level > 0) {
            for (int i = 0; i < node.getShort(34); i++) {
                addNodes(node.getLong(64 + Node.INNER_CAPACITY * 16 + i * 24), result);
            }
        }
    }

    private byte[] readNode(long block) {
        byte[] result = new byte[Node.SIZE];
        for (int i = 0; i < Node.BLOCKS; i++) {
            System.arraycopy(device.readBlock(block + i), 0, result, i * 4096, 4096);
        }
        return result;
    }

    private void writeNode(long block, byte[] content) {
        for (int i = 0; i < Node.BLOCKS; i++) {
            device.writeBlock(block + i, Arrays.copyOfRange(content, i * 4096, (i + 1) * 4096));
        }
    }

    /** Keys of the model that the store finds, and asserts that the others give EIO. */
    private int readable() {
        int ok = 0;
        for (StoreModel.Key key : model.items.keySet()) {
            int status = model.run(() -> model.store.find(key.k0(), key.k1()));
            if (status == BlobStore.OK) {
                ok++;
            } else {
                assertEquals(-Errno.EIO, status);
            }
        }
        return ok;
    }

    @Test
    void everyByteOfEveryNodeIsCovered() {
        fill(2000);
        model.store.closeBlocking();
        Map<Long, Integer> nodes = nodes();
        assertTrue(nodes.size() > 20, nodes.toString());
        int n = 0;
        for (Map.Entry<Long, Integer> node : nodes.entrySet()) {
            long offset = node.getKey() * 4096 + n++ * 613L % Node.SIZE;
            device.flipByte(offset);
            assertNames(check(), "block " + node.getKey() + " ");
            if (node.getValue() == 0) {
                assertDamageStaysLocal();
            }
            device.flipByte(offset);
        }
        assertClean();
    }

    /** One leaf is damaged: its keys give EIO and the others are there; unless it holds the map of free space. */
    private void assertDamageStaysLocal() {
        try {
            model.reopen();
        } catch (StoreException e) {
            assertEquals(StoreException.Kind.DAMAGED, e.kind());
            return;
        }
        int ok = readable();
        assertTrue(ok > model.items.size() * 3 / 4 && ok < model.items.size(), ok + " of " + model.items.size());
        model.store.abandon();
    }

    @Test
    void anOlderVersionOfANodeIsNotTakenForTheNewOne() {
        Map<Long, byte[]> seen = new HashMap<>();
        int tried = 0;
        for (int round = 0; round < 60 && tried < 10; round++) {
            fill(30);
            model.checkpoint();
            for (long block : nodes().keySet()) {
                byte[] now = readNode(block);
                byte[] before = seen.put(block, now);
                if (before != null && !Arrays.equals(before, now)) {
                    writeNode(block, before);
                    assertNames(check(), "block " + block + " is of generation");
                    writeNode(block, now);
                    tried++;
                }
            }
        }
        assertEquals(10, Math.min(tried, 10));
        assertClean();
    }

    @Test
    void aNodeWrittenToTheWrongPlaceIsFound() {
        fill(1000);
        model.store.closeBlocking();
        List<Long> leaves = new ArrayList<>();
        nodes().forEach((block, level) -> {
            if (level == 0) {
                leaves.add(block);
            }
        });
        writeNode(leaves.get(0), readNode(leaves.get(1)));
        assertNames(check(), "block " + leaves.get(0) + " belongs to block " + leaves.get(1));
    }

    @Test
    void lostAndDoublyUsedBlocksAreFound() {
        fill(500);
        model.store.closeBlocking();
        Map.Entry<Long, Integer> run = model.runs.firstEntry();
        model.runs.remove(run.getKey());
        assertNames(check(), "marked used, but nothing refers to");
        model.runs.put(run.getKey(), run.getValue() + 1);
        assertNotEquals(List.of(), check().problems);
        model.runs.put(run.getKey(), run.getValue());
        long node = nodes().keySet().iterator().next();
        model.runs.put(node, 1);
        assertNames(check(), "something else uses");
        model.runs.remove(node);
        long free = 0;
        for (long block = model.store.totalBlocks() - 1; free == 0; block--) {
            long b = block;
            if (model.runs.floorEntry(b) == null || nodes().keySet().stream().noneMatch(n -> b >= n && b < n + 4)) {
                Map.Entry<Long, Integer> below = model.runs.floorEntry(b);
                free = below == null || below.getKey() + below.getValue() <= b ? b : 0;
            }
        }
        model.runs.put(free, 1);
        assertNames(check(), "referred to, but marked free");
        model.runs.remove(free);
        assertClean();
    }
}

package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.vhostfs.FuzzSource;
import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A node that the verification of what was read lets through can be searched and changed within its 16 KiB, and stays good. */
class NodeFuzzTest {
    private static final int GUARD = 8192;
    private static final byte CANARY = (byte) 0xa5;
    private static final int STEPS = 60;

    private final Arena arena = Arena.ofConfined();
    private final long area = arena.allocate(3L * Node.SIZE + 4 * GUARD, 4096).address();
    private final long node = area + GUARD;
    private final long other = node + Node.SIZE + GUARD;
    private final long scratch = other + Node.SIZE + GUARD;
    private final long value = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
    private final Node nodes = new Node(7, scratch);
    private int accepted;

    @AfterEach
    void free() {
        arena.close();
    }

    @FuzzTest
    void whatIsAcceptedStaysWithinItsNode(FuzzedDataProvider data) {
        drive(FuzzSource.of(data));
    }

    /** The same, from seeds, for runs without a fuzzer. */
    @Test
    void whatIsAcceptedStaysWithinItsNodeForManySeeds() {
        for (int seed = 0; seed < 20_000; seed++) {
            drive(FuzzSource.of(new Random(seed), 0));
        }
        assertTrue(accepted > 2000 && accepted < 18_000, "" + accepted);
    }

    private void drive(FuzzSource source) {
        for (long at = 0; at < 3L * Node.SIZE + 4 * GUARD; at += 8) {
            Memory.putLong(area + at, 0xa5a5a5a5a5a5a5a5L);
        }
        int level = source.number(0, 2) == 0 ? 1 : 0;
        nodes.initialise(node, level, 4, 1);
        nodes.initialise(other, level, 8, 1);
        int count = source.number(1, 30);
        for (int i = 0; i < count; i++) {
            if (level > 0) {
                Node.innerInsert(node, i, i / 3, i * 10L, 4L * i, 1, i);
            } else {
                nodes.leafInsert(node, i, i / 3, i * 10L, value, source.number(0, 300));
            }
        }
        for (int i = source.number(0, 3); i > 0; i--) {
            spoil(source);
        }
        nodes.seal(node);
        if (nodes.structureError(node, 4) != null) {
            return;
        }
        accepted++;
        boolean leaf = Node.level(node) == 0;
        for (int i = 0; i < STEPS; i++) {
            if (leaf) {
                changeLeaf(source);
            } else {
                changeInner(source);
            }
        }
        if (leaf) {
            nodes.seal(node);
            assertNull(nodes.structureError(node, 4));
        }
        checkGuards();
    }

    private void spoil(FuzzSource source) {
        int at = source.number(0, 1) == 0 ? source.number(32, 39) : source.number(64, 64 + 24 * 32);
        switch (source.number(0, 3)) {
            case 0 -> Memory.putByte(node + at, (byte) source.any());
            case 1 ->
                Memory.putShort(node + (at & ~1), (short) (Memory.getShort(node + (at & ~1)) + source.number(-9, 9)));
            case 2 -> Memory.putShort(node + (at & ~1), (short) source.number(0, 65_535));
            default -> Memory.putLong(node + (at & ~7), source.any());
        }
    }

    private void changeLeaf(FuzzSource source) {
        int count = Node.count(node);
        int slot = count == 0 ? 0 : source.number(0, count - 1);
        int length = source.number(0, source.number(0, 3) == 0 ? BlobStore.MAX_VALUE_BYTES : 100);
        long k0 = source.number(0, 12);
        long k1 = source.number(0, 300);
        switch (source.number(0, 5)) {
            case 0, 1 -> {
                int at = Node.leafLowerBound(node, k0, k1);
                boolean there = at < count && Node.leafEquals(node, at, k0, k1);
                if (!there && Node.leafFree(node) >= Node.SLOT_SIZE + Node.round8(length)) {
                    nodes.leafInsert(node, at, k0, k1, value, length);
                }
            }
            case 2 -> {
                if (count > 0) {
                    nodes.leafReplace(node, slot, value, length);
                }
            }
            case 3 -> {
                if (count > 0) {
                    Node.leafRemove(node, slot);
                }
            }
            case 4 -> {
                if (Node.leafUsed(node) + Node.leafUsed(other) <= Node.LEAF_CAPACITY) {
                    nodes.leafAppend(other, node, slot, count);
                    Node.leafTruncate(node, slot);
                }
            }
            default -> {
                if (count > 0) {
                    long sum = 0;
                    for (int i = 0; i < Node.valueLength(node, slot); i++) {
                        sum += Memory.getByte(Node.valueAddress(node, slot) + i);
                    }
                    Memory.putLong(value, sum);
                }
            }
        }
    }

    private void changeInner(FuzzSource source) {
        int count = Node.count(node);
        int slot = source.number(0, count - 1);
        switch (source.number(0, 4)) {
            case 0 -> {
                if (count < Node.INNER_CAPACITY) {
                    Node.innerInsert(node, slot, 1, 1, 4, 1, 1);
                }
            }
            case 1 -> {
                if (count > 1) {
                    Node.innerRemove(node, slot);
                }
            }
            case 2 -> {
                if (Node.count(other) + count - slot <= Node.INNER_CAPACITY) {
                    Node.innerAppend(other, node, slot, count);
                }
            }
            case 3 -> Node.setChild(node, slot, 4, 2, 3);
            default -> {
                int found = Node.innerFind(node, source.any(), source.any());
                assertTrue(found >= 0 && found < count);
            }
        }
    }

    private void checkGuards() {
        for (long guard : new long[] {area, node + Node.SIZE, other + Node.SIZE, scratch + Node.SIZE}) {
            for (int i = 0; i < GUARD; i++) {
                assertEquals(CANARY, Memory.getByte(guard + i));
            }
        }
    }
}

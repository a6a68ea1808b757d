package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class NodeTest {
    private static final long BLOCK = 4444;

    private final long node = PermanentMemory.allocate(Node.SIZE);
    private final long value = PermanentMemory.allocate(BlobStore.BLOCK_SIZE);
    private final Node nodes = new Node(7, PermanentMemory.allocate(Node.SIZE));
    private final TreeMap<Long, byte[]> model = new TreeMap<>();

    static long[] seeds() {
        return new long[] {1, 2, new Random().nextLong()};
    }

    private void fillLeaf(Random random, int operations) {
        nodes.initialise(node, 0, BLOCK, 3);
        for (int i = 0; i < operations; i++) {
            change(random);
            nodes.seal(node);
            assertNull(nodes.structureError(node, BLOCK));
        }
    }

    private void change(Random random) {
        long key = random.nextInt(60);
        int slot = Node.leafLowerBound(node, 5, key);
        boolean there = slot < Node.count(node) && Node.leafEquals(node, slot, 5, key);
        assertEquals(model.containsKey(key), there);
        if (random.nextInt(3) == 0) {
            if (there) {
                Node.leafRemove(node, slot);
                model.remove(key);
            }
            return;
        }
        byte[] bytes = new byte[random.nextInt(random.nextInt(4) == 0 ? 2000 : 40)];
        random.nextBytes(bytes);
        Memory.copyFromArray(bytes, 0, value, bytes.length);
        boolean done = true;
        if (there) {
            done = nodes.leafReplace(node, slot, value, bytes.length);
        } else if (Node.leafFree(node) >= Node.SLOT_SIZE + Node.round8(bytes.length)) {
            nodes.leafInsert(node, slot, 5, key, value, bytes.length);
        } else {
            done = false;
        }
        if (done) {
            model.put(key, bytes);
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void aLeafHoldsWhatAMapHoldsAndStaysWellFormed(long seed) {
        fillLeaf(new Random(seed), 5000);
        int i = 0;
        int used = 0;
        for (Map.Entry<Long, byte[]> entry : model.entrySet()) {
            assertEquals(entry.getKey(), Node.leafK1(node, i));
            byte[] found = new byte[Node.valueLength(node, i)];
            Memory.copyToArray(Node.valueAddress(node, i), found, 0, found.length);
            assertArrayEquals(entry.getValue(), found);
            used += Node.SLOT_SIZE + Node.round8(found.length);
            i++;
        }
        assertEquals(i, Node.count(node));
        assertEquals(used, Node.leafUsed(node));
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void whateverItsBytesAreAnAcceptedLeafIsSafeToSearch(long seed) {
        Random random = new Random(seed);
        fillLeaf(random, 200);
        int accepted = 0;
        for (int i = 0; i < 20_000; i++) {
            int at = Node.GENERATION_OFFSET + random.nextInt(Node.SIZE - Node.GENERATION_OFFSET) % 400;
            byte before = Memory.getByte(node + at);
            Memory.putByte(node + at, (byte) random.nextInt());
            nodes.seal(node);
            if (nodes.structureError(node, BLOCK) == null && Node.level(node) == 0) {
                accepted++;
                for (int slot = 0; slot < Node.count(node); slot++) {
                    long offset = Node.valueAddress(node, slot) - node;
                    assertTrue(offset >= 0 && offset + Node.valueLength(node, slot) <= Node.SIZE);
                }
            }
            Memory.putByte(node + at, before);
        }
        assertTrue(accepted > 0);
    }

    /** A change of the one would change the other. */
    @Test
    void twoValuesInTheSamePlaceAreDamage() {
        nodes.initialise(node, 0, BLOCK, 3);
        for (int i = 0; i < 10; i++) {
            nodes.leafInsert(node, i, 5, i, value, 1000);
        }
        long offset = node + Node.HEADER_SIZE + 4 * Node.SLOT_SIZE + Node.SLOT_VALUE_OFFSET;
        int right = Memory.getUnsignedShort(offset);
        for (int wrong : new int[] {right - 992, right - 8, right + 4, right + 8, right + 1000}) {
            Memory.putShort(offset, (short) wrong);
            nodes.seal(node);
            assertEquals(
                    "has a value where another one lies in slot " + (wrong < right ? 5 : 4),
                    nodes.structureError(node, BLOCK));
        }
        Memory.putShort(offset, (short) right);
        nodes.seal(node);
        assertNull(nodes.structureError(node, BLOCK));
    }

    @Test
    void anInnerNodeLeadsToTheChildThatHoldsTheKey() {
        nodes.initialise(node, 1, BLOCK, 3);
        for (int i = 0; i < Node.INNER_CAPACITY; i++) {
            Node.innerInsert(node, i, i / 2, (i % 2) * -2L, 100 + i, 1, i);
        }
        assertEquals(Node.INNER_CAPACITY, Node.count(node));
        assertEquals(0, Node.innerFind(node, 0, 0));
        assertEquals(0, Node.innerFind(node, 0, -3));
        assertEquals(1, Node.innerFind(node, 0, -2));
        assertEquals(2, Node.innerFind(node, 1, 0));
        assertEquals(Node.INNER_CAPACITY - 1, Node.innerFind(node, -1, 0));
        nodes.seal(node);
        assertNull(nodes.structureError(node, BLOCK));
        assertNotNull(nodes.structureError(node, BLOCK + 4));
        Node.setInnerKey(node, 5, 0, 0);
        nodes.seal(node);
        assertNotNull(nodes.structureError(node, BLOCK));
    }
}

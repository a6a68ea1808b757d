package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ExtentMapTest {
    private static final int BLOCKS = 4000;

    private final ExtentCursor cursor = new ExtentCursor();
    private final ExtentEdit edit = new ExtentEdit();

    @Test
    void anEmptyMapIsAllHole() {
        ExtentMap.EMPTY.seek(17, cursor);
        assertEquals(ExtentCursor.HOLE, cursor.state);
        assertEquals(0, ExtentMap.EMPTY.endBlock());
        assertSame(ExtentMap.EMPTY, new ExtentMap.Builder().build());
    }

    @Test
    void neighboursThatFitBecomeOne() {
        ExtentMap map = put(ExtentMap.EMPTY, 10, 100, 5, false);
        map = put(map, 15, 105, 5, false);
        map = put(map, 5, 95, 5, false);
        assertEquals(1, map.extentCount());
        map = put(map, 20, 110, 5, true);
        assertEquals(2, map.extentCount(), "unwritten is not written");
        map = put(map, 20, 110, 5, false);
        assertEquals(1, map.extentCount());
        assertEquals(25, map.endBlock());
    }

    private ExtentMap put(ExtentMap map, long file, long disk, int blocks, boolean unwritten) {
        edit.begin(map, file, file + blocks);
        edit.add(file, disk, blocks | (unwritten ? ExtentMap.UNWRITTEN : 0));
        edit.compute();
        return edit.apply();
    }

    /** Per block: 0 for a hole, else disk block * 2 + unwritten. */
    @Test
    void randomEditsAgreeWithAnArray() {
        Random random = new Random(11);
        long[] model = new long[BLOCKS];
        ExtentMap map = ExtentMap.EMPTY;
        long blocks = 0;
        for (int i = 0; i < 20_000; i++) {
            int start = random.nextInt(BLOCKS);
            int end = Math.min(BLOCKS, start + 1 + random.nextInt(random.nextInt(20) == 0 ? 500 : 4));
            edit.begin(map, start, end);
            if (random.nextInt(4) == 0) {
                Arrays.fill(model, start, end, 0);
            } else {
                boolean unwritten = random.nextBoolean();
                long disk = 1L + random.nextInt(1 << 20);
                edit.add(start, disk, end - start | (unwritten ? ExtentMap.UNWRITTEN : 0));
                for (int b = start; b < end; b++) {
                    model[b] = (disk + b - start) * 2 + (unwritten ? 1 : 0);
                }
            }
            edit.compute();
            blocks += edit.blocksDelta;
            map = edit.apply();
            if (i % 500 == 0) {
                verify(map, model, blocks);
            }
        }
        verify(map, model, blocks);
        assertTrue(map.leafCount() > 1);
    }

    private void verify(ExtentMap map, long[] model, long blocks) {
        long count = 0;
        for (int b = 0; b < BLOCKS; b++) {
            map.seek(b, cursor);
            long found = cursor.state == ExtentCursor.HOLE
                    ? 0
                    : cursor.diskBlock * 2 + (cursor.state == ExtentCursor.UNWRITTEN ? 1 : 0);
            assertEquals(model[b], found);
            count += found == 0 ? 0 : 1;
            for (long k = 1; k < Math.min(cursor.runBlocks, 10) && b + k < BLOCKS; k++) {
                assertEquals(found == 0 ? 0 : found + 2 * k, model[(int) (b + k)]);
            }
        }
        assertEquals(count, blocks);
        int extents = 0;
        long end = -1;
        for (long p = 0; !map.isEnd(p); p = map.next(p)) {
            assertTrue(map.fileBlock(p) >= end);
            end = map.fileBlock(p) + ExtentMap.blocks(map.length(p));
            extents++;
        }
        assertEquals(map.extentCount(), extents);
    }
}

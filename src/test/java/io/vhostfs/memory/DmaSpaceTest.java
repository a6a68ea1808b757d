package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.os.Errno;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DmaSpaceTest {
    private static final long PAGE = 4096;
    /** Beyond user addresses: nothing is touched here. */
    private static final long BASE = 1L << 50;

    /** Maps at IOVAs from 1 TiB on. */
    private static final class Recorder implements DmaMapper {
        private final Map<Long, Long> mapped = new HashMap<>();
        private long next = 1L << 40;
        private int refusal;
        private long refusedFrom = BASE;
        private long maxMapBytes = DmaMapper.ANY_LENGTH;

        @Override
        public long maxMapBytes() {
            return maxMapBytes;
        }

        @Override
        public long map(long address, long lengthBytes) {
            if (refusal != 0 && address >= refusedFrom) {
                return refusal;
            }
            long iova = next;
            next += lengthBytes + PAGE;
            mapped.put(iova, lengthBytes);
            return iova;
        }

        @Override
        public void unmap(long iova, long lengthBytes) {
            assertEquals(lengthBytes, mapped.remove(iova));
        }

        @Override
        public String remedy(int negativeErrno) {
            return "more of it";
        }
    }

    private final Recorder recorder = new Recorder();

    @Test
    void regionsComeAndGo() {
        DmaRegions.add(BASE, 16 * PAGE);
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            DmaRegions.add(BASE + 32 * PAGE, 4 * PAGE);
            long first = space.translate(BASE, 16 * PAGE);
            assertTrue(first > 0);
            assertEquals(first + 5, space.translate(BASE + 5, 100));
            long second = space.translate(BASE + 32 * PAGE, 4 * PAGE);
            assertEquals(second + PAGE, space.translate(BASE + 33 * PAGE, PAGE));
            DmaRegions.remove(BASE, 16 * PAGE);
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE, 1));
            assertEquals(second, space.translate(BASE + 32 * PAGE, 1));
            DmaRegions.remove(BASE + 32 * PAGE, 4 * PAGE);
        }
        assertEquals(Map.of(), recorder.mapped);
    }

    @Test
    void aRetiredRegionStaysMappedUntilItsTransfersHaveEnded() {
        DmaRegions.add(BASE, 16 * PAGE);
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            int before = recorder.mapped.size();
            DmaRegions.retire(BASE, 16 * PAGE);
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE, 1));
            assertEquals(before, recorder.mapped.size());
            assertEquals(1, space.retirements());
            space.releaseRetired(0);
            assertEquals(before, recorder.mapped.size());
            space.releaseRetired(1);
            assertEquals(before - 1, recorder.mapped.size());
            DmaRegions.add(BASE, 16 * PAGE);
            DmaRegions.retire(BASE, 16 * PAGE);
            DmaRegions.remove(BASE, 16 * PAGE);
            try (DmaSpace later = new DmaSpace("later", new Recorder())) {
                assertEquals(DmaSpace.NOT_MAPPED, later.translate(BASE, 1));
            }
        }
        assertEquals(Map.of(), recorder.mapped);
    }

    @Test
    void whatIsNotWhollyInARegionIsNotTranslated() {
        DmaRegions.add(BASE, 4 * PAGE);
        DmaRegions.add(BASE + 4 * PAGE, 4 * PAGE);
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE + 3 * PAGE, 2 * PAGE));
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE - 1, 2));
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE, -1));
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE + 8 * PAGE, 1));
        }
        DmaRegions.remove(BASE, 4 * PAGE);
        DmaRegions.remove(BASE + 4 * PAGE, 4 * PAGE);
    }

    @Test
    void aRegionIsMappedInPiecesWhereTheMapperTakesNoMore() {
        recorder.maxMapBytes = 8 * PAGE;
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            int before = recorder.mapped.size();
            DmaRegions.add(BASE + 6 * PAGE, 12 * PAGE);
            assertEquals(before + 3, recorder.mapped.size());
            long first = space.translate(BASE + 6 * PAGE, 2 * PAGE);
            assertEquals(first + 3 * PAGE, space.translate(BASE + 8 * PAGE, 8 * PAGE));
            assertEquals(first + 12 * PAGE, space.translate(BASE + 16 * PAGE, 2 * PAGE));
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE + 7 * PAGE, 2 * PAGE));
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE + 17 * PAGE, 2 * PAGE));
            DmaRegions.retire(BASE + 6 * PAGE, 12 * PAGE);
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE + 8 * PAGE, 1));
            assertEquals(before + 3, recorder.mapped.size());
            assertEquals(1, space.retirements());
            space.releaseRetired(1);
            assertEquals(before, recorder.mapped.size());
            assertEquals(0, space.unmappedBytes());
        }
    }

    @Test
    void aRegionOfWhichOnePieceCannotBeMappedIsLeftOutWhole() {
        recorder.maxMapBytes = 8 * PAGE;
        recorder.refusal = -Errno.EOPNOTSUPP;
        recorder.refusedFrom = BASE + 16 * PAGE;
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            int before = recorder.mapped.size();
            DmaRegions.add(BASE, 20 * PAGE);
            assertEquals(before, recorder.mapped.size());
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE, 1));
            assertEquals(20 * PAGE, space.unmappedBytes());
            DmaRegions.remove(BASE, 20 * PAGE);
            assertEquals(0, space.unmappedBytes());
        }
    }

    @Test
    void hugepageMemoryIsFoundByItself() {
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            HugepageMemory memory = HugepageMemory.allocate(1, "test");
            assertTrue(space.translate(memory.address(), memory.lengthBytes()) > 0);
            memory.close();
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(memory.address(), 1));
        }
    }

    @Test
    void whatCannotBeMappedIsLeftOutAndTheReasonKept() {
        try (DmaSpace space = new DmaSpace("test", recorder)) {
            recorder.refusal = -Errno.ENOMEM;
            DmaRegions.add(BASE, 4 * PAGE);
            assertEquals(DmaSpace.NOT_MAPPED, space.translate(BASE, 1));
            assertEquals(4 * PAGE, space.unmappedBytes());
            assertEquals("ENOMEM; more of it", space.remedy());
            DmaRegions.remove(BASE, 4 * PAGE);
            assertEquals(0, space.unmappedBytes());
        }
    }
}

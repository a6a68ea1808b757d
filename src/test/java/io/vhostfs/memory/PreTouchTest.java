package io.vhostfs.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class PreTouchTest {
    private static final long BYTES = 40L << 20;

    /** KiB of the mapping that are there, normal pages or huge ones. */
    private static long presentKib(long address) throws IOException {
        long present = 0;
        boolean within = false;
        for (String line : Files.readAllLines(Path.of("/proc/self/smaps"))) {
            if (line.matches("[0-9a-f]+-[0-9a-f]+ .*")) {
                long from = Long.parseUnsignedLong(line.substring(0, line.indexOf('-')), 16);
                long to = Long.parseUnsignedLong(line.substring(line.indexOf('-') + 1, line.indexOf(' ')), 16);
                within = address >= from && address < to;
            } else if (within && (line.startsWith("Rss:") || line.startsWith("Private_Hugetlb:"))) {
                present += Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return present;
    }

    @Test
    void allPagesAreThereAndHoldWhatTheyHeld() throws Exception {
        try (HugepageMemory memory = HugepageMemory.reserveForProcessor(BYTES, "test")) {
            Memory.putLong(memory.address() + BYTES / 2, 77);
            assertTrue(presentKib(memory.address()) <= 4096, presentKib(memory.address()) + " KiB");
            try (PreTouch touch = PreTouch.start(memory.address(), BYTES, "test")) {
                assertTrue(touch != null);
                for (Thread thread : threads()) {
                    thread.join();
                }
            }
            assertTrue(presentKib(memory.address()) >= BYTES >> 10, presentKib(memory.address()) + " KiB");
            assertEquals(77, Memory.getLong(memory.address() + BYTES / 2));
            assertEquals(0, Memory.getLong(memory.address() + BYTES / 2 + 8));
        }
    }

    private static List<Thread> threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(t -> t.getName().equals(PreTouch.THREAD_NAME))
                .toList();
    }

    @Test
    void afterItsCloseNothingRuns() {
        try (HugepageMemory memory = HugepageMemory.reserveForProcessor(BYTES, "test")) {
            PreTouch.start(memory.address(), BYTES, "test").close();
            assertEquals(List.of(), threads());
        }
    }
}

package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Stores in memory, with and without hugepages to lie in; targets in processes of their own, for they warn once. */
class HugepagesTest {
    private static final Path POOL = Path.of("/proc/sys/vm/nr_hugepages");
    private static final long PAGE_KIB = 2048;
    private static final long STORE_PAGES = 32;

    /** For the target's buffers, for the guest's memory, and for others who take pages meanwhile. */
    private static final long MORE_PAGES = 96;

    @TempDir
    Path directory;

    private static long meminfo(String key) throws IOException {
        return Files.readAllLines(Path.of("/proc/meminfo")).stream()
                .filter(line -> line.startsWith(key + ":"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")))
                .findFirst()
                .orElse(0);
    }

    private static long available() throws IOException {
        return meminfo("HugePages_Free") - meminfo("HugePages_Rsvd");
    }

    /** Asks the kernel for that many pages; false when it or this user's rights do not give them. */
    private static boolean raisePool(long pages) throws IOException {
        try {
            Files.writeString(POOL, Long.toString(pages));
        } catch (IOException e) {
            return false;
        }
        return available() >= STORE_PAGES + MORE_PAGES;
    }

    /** Memory of a process that lies in hugepages. */
    private static long hugeKib(long pid) throws IOException {
        long sum = 0;
        long sizeKib = 0;
        for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/smaps"))) {
            if (line.startsWith("Size:")) {
                sizeKib = Long.parseLong(line.replaceAll("[^0-9]", ""));
            } else if (line.startsWith("KernelPageSize:") && line.contains(" " + PAGE_KIB + " kB")) {
                sum += sizeKib;
            }
        }
        return sum;
    }

    private ServeProcess serve(long pages) throws Exception {
        return ServeProcess.start(
                directory.resolve("log"),
                List.of(directory.resolve("t.sock")),
                List.of(
                        "--bdev",
                        "malloc:" + pages * 2 + "M,discard=on",
                        "--share",
                        "tag=t,socket=" + directory.resolve("t.sock")));
    }

    private void use() throws IOException {
        byte[] data = TestTargets.random(1, 5 << 20);
        try (Guest guest = Guest.mount(directory.resolve("t.sock"))) {
            for (int round = 0; round < 3; round++) {
                TestTargets.makeFile(guest.fuse, FuseClient.ROOT, "file", data);
                guest.fuse.syncfs();
                assertArrayEquals(data, TestTargets.readFile(guest.fuse, FuseClient.ROOT, "file"));
                guest.fuse.unlink(FuseClient.ROOT, "file");
            }
        }
    }

    private void assertFallsBack(long pages) throws Exception {
        try (ServeProcess serve = serve(pages)) {
            use();
            assertTrue(hugeKib(serve.pid()) < pages * PAGE_KIB, "hugepages");
            assertEquals(0, serve.stop());
            String said = serve.output();
            assertTrue(said.contains("No hugepages for malloc:"), said);
            assertTrue(said.contains("Remedy: sysctl -w vm.nr_hugepages=N with N at least " + pages), said);
        }
    }

    @Test
    void aStoreLiesInHugepagesWhereTheHostGivesThem() throws Exception {
        String before = Files.readString(POOL).trim();
        try {
            if (!raisePool(Long.parseLong(before) + STORE_PAGES + MORE_PAGES)) {
                assertFallsBack(available() + STORE_PAGES);
                return;
            }
            try (ServeProcess serve = serve(STORE_PAGES)) {
                use();
                long huge = hugeKib(serve.pid());
                assertTrue(huge >= STORE_PAGES * PAGE_KIB, huge + " KiB lie in hugepages:\n" + serve.output());
                assertEquals(0, serve.stop());
                assertFalse(serve.output().contains("No hugepages for malloc:"), serve.output());
            }
        } finally {
            if (!Files.readString(POOL).trim().equals(before)) {
                Files.writeString(POOL, before);
            }
        }
        assertEquals(before, Files.readString(POOL).trim());
    }

    @Test
    void aStoreLargerThanAllHugepagesLiesInNormalOnesAndSaysWhatHelps() throws Exception {
        assertFallsBack(available() + 4 * MORE_PAGES);
    }
}

package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.O_CLOEXEC;
import static io.vhostfs.os.LibcConstants.O_RDWR;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.DmaRegions;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Libc;
import io.vhostfs.virtio.GuestRam;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What devices hear of a guest's regions. */
class MemoryTableTest {
    private static final long BYTES = 1 << 20;
    private static final long FIRST = 0x10_0000_0000L;
    private static final long SECOND = 0x20_0000_0000L;

    /** Regions of a table as a device sees them; when it hears that one goes, that must still be there to be read. */
    private static final class Device implements DmaRegions.Listener {
        private final Set<Long> ours = new TreeSet<>();
        private final List<String> heard = new ArrayList<>();
        private boolean watching;

        @Override
        public void onRegionAdded(long address, long lengthBytes) {
            if (watching) {
                ours.add(address);
                hear("added", address, lengthBytes);
            }
        }

        @Override
        public void onRegionRemoved(long address, long lengthBytes) {
            if (ours.remove(address)) {
                hear("removed", address, lengthBytes);
            }
        }

        @Override
        public void onRegionRetired(long address, long lengthBytes) {
            if (ours.remove(address)) {
                hear("retired", address, lengthBytes);
            }
        }

        private void hear(String what, long address, long lengthBytes) {
            assertEquals(BYTES, lengthBytes);
            assertTrue(isMapped(address), what + " when it was not mapped");
            heard.add(what);
        }
    }

    private final Device device = new Device();
    private final MemoryTable table = new MemoryTable(() -> {});

    /** Whether a guest's file is mapped there. */
    private static boolean isMapped(long address) {
        String start = Long.toHexString(address) + "-";
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return maps.anyMatch(line -> line.startsWith(start) && line.contains("memfd:guest"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private long add(GuestRam ram, long guestAddress) throws Exception {
        int fd = CString.with("/proc/self/fd/" + ram.fd(), path -> Libc.open(path, O_RDWR | O_CLOEXEC, 0));
        device.watching = true;
        table.add(guestAddress, BYTES, guestAddress, 0, fd);
        device.watching = false;
        return table.snapshot().translate(guestAddress, BYTES);
    }

    @BeforeEach
    void listen() {
        DmaRegions.listen(device);
    }

    @AfterEach
    void unlisten() {
        table.close(false);
        DmaRegions.unlisten(device);
    }

    @Test
    void regionsAreToldOfAsTheyComeAndGoAndLeaveBeforeTheyAreUnmapped() throws Exception {
        try (GuestRam ram = new GuestRam(BYTES)) {
            long first = add(ram, FIRST);
            long second = add(ram, SECOND);
            assertEquals(Set.of(first, second), device.ours);
            assertTrue(table.remove(FIRST, BYTES, FIRST));
            assertEquals(Set.of(second), device.ours);
            assertFalse(isMapped(first));
            table.clear();
            assertFalse(isMapped(second));
            assertEquals(List.of("added", "added", "removed", "removed"), device.heard);
        }
    }

    @Test
    void whatMayBeInUseWhenTheTableEndsIsRetiredAndStaysMapped() throws Exception {
        try (GuestRam ram = new GuestRam(BYTES)) {
            Memory.putLong(ram.address(), 1);
            long region = add(ram, FIRST);
            table.close(true);
            assertEquals(List.of("added", "retired"), device.heard);
            assertEquals(0, Memory.getLong(region), "zeroes in its place");
            assertEquals(1, Memory.getLong(ram.address()));
        }
    }

    @Test
    void aRegionThatItsFileNoLongerHoldsIsRetired() throws Exception {
        try (GuestRam ram = new GuestRam(BYTES)) {
            long region = add(ram, FIRST);
            ram.truncate();
            table.onMemoryFault();
            assertEquals(List.of("added", "retired"), device.heard);
            assertEquals(0, Memory.getLong(region));
            assertEquals(1, table.size());
        }
    }
}

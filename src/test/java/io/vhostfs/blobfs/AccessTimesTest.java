package io.vhostfs.blobfs;

import static io.vhostfs.os.LibcConstants.FS_NOATIME_FL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.AccessTimes;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorClock;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** When reading changes access times: never, relative to changes, or always. */
class AccessTimesTest {
    private static final int ROOT = 1;
    private static final long HOUR_NS = 3_600_000_000_000L;

    /** Its time goes on when a test says so. */
    private static final class Clock implements ReactorClock {
        private long wallNs = 1_000 * HOUR_NS;

        @Override
        public long monotonicNs() {
            return System.nanoTime();
        }

        @Override
        public long wallClockNs() {
            return wallNs;
        }
    }

    private final Clock clock = new Clock();
    private final FsFixture fixture = new FsFixture(64 << 20);
    private FsTestClient client = clientWithClock();
    private final long file = client.create(ROOT, "f");

    private FsTestClient clientWithClock() {
        fixture.unmount();
        fixture.mount(Reactor.Config.named("test").withClock(clock));
        return fixture.newClient();
    }

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    /** It is later, and the times that files get from now on are, too. */
    private void later(long ns) {
        clock.wallNs += ns;
        fixture.reactor.forgetWallClock();
    }

    private long accessed(long inode) {
        return client.getattr(inode).accessTimeNs;
    }

    private void readLater(long ns) {
        later(ns);
        client.read(file, 0, 10);
    }

    @Test
    void offNoReadChangesThem() {
        client.write(file, 0, new byte[10]);
        long ofFile = accessed(file);
        long ofRoot = accessed(ROOT);
        readLater(50 * HOUR_NS);
        client.list(ROOT, 10);
        assertEquals(ofFile, accessed(file));
        assertEquals(ofRoot, accessed(ROOT));
    }

    @Test
    void relativeTheFirstReadAfterAChangeDoes() {
        client.client.setAccessTimes(AccessTimes.RELATIVE);
        client.write(file, 0, new byte[8192]);
        readLater(HOUR_NS);
        long first = clock.wallNs;
        assertEquals(first, accessed(file));
        readLater(HOUR_NS);
        assertEquals(first, accessed(file));
        // A change of attributes is one, too.
        later(HOUR_NS);
        client.request.newAttributes.mode = 0x180;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MODE));
        readLater(HOUR_NS);
        assertEquals(clock.wallNs, accessed(file));
        long changed = client.getattr(file).changeTimeNs;
        assertTrue(changed < clock.wallNs, "reading is no change");
    }

    @Test
    void relativeTheFirstReadOfADayDoes() {
        client.client.setAccessTimes(AccessTimes.RELATIVE);
        readLater(HOUR_NS);
        long first = clock.wallNs;
        readLater(24 * HOUR_NS - 1);
        assertEquals(first, accessed(file));
        readLater(1);
        assertEquals(clock.wallNs, accessed(file));
    }

    @Test
    void strictEachReadDoesButOfWhatIsMarkedNoatime() {
        client.client.setAccessTimes(AccessTimes.STRICT);
        client.write(file, 0, new byte[8192]);
        readLater(1);
        readLater(1);
        long last = clock.wallNs;
        assertEquals(last, accessed(file));
        client.request.newAttributes.flags = FS_NOATIME_FL;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_FLAGS));
        readLater(1);
        assertEquals(last, accessed(file));
    }

    @Test
    void listingsAndTargetsOfSymbolicLinksAreReadAsWell() {
        client.client.setAccessTimes(AccessTimes.RELATIVE);
        assertEquals(0, client.trySymlink(ROOT, "s", "somewhere"));
        long link = client.lookup(ROOT, "s");
        later(HOUR_NS);
        client.readlink(link);
        client.list(ROOT, 10);
        assertEquals(clock.wallNs, accessed(link));
        assertEquals(clock.wallNs, accessed(ROOT));
    }

    @Test
    void theyReachTheDisk() {
        client.client.setAccessTimes(AccessTimes.RELATIVE);
        readLater(HOUR_NS);
        long read = clock.wallNs;
        client = clientWithClock();
        assertEquals(read, accessed(client.lookup(ROOT, "f")));
    }

    @Test
    void aReadElsewhereChangesThemAtHome() {
        client.client.setAccessTimes(AccessTimes.RELATIVE);
        client.write(file, 0, new byte[8192]);
        client.read(file, 0, 10);
        FsTestClient other = fixture.newClientElsewhere(
                client.client, new Reactor(Reactor.Config.named("other").withClock(clock)));
        later(HOUR_NS);
        other.read(file, 0, 4096);
        long first = clock.wallNs;
        assertEquals(first, accessed(file));
        // Not due: read where it is, without home.
        Reactor home = fixture.reactor;
        other.home = null;
        assertEquals(4096, other.read(file, 0, 4096).length);
        other.home = home;
        later(HOUR_NS);
        other.reactor.forgetWallClock();
        other.write(file, 0, new byte[4096]);
        later(HOUR_NS);
        other.reactor.forgetWallClock();
        other.read(file, 0, 4096);
        assertEquals(clock.wallNs, accessed(file));
    }
}

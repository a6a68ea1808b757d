package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.Errno;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class DirectoryTest {
    private static final int ROOT = 1;

    @Test
    void holdsAHundredThousandEntries() {
        try (FsFixture fixture = new FsFixture(256 << 20)) {
            FsTestClient client = fixture.newClient();
            long dir = client.mkdir(ROOT, "d");
            for (int i = 0; i < 100_000; i++) {
                client.create(dir, "file-" + i);
            }
            Set<String> names = new HashSet<>();
            for (FsTestClient.Entry e : client.list(dir, 1000)) {
                assertTrue(names.add(e.name()), "twice: " + e.name());
            }
            assertEquals(100_002, names.size());
            fixture.remount();
            FsTestClient again = fixture.newClient();
            dir = again.lookup(ROOT, "d");
            for (int i = 0; i < 100_000; i += 7) {
                again.lookup(dir, "file-" + i);
            }
            for (int i = 0; i < 100_000; i++) {
                assertEquals(0, again.tryUnlink(dir, "file-" + i));
            }
            assertEquals(2, again.list(dir, 10).size());
            assertEquals(0, again.tryRmdir(ROOT, "d"));
        }
    }

    @Test
    void entriesThatStayAreListedOnceWhileOthersComeAndGo() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            for (int i = 0; i < 500; i++) {
                client.create(ROOT, "stays-" + i);
                client.create(ROOT, "goes-" + i);
            }
            Set<String> names = new HashSet<>();
            long cookie = 0;
            int turn = 0;
            while (true) {
                List<FsTestClient.Entry> some = client.listFrom(ROOT, cookie, 10, false);
                if (some.isEmpty()) {
                    break;
                }
                for (FsTestClient.Entry e : some) {
                    assertTrue(names.add(e.name()), "twice: " + e.name());
                    cookie = e.cookie();
                }
                for (int i = 0; i < 5 && turn < 500; i++, turn++) {
                    assertEquals(0, client.tryUnlink(ROOT, "goes-" + turn));
                    client.create(ROOT, "comes-" + turn);
                }
            }
            for (int i = 0; i < 500; i++) {
                assertTrue(names.contains("stays-" + i));
            }
            assertEquals(List.of(), client.listFrom(ROOT, (1L << 56) - 2, 10, false));
            assertEquals(List.of(), client.listFrom(ROOT, 1L << 56, 10, false));
            assertEquals(List.of(), client.listFrom(ROOT, Long.MAX_VALUE, 10, false));
        }
    }

    @Test
    void anEntryListedWithAttributesIsAReference() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient maker = fixture.newClient();
            long file = maker.create(ROOT, "f");
            FsTestClient client = fixture.newClient();
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            assertEquals(3, client.listFrom(ROOT, 0, 10, true).size());
            assertEquals(file, client.getattr(file).inode);
            client.forget(file, 1);
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            // No room for the entry: no reference.
            assertEquals(2, client.listFrom(ROOT, 0, 2, true).size());
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
        }
    }

    @Test
    void onlyDirectoriesAreListed() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            client.request.inode = file;
            assertEquals(-Errno.ENOTDIR, client.call(FsOp.OPENDIR));
            client.request.handle = 0;
            assertEquals(-Errno.ENOTDIR, client.call(FsOp.READDIR));
            client.request.inode = ROOT;
            assertEquals(0, client.call(FsOp.OPENDIR));
            assertEquals(0, client.call(FsOp.RELEASEDIR));
        }
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.Errno;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What a client sends about references and handles is not trusted. */
class ClientsTest {
    private static final int ROOT = 1;

    @Test
    void anInodeThatWasNotLookedUpIsStale() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient maker = fixture.newClient();
            long file = maker.create(ROOT, "f");
            FsTestClient client = fixture.newClient();
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            assertEquals(-Errno.ESTALE, client.tryRead(file, 0, 0, 10));
            assertEquals(-Errno.ESTALE, client.tryOpen(file, 0));
            assertEquals(-Errno.ESTALE, client.tryLink(file, ROOT, "g"));
            for (long n : new long[] {0, -1, 999, Long.MAX_VALUE, Long.MIN_VALUE, 1L << 56}) {
                assertEquals(-Errno.ESTALE, client.tryGetattr(n));
                assertEquals(-Errno.ESTALE, client.tryLookup(n, "x"));
                client.forget(n, 1);
            }
            client.forget(ROOT, Long.MAX_VALUE);
            assertEquals(ROOT, client.getattr(ROOT).inode);
        }
    }

    @Test
    void referencesAreCounted() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            client.lookup(ROOT, "f");
            client.lookup(ROOT, "f");
            client.forget(file, 2);
            assertEquals(0, client.tryGetattr(file));
            client.forget(file, 1);
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
        }
    }

    @Test
    void handlesThatAreNotOpenAreRefused() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            FsTestClient other = fixture.newClient();
            long f = client.create(ROOT, "f");
            long g = client.create(ROOT, "g");
            long handle = client.open(f);
            assertEquals(0, client.tryRead(f, handle, 0, 1));
            assertEquals(-Errno.EBADF, client.tryRead(g, handle, 0, 1), "a handle of another file");
            other.lookup(ROOT, "f");
            assertEquals(-Errno.EBADF, other.tryRead(f, handle, 0, 1), "a handle of another client");
            assertEquals(0, client.release(handle));
            assertEquals(-Errno.EBADF, client.release(handle));
            long next = client.open(f);
            assertNotEquals(handle, next);
            assertEquals(-Errno.EBADF, client.tryRead(f, handle, 0, 1), "an old handle of a reused slot");
            for (long h : new long[] {-1, 1L << 40, Long.MIN_VALUE, next + 1, next + (1L << 32)}) {
                assertEquals(-Errno.EBADF, client.tryWrite(f, h, 0, new byte[1], 0));
                assertEquals(-Errno.EBADF, client.release(h));
            }
        }
    }

    @Test
    void aClientWhoseRootIsADirectorySeesNothingAboveIt() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient all = fixture.newClient();
            long dir = all.mkdir(ROOT, "d");
            long outside = all.create(ROOT, "secret");
            long inside = all.create(dir, "f");
            FsTestClient part = new FsTestClient(fixture.fileSystem, fixture.reactor, fixture.fileSystem.attach(dir));
            assertEquals(dir, part.lookup(dir, ".."));
            assertEquals(inside, part.lookup(dir, "f"));
            assertEquals(-Errno.ESTALE, part.tryLookup(ROOT, "secret"));
            assertEquals(-Errno.ESTALE, part.tryGetattr(outside));
            assertEquals(-Errno.ESTALE, part.tryLookup(outside, "."));
            assertEquals(dir, part.list(dir, 10).get(1).inode());
            assertEquals(outside, all.lookup(outside, "."));
        }
    }

    @Test
    void aDetachedClientIsRefusedAndHoldsNothing() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            client.open(file);
            client.open(file);
            assertEquals(0, client.tryUnlink(ROOT, "f"));
            fixture.fileSystem.detach(client.client);
            fixture.fileSystem.detach(client.client);
            assertEquals(-Errno.ESTALE, client.tryGetattr(ROOT));
            FsTestClient other = fixture.newClient();
            assertEquals(-Errno.ESTALE, other.tryLookup(file, "."));
        }
    }

    @Test
    void limitsOfAClientEndInAnErrno() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            BlobFsClient small = fixture.fileSystem.attach(FileSystem.ROOT_INODE, 3, 2);
            FsTestClient client = new FsTestClient(fixture.fileSystem, fixture.reactor, small);
            long a = client.create(ROOT, "a");
            client.create(ROOT, "b");
            long first = client.open(a);
            client.open(a);
            assertEquals(-Errno.ENFILE, client.tryOpen(a, 0));
            assertEquals(-Errno.ENFILE, client.tryCreate(ROOT, "c", 0));
            assertEquals(-Errno.ENOENT, client.tryLookup(ROOT, "c"));
            assertEquals(0, client.release(first));
            assertEquals(0, client.tryMkdir(ROOT, "c"));
            assertEquals(-Errno.ENOMEM, client.tryMkdir(ROOT, "d"));
            assertEquals(-Errno.ENOMEM, client.tryLookup(ROOT, "a"));
            client.forget(a, 1);
            assertEquals(0, client.tryLookup(ROOT, "c"));
        }
    }

    @Test
    void theReferenceTableCountsAsAMapDoes() {
        ReferenceTable table = new ReferenceTable(1 << 20);
        Map<Long, Long> model = new HashMap<>();
        Random random = new Random(3);
        for (int i = 0; i < 300_000; i++) {
            long inode = 1L + random.nextInt(20_000);
            if (random.nextInt(5) < 3) {
                table.add(inode);
                model.merge(inode, 1L, Long::sum);
            } else {
                long n = 1L + random.nextInt(3);
                long left = Math.max(0, model.getOrDefault(inode, 0L) - n);
                assertEquals(left == 0, table.drop(inode, n));
                if (left == 0) {
                    model.remove(inode);
                } else {
                    model.put(inode, left);
                }
            }
        }
        assertEquals(model.size(), table.size());
        for (long inode = 1; inode <= 20_000; inode++) {
            assertEquals(model.containsKey(inode), table.contains(inode));
        }
        assertFalse(table.contains(0));
    }

    @Test
    void flushAndReleaseMindTheHandle() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long f = client.create(ROOT, "f");
            client.request.inode = f;
            client.request.handle = 12345;
            assertEquals(-Errno.EBADF, client.call(FsOp.FLUSH));
            assertEquals(-Errno.EBADF, client.call(FsOp.FSYNC));
            client.request.handle = client.open(f);
            client.request.inode = f;
            assertEquals(0, client.call(FsOp.FLUSH));
            assertTrue(client.request.handle != 0);
        }
    }
}

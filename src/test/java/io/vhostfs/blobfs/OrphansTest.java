package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.List;
import org.junit.jupiter.api.Test;

class OrphansTest {
    private static final int ROOT = 1;

    @Test
    void anUnlinkedFileLivesWhileItIsOpen() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            long free = fixture.store.availableBlocks();
            client.write(file, 0, new byte[1 << 20]);
            long handle = client.open(file);
            assertEquals(0, client.tryUnlink(ROOT, "f"));
            client.forget(file, 1);
            assertEquals(0, client.tryRead(file, handle, 0, 10));
            assertEquals(10, client.request.count);
            assertEquals(0, client.tryWrite(file, handle, 5000, new byte[] {1, 2, 3}, 0));
            assertEquals(0, client.release(handle));
            fixture.settle();
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            assertTrue(fixture.store.availableBlocks() >= free - 2);
        }
    }

    private static long makeNameless(FsTestClient client, int flags) {
        client.request.inode = ROOT;
        client.request.mode = 0640;
        client.request.flags = flags;
        assertEquals(0, client.call(FsOp.TMPFILE));
        assertEquals(0, client.request.attributes.linkCount);
        return client.request.attributes.inode;
    }

    @Test
    void aFileWithoutANameGoesWithItsHandleUnlessItGetsOne() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long gone = makeNameless(client, LibcConstants.O_RDWR);
            long goneHandle = client.request.handle;
            long named = makeNameless(client, LibcConstants.O_RDWR);
            long namedHandle = client.request.handle;
            long alone = makeNameless(client, LibcConstants.O_RDWR | LibcConstants.O_EXCL);
            assertEquals(0, client.tryWrite(named, namedHandle, 0, new byte[100_000], 0));
            assertEquals(-Errno.ENOENT, client.tryLink(alone, ROOT, "alone"));
            assertEquals(0, client.tryLink(named, ROOT, "named"));
            assertEquals(1, client.request.attributes.linkCount);
            assertEquals(0, client.tryUnlink(ROOT, "named"));
            assertEquals(-Errno.ENOENT, client.tryLink(named, ROOT, "again"), "once it had a name, it is as any other");
            long kept = makeNameless(client, LibcConstants.O_RDWR);
            assertEquals(0, client.tryLink(kept, ROOT, "kept"));
            assertEquals(0, client.release(goneHandle));
            client.forget(gone, 1);
            fixture.settle();
            assertEquals(-Errno.ESTALE, client.tryGetattr(gone));
            fixture.fileSystem.detach(client.client);
            fixture.settle();
            fixture.unmount();
            assertEquals(List.of(), Checks.run(fixture.device));
            fixture.mount();
            assertEquals(kept, fixture.newClient().lookup(ROOT, "kept"));
        }
    }

    @Test
    void aFileWithoutANameDoesNotOutliveACrash() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            long free = fixture.store.availableBlocks();
            for (int i = 0; i < 10; i++) {
                long file = makeNameless(client, LibcConstants.O_RDWR);
                assertEquals(0, client.tryWrite(file, client.request.handle, 0, new byte[1 << 20], 0));
            }
            fixture.checkpoint();
            fixture.crash();
            fixture.mount();
            fixture.settle();
            assertTrue(fixture.store.availableBlocks() >= free - 2);
            fixture.unmount();
            assertEquals(List.of(), Checks.run(fixture.device));
            fixture.mount();
        }
    }

    @Test
    void anUnlinkedFileLivesWhileItIsReferenced() {
        try (FsFixture fixture = new FsFixture(32 << 20)) {
            FsTestClient client = fixture.newClient();
            FsTestClient other = fixture.newClient();
            long file = client.create(ROOT, "f");
            other.lookup(ROOT, "f");
            assertEquals(0, client.tryUnlink(ROOT, "f"));
            client.forget(file, 1);
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            assertEquals(0, other.getattr(file).linkCount);
            fixture.fileSystem.detach(other.client);
            assertEquals(-Errno.ESTALE, other.tryGetattr(file));
        }
    }

    @Test
    void whatACrashLeavesIsCleanedAfterTheNextMount() {
        FsFixture fixture = new FsFixture(64 << 20);
        FsTestClient client = fixture.newClient();
        long free = fixture.store.availableBlocks();
        for (int i = 0; i < 20; i++) {
            long file = client.create(ROOT, "f" + i);
            for (int b = 0; b < 100; b++) {
                client.write(file, b * 8192L, new byte[4096]);
            }
            assertEquals(0, client.tryUnlink(ROOT, "f" + i));
        }
        long kept = client.create(ROOT, "kept");
        client.write(kept, 0, new byte[] {7});
        client.request.inode = ROOT;
        assertEquals(0, client.call(FsOp.SYNCFS));
        fixture.crash();
        fixture.mount();
        fixture.settle();
        FsTestClient again = fixture.newClient();
        assertArrayEquals(new byte[] {7}, again.read(again.lookup(ROOT, "kept"), 0, 10));
        assertTrue(fixture.store.availableBlocks() > free - 100);
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    @Test
    void aTruncationThatACrashCutShortIsEndedLater() {
        FsFixture fixture = new FsFixture(128 << 20);
        FsTestClient client = fixture.newClient();
        long file = client.create(ROOT, "f");
        for (int b = 0; b < 6000; b++) {
            client.write(file, b * 8192L, new byte[] {1});
        }
        client.write(file, 0, new byte[] {9, 9, 9, 9});
        FsTestClient.Request r = client.newRequest();
        r.inode = file;
        r.valid = FsRequest.SET_SIZE;
        r.newAttributes.sizeBytes = 2;
        client.start(r, FsOp.SETATTR);
        // The first group is in; the others go one per turn.
        fixture.reactor.runOnce();
        FsTestClient.Request sync = client.newRequest();
        sync.inode = ROOT;
        client.start(sync, FsOp.SYNCFS);
        client.await(sync);
        assertEquals(FileSystem.PENDING, r.status, "the truncation has more groups than that");
        fixture.crash();
        fixture.mount();
        FsTestClient again = fixture.newClient();
        assertEquals(file, again.lookup(ROOT, "f"));
        assertEquals(2, again.getattr(file).sizeBytes);
        // Whoever comes before the background does finds nothing of the old content.
        assertEquals(0, again.truncate(file, 8_192_000));
        byte[] content = again.read(file, 0, 1 << 20);
        assertEquals(9, content[1]);
        for (int i = 2; i < content.length; i++) {
            assertEquals(0, content[i]);
        }
        fixture.settle();
        assertTrue(again.getattr(file).blocks <= 8);
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    @Test
    void aFileOfManyExtentsGoesInTheBackground() {
        try (FsFixture fixture = new FsFixture(64 << 20)) {
            FsTestClient client = fixture.newClient();
            long file = client.create(ROOT, "f");
            for (int b = 0; b < 2000; b++) {
                client.write(file, b * 8192L, new byte[] {1});
            }
            assertEquals(0, client.tryUnlink(ROOT, "f"));
            client.forget(file, 1);
            assertTrue(fixture.fileSystem.isCleaning());
            assertEquals(-Errno.ESTALE, client.tryGetattr(file));
            fixture.settle();
            client.create(ROOT, "f");
        }
    }
}

package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.blobstore.StoreStatus;
import io.vhostfs.frontend.FuseClient;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a running target says of itself, and what becomes of it when its device fails. */
class TargetStatusTest {
    /** F_SEAL_WRITE of linux/fcntl.h: every later write of the memory file fails. */
    private static final int SEAL_WRITE = 0x8;

    @TempDir
    Path directory;

    @Test
    void theStatusNamesStoresAndReactors() throws Exception {
        Path socket = directory.resolve("t.sock");
        try (Target target = Target.start(config(List.of("a=malloc:64M"), "tag=t,socket=" + socket));
                Guest guest = Guest.mount(socket)) {
            makeFile(guest.fuse, FuseClient.ROOT, "f", random(1, 100_000));
            TargetStatus status = target.status();
            assertEquals("a", status.stores().getFirst().name());
            StoreStatus store = status.stores().getFirst().status();
            assertFalse(store.readOnly());
            assertEquals("", store.failure());
            assertTrue(store.groups() > 1, store.toString());
            assertEquals((64 << 20) / 4096, store.totalBlocks());
            assertTrue(status.reactors().getFirst().busyTurns() > 0);
            assertTrue(status.reactors().getFirst().longestSpanNs() > 0);
            assertTrue(status.text().contains("store a: ok; "), status.text());
            assertEquals(List.of(), target.failures());
        }
    }

    @Test
    void aDeviceThatRefusesWritesMakesItsStoreReadOnlyAndTheTargetSaysSo() throws Exception {
        int fd = CString.with("store", name -> Libc.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
        assertTrue(fd >= 0);
        assertEquals(0, Libc.ftruncate(fd, 64 << 20));
        Path socket = directory.resolve("t.sock");
        Target target = Target.start(config(List.of("a=file:/proc/self/fd/" + fd), "tag=t,socket=" + socket));
        byte[] data = random(1, 100_000);
        try (target;
                Guest guest = Guest.mount(socket)) {
            FuseClient fuse = guest.fuse;
            long synced = makeFile(fuse, FuseClient.ROOT, "synced", data);
            fuse.syncfs();
            assertEquals(0, Libc.fcntl(fd, F_ADD_SEALS, SEAL_WRITE));
            FuseClient.Handle file = fuse.create(FuseClient.ROOT, "lost", O_RDWR, S_IFREG | 0644);
            assertErrno(Errno.EIO, () -> fuse.fsync(file.nodeid(), file.fh(), false));
            assertErrno(Errno.EROFS, () -> fuse.mkdir(FuseClient.ROOT, "dir", 0755));
            FuseClient.Handle old = fuse.open(synced, O_RDWR);
            assertErrno(Errno.EROFS, () -> fuse.write(old.nodeid(), old.fh(), 0, new byte[4096]));
            assertArrayEquals(data, readFile(fuse, FuseClient.ROOT, "synced"));
            TargetStatus status = target.status();
            assertTrue(status.stores().getFirst().status().readOnly());
            assertTrue(
                    status.text().contains("store a: READ-ONLY since a write of the log failed with EPERM"),
                    status.text());
        }
        assertEquals(List.of("a: a write of the log failed with EPERM"), target.failures());
        Libc.close(fd);
    }
}

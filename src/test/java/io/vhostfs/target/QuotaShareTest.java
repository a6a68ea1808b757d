package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.os.Errno;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Quotas as a guest meets them. */
class QuotaShareTest {
    @TempDir
    Path directory;

    @Test
    void aGuestSeesItsQuotaAndMeetsItUntilItIsTakenAway() throws Exception {
        try (Target target = start(store(directory), share(directory, "all", ",mode=shared"));
                Guest all = Guest.mount(socket(directory, "all"))) {
            assertNotNull(target);
            long tenant = all.fuse.mkdir(FuseClient.ROOT, "tenant", 0755).nodeid();
            makeFile(all.fuse, tenant, "before", new byte[1 << 20]);
        }
        try (Target target = start(
                        store(directory),
                        share(directory, "all", ",mode=shared"),
                        share(directory, "t", ",mode=shared,root=/tenant,quota=4M,inodes=4"));
                Guest all = Guest.mount(socket(directory, "all"));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            FuseClient.Statfs quota = guest.fuse.statfs();
            assertEquals(4 << 20, quota.blocks() * quota.bsize());
            assertEquals(767, quota.bavail(), "what is left of 1024 blocks");
            assertEquals(4, quota.files());
            assertEquals(2, quota.ffree());
            assertNotEquals(quota.blocks(), all.fuse.statfs().blocks());
            FuseClient.Handle file = guest.fuse.create(FuseClient.ROOT, "f", O_RDWR, S_IFREG | 0644);
            assertErrno(Errno.ENOSPC, () -> guest.fuse.fallocate(file.nodeid(), file.fh(), 0, 0, 4 << 20));
            guest.fuse.fallocate(file.nodeid(), file.fh(), 0, 0, 2 << 20);
            guest.fuse.mkdir(FuseClient.ROOT, "d", 0755);
            assertErrno(Errno.ENOSPC, () -> guest.fuse.mkdir(FuseClient.ROOT, "e", 0755));
            // Whoever works in the directory does.
            long tenant = all.fuse.lookup(FuseClient.ROOT, "tenant").nodeid();
            assertErrno(Errno.ENOSPC, () -> all.fuse.mkdir(tenant, "e", 0755));
            long outside = makeFile(all.fuse, FuseClient.ROOT, "outside", new byte[10]);
            assertErrno(Errno.EXDEV, () -> all.fuse.link(outside, tenant, "inside"));
            assertErrno(Errno.EXDEV, () -> all.fuse.rename(FuseClient.ROOT, "outside", tenant, "inside", 0));
        }
        try (Target target = start(
                        store(directory), share(directory, "t", ",mode=shared,root=/tenant,quota=none,inodes=none"));
                Guest guest = Guest.mount(socket(directory, "t"))) {
            assertNotNull(target);
            assertEquals((64 << 20) / 4096, guest.fuse.statfs().blocks());
            guest.fuse.mkdir(FuseClient.ROOT, "e", 0755);
        }
    }
}

package io.vhostfs.blobfs;

import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What immutable and append-only forbid, and what of the flags lasts and is inherited. */
class InodeFlagsTest {
    private static final int ROOT = 1;
    private static final int CLOCK =
            FsRequest.SET_ATIME | FsRequest.SET_MTIME | FsRequest.SET_ATIME_NOW | FsRequest.SET_MTIME_NOW;

    private final FsFixture fixture = new FsFixture(32 << 20);
    private FsTestClient client = fixture.newClient();
    private final long dir = client.mkdir(ROOT, "d");
    private final long file = client.create(dir, "f");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private int set(long inode, int flags) {
        client.request.newAttributes.flags = flags;
        return client.trySetattr(inode, FsRequest.SET_FLAGS);
    }

    private int setProject(long inode, int flags, int project) {
        client.request.newAttributes.flags = flags;
        client.request.newAttributes.project = project;
        return client.trySetattr(inode, FsRequest.SET_FLAGS | FsRequest.SET_PROJECT);
    }

    private Inode inode(long number) {
        return Objects.requireNonNull(fixture.fileSystem.volume().load(number));
    }

    private void refused(int status) {
        assertEquals(-Errno.EPERM, status);
    }

    @Test
    void whatIsSetIsThereAfterACrash() {
        int all = FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL | FS_PROJINHERIT_FL;
        assertEquals(0, setProject(dir, all, 7));
        assertEquals(0, set(file, FS_IMMUTABLE_FL | FS_NODUMP_FL | FS_DIRSYNC_FL | FS_PROJINHERIT_FL));
        assertEquals(0, client.fsync(file, false));
        fixture.crash();
        fixture.mount();
        client = fixture.newClient();
        assertEquals(all, client.getattr(client.lookup(ROOT, "d")).flags);
        assertEquals(7, client.getattr(dir).project);
        // A file has none of those that are for directories.
        assertEquals(FS_IMMUTABLE_FL | FS_NODUMP_FL, client.getattr(client.lookup(dir, "f")).flags);
    }

    @Test
    void anImmutableFileStaysAsItIs() {
        assertEquals(0, client.trySetxattr(file, "user.a", new byte[2], 0));
        client.write(file, 0, new byte[100]);
        assertEquals(0, set(file, FS_IMMUTABLE_FL));
        refused(client.tryOpen(file, O_RDWR));
        refused(client.tryOpen(file, O_WRONLY | O_APPEND));
        refused(client.tryOpen(file, O_RDONLY | O_TRUNC));
        refused(client.tryCreate(dir, "f", O_WRONLY));
        refused(client.truncate(file, 0));
        refused(client.fallocate(file, 0, 0, 4096));
        refused(client.fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4096));
        refused(client.trySetattr(file, FsRequest.SET_MODE));
        refused(client.trySetattr(file, FsRequest.SET_UID));
        refused(client.trySetattr(file, FsRequest.SET_ATIME | FsRequest.SET_MTIME));
        refused(client.trySetattr(file, CLOCK));
        refused(client.trySetxattr(file, "user.a", new byte[1], 0));
        refused(client.removexattr(file, "user.a"));
        refused(client.tryLink(file, ROOT, "l"));
        refused(client.tryUnlink(dir, "f"));
        refused(client.tryRename(dir, "f", dir, "g", 0));
        client.create(dir, "other");
        refused(client.tryRename(dir, "other", dir, "f", 0));
        refused(client.tryRename(dir, "other", dir, "f", RENAME_EXCHANGE));
        refused(set(file, FS_IMMUTABLE_FL | FS_NODUMP_FL));
        refused(setProject(file, FS_IMMUTABLE_FL, 9));
        assertEquals(0, setProject(file, FS_IMMUTABLE_FL, 0));
        assertEquals(0, client.tryOpen(file, O_RDONLY));
        assertEquals(0, client.release(client.request.handle));
        assertEquals(100, client.read(file, 0, 4096).length);
        assertEquals(2, client.getxattr(file, "user.a").length);
        assertEquals(0, set(file, 0));
        assertEquals(0, client.truncate(file, 0));
        assertEquals(0, client.tryUnlink(dir, "f"));
        client.forget(file, 9);
    }

    @Test
    void namesOfAnImmutableDirectoryStay() {
        client.mkdir(dir, "sub");
        long other = client.create(ROOT, "other");
        assertEquals(0, set(dir, FS_IMMUTABLE_FL));
        refused(client.tryCreate(dir, "new", O_RDWR));
        refused(client.tryMkdir(dir, "new"));
        refused(client.trySymlink(dir, "new", "f"));
        refused(client.tryLink(other, dir, "new"));
        client.request.inode = dir;
        refused(client.call(FsOp.TMPFILE));
        refused(client.tryUnlink(dir, "f"));
        refused(client.tryRmdir(dir, "sub"));
        refused(client.tryRename(dir, "f", ROOT, "f", 0));
        refused(client.tryRename(ROOT, "other", dir, "new", 0));
        refused(client.tryRename(ROOT, "other", dir, "f", 0));
        // The files in it are others.
        client.write(file, 0, new byte[10]);
        assertEquals(0, client.tryCreate(dir, "f", O_RDWR));
        assertEquals(0, client.release(client.request.handle));
    }

    @Test
    void anAppendOnlyFileOnlyGrows() {
        client.write(file, 0, new byte[100]);
        assertEquals(0, set(file, FS_APPEND_FL));
        refused(client.tryOpen(file, O_RDWR));
        refused(client.tryOpen(file, O_WRONLY | O_APPEND | O_TRUNC));
        assertEquals(0, client.tryOpen(file, O_WRONLY | O_APPEND));
        long handle = client.request.handle;
        assertEquals(0, client.tryWrite(file, handle, 0, new byte[20], O_APPEND));
        assertEquals(0, client.release(handle));
        assertEquals(120, client.getattr(file).sizeBytes);
        refused(client.truncate(file, 0));
        refused(client.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
        assertEquals(0, client.fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4096));
        refused(client.trySetattr(file, FsRequest.SET_MODE));
        refused(client.trySetattr(file, FsRequest.SET_MTIME));
        assertEquals(0, client.trySetattr(file, CLOCK));
        assertEquals(0, client.trySetattr(file, FsRequest.SET_MTIME | FsRequest.SET_CTIME));
        refused(client.trySetxattr(file, "user.a", new byte[1], 0));
        refused(client.tryLink(file, ROOT, "l"));
        refused(client.tryUnlink(dir, "f"));
    }

    @Test
    void namesOfAnAppendOnlyDirectoryBecomeMore() {
        client.create(ROOT, "other");
        assertEquals(0, set(dir, FS_APPEND_FL));
        client.create(dir, "new");
        assertEquals(0, client.tryRename(ROOT, "other", dir, "moved", 0));
        refused(client.tryUnlink(dir, "new"));
        refused(client.tryRename(dir, "new", dir, "newer", 0));
        client.create(ROOT, "more");
        refused(client.tryRename(ROOT, "more", dir, "new", 0));
    }

    @Test
    void newOnesTakeOverWhatExt4TakesOver() {
        int flags = FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL;
        assertEquals(0, set(dir, flags | FS_DIRSYNC_FL | FS_APPEND_FL));
        assertEquals(flags, client.getattr(client.create(dir, "new")).flags);
        assertEquals(flags | FS_DIRSYNC_FL, client.getattr(client.mkdir(dir, "sub")).flags);
    }

    @Test
    void whatIsWrittenToASyncFileAndNamedInADirsyncDirectoryIsDurable() {
        assertEquals(0, set(file, FS_SYNC_FL));
        assertEquals(0, set(dir, FS_DIRSYNC_FL));
        client.write(file, 0, new byte[50]);
        client.create(dir, "named");
        long sequence = fixture.store.sequence();
        assertTrue(fixture.store.committedSequence() >= sequence);
        client.write(file, 50, new byte[50]);
        client.create(ROOT, "elsewhere");
        fixture.crash();
        fixture.mount();
        client = fixture.newClient();
        client.lookup(ROOT, "d");
        client.lookup(dir, "named");
        assertEquals(100, client.getattr(client.lookup(dir, "f")).sizeBytes);
    }

    @Test
    void theProjectOfAQuotaIsNobodysToChange() {
        fixture.setQuota(dir, 1 << 20, 0);
        int project = inode(dir).projectId;
        assertTrue(Items.isQuotaProject(project));
        assertEquals(0, client.getattr(dir).project);
        assertEquals(0, client.getattr(dir).flags);
        assertEquals(0, setProject(dir, FS_NODUMP_FL, 0));
        assertEquals(project, inode(dir).projectId);
        assertTrue((inode(dir).flags & Items.FLAG_PROJECT_INHERIT) != 0);
        refused(setProject(dir, 0, 8));
        refused(setProject(dir, 0, project + 1));
        refused(setProject(client.create(ROOT, "outside"), 0, project));
    }
}

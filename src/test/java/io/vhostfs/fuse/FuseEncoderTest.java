package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseTestClient.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.MemoryFileSystem;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What the kernel gets to see of a completed request. */
class FuseEncoderTest {
    private static final long ROOT = FUSE_ROOT_ID;
    private static final int DAY_SECONDS = 86_400;

    private final Reactor reactor = new Reactor("test");
    private final MemoryFileSystem fs = new MemoryFileSystem(reactor);
    private FuseTestClient client = client(FuseOptions.exclusive(), FileSystem.ROOT_INODE);

    private FuseTestClient client(FuseOptions options, long root) {
        FuseTestClient made = new FuseTestClient(new FuseSession(fs, fs.attach(root), options), reactor);
        made.whilePending = fs::completeWaiting;
        made.init().ok();
        return made;
    }

    @Test
    void anExclusiveClientMayCacheForADay() {
        Reply entry = client.mkdir(ROOT, "a").ok();
        assertEquals(DAY_SECONDS, entry.u64(FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET));
        assertEquals(DAY_SECONDS, entry.u64(FUSE_ENTRY_OUT_ATTR_VALID_OFFSET));
        assertEquals(DAY_SECONDS, client.getattr(ROOT).ok().u64(FUSE_ATTR_OUT_ATTR_VALID_OFFSET));
        assertEquals(
                FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR,
                client.send(FUSE_OPENDIR, ROOT, 0, 0).ok().u32(FUSE_OPEN_OUT_OPEN_FLAGS_OFFSET));
    }

    @Test
    void aSharedClientAsksAgain() {
        client = client(FuseOptions.shared(), FileSystem.ROOT_INODE);
        Reply entry = client.mkdir(ROOT, "a").ok();
        for (int offset = FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET; offset < FUSE_ENTRY_OUT_ATTR_OFFSET; offset += 8) {
            assertEquals(0, entry.u64(offset));
        }
        assertEquals(0, client.send(FUSE_OPENDIR, ROOT, 0, 0).ok().u32(FUSE_OPEN_OUT_OPEN_FLAGS_OFFSET));
    }

    @Test
    void timeoutsCarryFractionsOfASecond() {
        FuseOptions options = new FuseOptions(
                false,
                false,
                true,
                1_500_000_000L,
                2_250_000_000L,
                3_125_000_000L,
                false,
                false,
                4096,
                0,
                1,
                false,
                false);
        client = client(options, FileSystem.ROOT_INODE);
        Reply entry = client.mkdir(ROOT, "a").ok();
        assertEquals(1, entry.u64(FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET));
        assertEquals(500_000_000, entry.u32(FUSE_ENTRY_OUT_ENTRY_VALID_NSEC_OFFSET));
        assertEquals(3, entry.u64(FUSE_ENTRY_OUT_ATTR_VALID_OFFSET));
        assertEquals(125_000_000, entry.u32(FUSE_ENTRY_OUT_ATTR_VALID_NSEC_OFFSET));
        Reply none = client.lookup(ROOT, "none").ok();
        assertEquals(2, none.u64(FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET));
        assertEquals(250_000_000, none.u32(FUSE_ENTRY_OUT_ENTRY_VALID_NSEC_OFFSET));
    }

    @Test
    void aNameThatIsNotThereIsCachedOnlyByAnExclusiveClient() {
        Reply none = client.lookup(ROOT, "none").ok();
        assertEquals(FUSE_ENTRY_OUT_SIZE, none.body().limit());
        assertEquals(0, none.u64(FUSE_ENTRY_OUT_NODEID_OFFSET));
        assertEquals(DAY_SECONDS, none.u64(FUSE_ENTRY_OUT_ENTRY_VALID_OFFSET));
        for (int offset = FUSE_ENTRY_OUT_ATTR_VALID_OFFSET; offset < FUSE_ENTRY_OUT_SIZE; offset += 8) {
            assertEquals(0, none.u64(offset));
        }
        assertEquals(-Errno.ENOENT, client.send(FUSE_UNLINK, ROOT, "none").error());
        client = client(FuseOptions.shared(), FileSystem.ROOT_INODE);
        assertEquals(-Errno.ENOENT, client.lookup(ROOT, "none").error());
    }

    @Test
    void attributesAreWhole() {
        Reply made = client.send(FUSE_MKNOD, ROOT, S_IFBLK | 0640, 0x12345678, 0, 0, "device")
                .ok();
        long nodeid = made.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        assertEquals(7, made.u64(FUSE_ENTRY_OUT_GENERATION_OFFSET));
        int valid = FATTR_ATIME | FATTR_MTIME | FATTR_CTIME;
        Reply reply = client.send(
                        FUSE_SETATTR, nodeid, valid, 0, 0L, 0L, 0L, -1L, 2L, 3L, 999_999_999, 5, 0, 0, 0, 0, 0, 0)
                .ok();
        int at = FUSE_ATTR_OUT_ATTR_OFFSET;
        assertEquals(nodeid, reply.u64(at + FUSE_ATTR_INO_OFFSET));
        assertEquals(-1, reply.u64(at + FUSE_ATTR_ATIME_OFFSET));
        assertEquals(999_999_999, reply.u32(at + FUSE_ATTR_ATIMENSEC_OFFSET));
        assertEquals(2, reply.u64(at + FUSE_ATTR_MTIME_OFFSET));
        assertEquals(5, reply.u32(at + FUSE_ATTR_MTIMENSEC_OFFSET));
        assertEquals(3, reply.u64(at + FUSE_ATTR_CTIME_OFFSET));
        assertEquals(0, reply.u32(at + FUSE_ATTR_CTIMENSEC_OFFSET));
        assertEquals(S_IFBLK | 0640, reply.u32(at + FUSE_ATTR_MODE_OFFSET));
        assertEquals(1, reply.u32(at + FUSE_ATTR_NLINK_OFFSET));
        assertEquals(1000, reply.u32(at + FUSE_ATTR_UID_OFFSET));
        assertEquals(100, reply.u32(at + FUSE_ATTR_GID_OFFSET));
        assertEquals(0x12345678, reply.u32(at + FUSE_ATTR_RDEV_OFFSET));
        assertEquals(4096, reply.u32(at + FUSE_ATTR_BLKSIZE_OFFSET));
        assertEquals(0, reply.u32(at + FUSE_ATTR_FLAGS_OFFSET));

        Reply statx = client.send(FUSE_STATX, nodeid, 0, 0, 0L, 0, STATX_BTIME).ok();
        int st = FUSE_STATX_OUT_STAT_OFFSET;
        assertEquals(STATX_BASIC_STATS | STATX_BTIME, statx.u32(st + FUSE_STATX_MASK_OFFSET));
        assertEquals(nodeid, statx.u64(st + FUSE_STATX_INO_OFFSET));
        assertEquals((short) (S_IFBLK | 0640), statx.body().getShort(st + FUSE_STATX_MODE_OFFSET));
        assertEquals(0x456, statx.u32(st + FUSE_STATX_RDEV_MAJOR_OFFSET));
        assertEquals(0x12378, statx.u32(st + FUSE_STATX_RDEV_MINOR_OFFSET));
        assertEquals(-1, statx.u64(st + FUSE_STATX_ATIME_OFFSET));
        assertEquals(999_999_999, statx.u32(st + FUSE_STATX_ATIME_OFFSET + FUSE_SX_TIME_TV_NSEC_OFFSET));
        assertTrue(statx.u64(st + FUSE_STATX_BTIME_OFFSET) > 0);
    }

    @Test
    void theRootOfASubtreeHasNodeid1GenerationZeroAndItsRealInodeNumber() {
        long inode = fs.makeDirectories("a", "b");
        client = client(FuseOptions.exclusive(), inode);
        Reply dot = client.lookup(ROOT, ".").ok();
        assertEquals(ROOT, dot.u64(FUSE_ENTRY_OUT_NODEID_OFFSET));
        assertEquals(0, dot.u64(FUSE_ENTRY_OUT_GENERATION_OFFSET));
        assertEquals(inode, dot.u64(FUSE_ENTRY_OUT_ATTR_OFFSET + FUSE_ATTR_INO_OFFSET));
        assertEquals(ROOT, client.lookup(ROOT, "..").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET));
        assertEquals(-Errno.ESTALE, client.getattr(inode).error());
    }

    @Test
    void statisticsAreWhole() {
        Reply reply = client.send(FUSE_STATFS, ROOT).ok();
        assertEquals(1000, reply.u64(FUSE_KSTATFS_BLOCKS_OFFSET));
        assertEquals(900, reply.u64(FUSE_KSTATFS_BFREE_OFFSET));
        assertEquals(800, reply.u64(FUSE_KSTATFS_BAVAIL_OFFSET));
        assertEquals(700, reply.u64(FUSE_KSTATFS_FILES_OFFSET));
        assertEquals(600, reply.u64(FUSE_KSTATFS_FFREE_OFFSET));
        assertEquals(4096, reply.u32(FUSE_KSTATFS_BSIZE_OFFSET));
        assertEquals(4096, reply.u32(FUSE_KSTATFS_FRSIZE_OFFSET));
        assertEquals(255, reply.u32(FUSE_KSTATFS_NAMELEN_OFFSET));
    }

    @Test
    void accessReadsTheModeBitsOfTheOneClassThatApplies() {
        long nodeid = client.create(ROOT, "f", 0).ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        client.send(FUSE_SETATTR, nodeid, FATTR_MODE, 0, new byte[60], 0446, new byte[16])
                .ok();
        assertEquals(0, access(nodeid, 0));
        assertEquals(0, access(nodeid, R_OK));
        assertEquals(-Errno.EACCES, access(nodeid, W_OK));
        client.uid = 1001;
        assertEquals(-Errno.EACCES, access(nodeid, R_OK | W_OK));
        client.gid = 101;
        assertEquals(0, access(nodeid, R_OK | W_OK));
        assertEquals(-Errno.EACCES, access(nodeid, X_OK));
        client.uid = 0;
        assertEquals(0, access(nodeid, R_OK | W_OK));
        assertEquals(-Errno.EACCES, access(nodeid, X_OK));
        assertEquals(0, access(ROOT, X_OK));
        assertEquals(-Errno.EINVAL, access(nodeid, 8));
    }

    private int access(long nodeid, int mask) {
        return client.send(FUSE_ACCESS, nodeid, mask, 0).error();
    }

    @Test
    void allocatesAndFindsHoles() {
        Reply made = client.create(ROOT, "f", O_RDWR).ok();
        long nodeid = made.u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        long handle = made.u64(FUSE_ENTRY_OUT_SIZE);
        client.send(FUSE_FALLOCATE, nodeid, handle, 0L, 1000L, 0, 0).ok();
        assertEquals(
                1000,
                client.send(FUSE_LSEEK, nodeid, handle, 5L, SEEK_HOLE, 0).ok().u64(0));
        assertEquals(
                5,
                client.send(FUSE_LSEEK, nodeid, handle, 5L, SEEK_DATA, 0).ok().u64(0));
        assertEquals(
                -Errno.ENXIO,
                client.send(FUSE_LSEEK, nodeid, handle, 1000L, SEEK_DATA, 0).error());
        client.send(FUSE_SYNCFS, ROOT, 0L).ok();
    }

    // --- listings

    @Test
    void everyEntryWithAttributesCountsAsOneReferenceAndOneThatHadNoRoomAsNone() {
        for (int i = 0; i < 100; i++) {
            client.mkdir(ROOT, "directory " + i).ok();
        }
        client.session.reset();
        client.init().ok();
        List<Entry> entries = client.list(ROOT, 1000, true);
        assertEquals(102, entries.size());
        for (Entry entry : entries) {
            boolean dots = entry.name().startsWith(".");
            assertEquals(dots ? 0 : 1, entry.nodeid() == 0 ? 0 : references(entry.nodeid()), entry.name());
        }
        assertEquals(100, fs.references(client.session.client()));
        client.list(ROOT, 1000, false);
        assertEquals(100, fs.references(client.session.client()));
    }

    private long references(long inode) {
        return fs.references(client.session.client(), inode);
    }

    @Test
    void aListingWithoutRoomForOneEntryIsAnError() {
        long handle = client.send(FUSE_OPENDIR, ROOT, 0, 0).ok().u64(0);
        assertEquals(-Errno.EINVAL, client.readdir(ROOT, handle, 0, 24, false).error());
        assertEquals(
                1,
                entries(client.readdir(ROOT, handle, 0, 32, false).ok(), false).size());
        assertEquals(-Errno.EINVAL, client.readdir(ROOT, handle, 0, 159, true).error());
        assertEquals(
                1,
                entries(client.readdir(ROOT, handle, 0, 160, true).ok(), true).size());
        assertEquals(0, client.readdir(ROOT, handle, 2, 24, false).ok().body().limit(), "the end needs no room");
    }

    @Test
    void aListingMayBeAsLongAsALargeBuffer() {
        for (int i = 0; i < 500; i++) {
            client.mkdir(ROOT, "n".repeat(200) + i).ok();
        }
        client.replyRoom = 16 + (1 << 20);
        long handle = client.send(FUSE_OPENDIR, ROOT, 0, 0).ok().u64(0);
        List<Entry> entries =
                entries(client.readdir(ROOT, handle, 0, 1 << 20, true).ok(), true);
        assertEquals(2 + (65536 - 2 * 160) / 360, entries.size());
        assertEquals(502, client.list(ROOT, 1 << 20, true).size());
    }

    @Test
    void theParentOfASubtreesRootIsNotShown() {
        long inode = fs.makeDirectories("a", "b");
        fs.makeDirectories("a", "b", "c");
        client = client(FuseOptions.exclusive(), inode);
        List<Entry> entries = client.list(ROOT, 4096, false);
        assertEquals(List.of(".", "..", "c"), entries.stream().map(Entry::name).toList());
        assertEquals(inode, entries.get(0).inode());
        assertEquals(inode, entries.get(1).inode());
        long c = client.lookup(ROOT, "c").ok().u64(FUSE_ENTRY_OUT_NODEID_OFFSET);
        assertEquals(inode, client.list(c, 4096, false).get(1).inode());
    }

    @Test
    void anErrorOfTheFileSystemIsPassedOn() {
        fs.failure = -Errno.ENOSPC;
        for (boolean pending : new boolean[] {false, true}) {
            fs.pending = pending;
            assertEquals(-Errno.ENOSPC, client.mkdir(ROOT, "a").error());
            assertEquals(-Errno.ENOSPC, client.read(ROOT, 1, 0, 4096).error());
            assertEquals(-Errno.ENOSPC, client.write(ROOT, 1, 0, new byte[4096]).error());
            assertEquals(-Errno.ENOSPC, client.readdir(ROOT, 1, 0, 4096, true).error());
            assertEquals(0, client.send(FUSE_FORGET, 5, 1L).bytes());
        }
    }
}

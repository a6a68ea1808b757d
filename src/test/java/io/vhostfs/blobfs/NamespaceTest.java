package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class NamespaceTest {
    private static final int ROOT = 1;

    private final FsFixture fixture = new FsFixture(32 << 20);
    private final FsTestClient client = fixture.newClient();

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    @Test
    void lookupFindsWhatWasMade() {
        long dir = client.mkdir(ROOT, "d");
        long file = client.create(dir, "f");
        assertEquals(dir, client.lookup(ROOT, "d"));
        assertEquals(file, client.lookup(dir, "f"));
        assertEquals(dir, client.lookup(dir, "."));
        assertEquals(ROOT, client.lookup(dir, ".."));
        assertEquals(ROOT, client.lookup(ROOT, ".."));
        assertEquals(-Errno.ENOENT, client.tryLookup(dir, "g"));
        assertEquals(-Errno.ENOTDIR, client.tryLookup(file, "g"));
        assertEquals(-Errno.ENAMETOOLONG, client.tryLookup(dir, "x".repeat(256)));
    }

    @Test
    void aNameHasUpTo255Bytes() {
        String longest = "x".repeat(255);
        long file = client.create(ROOT, longest);
        assertEquals(file, client.lookup(ROOT, longest));
        assertEquals(-Errno.ENAMETOOLONG, client.tryCreate(ROOT, longest + "x", 0));
        assertEquals(-Errno.ENAMETOOLONG, client.tryMkdir(ROOT, longest + "x"));
        assertEquals(-Errno.ENAMETOOLONG, client.tryRename(ROOT, longest, ROOT, longest + "x", 0));
    }

    @Test
    void namesWithASlashOrANulAreRefused() {
        assertEquals(-Errno.EINVAL, client.tryCreate(ROOT, "a/b", 0));
        assertEquals(-Errno.EINVAL, client.tryMkdir(ROOT, "a\0b"));
        assertEquals(-Errno.EEXIST, client.tryMkdir(ROOT, "."));
        assertEquals(-Errno.EEXIST, client.tryCreate(ROOT, "..", LibcConstants.O_EXCL));
    }

    @Test
    void createOpensWhatIsThereUnlessExclusive() {
        long file = client.create(ROOT, "f");
        client.write(file, 0, new byte[] {1, 2, 3});
        assertEquals(-Errno.EEXIST, client.tryCreate(ROOT, "f", LibcConstants.O_EXCL));
        assertEquals(0, client.tryCreate(ROOT, "f", 0));
        assertEquals(file, client.request.attributes.inode);
        assertEquals(3, client.request.attributes.sizeBytes);
        assertEquals(0, client.release(client.request.handle));
        assertEquals(0, client.tryCreate(ROOT, "f", LibcConstants.O_TRUNC));
        assertEquals(0, client.request.attributes.sizeBytes);
        assertEquals(0, client.release(client.request.handle));
        client.mkdir(ROOT, "d");
        assertEquals(-Errno.EISDIR, client.tryCreate(ROOT, "d", 0));
    }

    @Test
    void aNewInodeBelongsToItsMaker() {
        client.create(ROOT, "f");
        FsAttributes a = client.getattr(client.lookup(ROOT, "f"));
        assertEquals(1000, a.uid);
        assertEquals(100, a.gid);
        assertEquals(LibcConstants.S_IFREG | 0x1a4, a.mode);
        assertEquals(1, a.linkCount);
        assertTrue(a.birthTimeNs > 1_700_000_000L * 1_000_000_000L);
        assertEquals(a.birthTimeNs, a.modifyTimeNs);
    }

    @Test
    void aSetGidDirectoryHandsItsGroupDown() {
        long dir = client.mkdir(ROOT, "d");
        client.request.newAttributes.mode = LibcConstants.S_ISGID | 0x1ed;
        client.request.newAttributes.gid = 77;
        assertEquals(0, client.trySetattr(dir, FsRequest.SET_MODE | FsRequest.SET_GID));
        assertEquals(77, client.getattr(client.create(dir, "f")).gid);
        FsAttributes sub = client.getattr(client.mkdir(dir, "sub"));
        assertEquals(77, sub.gid);
        assertEquals(LibcConstants.S_ISGID, sub.mode & LibcConstants.S_ISGID);
    }

    @Test
    void mknodMakesSpecialFiles() {
        client.request.inode = ROOT;
        client.request.setName("null");
        client.request.mode = LibcConstants.S_IFCHR | 0x1b6;
        client.request.deviceNumber = 0x103;
        assertEquals(0, client.call(FsOp.MKNOD));
        assertEquals(0x103, client.getattr(client.request.attributes.inode).deviceNumber);
        client.request.inode = ROOT;
        client.request.setName("dir");
        client.request.mode = LibcConstants.S_IFDIR | 0x1b6;
        assertEquals(-Errno.EPERM, client.call(FsOp.MKNOD));
        client.request.mode = 0x1b6;
        client.request.setName("plain");
        assertEquals(0, client.call(FsOp.MKNOD));
        assertEquals(LibcConstants.S_IFREG | 0x1b6, client.request.attributes.mode);
    }

    @Test
    void symbolicLinksHoldUpTo4095Bytes() {
        for (int length : new int[] {1, 60, 3071, 3072, 3073, 4095}) {
            String target = "t".repeat(length - 1) + "e";
            assertEquals(0, client.trySymlink(ROOT, "l" + length, target));
            long link = client.request.attributes.inode;
            assertEquals(length, client.getattr(link).sizeBytes);
            assertEquals(target, client.readlink(link));
        }
        assertEquals(-Errno.ENAMETOOLONG, client.trySymlink(ROOT, "l", "t".repeat(4096)));
        assertEquals(-Errno.ENOENT, client.trySymlink(ROOT, "l", ""));
        client.request.inode = ROOT;
        assertEquals(-Errno.EINVAL, client.call(FsOp.READLINK));
        assertEquals(0, client.tryUnlink(ROOT, "l4095"));
    }

    @Test
    void linksShareAnInode() {
        long file = client.create(ROOT, "a");
        long dir = client.mkdir(ROOT, "d");
        assertEquals(0, client.tryLink(file, dir, "b"));
        assertEquals(2, client.getattr(file).linkCount);
        assertEquals(-Errno.EEXIST, client.tryLink(file, dir, "b"));
        assertEquals(-Errno.EPERM, client.tryLink(dir, ROOT, "e"));
        assertEquals(0, client.tryUnlink(ROOT, "a"));
        assertEquals(1, client.getattr(file).linkCount);
        assertEquals(file, client.lookup(dir, "b"));
        assertEquals(0, client.tryUnlink(dir, "b"));
        assertEquals(0, client.getattr(file).linkCount);
        assertEquals(-Errno.ENOENT, client.tryLink(file, dir, "c"));
    }

    @Test
    void unlinkAndRmdirMindTheType() {
        client.create(ROOT, "f");
        long dir = client.mkdir(ROOT, "d");
        client.create(dir, "g");
        assertEquals(-Errno.EISDIR, client.tryUnlink(ROOT, "d"));
        assertEquals(-Errno.ENOTDIR, client.tryRmdir(ROOT, "f"));
        assertEquals(-Errno.ENOTEMPTY, client.tryRmdir(ROOT, "d"));
        assertEquals(-Errno.ENOENT, client.tryRmdir(ROOT, "x"));
        assertEquals(-Errno.ENOENT, client.tryUnlink(ROOT, "x"));
        assertEquals(-Errno.EINVAL, client.tryRmdir(dir, "."));
        assertEquals(-Errno.ENOTEMPTY, client.tryRmdir(dir, ".."));
        assertEquals(3, client.getattr(ROOT).linkCount);
        assertEquals(0, client.tryUnlink(dir, "g"));
        assertEquals(0, client.tryRmdir(ROOT, "d"));
        assertEquals(2, client.getattr(ROOT).linkCount);
        assertEquals(0, client.getattr(dir).linkCount);
        assertEquals(-Errno.ENOENT, client.tryCreate(dir, "late", 0));
    }

    @Test
    void renameReplacesAFile() {
        long a = client.create(ROOT, "a");
        long b = client.create(ROOT, "b");
        assertEquals(-Errno.EEXIST, client.tryRename(ROOT, "a", ROOT, "b", LibcConstants.RENAME_NOREPLACE));
        assertEquals(0, client.tryRename(ROOT, "a", ROOT, "b", 0));
        assertEquals(a, client.lookup(ROOT, "b"));
        assertEquals(-Errno.ENOENT, client.tryLookup(ROOT, "a"));
        assertEquals(0, client.getattr(b).linkCount);
        assertEquals(-Errno.ENOENT, client.tryRename(ROOT, "a", ROOT, "c", 0));
        assertEquals(0, client.tryRename(ROOT, "b", ROOT, "c", LibcConstants.RENAME_NOREPLACE));
    }

    @Test
    void renameOfTwoLinksToOneFileDoesNothing() {
        long a = client.create(ROOT, "a");
        assertEquals(0, client.tryLink(a, ROOT, "b"));
        assertEquals(0, client.tryRename(ROOT, "a", ROOT, "b", 0));
        assertEquals(a, client.lookup(ROOT, "a"));
        assertEquals(a, client.lookup(ROOT, "b"));
    }

    @Test
    void renameMindsTypesAndEmptiness() {
        client.create(ROOT, "f");
        long d = client.mkdir(ROOT, "d");
        long e = client.mkdir(ROOT, "e");
        client.create(e, "x");
        assertEquals(-Errno.EISDIR, client.tryRename(ROOT, "f", ROOT, "d", 0));
        assertEquals(-Errno.ENOTDIR, client.tryRename(ROOT, "d", ROOT, "f", 0));
        assertEquals(-Errno.ENOTEMPTY, client.tryRename(ROOT, "d", ROOT, "e", 0));
        assertEquals(0, client.tryRename(ROOT, "e", ROOT, "d", 0));
        assertEquals(e, client.lookup(ROOT, "d"));
        assertEquals(0, client.getattr(d).linkCount);
        assertEquals(3, client.getattr(ROOT).linkCount);
        assertEquals(-Errno.EBUSY, client.tryRename(ROOT, ".", ROOT, "z", 0));
        for (int flag : new int[] {LibcConstants.RENAME_NOREPLACE, LibcConstants.RENAME_WHITEOUT}) {
            assertEquals(-Errno.EINVAL, client.tryRename(ROOT, "d", ROOT, "z", flag | LibcConstants.RENAME_EXCHANGE));
        }
    }

    @Test
    void aRenameMayLeaveAWhiteout() {
        long file = client.create(ROOT, "f");
        long d = client.mkdir(ROOT, "d");
        long sub = client.mkdir(ROOT, "sub");
        client.create(sub, "over");
        int whiteout = LibcConstants.RENAME_WHITEOUT;
        client.request.uid = 7;
        client.request.gid = 8;
        assertEquals(0, client.tryRename(ROOT, "f", sub, "over", whiteout));
        assertEquals(file, client.lookup(sub, "over"));
        FsAttributes left = client.getattr(client.lookup(ROOT, "f"));
        assertEquals(LibcConstants.S_IFCHR, left.mode);
        assertEquals(0, left.deviceNumber);
        assertEquals(1, left.linkCount);
        assertEquals(7, left.uid);
        assertEquals(8, left.gid);
        assertEquals(0, client.tryRename(ROOT, "d", sub, "moved", whiteout | LibcConstants.RENAME_NOREPLACE));
        assertEquals(d, client.lookup(sub, "moved"));
        assertEquals(LibcConstants.S_IFCHR, client.getattr(client.lookup(ROOT, "d")).mode);
        assertEquals(3, client.getattr(ROOT).linkCount);
        assertEquals(3, client.getattr(sub).linkCount);
        assertEquals(0, client.tryRename(ROOT, "f", ROOT, "g", whiteout), "a whiteout leaves one, too");
        assertEquals(
                -Errno.EEXIST, client.tryRename(ROOT, "f", sub, "over", whiteout | LibcConstants.RENAME_NOREPLACE));
    }

    @Test
    void aDirectoryDoesNotMoveIntoItself() {
        long a = client.mkdir(ROOT, "a");
        long b = client.mkdir(a, "b");
        long c = client.mkdir(b, "c");
        assertEquals(-Errno.EINVAL, client.tryRename(ROOT, "a", c, "x", 0));
        assertEquals(-Errno.EINVAL, client.tryRename(ROOT, "a", a, "x", 0));
        assertEquals(-Errno.ENOTEMPTY, client.tryRename(b, "c", ROOT, "a", 0));
        assertEquals(-Errno.EINVAL, client.tryRename(b, "c", ROOT, "a", LibcConstants.RENAME_EXCHANGE));
        assertEquals(0, client.tryRename(b, "c", ROOT, "c", 0));
        assertEquals(ROOT, client.lookup(c, ".."));
        assertEquals(4, client.getattr(ROOT).linkCount);
        assertEquals(2, client.getattr(b).linkCount);
    }

    @Test
    void exchangeSwapsAFileAndADirectory() {
        long a = client.mkdir(ROOT, "a");
        long d = client.mkdir(a, "d");
        long f = client.create(ROOT, "f");
        assertEquals(-Errno.ENOENT, client.tryRename(ROOT, "f", a, "x", LibcConstants.RENAME_EXCHANGE));
        assertEquals(0, client.tryRename(ROOT, "f", a, "d", LibcConstants.RENAME_EXCHANGE));
        assertEquals(d, client.lookup(ROOT, "f"));
        assertEquals(f, client.lookup(a, "d"));
        assertEquals(ROOT, client.lookup(d, ".."));
        assertEquals(4, client.getattr(ROOT).linkCount);
        assertEquals(2, client.getattr(a).linkCount);
    }

    @Test
    void namesChangeTheTimesOfTheirDirectory() {
        long dir = client.mkdir(ROOT, "d");
        client.request.newAttributes.modifyTimeNs = 5;
        assertEquals(0, client.trySetattr(dir, FsRequest.SET_MTIME));
        client.create(dir, "f");
        assertNotEquals(5, client.getattr(dir).modifyTimeNs);
    }

    @Test
    void attributesAreSetOneByOne() {
        long file = client.create(ROOT, "f");
        FsAttributes n = client.request.newAttributes;
        n.mode = LibcConstants.S_ISUID | 0x1ff;
        n.uid = 5;
        n.accessTimeNs = -1;
        n.modifyTimeNs = 123_456_789_012_345_678L;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_ATIME | FsRequest.SET_MTIME | FsRequest.SET_MODE));
        fixture.remount();
        FsTestClient again = fixture.newClient();
        FsAttributes a = again.getattr(again.lookup(ROOT, "f"));
        assertEquals(-1, a.accessTimeNs);
        assertEquals(123_456_789_012_345_678L, a.modifyTimeNs);
        assertEquals(LibcConstants.S_IFREG | LibcConstants.S_ISUID | 0x1ff, a.mode);
        assertEquals(1000, a.uid);
        again.request.newAttributes.uid = 5;
        assertEquals(0, again.trySetattr(file, FsRequest.SET_UID));
        a = again.getattr(file);
        assertEquals(5, a.uid);
        assertEquals(LibcConstants.S_IFREG | 0x1ff, a.mode, "a change of owner takes set-user-ID away");
    }

    @Test
    void statfsTellsTheSpace() {
        client.request.inode = ROOT;
        assertEquals(0, client.call(FsOp.STATFS));
        long before = client.request.statistics.freeBlocks;
        assertTrue(before > 1000 && before < client.request.statistics.blocks);
        assertEquals(255, client.request.statistics.maxNameLength);
        long file = client.create(ROOT, "f");
        client.write(file, 0, new byte[100 * 4096]);
        client.request.inode = ROOT;
        assertEquals(0, client.call(FsOp.STATFS));
        assertTrue(client.request.statistics.freeBlocks <= before - 100);
    }

    @Test
    void unknownOperationsAreNotImplemented() {
        client.request.inode = ROOT;
        assertEquals(-Errno.ENOSYS, client.call(999));
    }

    @Test
    void namesMayHoldAnyBytes() {
        String name = new String(new byte[] {(byte) 0xc3, (byte) 0xa4, 1, 127}, StandardCharsets.UTF_8);
        long file = client.create(ROOT, name);
        assertEquals(file, client.lookup(ROOT, name));
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.fsdev.AclText;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class XattrsTest {
    private static final int ROOT = 1;

    private final FsFixture fixture = new FsFixture(32 << 20);
    private final FsTestClient client = fixture.newClient();
    private final MemorySegment labelMemory = Arena.ofAuto().allocate(256 + 65_536);
    private final long file = client.create(ROOT, "f");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private static byte[] bytes(int length) {
        byte[] b = new byte[length];
        new Random(length).nextBytes(b);
        return b;
    }

    @Test
    void valuesUpTo64KiBComeBack() {
        for (int length : new int[] {0, 1, 100, 3599, 3600, 3601, 7200, 20_000, 65_535, 65_536}) {
            assertEquals(0, client.trySetxattr(file, "user.v", bytes(length), 0));
            assertArrayEquals(bytes(length), client.getxattr(file, "user.v"));
            assertEquals(0, client.trySetxattr(file, "user.n" + length, bytes(length), 0));
        }
        assertEquals(-Errno.E2BIG, client.trySetxattr(file, "user.v", bytes(65_537), 0));
        assertEquals(0, client.trySetxattr(file, "user.v", bytes(10), 0));
        assertArrayEquals(bytes(10), client.getxattr(file, "user.v"));
        assertArrayEquals(bytes(65_536), client.getxattr(file, "user.n65536"));
    }

    private void giveLabel(String name, byte[] value) {
        FsTestClient.Request r = client.request;
        byte[] ascii = name.getBytes(StandardCharsets.US_ASCII);
        r.labelNameAddress = labelMemory.address();
        r.labelNameLength = ascii.length;
        r.labelAddress = r.labelNameAddress + 256;
        r.labelLength = value.length;
        Memory.copyFromArray(ascii, 0, r.labelNameAddress, ascii.length);
        Memory.copyFromArray(value, 0, r.labelAddress, value.length);
    }

    @Test
    void whatIsMadeHasTheLabelThatCameWithIt() {
        long dir = client.mkdir(ROOT, "d");
        List<Long> made = new ArrayList<>();
        for (int length : new int[] {1, 100, 3600, 65_536}) {
            giveLabel("security.selinux", bytes(length));
            made.add(client.create(ROOT, "c" + length));
            made.add(client.mkdir(dir, "d" + length));
            assertEquals(0, client.trySymlink(dir, "s" + length, "t".repeat(4095)));
            made.add(client.request.attributes.inode);
            client.request.mode = LibcConstants.S_IFIFO | 0600;
            client.request.setName("n" + length);
            assertEquals(0, client.call(FsOp.MKNOD));
            made.add(client.request.attributes.inode);
            assertEquals(0, client.call(FsOp.TMPFILE));
            made.add(client.request.attributes.inode);
        }
        client.request.labelNameLength = 0;
        long without = client.create(ROOT, "without");
        for (int i = 0; i < made.size(); i++) {
            int length = new int[] {1, 100, 3600, 65_536}[i / 5];
            assertArrayEquals(bytes(length), client.getxattr(made.get(i), "security.selinux"));
        }
        assertEquals(-Errno.ENODATA, client.tryGetxattr(without, "security.selinux", 0));
    }

    @Test
    void aLabelComesWithTheListsThatTheDirectoryGives() {
        long dir = client.mkdir(ROOT, "d");
        StringBuilder users = new StringBuilder("u::rwx");
        for (int i = 0; i < 507; i++) {
            users.append(",u:").append(2000 + i).append(":r--");
        }
        byte[] list = AclText.encode(users + ",g::r--,m::rw-,o::---");
        assertEquals(0, client.trySetxattr(dir, "system.posix_acl_default", list, 0));
        // The most that one group ever has to hold.
        giveLabel("security." + "x".repeat(246), bytes(65_536));
        long inner = client.mkdir(dir, "n".repeat(255));
        assertArrayEquals(bytes(65_536), client.getxattr(inner, "security." + "x".repeat(246)));
        assertArrayEquals(list, client.getxattr(inner, "system.posix_acl_default"));
        assertEquals(4092, client.getxattr(inner, "system.posix_acl_access").length);
    }

    @Test
    void aLabelLeavesWhatIsThereAlone() {
        giveLabel("security.selinux", bytes(20));
        assertEquals(0, client.tryCreate(ROOT, "f", 0));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, "security.selinux", 0));
        assertEquals(-Errno.EEXIST, client.tryMkdir(ROOT, "f"));
    }

    @Test
    void aLabelTakesOfAQuota() {
        long dir = client.mkdir(ROOT, "d");
        fixture.setQuota(dir, 50_000, 100);
        giveLabel("security.selinux", bytes(60_000));
        assertEquals(-Errno.ENOSPC, client.tryMkdir(dir, "a"));
        assertEquals(-Errno.ENOENT, client.tryLookup(dir, "a"));
        giveLabel("security.selinux", bytes(40_000));
        assertEquals(0, client.tryMkdir(dir, "a"));
        assertEquals(-Errno.ENOSPC, client.tryMkdir(dir, "b"));
        client.request.labelNameLength = 0;
        assertEquals(0, client.tryRmdir(dir, "a"));
        client.forget(client.request.attributes.inode, 1);
    }

    @Test
    void createAndReplaceMindWhatIsThere() {
        assertEquals(-Errno.ENODATA, client.trySetxattr(file, "user.a", bytes(1), LibcConstants.XATTR_REPLACE));
        assertEquals(0, client.trySetxattr(file, "user.a", bytes(1), LibcConstants.XATTR_CREATE));
        assertEquals(-Errno.EEXIST, client.trySetxattr(file, "user.a", bytes(2), LibcConstants.XATTR_CREATE));
        assertEquals(0, client.trySetxattr(file, "user.a", bytes(2), LibcConstants.XATTR_REPLACE));
    }

    @Test
    void askingForTheSizeOrWithTooLittleRoom() {
        assertEquals(0, client.trySetxattr(file, "user.a", bytes(100), 0));
        assertEquals(0, client.tryGetxattr(file, "user.a", 0));
        assertEquals(100, client.request.count);
        assertEquals(-Errno.ERANGE, client.tryGetxattr(file, "user.a", 99));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, "user.b", 99));
        assertEquals(0, client.tryListxattr(file, 0));
        assertEquals(7, client.request.count);
        assertEquals(-Errno.ERANGE, client.tryListxattr(file, 6));
    }

    @Test
    void namesAreOfKnownKinds() {
        for (String name : new String[] {"user.x", "trusted.x", "security.capability"}) {
            assertEquals(0, client.trySetxattr(file, name, bytes(5), 0));
        }
        assertEquals(-Errno.EOPNOTSUPP, client.trySetxattr(file, "nothing.x", bytes(5), 0));
        assertEquals(-Errno.EOPNOTSUPP, client.trySetxattr(file, "user.", bytes(5), 0));
        assertEquals(-Errno.ERANGE, client.trySetxattr(file, "user." + "x".repeat(251), bytes(5), 0));
        assertEquals(0, client.trySetxattr(file, "user." + "x".repeat(250), bytes(5), 0));
    }

    @Test
    void removedOnesAreGone() {
        assertEquals(-Errno.ENODATA, client.removexattr(file, "user.a"));
        assertEquals(0, client.trySetxattr(file, "user.a", bytes(30_000), 0));
        assertEquals(0, client.trySetxattr(file, "user.b", bytes(3), 0));
        assertEquals(0, client.removexattr(file, "user.a"));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, "user.a", 0));
        assertEquals(0, client.tryListxattr(file, 100));
        assertEquals(
                "user.b\0",
                new String(
                        FsTestClient.bytes(client.request.data, (int) client.request.count),
                        StandardCharsets.US_ASCII));
    }

    @Test
    void manyAttributesFillTheListAndNoMore() {
        int i = 0;
        String padding = "x".repeat(240);
        while (client.trySetxattr(file, "user." + padding + i, bytes(1), 0) == 0) {
            i++;
        }
        assertEquals(-Errno.ENOSPC, client.trySetxattr(file, "user." + padding + i, bytes(1), 0));
        assertEquals(0, client.tryListxattr(file, 65_536));
        assertEquals(0, client.tryUnlink(ROOT, "f"));
        client.forget(file, 10);
        fixture.settle();
    }
}

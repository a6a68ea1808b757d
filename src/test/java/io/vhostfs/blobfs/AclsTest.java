package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.AclText;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Access control lists: what is refused, kept in step with the mode, and inherited. */
class AclsTest {
    private static final int ROOT = 1;
    private static final String ACCESS = "system.posix_acl_access";
    private static final String DEFAULT = "system.posix_acl_default";
    private static final String NAMED = "u::rw-,u:1001:r--,g::r--,g:50:rwx,m::rw-,o::---";

    private final FsFixture fixture = new FsFixture(32 << 20);
    private FsTestClient client = fixture.newClient();
    private final long file = client.create(ROOT, "f");

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private int set(long inode, String name, String acl) {
        return client.trySetxattr(inode, name, AclText.encode(acl), 0);
    }

    private String get(long inode, String name) {
        return AclText.decode(client.getxattr(inode, name));
    }

    private int chmod(long inode, int mode) {
        client.request.newAttributes.mode = mode;
        return client.trySetattr(inode, FsRequest.SET_MODE);
    }

    private int mode(long inode) {
        return client.getattr(inode).mode & 07777;
    }

    @Test
    void listsOutOfOrderOrCutShortAreRefused() {
        assertEquals(0, set(file, ACCESS, NAMED));
        for (String bad : List.of(
                "u::rw-,g::r--",
                "g::r--,u::rw-,o::---",
                "u::rw-,u::rw-,g::r--,o::---",
                "u::rw-,g::r--,o::---,o::---",
                "u::rw-,u:1001:r--,g::r--,o::---",
                "u::rw-,g::r--,g:50:r--,o::---",
                "u::rw-,g::r--,m::rwx",
                "u::rw-,g::r--,g:50:r--,u:1001:r--,m::rw-,o::---",
                "u::rw-,u:-1:r--,g::r--,m::rw-,o::---",
                "u::rw-,g::r--,m::r--,m::r--,o::---")) {
            assertEquals(-Errno.EINVAL, set(file, ACCESS, bad), bad);
        }
        byte[] value = AclText.encode(NAMED);
        assertEquals(-Errno.EINVAL, client.trySetxattr(file, ACCESS, Arrays.copyOf(value, value.length - 1), 0));
        assertEquals(-Errno.EINVAL, client.trySetxattr(file, ACCESS, new byte[0], 0));
        byte[] wide = value.clone();
        wide[6] = 8;
        assertEquals(-Errno.EINVAL, client.trySetxattr(file, ACCESS, wide, 0));
        byte[] other = value.clone();
        other[0] = 3;
        assertEquals(-Errno.EOPNOTSUPP, client.trySetxattr(file, ACCESS, other, 0));
        assertEquals(-Errno.EOPNOTSUPP, client.trySetxattr(file, "system.posix_acl_other", value, 0));
        assertArrayEquals(value, client.getxattr(file, ACCESS));
    }

    @Test
    void aListOf4096BytesComesBackAndNoLonger() {
        StringBuilder users = new StringBuilder("u::rw-");
        for (int i = 0; i < 507; i++) {
            users.append(",u:").append(2000 + i).append(":r--");
        }
        String most = users + ",g::r--,m::rw-,o::---";
        assertEquals(4092, AclText.encode(most).length);
        assertEquals(0, set(file, ACCESS, most));
        assertEquals(most, get(file, ACCESS));
        assertEquals(0, chmod(file, 0604));
        assertEquals(users + ",g::r--,m::---,o::r--", get(file, ACCESS));
        assertEquals(-Errno.E2BIG, set(file, ACCESS, users + ",u:9000:r--,g::r--,m::rw-,o::---"));
        assertEquals(0, client.removexattr(file, ACCESS));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, ACCESS, 0));
    }

    @Test
    void defaultListsAreForDirectoriesAndSymlinksHaveNone() {
        assertEquals(-Errno.EACCES, set(file, DEFAULT, NAMED));
        assertEquals(0, client.trySymlink(ROOT, "s", "f"));
        long link = client.request.attributes.inode;
        assertEquals(-Errno.EOPNOTSUPP, set(link, ACCESS, NAMED));
        long dir = client.mkdir(ROOT, "d");
        int before = mode(dir);
        assertEquals(0, set(dir, DEFAULT, "u::r--,g::---,o::---"));
        assertEquals("u::r--,g::---,o::---", get(dir, DEFAULT));
        assertEquals(before, mode(dir));
    }

    @Test
    void anAccessListSetsTheModeAndChmodSetsTheList() {
        assertEquals(0, set(file, ACCESS, NAMED));
        assertTrue(client.request.accessListChanged);
        assertEquals(0660, mode(file));
        assertEquals(0, chmod(file, 0751));
        assertTrue(client.request.accessListChanged);
        assertEquals("u::rwx,u:1001:r--,g::r--,g:50:rwx,m::r-x,o::--x", get(file, ACCESS));
        assertEquals(0751, mode(file));
        // Nothing of it is lost with the power.
        remount();
        assertEquals("u::rwx,u:1001:r--,g::r--,g:50:rwx,m::r-x,o::--x", get(client.lookup(ROOT, "f"), ACCESS));
        assertEquals(0751, mode(file));
    }

    @Test
    void aListThatSaysWhatModeBitsSayBecomesModeBits() {
        assertEquals(0, set(file, ACCESS, NAMED));
        assertEquals(0, set(file, ACCESS, "u::rwx,g::r-x,o::--x"));
        assertEquals(0751, mode(file));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, ACCESS, 0));
        assertEquals(0, set(file, ACCESS, "u::---,g::---,o::---"));
        assertEquals(0, mode(file));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(file, ACCESS, 0));
        assertEquals(0, chmod(file, 0644));
        assertFalse(client.request.accessListChanged);
        // A mask alone is kept, as Linux does.
        assertEquals(0, set(file, ACCESS, "u::rwx,g::r-x,m::---,o::--x"));
        assertEquals(0701, mode(file));
        assertEquals("u::rwx,g::r-x,m::---,o::--x", get(file, ACCESS));
    }

    @Test
    void aListThatIsNotThereCanBeRemoved() {
        assertEquals(0, client.removexattr(file, ACCESS));
        assertFalse(client.request.accessListChanged);
        assertEquals(0, client.removexattr(file, DEFAULT));
        assertEquals(0, set(file, ACCESS, NAMED));
        assertEquals(0, client.removexattr(file, ACCESS));
        assertTrue(client.request.accessListChanged);
        assertEquals(0660, mode(file));
        assertEquals(-Errno.ENODATA, client.removexattr(file, "user.a"));
    }

    @Test
    void theSetGroupIdBitGoesWhenTheClientSaysSo() {
        assertEquals(0, chmod(file, 02775));
        assertEquals(0, set(file, ACCESS, NAMED));
        assertEquals(02660, mode(file));
        client.request.killPrivileges = true;
        assertEquals(0, set(file, ACCESS, NAMED));
        client.request.killPrivileges = false;
        assertEquals(0660, mode(file));
    }

    @Test
    void theUmaskCountsWhereNoDefaultListDoes() {
        client.request.umask = 027;
        assertEquals(0640, mode(client.create(ROOT, "masked")));
        assertEquals(0750, mode(client.mkdir(ROOT, "masked-directory")));
        long dir = client.mkdir(ROOT, "d");
        assertEquals(0, set(dir, DEFAULT, "u::rwx,g::rwx,o::r-x"));
        assertEquals(0644, mode(client.create(dir, "f")));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(client.lookup(dir, "f"), ACCESS, 0));
        // Another attribute than a list changes nothing.
        long plain = client.mkdir(ROOT, "plain");
        assertEquals(0, client.trySetxattr(plain, "user.a", new byte[3], 0));
        assertEquals(0640, mode(client.create(plain, "f")));
    }

    @Test
    void whatIsMadeInADirectoryInheritsItsDefaultList() {
        String list = "u::rwx,u:1001:rwx,g::r-x,m::rwx,o::r-x";
        long dir = client.mkdir(ROOT, "d");
        assertEquals(0, set(dir, DEFAULT, list));
        client.request.umask = 077;
        long made = client.create(dir, "f");
        assertEquals(0644, mode(made));
        assertEquals("u::rw-,u:1001:rwx,g::r-x,m::r--,o::r--", get(made, ACCESS));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(made, DEFAULT, 0));
        long sub = client.mkdir(dir, "sub");
        assertEquals(0755, mode(sub));
        assertEquals("u::rwx,u:1001:rwx,g::r-x,m::r-x,o::r-x", get(sub, ACCESS));
        assertEquals(list, get(sub, DEFAULT));
        assertEquals(0, client.trySymlink(dir, "s", "f"));
        assertEquals(0777, mode(client.request.attributes.inode));
        client.request.mode = LibcConstants.S_IFIFO | 0666;
        client.request.setName("p");
        client.request.inode = dir;
        assertEquals(0, client.call(FsOp.MKNOD));
        assertEquals(0664, mode(client.request.attributes.inode));
        client.request.inode = sub;
        client.request.mode = 0600;
        client.request.flags = 2;
        assertEquals(0, client.call(FsOp.TMPFILE));
        long nameless = client.request.attributes.inode;
        assertEquals(0, client.release(client.request.handle));
        assertEquals(0600, mode(nameless));
        assertEquals("u::rw-,u:1001:rwx,g::r-x,m::---,o::---", get(nameless, ACCESS));
        client.forget(nameless, 1);
        remount();
        assertEquals(list, get(client.lookup(client.lookup(ROOT, "d"), "sub"), DEFAULT));
    }

    @Test
    void aTruncationWithAModeChangesTheListToo() {
        assertEquals(0, set(file, ACCESS, NAMED));
        client.request.newAttributes.mode = 0604;
        client.request.newAttributes.sizeBytes = 5;
        assertEquals(0, client.trySetattr(file, FsRequest.SET_SIZE | FsRequest.SET_MODE));
        assertEquals(0604, mode(file));
        assertEquals(5, client.getattr(file).sizeBytes);
        assertEquals("u::rw-,u:1001:r--,g::r--,g:50:rwx,m::---,o::r--", get(file, ACCESS));
    }

    private void remount() {
        fixture.remount();
        client = fixture.newClient();
        client.lookup(ROOT, "f");
    }
}

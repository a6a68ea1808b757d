package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ProjectsTest {
    private static final int ROOT = 1;

    private final FsFixture fixture = new FsFixture(32 << 20);
    private FsTestClient client = fixture.newClient();

    @AfterEach
    void unmountAndCheck() {
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.device.close();
    }

    private Inode inode(long number) {
        Inode inode = fixture.fileSystem.volume().load(number);
        assertNotNull(inode);
        return inode;
    }

    /** A directory of a project, which what is made in it takes. */
    private long project(String name, int project) {
        long dir = client.mkdir(ROOT, name);
        inode(dir).projectId = project;
        inode(dir).flags |= Items.FLAG_PROJECT_INHERIT;
        assertEquals(0, client.trySetattr(dir, FsRequest.SET_MODE));
        return dir;
    }

    @Test
    void whatIsMadeInAProjectIsOfIt() {
        long top = project("p", 7);
        long dir = client.mkdir(top, "d");
        long file = client.create(dir, "f");
        assertEquals(0, client.trySymlink(dir, "s", "f"));
        long link = client.lookup(dir, "s");
        long elsewhere = client.create(ROOT, "f");
        fixture.remount();
        client = fixture.newClient();
        for (long number : new long[] {top, dir, file, link}) {
            assertEquals(7, inode(number).projectId);
        }
        assertEquals(Items.FLAG_PROJECT_INHERIT, inode(dir).flags & Items.FLAG_PROJECT_INHERIT);
        assertEquals(0, inode(file).flags & Items.FLAG_PROJECT_INHERIT);
        assertEquals(0, inode(elsewhere).projectId);
    }

    @Test
    void whatIsOfAnotherProjectGetsNoNameInIt() {
        long top = project("p", 7);
        long other = project("q", 8);
        long file = client.create(ROOT, "f");
        client.create(top, "mine");
        client.mkdir(other, "d");
        assertEquals(-Errno.EXDEV, client.tryLink(file, top, "f"));
        assertEquals(-Errno.EXDEV, client.tryRename(ROOT, "f", top, "f", 0));
        assertEquals(-Errno.EXDEV, client.tryRename(other, "d", top, "d", 0));
        assertEquals(-Errno.EXDEV, client.tryRename(top, "mine", ROOT, "f", LibcConstants.RENAME_EXCHANGE));
        assertEquals(0, client.tryRename(top, "mine", top, "still", 0));
        assertEquals(0, client.tryRename(top, "still", ROOT, "left", 0));
        assertEquals(7, inode(client.lookup(ROOT, "left")).projectId);
        assertEquals(0, client.tryRename(ROOT, "left", top, "back", 0));
    }
}

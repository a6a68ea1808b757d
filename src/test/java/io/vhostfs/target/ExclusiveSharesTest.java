package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.target.TestTargets.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.os.Errno;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What keeps two clients from caching the same files as if each were alone. */
class ExclusiveSharesTest {
    @TempDir
    Path directory;

    @Test
    void aFileWithNamesInTwoExclusiveSharesIsOnesAlone() throws Exception {
        try (Target target = start(store(directory), share(directory, "all", ""));
                Guest all = Guest.mount(socket(directory, "all"))) {
            assertNotNull(target);
            long a = all.fuse.mkdir(FuseClient.ROOT, "a", 0755).nodeid();
            long b = all.fuse.mkdir(FuseClient.ROOT, "b", 0755).nodeid();
            long file = makeFile(all.fuse, a, "both", new byte[100]);
            all.fuse.link(file, b, "both");
            makeFile(all.fuse, b, "mine", new byte[100]);
        }
        try (Target target =
                        start(store(directory), share(directory, "a", ",root=/a"), share(directory, "b", ",root=/b"));
                Guest b = Guest.mount(socket(directory, "b"))) {
            assertNotNull(target);
            try (Guest a = Guest.mount(socket(directory, "a"))) {
                a.fuse.lookup(FuseClient.ROOT, "both");
                assertErrno(Errno.EBUSY, () -> b.fuse.lookup(FuseClient.ROOT, "both"));
                assertErrno(Errno.EBUSY, () -> b.fuse.create(FuseClient.ROOT, "both", O_RDWR, S_IFREG | 0644));
                assertEquals(Set.of("both", "mine"), names(b.fuse, FuseClient.ROOT));
                assertEquals(100, readFile(b.fuse, FuseClient.ROOT, "mine").length);
                // Listing gave no reference that it should not.
                a.fuse.lookup(FuseClient.ROOT, "both");
                a.fuse.destroy();
            }
            assertEquals(100, readFile(b.fuse, FuseClient.ROOT, "both").length);
        }
    }
}

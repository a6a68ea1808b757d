package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class MountTableTest {
    private static final MountTable TABLE = MountTable.parse(List.of(
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
            "36 22 0:39 / /mnt/a rw,nosuid,nodev - fuse.vhostfs t rw,user_id=0",
            "37 22 0:40 / /mnt/with\\040space\\134 rw shared:3 master:4 - tmpfs tmpfs rw",
            "38 36 0:41 / /mnt/a rw - fuse.vhostfs u rw",
            "39 22 0:39 /sub /srv rw - fuse.vhostfs t rw",
            "no mount"));

    @Test
    void theLatestMountAtADirectoryIsTheOneThatIsSeen() {
        assertEquals(new MountTable.Entry("0:41", "/mnt/a", "fuse.vhostfs"), TABLE.at(Path.of("/mnt/a")));
        assertNull(TABLE.at(Path.of("/mnt")));
    }

    @Test
    void namesAreReadAsTheKernelWritesThem() {
        MountTable.Entry entry = TABLE.at(Path.of("/mnt/with space\\"));
        assertNotNull(entry);
        assertEquals("tmpfs", entry.type());
    }

    @Test
    void aFileSystemIsFoundWhereverItIsMounted() {
        assertEquals(List.of("/srv", "/mnt/a"), TABLE.directoriesOf("0:39"));
        assertEquals(List.of(), TABLE.directoriesOf(""));
    }
}

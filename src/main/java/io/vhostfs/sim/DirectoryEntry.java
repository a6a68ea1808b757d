package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** One entry of a listing. */
record DirectoryEntry(String name, long inode, long offset, int type) {
    boolean isDots() {
        return name.equals(".") || name.equals("..");
    }

    static List<DirectoryEntry> parse(byte[] body, boolean plus) {
        List<DirectoryEntry> entries = new ArrayList<>();
        ByteBuffer from = FuseMessage.fields(body);
        int at = 0;
        while (at < body.length) {
            int dirent = at + (plus ? FUSE_DIRENTPLUS_DIRENT_OFFSET : 0);
            int length = from.getInt(dirent + FUSE_DIRENT_NAMELEN_OFFSET);
            int nameAt = dirent + FUSE_DIRENT_NAME_OFFSET;
            entries.add(new DirectoryEntry(
                    new String(body, nameAt, length, StandardCharsets.UTF_8),
                    from.getLong(dirent + FUSE_DIRENT_INO_OFFSET),
                    from.getLong(dirent + FUSE_DIRENT_OFF_OFFSET),
                    from.getInt(dirent + FUSE_DIRENT_TYPE_OFFSET)));
            at = (nameAt + length + 7) & ~7;
        }
        return entries;
    }
}

package io.vhostfs.frontend;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import java.nio.ByteBuffer;

/** What tests look at of a {@code struct fuse_attr}. {@code size} is in bytes, {@code blocks} in units of 512 bytes. */
public record FuseAttributes(long ino, long size, long blocks, int mode, int nlink, int uid, int gid) {
    static FuseAttributes read(ByteBuffer from, int offset) {
        return new FuseAttributes(
                from.getLong(offset + FUSE_ATTR_INO_OFFSET),
                from.getLong(offset + FUSE_ATTR_SIZE_OFFSET),
                from.getLong(offset + FUSE_ATTR_BLOCKS_OFFSET),
                from.getInt(offset + FUSE_ATTR_MODE_OFFSET),
                from.getInt(offset + FUSE_ATTR_NLINK_OFFSET),
                from.getInt(offset + FUSE_ATTR_UID_OFFSET),
                from.getInt(offset + FUSE_ATTR_GID_OFFSET));
    }
}

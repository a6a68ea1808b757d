package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.lang.foreign.Arena;

/** Makes an empty file system: its own header, the counter, the root directory, in one group. */
final class Formatter {
    private Formatter() {}

    static void format(BlobStore store, long nowNs, int uid, int gid) {
        if (store.ceiling(1, 0) != BlobStore.NOT_FOUND) {
            throw new IllegalStateException("the store is not empty: no file system is made in it");
        }
        check(store.prepare(Items.SYSTEM, Items.SUPER_KEY, Items.SUPER_SIZE));
        check(store.prepare(Items.SYSTEM, Items.NEXT_INODE_KEY, Items.COUNTER_SIZE));
        check(store.prepare(FileSystem.ROOT_INODE, Items.INODE_KEY, Items.INODE_SIZE));
        check(store.begin(BlobStore.logBytes(Items.SUPER_SIZE)
                + BlobStore.logBytes(Items.COUNTER_SIZE)
                + BlobStore.logBytes(Items.INODE_SIZE)));
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(Items.INODE_SIZE, 8).address();
            Memory.putLong(at + Items.SUPER_VERSION_OFFSET, Items.VERSION);
            Memory.putLong(at + Items.SUPER_CREATED_OFFSET, nowNs);
            store.put(Items.SYSTEM, Items.SUPER_KEY, at, Items.SUPER_SIZE);
            Items.encodeCounter(at, FileSystem.ROOT_INODE + 1);
            store.put(Items.SYSTEM, Items.NEXT_INODE_KEY, at, Items.COUNTER_SIZE);
            encodeRoot(at, nowNs, uid, gid);
            store.put(FileSystem.ROOT_INODE, Items.INODE_KEY, at, Items.INODE_SIZE);
        }
        check(store.end());
    }

    private static void encodeRoot(long to, long nowNs, int uid, int gid) {
        Memory.zero(to, Items.INODE_SIZE);
        Memory.putInt(to, Items.VERSION);
        Memory.putInt(to + Items.INODE_MODE_OFFSET, Modes.S_IFDIR | 0x1ed);
        Memory.putInt(to + Items.INODE_UID_OFFSET, uid);
        Memory.putInt(to + Items.INODE_GID_OFFSET, gid);
        Memory.putInt(to + Items.INODE_LINKS_OFFSET, 2);
        Memory.putInt(to + Items.INODE_GENERATION_OFFSET, 1);
        Memory.putLong(to + Items.INODE_SIZE_OFFSET, Items.BLOCK_SIZE);
        Memory.putLong(to + Items.INODE_ATIME_OFFSET, nowNs);
        Memory.putLong(to + Items.INODE_MTIME_OFFSET, nowNs);
        Memory.putLong(to + Items.INODE_CTIME_OFFSET, nowNs);
        Memory.putLong(to + Items.INODE_BTIME_OFFSET, nowNs);
        Memory.putLong(to + Items.INODE_PARENT_OFFSET, FileSystem.ROOT_INODE);
    }

    private static void check(int status) {
        if (status != BlobStore.OK) {
            throw new IllegalStateException("the store is too small for a file system, or refuses changes: "
                    + (status < 0 ? Errno.name(status) : "no room"));
        }
    }
}

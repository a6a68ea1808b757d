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
            root(nowNs, uid, gid).encode(at);
            store.put(FileSystem.ROOT_INODE, Items.INODE_KEY, at, Items.INODE_SIZE);
        }
        store.end();
    }

    private static Inode root(long nowNs, int uid, int gid) {
        Inode root = new Inode();
        root.mode = Modes.S_IFDIR | 0x1ed;
        root.uid = uid;
        root.gid = gid;
        root.links = 2;
        root.generation = 1;
        root.size = Items.BLOCK_SIZE;
        root.accessTimeNs = nowNs;
        root.modifyTimeNs = nowNs;
        root.changeTimeNs = nowNs;
        root.birthTimeNs = nowNs;
        root.parent = FileSystem.ROOT_INODE;
        return root;
    }

    private static void check(int status) {
        if (status != BlobStore.OK) {
            throw new IllegalStateException("the store is too small for a file system, or refuses changes: "
                    + (status < 0 ? Errno.name(status) : "no room"));
        }
    }
}

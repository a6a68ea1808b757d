package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreEditor;
import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.function.LongConsumer;

/**
 * The items of a file system that is being repaired: visited in order, found by name, changed.
 *
 * <p>Invariant: {@link #inodes} holds every inode whose own item is good, and what was found out of it so far; what is
 * changed here is told. Memory for values is that of one repair. Repairing thread.
 */
final class RepairItems {
    final StoreEditor editor;
    final BlobStore store;
    final NameHash hash;
    final long nowNs;

    /** The value that is looked at, with its length, and one that is made. */
    final long value;

    int length;
    final long made;

    final CheckInodes inodes = new CheckInodes();
    private final RepairReporter reporter;

    RepairItems(StoreEditor editor, RepairReporter reporter, long nowNs, Arena arena) {
        this.editor = editor;
        this.reporter = reporter;
        this.nowNs = nowNs;
        store = editor.store();
        hash = new NameHash(store.hashSeed());
        value = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
        made = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
    }

    RepairReporter reporter() {
        return reporter;
    }

    void repaired(String text) {
        reporter.repaired(text);
    }

    interface ItemVisitor {
        void item(long k0, long k1);
    }

    /** Shows every item, copied to {@link #value}; the visitor may change anything. */
    void forEach(long fromK0, long fromK1, ItemVisitor visitor) {
        long k0 = fromK0;
        long k1 = fromK1;
        while (editor.ceiling(k0, k1)) {
            k0 = store.foundK0;
            k1 = store.foundK1;
            length = store.valueLength;
            Memory.copy(store.valueAddress, value, length);
            visitor.item(k0, k1);
            k1++;
            k0 += k1 == 0 ? 1 : 0;
        }
    }

    /** The items of one inode from {@code fromK1} on. */
    void forEachOf(long inode, long fromK1, LongConsumer visitor) {
        long k1 = fromK1;
        // An item whose key is damaged may have the last one of all.
        boolean wasLast = false;
        while (!wasLast && editor.ceiling(inode, k1) && store.foundK0 == inode) {
            k1 = store.foundK1;
            length = store.valueLength;
            Memory.copy(store.valueAddress, value, length);
            visitor.accept(k1);
            k1++;
            wasLast = k1 == 0;
        }
    }

    boolean isEntry(long k0, long k1) {
        return Items.isInodeNumber(k0)
                && Items.type(k1) == Items.TYPE_DENTRY
                && Items.isDentry(value, length)
                && inodes.indexOf(k0) >= 0
                && inodes.isDirectory(inodes.indexOf(k0));
    }

    // --- changing

    void changeInode(long number, LongConsumer change) {
        if (!editor.find(number, Items.INODE_KEY)) {
            throw new IllegalStateException("inode " + number + " is gone");
        }
        Memory.copy(store.valueAddress, made, Items.INODE_SIZE);
        change.accept(made);
        editor.put(number, Items.INODE_KEY, made, Items.INODE_SIZE);
    }

    /** Puts an inode whose item is lost, or that is new: of root, with times of now. */
    void putInode(long number, int mode, int flags, int links, long sizeBytes, long parent) {
        Memory.zero(made, Items.INODE_SIZE);
        Memory.putInt(made, Items.VERSION);
        Memory.putInt(made + Items.INODE_FLAGS_OFFSET, flags);
        Memory.putInt(made + Items.INODE_MODE_OFFSET, mode);
        Memory.putInt(made + Items.INODE_LINKS_OFFSET, links);
        Memory.putInt(made + Items.INODE_GENERATION_OFFSET, 1);
        Memory.putLong(made + Items.INODE_SIZE_OFFSET, sizeBytes);
        for (int at : new int[] {
            Items.INODE_ATIME_OFFSET, Items.INODE_MTIME_OFFSET, Items.INODE_CTIME_OFFSET, Items.INODE_BTIME_OFFSET
        }) {
            Memory.putLong(made + at, nowNs);
        }
        Memory.putLong(made + Items.INODE_PARENT_OFFSET, parent);
        editor.put(number, Items.INODE_KEY, made, Items.INODE_SIZE);
    }

    /** The inode of an entry, or 0. */
    long lookUp(long directory, byte[] name) {
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(name.length, 8).address();
            Memory.copyFromArray(name, 0, at, name.length);
            long first = Items.key(Items.TYPE_DENTRY, hash.hash48(at, name.length) << Items.DENTRY_COLLISION_BITS);
            for (int n = 0; n < Limits.MAX_COLLISIONS; n++) {
                boolean same = editor.find(directory, first + n)
                        && store.valueLength == Items.DENTRY_NAME_OFFSET + name.length
                        && Memory.mismatch(at, store.valueAddress + Items.DENTRY_NAME_OFFSET, name.length) < 0;
                if (same) {
                    return Memory.getLong(store.valueAddress + Items.DENTRY_INODE_OFFSET);
                }
            }
        }
        return 0;
    }

    /** Adds an entry; its key, or 0 when the name is taken or there is no place for it. */
    long addEntry(long directory, byte[] name, long target, int type) {
        if (lookUp(directory, name) != 0) {
            return 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            long at = arena.allocate(name.length, 8).address();
            Memory.copyFromArray(name, 0, at, name.length);
            long first = Items.key(Items.TYPE_DENTRY, hash.hash48(at, name.length) << Items.DENTRY_COLLISION_BITS);
            for (int n = 0; n < Limits.MAX_COLLISIONS; n++) {
                if (!editor.find(directory, first + n)) {
                    editor.put(directory, first + n, made, Items.encodeDentry(made, target, type, at, name.length));
                    return first + n;
                }
            }
        }
        return 0;
    }

    void removeEntry(long directory, long target) {
        forEachOf(directory, Items.key(Items.TYPE_DENTRY, 0), k1 -> {
            boolean names = Items.type(k1) == Items.TYPE_DENTRY
                    && Items.isDentry(value, length)
                    && Memory.getLong(value + Items.DENTRY_INODE_OFFSET) == target;
            if (names) {
                editor.delete(directory, k1);
            }
        });
    }

    static String text(long name, int nameLength) {
        byte[] bytes = new byte[nameLength];
        Memory.copyToArray(name, bytes, 0, nameLength);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}

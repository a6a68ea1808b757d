package io.vhostfs.blobfs;

import io.vhostfs.blobstore.StoreEditor;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which inodes there are.
 *
 * <p>Invariant: after {@link #mend} every item of an inode belongs to one whose own item is good, made anew when what is left
 * is of use and deleted otherwise; there is a root directory; and a symbolic link has all of its target. Repairing thread.
 */
final class RepairInodes {
    private static final int MODE_FILE = Modes.S_IFREG | 0x180;
    private static final int MODE_LINK = Modes.S_IFLNK | 0x1ff;
    private static final int ROOT_PERMISSIONS = 0x2d;

    private final RepairItems items;
    private final StoreEditor editor;
    private final CheckInodes inodes;
    private final long value;
    private final RepairLosses losses;

    /** Entry types of inodes that are not there. */
    private final Map<Long, Integer> missing = new HashMap<>();

    RepairInodes(RepairItems items, RepairLosses losses) {
        this.items = items;
        editor = items.editor;
        inodes = items.inodes;
        value = items.value;
        this.losses = losses;
    }

    /** Whether inodes were made anew. */
    boolean mend() {
        findInodes();
        boolean madeAnew = mendHeadless();
        if (madeAnew) {
            findInodes();
        }
        // Of those made anew, too: what is left of a target may be its end.
        if (dropBrokenLinks()) {
            findInodes();
        }
        findOwners();
        return madeAnew;
    }

    /** The greatest number of an inode that is there or was named; of what was named only if it is a sane number. */
    long lastNumber() {
        long last = inodes.count == 0 ? 0 : inodes.number[inodes.count - 1];
        for (long number : missing.keySet()) {
            last = Math.max(last, Items.isInodeNumber(number) ? number : 0);
        }
        return last;
    }

    private void findInodes() {
        inodes.clear();
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (Items.isInodeNumber(k0) && k1 == Items.INODE_KEY && isInode(items, k0)) {
                inodes.add(k0, value);
            }
        });
    }

    static boolean isInode(RepairItems items, long number) {
        if (!Inode.isValidItem(items.value, items.length)) {
            return false;
        }
        int mode = Memory.getInt(items.value + Items.INODE_MODE_OFFSET);
        return Modes.isValidType(mode) && (number != FileSystem.ROOT_INODE || (mode & Modes.S_IFMT) == Modes.S_IFDIR);
    }

    /** What the items of an inode without its own item say of it. */
    private static final class Headless {
        boolean entries;
        boolean attributes;
        long extentEnd;
        long inlineBytes;
        boolean inline;
        boolean secondPiece;
    }

    /** Makes inodes anew whose own item is not there; true when something changed. */
    private boolean mendHeadless() {
        findMissing();
        TreeMap<Long, Headless> found = new TreeMap<>();
        items.forEach(0, 1L << 63, (k0, k1) -> {
            if (k0 != Items.SYSTEM && !Items.isInodeNumber(k0)) {
                editor.delete(k0, k1);
                items.repaired("an item that belongs to nothing was deleted: " + Long.toHexString(k0) + ":"
                        + Long.toHexString(k1));
            } else if (k0 != Items.SYSTEM && inodes.indexOf(k0) < 0) {
                note(found.computeIfAbsent(k0, n -> new Headless()), k1);
            }
        });
        found.forEach(this::mendHeadless);
        boolean noRoot = inodes.indexOf(FileSystem.ROOT_INODE) < 0 && !found.containsKey(FileSystem.ROOT_INODE);
        if (noRoot) {
            mendHeadless(FileSystem.ROOT_INODE, new Headless());
        }
        return noRoot || !found.isEmpty();
    }

    private void note(Headless of, long k1) {
        switch (Items.type(k1)) {
            case Items.TYPE_DENTRY -> of.entries |= Items.isDentry(value, items.length);
            case Items.TYPE_XATTR -> of.attributes = true;
            case Items.TYPE_INLINE -> {
                of.inline = true;
                of.secondPiece |= k1 == Items.INLINE_KEY2;
                of.inlineBytes += Math.max(0, items.length - Items.INLINE_DATA_OFFSET);
            }
            case Items.TYPE_EXTENT -> {
                if (Items.isExtent(value, items.length, items.store.totalBlocks())) {
                    of.extentEnd = Items.sub(k1) + Memory.getInt(value + Items.EXTENT_LENGTH_OFFSET);
                }
            }
            default -> {}
        }
    }

    private void mendHeadless(long number, Headless of) {
        int named = missing.getOrDefault(number, 0);
        boolean isRoot = number == FileSystem.ROOT_INODE;
        boolean isLink = of.secondPiece || (of.inline && named == Modes.directoryType(Modes.S_IFLNK));
        int mode = of.entries || isRoot || named == Modes.directoryType(Modes.S_IFDIR)
                ? RepairTree.MODE_DIRECTORY
                : isLink ? MODE_LINK : MODE_FILE;
        boolean isFile = mode == MODE_FILE;
        boolean isWholeLink = mode == MODE_LINK && !editor.mayHaveLost(number, Items.INLINE_KEY, Items.INLINE_KEY2 + 1);
        if (mode != RepairTree.MODE_DIRECTORY && !isWholeLink && !(isFile && (of.inline || of.extentEnd > 0))) {
            items.forEachOf(number, 0, k1 -> editor.delete(number, k1));
            losses.lost(number, "lost; what is left of it is of no use");
            return;
        }
        int flags = (of.attributes ? Items.FLAG_XATTRS : 0) | (isFile && of.extentEnd == 0 ? Items.FLAG_INLINE : 0);
        long size = mode == RepairTree.MODE_DIRECTORY
                ? Items.BLOCK_SIZE
                : of.extentEnd > 0 && isFile ? of.extentEnd << Items.BLOCK_SHIFT : of.inlineBytes;
        items.putInode(
                number,
                isRoot ? mode | ROOT_PERMISSIONS : mode,
                flags,
                1,
                Math.clamp(size, 0, Limits.MAX_FILE_BYTES),
                isRoot ? FileSystem.ROOT_INODE : 0);
        losses.lost(
                number, "owner, mode, times" + (isFile ? " and exact size" : "") + " are lost; its content was kept");
    }

    /** The types that entries give to inodes that are not there. */
    private void findMissing() {
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (Items.isInodeNumber(k0) && Items.type(k1) == Items.TYPE_DENTRY && Items.isDentry(value, items.length)) {
                long target = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
                if (inodes.indexOf(target) < 0) {
                    missing.put(target, Memory.getUnsignedByte(value + Items.DENTRY_TYPE_OFFSET));
                }
            }
        });
    }

    /** A symbolic link to somewhere else than before is worse than none. */
    private boolean dropBrokenLinks() {
        boolean[] any = {false};
        for (int i = 0; i < inodes.count; i++) {
            if (inodes.isLink(i)) {
                int link = i;
                long number = inodes.number[i];
                long[] bytes = {0};
                items.forEachOf(number, Items.INLINE_KEY, k1 -> {
                    boolean isPiece =
                            Items.type(k1) == Items.TYPE_INLINE && inodes.isInlineItem(link, k1, value, items.length);
                    bytes[0] += isPiece ? items.length - Items.INLINE_DATA_OFFSET : 0;
                });
                if (bytes[0] == 0 || bytes[0] != inodes.size[i]) {
                    items.forEachOf(number, 0, k1 -> editor.delete(number, k1));
                    losses.lost(number, "lost: the target of this symbolic link is not whole");
                    any[0] = true;
                }
            }
        }
        return any[0];
    }

    /** For each directory the entry that counts: the one in the directory that it calls its parent, or the first. */
    private void findOwners() {
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (items.isEntry(k0, k1)) {
                int i = inodes.indexOf(Memory.getLong(value + Items.DENTRY_INODE_OFFSET));
                if (i >= 0 && inodes.isDirectory(i) && (inodes.owner[i] == 0 || inodes.parent[i] == k0)) {
                    inodes.owner[i] = k0;
                }
            }
        });
        int root = inodes.indexOf(FileSystem.ROOT_INODE);
        inodes.owner[root] = FileSystem.ROOT_INODE;
    }
}

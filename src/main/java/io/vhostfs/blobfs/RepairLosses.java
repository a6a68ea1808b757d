package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * What was lost, by inode, to be told with paths when all entries are in place.
 *
 * <p>Invariant: every inode that lost something is told of once, with all that it lost. Repairing thread.
 */
final class RepairLosses {
    /** Longer than any path of sane depth; a circle is cut here. */
    private static final int MAX_PATH_DEPTH = 1000;

    private final RepairItems items;
    private final TreeMap<Long, String> losses = new TreeMap<>();

    private record Name(long directory, String name) {}

    RepairLosses(RepairItems items) {
        this.items = items;
    }

    void lost(long inode, String text) {
        losses.merge(inode, text, (before, more) -> before + "; " + more);
    }

    void tell() {
        items.editor.lostNumbers(
                (from, to) -> tellRange(from, to, "cannot be read: what is gone without a trace was among them"));
        items.editor.guessedNumbers((from, to) -> tellRange(
                from, to, "were chosen by their age: some may be of an older state, or had been removed before"));
        if (losses.isEmpty()) {
            return;
        }
        Map<Long, Name> names = names();
        losses.forEach((inode, text) -> items.reporter().lost("inode " + inode + path(names, inode) + ": " + text));
    }

    private void tellRange(long from, long to, String text) {
        if (to > 0 && from < Items.SYSTEM) {
            items.reporter().lost("items of inodes " + from + " to " + Math.min(to, Items.SYSTEM) + " " + text);
        }
    }

    /** Of what lost something, and of all directories. */
    private Map<Long, Name> names() {
        Map<Long, Name> names = new HashMap<>();
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (items.isEntry(k0, k1)) {
                long target = Memory.getLong(items.value + Items.DENTRY_INODE_OFFSET);
                int i = items.inodes.indexOf(target);
                if (losses.containsKey(target) || (i >= 0 && items.inodes.isDirectory(i))) {
                    String name = RepairItems.text(
                            items.value + Items.DENTRY_NAME_OFFSET, items.length - Items.DENTRY_NAME_OFFSET);
                    names.put(target, new Name(k0, name));
                }
            }
        });
        return names;
    }

    private static String path(Map<Long, Name> names, long inode) {
        StringBuilder path = new StringBuilder();
        long at = inode;
        for (int depth = 0; at != FileSystem.ROOT_INODE && depth < MAX_PATH_DEPTH; depth++) {
            Name name = names.get(at);
            if (name == null) {
                return path.isEmpty() ? "" : " (..." + path + ")";
            }
            path.insert(0, "/" + name.name);
            at = name.directory;
        }
        return " (" + (path.isEmpty() ? "/" : path) + ")";
    }
}

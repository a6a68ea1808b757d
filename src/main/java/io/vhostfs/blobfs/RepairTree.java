package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import java.nio.charset.StandardCharsets;

/**
 * How everything hangs together.
 *
 * <p>Invariant: afterwards every inode hangs from the root or is an orphan, in {@code /lost+found} if nothing else names it,
 * and link counts and parents are those of the entries. Repairing thread.
 */
final class RepairTree {
    static final String LOST_AND_FOUND = "lost+found";
    static final int MODE_DIRECTORY = Modes.S_IFDIR | 0x1c0;

    private final RepairItems items;
    private final CheckInodes inodes;
    private final RepairHeader header;
    private long lostAndFound;

    RepairTree(RepairItems items, RepairHeader header) {
        this.items = items;
        inodes = items.inodes;
        this.header = header;
    }

    void mend() {
        mendConnections();
        mendCounts();
    }

    private void mendConnections() {
        cutCircles();
        int known = inodes.count;
        for (int i = 0; i < known; i++) {
            long number = inodes.number[i];
            if (inodes.named[i] == 0 && number != FileSystem.ROOT_INODE && inodes.orphan[i] != Items.ORPHAN_UNLINKED) {
                reattach(i);
            }
        }
    }

    private void cutCircles() {
        int[] seenBy = new int[inodes.count];
        for (int i = 0; i < inodes.count; i++) {
            int at = inodes.isDirectory(i) && inodes.named[i] > 0 ? i : -1;
            while (at >= 0 && seenBy[at] == 0 && inodes.number[at] != FileSystem.ROOT_INODE) {
                seenBy[at] = i + 1;
                at = inodes.named[at] == 0 ? -1 : inodes.indexOf(inodes.owner[at]);
            }
            if (at >= 0 && seenBy[at] == i + 1 && inodes.number[at] != FileSystem.ROOT_INODE) {
                items.removeEntry(inodes.owner[at], inodes.number[at]);
                inodes.subdirectories[inodes.indexOf(inodes.owner[at])]--;
                inodes.named[at] = 0;
                inodes.owner[at] = 0;
                items.repaired("directory " + inodes.number[at] + " was within itself");
            }
        }
    }

    private void reattach(int i) {
        long number = inodes.number[i];
        int at = lostAndFound();
        byte[] name = ("#" + number).getBytes(StandardCharsets.US_ASCII);
        if (items.addEntry(lostAndFound, name, number, Modes.directoryType(inodes.mode[i])) == 0) {
            items.addEntry(
                    lostAndFound,
                    ("#" + number + "." + items.nowNs).getBytes(StandardCharsets.US_ASCII),
                    number,
                    Modes.directoryType(inodes.mode[i]));
        }
        inodes.named[i] = 1;
        if (inodes.isDirectory(i)) {
            inodes.subdirectories[at]++;
            inodes.owner[i] = lostAndFound;
        }
        items.repaired("inode " + number + " had no name: it is /" + LOST_AND_FOUND + "/#" + number + " now");
    }

    /** The index of the directory, which is made when need be. */
    private int lostAndFound() {
        for (int n = 0; lostAndFound == 0; n++) {
            byte[] name = (LOST_AND_FOUND + (n == 0 ? "" : "." + n)).getBytes(StandardCharsets.US_ASCII);
            long found = items.lookUp(FileSystem.ROOT_INODE, name);
            int i = inodes.indexOf(found);
            if (i >= 0 && inodes.isDirectory(i)) {
                lostAndFound = found;
            } else if (found == 0) {
                makeLostAndFound(name);
            }
        }
        return inodes.indexOf(lostAndFound);
    }

    private void makeLostAndFound(byte[] name) {
        long number = header.newNumber();
        items.putInode(number, MODE_DIRECTORY, 0, 2, Items.BLOCK_SIZE, FileSystem.ROOT_INODE);
        items.addEntry(FileSystem.ROOT_INODE, name, number, Modes.directoryType(MODE_DIRECTORY));
        int i = inodes.add(number);
        inodes.mode[i] = MODE_DIRECTORY;
        inodes.links[i] = 2;
        inodes.parent[i] = FileSystem.ROOT_INODE;
        inodes.named[i] = 1;
        inodes.owner[i] = FileSystem.ROOT_INODE;
        inodes.subdirectories[inodes.indexOf(FileSystem.ROOT_INODE)]++;
        lostAndFound = number;
        items.repaired("/" + new String(name, StandardCharsets.US_ASCII) + " was made");
    }

    /** Link counts and parents. */
    private void mendCounts() {
        for (int i = 0; i < inodes.count; i++) {
            if (inodes.orphan[i] == Items.ORPHAN_UNLINKED) {
                continue;
            }
            boolean isDirectory = inodes.isDirectory(i);
            int links = isDirectory ? 2 + inodes.subdirectories[i] : inodes.named[i];
            long parent = isDirectory ? inodes.owner[i] : inodes.parent[i];
            if (links != inodes.links[i] || parent != inodes.parent[i]) {
                items.changeInode(inodes.number[i], address -> {
                    Memory.putInt(address + Items.INODE_LINKS_OFFSET, links);
                    Memory.putLong(address + Items.INODE_PARENT_OFFSET, parent);
                });
                items.repaired("inode " + inodes.number[i] + ": links were set from " + inodes.links[i] + " to " + links
                        + (parent == inodes.parent[i] ? "" : ", parent to " + parent));
            }
        }
    }
}

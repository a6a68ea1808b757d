package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreEditor;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;

/**
 * Each item by itself and within its inode.
 *
 * <p>Invariant: an item that stays is one that this version writes, in its place, and what its inode says of flags and
 * blocks is what its items have; {@link CheckInodes#named} and {@link CheckInodes#subdirectories} count the entries that
 * stay. Repairing thread.
 */
final class RepairValues {
    private static final int GROUP_BITS = 070;

    private final RepairItems items;
    private final StoreEditor editor;
    private final CheckInodes inodes;
    private final long value;
    private final BlobStore store;
    private final NameHash hash;
    private final RepairLosses losses;
    private final RepairHeader header;
    private final RepairShared shared;

    // --- the inode whose items are being looked at

    private int current;
    private long currentNumber;
    private long blockSum;
    private long extentEnd;
    private boolean hasInline;
    private boolean hasXattrs;
    private long xattrKey;
    private int xattrLength;
    private int xattrPieces;
    private final ListCheck list = new ListCheck();

    RepairValues(RepairItems items, RepairLosses losses, RepairHeader header, RepairShared shared) {
        this.items = items;
        editor = items.editor;
        inodes = items.inodes;
        value = items.value;
        store = items.store;
        hash = items.hash;
        this.losses = losses;
        this.header = header;
        this.shared = shared;
    }

    void mend() {
        current = -1;
        currentNumber = 0;
        items.forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
            if (k0 != currentNumber) {
                endInode();
                currentNumber = k0;
                current = Items.isInodeNumber(k0) ? inodes.indexOf(k0) : -1;
                blockSum = 0;
                extentEnd = 0;
                hasInline = false;
                hasXattrs = false;
                xattrPieces = 0;
            }
            mendItem(k0, k1);
        });
        endInode();
    }

    private void mendItem(long k0, long k1) {
        if (k0 == Items.SYSTEM) {
            mendSystemItem(k1);
            return;
        }
        boolean good =
                switch (Items.type(k1)) {
                    case Items.TYPE_INODE -> k1 == Items.INODE_KEY;
                    case Items.TYPE_DENTRY -> mendEntry(k1);
                    case Items.TYPE_EXTENT -> isGoodExtent(k1);
                    case Items.TYPE_INLINE -> isGoodInline(k1);
                    case Items.TYPE_XATTR -> isGoodXattr(k1);
                    default -> false;
                };
        if (!good) {
            editor.delete(k0, k1);
            if (Items.type(k1) == Items.TYPE_EXTENT) {
                losses.lost(k0, "the extent at file block " + Items.sub(k1) + " meant nothing");
            } else if (Items.type(k1) != Items.TYPE_DENTRY) {
                items.repaired("inode " + k0 + ": item " + Long.toHexString(k1) + " meant nothing and was deleted");
            }
        }
    }

    /** Whether the entry stays; one that is told about here. */
    private boolean mendEntry(long k1) {
        if (!Items.isDentry(value, items.length) || !inodes.isDirectory(current)) {
            losses.lost(currentNumber, "an entry meant nothing");
            return false;
        }
        long name = value + Items.DENTRY_NAME_OFFSET;
        int nameLength = items.length - Items.DENTRY_NAME_OFFSET;
        long target = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
        String text = RepairItems.text(name, nameLength);
        int i = inodes.indexOf(target);
        if (i < 0) {
            losses.lost(currentNumber, "entry \"" + text + "\": inode " + target + " is lost");
            return false;
        }
        boolean isDirectory = inodes.isDirectory(i);
        if (isDirectory
                && (inodes.owner[i] != currentNumber || inodes.named[i] > 0 || target == FileSystem.ROOT_INODE)) {
            items.repaired("inode " + currentNumber + ": entry \"" + text + "\" named directory " + target
                    + " for a second time");
            return false;
        }
        int type = Modes.directoryType(inodes.mode[i]);
        boolean validName = Directory.isEntryName(name, nameLength);
        if (!validName || hash.hash48(name, nameLength) != Items.sub(k1) >>> Items.DENTRY_COLLISION_BITS) {
            items.repaired("inode " + currentNumber + ": entry \"" + text + "\" was not where its name belongs");
            if (validName) {
                byte[] bytes = new byte[nameLength];
                Memory.copyToArray(name, bytes, 0, nameLength);
                long added = items.addEntry(currentNumber, bytes, target, type);
                // One that comes later is counted when it comes.
                if (added != 0 && added < k1) {
                    countEntry(i, isDirectory);
                }
            }
            return false;
        }
        if (type != Memory.getUnsignedByte(value + Items.DENTRY_TYPE_OFFSET)) {
            Memory.putByte(value + Items.DENTRY_TYPE_OFFSET, (byte) type);
            editor.put(currentNumber, k1, value, items.length);
            items.repaired("inode " + currentNumber + ": entry \"" + text + "\" had a wrong type");
        }
        countEntry(i, isDirectory);
        return true;
    }

    private void countEntry(int target, boolean isDirectory) {
        inodes.named[target]++;
        if (isDirectory) {
            inodes.subdirectories[current]++;
        }
    }

    private boolean isGoodExtent(long k1) {
        long file = Items.sub(k1);
        if (!Items.isExtent(value, items.length, store.totalBlocks())) {
            return false;
        }
        int blocks = Memory.getInt(value + Items.EXTENT_LENGTH_OFFSET);
        long disk = Memory.getLong(value + Items.EXTENT_BLOCK_OFFSET);
        boolean misplaced = file < extentEnd
                || file > (Limits.MAX_FILE_BYTES >> Items.BLOCK_SHIFT) - blocks
                || (inodes.mode[current] & Modes.S_IFMT) != Modes.S_IFREG
                || inodes.isInline(current);
        if (misplaced || editor.isStoresOwn(disk, blocks)) {
            return false;
        }
        extentEnd = file + blocks;
        blockSum += blocks;
        shared.hold();
        return true;
    }

    private boolean isGoodInline(long k1) {
        if (!inodes.isInlineItem(current, k1, value, items.length)) {
            return false;
        }
        boolean isLink = inodes.isLink(current);
        hasInline = true;
        if (!isLink && items.length - Items.INLINE_DATA_OFFSET > inodes.size[current]) {
            editor.put(currentNumber, k1, value, Items.INLINE_DATA_OFFSET + (int) inodes.size[current]);
            items.repaired("inode " + currentNumber + ": content behind its end was cut off");
        }
        return true;
    }

    private boolean isGoodXattr(long k1) {
        int piece = (int) (k1 & 0xff);
        if (items.length < Items.XATTR_DATA_OFFSET || Memory.getUnsignedByte(value) != Items.VERSION) {
            return false;
        }
        int nameLength = Memory.getUnsignedByte(value + Items.XATTR_NAME_LENGTH_OFFSET);
        int valueLength = Memory.getInt(value + Items.XATTR_VALUE_LENGTH_OFFSET);
        if (piece == 0) {
            endXattr();
            long name = value + Items.XATTR_DATA_OFFSET;
            if (nameLength == 0
                    || valueLength < 0
                    || valueLength > Limits.MAX_XATTR_BYTES
                    || Items.XATTR_DATA_OFFSET + nameLength > items.length
                    || hash.hash40(name, nameLength) != Items.sub(k1) >>> 16) {
                return false;
            }
            xattrKey = k1;
            xattrLength = valueLength;
            list.begin(name, nameLength, valueLength);
        } else if (xattrPieces != piece
                || nameLength != 0
                || (k1 & ~0xffL) != xattrKey
                || valueLength != xattrLength
                || piece >= Xattrs.pieces(valueLength)) {
            return false;
        }
        if (items.length != Items.XATTR_DATA_OFFSET + nameLength + Xattrs.pieceBytes(valueLength, piece)) {
            return false;
        }
        int bytes = Xattrs.pieceBytes(valueLength, piece);
        list.add(value + items.length - bytes, bytes);
        xattrPieces = piece + 1;
        hasXattrs = true;
        return true;
    }

    private void endXattr() {
        if (xattrPieces > 0 && current >= 0) {
            int mode = inodes.mode[current];
            if (xattrPieces != Xattrs.pieces(xattrLength)) {
                dropXattr("an extended attribute is not whole and was deleted");
            } else if (list.isMalformed(mode)) {
                dropXattr("an access control list is none and was deleted");
            } else if (list.rightMode(mode) != mode) {
                setMode(list.rightMode(mode));
                items.repaired("inode " + currentNumber + ": the mode was set to what its access control list says");
            }
        }
        list.end();
        xattrPieces = 0;
    }

    /** The mask that an access list leaves in the mode is not for the group: nobody may do more than before. */
    private void dropXattr(String why) {
        for (int p = 0; p < xattrPieces; p++) {
            editor.delete(currentNumber, xattrKey + p);
        }
        losses.lost(currentNumber, why);
        if (list.isAccessList() && (inodes.mode[current] & GROUP_BITS) != 0) {
            setMode(inodes.mode[current] & ~GROUP_BITS);
        }
    }

    private void setMode(int mode) {
        inodes.mode[current] = mode;
        items.changeInode(currentNumber, address -> Memory.putInt(address + Items.INODE_MODE_OFFSET, mode));
    }

    private void endInode() {
        int i = current;
        if (i < 0) {
            return;
        }
        endXattr();
        long number = currentNumber;
        boolean isFile = (inodes.mode[i] & Modes.S_IFMT) == Modes.S_IFREG;
        if (isFile && !inodes.isInline(i) && inodes.blocks[i] != blockSum) {
            if (blockSum < inodes.blocks[i]) {
                losses.lost(number, (inodes.blocks[i] - blockSum) + " blocks of its content" + lostRange(number));
            }
        } else if (isFile
                && inodes.isInline(i)
                && inodes.size[i] > 0
                && !hasInline
                && editor.mayHaveLost(number, Items.INLINE_KEY, Items.INLINE_KEY + 1)) {
            losses.lost(number, "its content, " + inodes.size[i] + " bytes, may be lost; it reads as zeroes");
        }
        if ((inodes.flags[i] & Items.FLAG_XATTRS) != 0
                && editor.mayHaveLost(number, Items.key(Items.TYPE_XATTR, 0), Items.key(Items.TYPE_XATTR + 1, 0))) {
            losses.lost(number, "extended attributes may be lost");
        }
        if (inodes.isDirectory(i)
                && editor.mayHaveLost(number, Items.key(Items.TYPE_DENTRY, 0), Items.key(Items.TYPE_DENTRY + 1, 0))) {
            losses.lost(
                    number,
                    "entries of this directory may be lost; what they named is in /" + RepairTree.LOST_AND_FOUND);
        }
        int flags = (inodes.flags[i] & Items.KNOWN_FLAGS) | (hasXattrs ? Items.FLAG_XATTRS : 0);
        if (flags != inodes.flags[i] || blockSum != inodes.blocks[i]) {
            inodes.flags[i] = flags;
            inodes.blocks[i] = blockSum;
            long blocks = blockSum;
            items.changeInode(number, address -> {
                Memory.putInt(address + Items.INODE_FLAGS_OFFSET, flags);
                Memory.putLong(address + Items.INODE_BLOCKS_OFFSET, blocks);
            });
            items.repaired("inode " + number + ": blocks and flags were set to what its items say");
        }
    }

    /** Which file blocks cannot be told to be there. */
    private String lostRange(long number) {
        StringBuilder text = new StringBuilder();
        editor.lostRanges(number, Items.key(Items.TYPE_EXTENT, 0), Items.key(Items.TYPE_EXTENT + 1, 0), (from, to) -> {
            text.append(text.isEmpty() ? ", between file block " : " and ").append(Items.sub(from));
            text.append(Items.type(to) == Items.TYPE_EXTENT ? " and " + Items.sub(to) : " and the end");
        });
        return text.append("; they read as zeroes").toString();
    }

    private void mendSystemItem(long k1) {
        boolean good = header.take(k1) || shared.take(k1);
        if (Items.type(k1) == Items.TYPE_ORPHAN && items.length == Items.ORPHAN_SIZE) {
            good = inodes.takeOrphan(Items.sub(k1), Memory.getByte(value + Items.ORPHAN_REASON_OFFSET));
        }
        good |= RepairQuotas.isQuota(k1, value, items.length);
        if (!good) {
            editor.delete(Items.SYSTEM, k1);
            items.repaired("system item " + Long.toHexString(k1) + " meant nothing and was deleted");
        }
    }
}

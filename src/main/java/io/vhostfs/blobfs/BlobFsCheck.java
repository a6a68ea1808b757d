package io.vhostfs.blobfs;

import io.vhostfs.blobfs.CheckFinding.Kind;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.EnumSet;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Checks every item of a file system, read-only: inodes, entries, link counts, extents, attributes, orphans.
 *
 * <p>Reads the whole tree twice (inodes first, so that entries may name inodes that come later) and keeps about 70 bytes
 * per inode, 16 per extent that may be shared, and a bit per block. Blocks; for a store that was opened and not started.
 */
public final class BlobFsCheck {
    /** What an item that cannot be read may explain. */
    private static final Set<Kind> NEEDS_ALL = EnumSet.of(
            Kind.STRAY_ITEM,
            Kind.DANGLING_ENTRY,
            Kind.UNREACHABLE_INODE,
            Kind.WRONG_LINK_COUNT,
            Kind.WRONG_SIZE,
            Kind.BROKEN_XATTR,
            Kind.STRAY_ORPHAN,
            Kind.WRONG_USAGE,
            Kind.WRONG_REFERENCES,
            Kind.BAD_HEADER);

    private final BlobStore store;
    private final Consumer<CheckFinding> findings;
    private final CheckInodes inodes = new CheckInodes();
    /** A bit per block: some extent holds it, and says that no other does. */
    private final long[] claimed;

    private final SharedCounts shared = new SharedCounts();

    private long dataBlocks;
    private final NameHash hash;
    private long findingCount;

    // --- the inode whose items are being read

    private int current = -1;
    private long currentNumber;
    private long currentBlocks;
    private long extentEnd;
    private long inlineBytes;
    private long xattrKey;
    private int xattrLength;
    private int xattrPieces;
    private final ListCheck list = new ListCheck();

    /** Nodes could not be read: what concerns more than one item cannot be told. */
    private boolean incomplete;

    private boolean hasSuper;
    private long features;
    private long nextInode;
    private final QuotaSums sums = new QuotaSums();

    public BlobFsCheck(BlobStore store, Consumer<CheckFinding> findings) {
        this.store = store;
        this.findings = findings;
        hash = new NameHash(store.hashSeed());
        claimed = new long[(int) ((store.totalBlocks() + 63) >>> 6)];
    }

    /**
     * Checks everything; returns the number of findings. What lies in tree nodes that cannot be read is passed over, and
     * then only what one item tells is checked: {@link #isIncomplete}.
     */
    public long run() {
        walk(this::collectInode);
        walk(this::item);
        endInode();
        checkShared();
        if (!incomplete) {
            checkHeader();
            checkInodes();
            checkConnected();
            sums.compare((quota, detail) -> report(Kind.WRONG_USAGE, quota.root, detail));
        }
        return findingCount;
    }

    /** Whether tree nodes could not be read. */
    public boolean isIncomplete() {
        return incomplete;
    }

    /** Blocks that files hold. */
    public long dataBlocks() {
        return dataBlocks;
    }

    public long inodeCount() {
        return inodes.count;
    }

    private void report(Kind kind, long inode, String detail) {
        if (incomplete && NEEDS_ALL.contains(kind)) {
            return;
        }
        findingCount++;
        findings.accept(new CheckFinding(kind, inode, detail));
    }

    private interface ItemVisitor {
        void item(long k0, long k1, long value, int length);
    }

    private void walk(ItemVisitor visitor) {
        long k0 = FileSystem.ROOT_INODE;
        long k1 = 0;
        while (true) {
            int s = store.ceiling(k0, k1);
            if (s == BlobStore.NOT_FOUND) {
                return;
            }
            if (s == BlobStore.NOT_RESIDENT) {
                await();
            } else if (s == -Errno.EIO) {
                incomplete = true;
                if (!store.skipDamage()) {
                    return;
                }
                k0 = store.foundK0;
                k1 = store.foundK1;
            } else if (s != BlobStore.OK) {
                throw new IllegalStateException("the tree cannot be read behind key " + Long.toHexString(k0) + ":"
                        + Long.toHexString(k1) + ": " + Errno.name(s));
            } else {
                k0 = store.foundK0;
                k1 = store.foundK1;
                visitor.item(k0, k1, store.valueAddress, store.valueLength);
                k1++;
                k0 += k1 == 0 ? 1 : 0;
            }
        }
    }

    private void await() {
        boolean[] ready = new boolean[1];
        store.park(new BlobStore.Parkable() {
            @Override
            public void unpark() {
                ready[0] = true;
            }
        });
        store.driveUntil(() -> ready[0]);
    }

    // --- first walk

    private void collectInode(long k0, long k1, long value, int length) {
        if (!Items.isInodeNumber(k0) || k1 != Items.INODE_KEY || !Inode.isValidItem(value, length)) {
            return;
        }
        inodes.add(k0, value);
    }

    // --- second walk

    private void item(long k0, long k1, long value, int length) {
        if (!Items.isInodeNumber(k0)) {
            endInode();
            systemItem(k0, k1, value, length);
            return;
        }
        if (k0 != currentNumber) {
            endInode();
            beginInode(k0);
        }
        if (current < 0 && Items.type(k1) != Items.TYPE_INODE) {
            report(Kind.STRAY_ITEM, k0, "item " + Long.toHexString(k1) + " of an inode that is not there");
            return;
        }
        if (current >= 0) {
            sums.addItem(inodes.project[current], k1, length);
        }
        switch (Items.type(k1)) {
            case Items.TYPE_INODE -> inode(k0, k1, value, length);
            case Items.TYPE_XATTR -> xattr(k1, value, length);
            case Items.TYPE_DENTRY -> dentry(k1, value, length);
            case Items.TYPE_EXTENT -> extent(k1, value, length);
            case Items.TYPE_INLINE -> inline(k1, value, length);
            default -> report(Kind.MALFORMED_ITEM, k0, "item of unknown type " + Items.type(k1));
        }
    }

    private void beginInode(long number) {
        currentNumber = number;
        current = inodes.indexOf(number);
        currentBlocks = 0;
        extentEnd = 0;
        inlineBytes = 0;
        xattrPieces = 0;
    }

    private void inode(long number, long k1, long value, int length) {
        if (k1 != Items.INODE_KEY || !Inode.isValidItem(value, length)) {
            report(Kind.MALFORMED_ITEM, number, "inode item of " + length + " bytes");
            return;
        }
        int mode = Memory.getInt(value + Items.INODE_MODE_OFFSET);
        int flags = Memory.getInt(value + Items.INODE_FLAGS_OFFSET);
        if (!Modes.isValidType(mode) || (flags & ~Items.KNOWN_FLAGS) != 0) {
            report(Kind.MALFORMED_ITEM, number, "mode 0" + Integer.toOctalString(mode) + ", flags " + flags);
        }
    }

    private void dentry(long k1, long value, int length) {
        if (!Items.isDentry(value, length) || !inodes.isDirectory(current)) {
            report(
                    inodes.isDirectory(current) ? Kind.MALFORMED_ITEM : Kind.STRAY_ITEM,
                    currentNumber,
                    "entry " + Long.toHexString(Items.sub(k1)));
            return;
        }
        long name = value + Items.DENTRY_NAME_OFFSET;
        int nameLength = length - Items.DENTRY_NAME_OFFSET;
        long target = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
        int type = Memory.getUnsignedByte(value + Items.DENTRY_TYPE_OFFSET);
        if (!Directory.isEntryName(name, nameLength)
                || hash.hash48(name, nameLength) != Items.sub(k1) >>> Items.DENTRY_COLLISION_BITS) {
            report(Kind.WRONG_ENTRY, currentNumber, "entry for inode " + target + " is not where its name belongs");
        }
        int i = inodes.indexOf(target);
        if (i < 0) {
            report(Kind.DANGLING_ENTRY, currentNumber, "entry names inode " + target + ", which is not there");
            return;
        }
        if (Modes.directoryType(inodes.mode[i]) != type) {
            report(
                    Kind.WRONG_ENTRY,
                    currentNumber,
                    "entry says type " + type + ", inode " + target + " is " + Modes.directoryType(inodes.mode[i]));
        }
        inodes.named[i]++;
        if (inodes.isDirectory(i)) {
            inodes.subdirectories[current]++;
            if (inodes.parent[i] != currentNumber) {
                report(Kind.WRONG_PARENT, target, "says parent " + inodes.parent[i] + ", is in " + currentNumber);
            }
        }
    }

    private void extent(long k1, long value, int length) {
        long file = Items.sub(k1);
        if (!Items.isExtent(value, length, store.totalBlocks())) {
            report(Kind.MALFORMED_ITEM, currentNumber, "extent at file block " + file);
            return;
        }
        int blocks = Memory.getInt(value + Items.EXTENT_LENGTH_OFFSET);
        long disk = Memory.getLong(value + Items.EXTENT_BLOCK_OFFSET);
        if (file < extentEnd || (inodes.mode[current] & Modes.S_IFMT) != Modes.S_IFREG || inodes.isInline(current)) {
            report(Kind.MALFORMED_ITEM, currentNumber, "extent at file block " + file + " should not be there");
        }
        extentEnd = Math.max(extentEnd, file + blocks);
        currentBlocks += blocks;
        boolean mayBeShared = ExtentMap.isShared(Items.extentLength(value));
        boolean isTwice = false;
        boolean isFree = false;
        for (long b = disk; b < disk + blocks; b++) {
            int word = (int) (b >>> 6);
            long bit = mayBeShared ? 0 : 1L << b;
            isTwice |= (claimed[word] & bit) != 0;
            isFree |= !store.isUsed(b);
            claimed[word] |= bit;
        }
        dataBlocks += blocks;
        if (mayBeShared) {
            shared.hold(disk, blocks);
        }
        if (isTwice) {
            report(Kind.SHARED_BLOCKS, currentNumber, "blocks from " + disk + " on belong to another extent, too");
        }
        if (isFree) {
            report(Kind.FREE_BLOCKS_IN_USE, currentNumber, "blocks from " + disk + " on are marked free");
        }
    }

    private void inline(long k1, long value, int length) {
        if (!inodes.isInlineItem(current, k1, value, length)) {
            report(Kind.MALFORMED_ITEM, currentNumber, "inline item of " + length + " bytes");
            return;
        }
        inlineBytes += length - Items.INLINE_DATA_OFFSET;
    }

    private void xattr(long k1, long value, int length) {
        int piece = (int) (k1 & 0xff);
        if (length < Items.XATTR_DATA_OFFSET || Memory.getUnsignedByte(value) != Items.VERSION) {
            report(Kind.MALFORMED_ITEM, currentNumber, "attribute item of " + length + " bytes");
            return;
        }
        int nameLength = Memory.getUnsignedByte(value + Items.XATTR_NAME_LENGTH_OFFSET);
        int valueLength = Memory.getInt(value + Items.XATTR_VALUE_LENGTH_OFFSET);
        if (piece == 0) {
            endXattr();
            xattrKey = k1;
            xattrLength = valueLength;
            long name = value + Items.XATTR_DATA_OFFSET;
            if (nameLength == 0
                    || Items.XATTR_DATA_OFFSET + nameLength > length
                    || hash.hash40(name, nameLength) != Items.sub(k1) >>> 16) {
                report(Kind.BROKEN_XATTR, currentNumber, "an attribute is not where its name belongs");
            } else {
                list.begin(name, nameLength, valueLength);
            }
        } else if (xattrPieces != piece || (k1 & ~0xffL) != xattrKey || valueLength != xattrLength) {
            report(Kind.BROKEN_XATTR, currentNumber, "piece " + piece + " of an attribute does not belong to it");
            return;
        }
        int expected = Items.XATTR_DATA_OFFSET + nameLength + Xattrs.pieceBytes(valueLength, piece);
        if (length != expected || (inodes.flags[current] & Items.FLAG_XATTRS) == 0) {
            report(Kind.BROKEN_XATTR, currentNumber, "an attribute's piece has " + length + " bytes, not " + expected);
        } else {
            int bytes = Xattrs.pieceBytes(valueLength, piece);
            list.add(value + length - bytes, bytes);
        }
        xattrPieces = piece + 1;
    }

    private void endXattr() {
        if (xattrPieces > 0 && xattrPieces != Xattrs.pieces(xattrLength)) {
            report(Kind.BROKEN_XATTR, currentNumber, "an attribute has " + xattrPieces + " pieces");
        }
        endList();
        xattrPieces = 0;
    }

    private void endList() {
        int mode = current < 0 ? 0 : inodes.mode[current];
        if (list.isMalformed(mode)) {
            report(Kind.BROKEN_XATTR, currentNumber, "an access control list is none");
        } else if (list.rightMode(mode) != mode) {
            report(
                    Kind.WRONG_MODE,
                    currentNumber,
                    "mode 0" + Integer.toOctalString(mode) + ", its access control list stands for 0"
                            + Integer.toOctalString(list.rightMode(mode)));
        }
        list.end();
    }

    /** All items of the current inode were seen. */
    private void endInode() {
        if (current < 0) {
            return;
        }
        endXattr();
        sums.addBlocks(inodes.project[current], currentBlocks);
        if (currentBlocks != inodes.blocks[current]) {
            report(
                    Kind.WRONG_SIZE,
                    currentNumber,
                    "says " + inodes.blocks[current] + " blocks, its extents have " + currentBlocks);
        }
        boolean wrong = inodes.isLink(current)
                ? inlineBytes == 0 || inlineBytes != inodes.size[current]
                : inlineBytes > inodes.size[current];
        if (wrong) {
            report(
                    Kind.WRONG_SIZE,
                    currentNumber,
                    "says size " + inodes.size[current] + ", its inline content has " + inlineBytes);
        }
        current = -1;
    }

    private void systemItem(long k0, long k1, long value, int length) {
        if (k0 == Items.SYSTEM && k1 == Items.SUPER_KEY) {
            hasSuper = length == Items.SUPER_SIZE && Memory.getUnsignedByte(value) == Items.VERSION;
            features = hasSuper ? Memory.getLong(value + Items.SUPER_INCOMPATIBLE_OFFSET) : 0;
        } else if (k0 == Items.SYSTEM && k1 == Items.NEXT_INODE_KEY && length == Items.COUNTER_SIZE) {
            nextInode = Memory.getLong(value + Items.COUNTER_VALUE_OFFSET);
        } else if (k0 == Items.SYSTEM && Items.type(k1) == Items.TYPE_SHARED) {
            sharedItem(k1, value, length);
        } else if (k0 == Items.SYSTEM && Items.type(k1) == Items.TYPE_ORPHAN && length == Items.ORPHAN_SIZE) {
            orphan(Items.sub(k1), Memory.getByte(value + Items.ORPHAN_REASON_OFFSET));
        } else if (k0 == Items.SYSTEM && QuotaSums.isQuota(k1, value, length)) {
            sums.addQuota(Items.decodeProject((int) Items.sub(k1), value));
        } else {
            report(Kind.STRAY_ITEM, 0, "item " + Long.toHexString(k0) + ":" + Long.toHexString(k1));
        }
    }

    private void orphan(long number, byte reason) {
        if (!inodes.takeOrphan(number, reason)) {
            report(Kind.STRAY_ORPHAN, number, "orphan item with reason " + reason);
        }
    }

    private void sharedItem(long k1, long value, int length) {
        boolean fits = Items.isShared(k1, value, length, store.totalBlocks())
                && shared.store(
                        Items.sub(k1),
                        Memory.getInt(value + Items.SHARED_LENGTH_OFFSET),
                        Memory.getLong(value + Items.SHARED_REFERENCES_OFFSET));
        if (!fits) {
            report(Kind.MALFORMED_ITEM, 0, "count of references of blocks from " + Items.sub(k1) + " on");
        }
    }

    // --- the whole

    private void checkShared() {
        if (!shared.isEmpty() && hasSuper && (features & Items.FEATURE_SHARED) == 0) {
            report(Kind.BAD_HEADER, 0, "the header does not say that extents share blocks");
        }
        shared.forEach((block, blocks, holders, stored) -> {
            String range = "blocks " + block + " to " + (block + blocks - 1);
            if (stored != (holders > 1 ? holders : 0)) {
                report(
                        Kind.WRONG_REFERENCES,
                        0,
                        range + " are held by " + holders + " extents, "
                                + (stored == 0 ? "and nothing counts them" : "and counted as " + stored));
            }
            for (long b = block; b < block + blocks && holders > 0; b++) {
                if ((claimed[(int) (b >>> 6)] & 1L << b) != 0) {
                    report(Kind.SHARED_BLOCKS, 0, range + " belong to an extent that does not know it, too");
                    return;
                }
            }
        });
    }

    private void checkHeader() {
        if (!hasSuper) {
            report(Kind.BAD_HEADER, 0, "the file system's header is missing or of an unknown version");
        }
        long last = inodes.count == 0 ? 0 : inodes.number[inodes.count - 1];
        if (nextInode <= last || nextInode > Limits.MAX_NEXT_INODE) {
            report(Kind.BAD_HEADER, last, "the next inode number is " + nextInode);
        }
    }

    private void checkInodes() {
        for (int i = 0; i < inodes.count; i++) {
            boolean isRoot = inodes.number[i] == FileSystem.ROOT_INODE;
            int named = inodes.named[i];
            if (inodes.orphan[i] == Items.ORPHAN_UNLINKED) {
                continue;
            }
            if (named == 0 && !isRoot) {
                report(Kind.UNREACHABLE_INODE, inodes.number[i], "no entry names it");
            } else if (inodes.isDirectory(i) && named > 1) {
                report(Kind.WRONG_PARENT, inodes.number[i], named + " entries name this directory");
            }
            int expected = inodes.isDirectory(i) ? 2 + inodes.subdirectories[i] : named;
            if (inodes.links[i] != expected && (named != 0 || isRoot)) {
                report(Kind.WRONG_LINK_COUNT, inodes.number[i], "says " + inodes.links[i] + " links, has " + expected);
            }
        }
        int root = inodes.indexOf(FileSystem.ROOT_INODE);
        if (root < 0 || !inodes.isDirectory(root)) {
            report(Kind.BAD_HEADER, FileSystem.ROOT_INODE, "there is no root directory");
        }
    }

    /** Directories that name each other in a circle have a parent each and yet hang from nothing. */
    private void checkConnected() {
        // The walk that came by first; an earlier walk ended well, or was reported.
        int[] seenBy = new int[inodes.count];
        for (int i = 0; i < inodes.count; i++) {
            if (!inodes.isDirectory(i) || inodes.named[i] == 0) {
                continue;
            }
            int at = i;
            while (at >= 0 && seenBy[at] == 0 && inodes.number[at] != FileSystem.ROOT_INODE) {
                seenBy[at] = i + 1;
                at = inodes.indexOf(inodes.parent[at]);
            }
            if (at >= 0 && seenBy[at] == i + 1) {
                report(Kind.UNREACHABLE_INODE, inodes.number[i], "a directory within itself");
            }
        }
    }
}

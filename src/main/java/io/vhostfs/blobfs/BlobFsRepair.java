package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreEditor;
import io.vhostfs.blobstore.StoreException;
import io.vhostfs.blobstore.StoreMender;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.memory.Memory;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.LongConsumer;

/**
 * Puts the items of a file system in order after parts of it were lost.
 *
 * <p>Invariant: what could be read before is the same afterwards; what is gone, or reads as zeroes because its extents are
 * gone, is reported with its inode and its path. Inodes whose own item is lost are made anew when other items of theirs are
 * there; inodes that nothing names go to {@code /lost+found} as {@code #INODE}.
 *
 * <p>Passes over all items: which inodes there are; what names them; inodes without their own item; each item by itself;
 * then what hangs from nothing, and counts. Keeps about 80 bytes per inode, and the names of directories when something was
 * lost. Repairing thread.
 */
public final class BlobFsRepair implements StoreMender {
    private static final String LOST_AND_FOUND = "lost+found";
    private static final int MODE_FILE = Modes.S_IFREG | 0x180;
    private static final int MODE_DIRECTORY = Modes.S_IFDIR | 0x1c0;
    private static final int MODE_LINK = Modes.S_IFLNK | 0x1ff;
    private static final int COLLISION_BITS = 8;

    /** Longer than any path of sane depth; a circle is cut here. */
    private static final int MAX_PATH_DEPTH = 1000;

    private final RepairReporter reporter;
    private final long nowNs;

    public BlobFsRepair(RepairReporter reporter, long nowNs) {
        this.reporter = reporter;
        this.nowNs = nowNs;
    }

    @Override
    public void blocksOf(long k0, long k1, long valueAddress, int valueLength, long totalBlocks, BlockSink sink) {
        if (k0 != Items.SYSTEM
                && Items.type(k1) == Items.TYPE_EXTENT
                && Items.isExtent(valueAddress, valueLength, totalBlocks)) {
            sink.use(
                    Memory.getLong(valueAddress + Items.EXTENT_BLOCK_OFFSET),
                    Memory.getInt(valueAddress + Items.EXTENT_LENGTH_OFFSET));
        }
    }

    @Override
    public void mend(StoreEditor editor) {
        try (Arena arena = Arena.ofConfined()) {
            new Run(editor, arena).run();
        }
    }

    /** One repair. */
    private final class Run {
        private final StoreEditor editor;
        private final BlobStore store;
        private final NameHash hash;

        /** The value that is looked at, and one that is made. */
        private final long value;

        private final long made;
        private int length;

        private CheckInodes inodes = new CheckInodes();

        /** Of a directory: the one that may name it. */
        private long[] owner = new long[0];

        /** Entry types of inodes that are not there. */
        private final Map<Long, Integer> missing = new HashMap<>();

        /** What was lost of inodes that are there, to be told with their paths. */
        private final TreeMap<Long, String> losses = new TreeMap<>();

        private boolean hasSuper;
        private long nextInode;
        private long lostAndFound;

        Run(StoreEditor editor, Arena arena) {
            this.editor = editor;
            store = editor.store();
            hash = new NameHash(store.hashSeed());
            value = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
            made = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
        }

        void run() {
            checkFeatures();
            if (editor.isGuessed()) {
                dropConflicts();
            }
            findInodes();
            boolean madeAnew = mendHeadless();
            if (dropBrokenLinks() || madeAnew) {
                findInodes();
            }
            findOwners();
            mendItems();
            mendHeader();
            mendConnections();
            mendCounts();
            mendCounter();
            tellLosses();
        }

        private void checkFeatures() {
            if (editor.find(Items.SYSTEM, Items.SUPER_KEY) && store.valueLength == Items.SUPER_SIZE) {
                long features = Memory.getLong(store.valueAddress + Items.SUPER_INCOMPATIBLE_OFFSET)
                        | Memory.getLong(store.valueAddress + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET);
                if (features != 0) {
                    throw new StoreException(
                            StoreException.Kind.UNSUPPORTED,
                            "the file system uses features that this version does not know: 0x"
                                    + Long.toHexString(features));
                }
            }
        }

        private static boolean isNumber(long k0) {
            return k0 > 0 && k0 < Items.SYSTEM;
        }

        private void repaired(String text) {
            reporter.repaired(text);
        }

        // --- walking

        private interface ItemVisitor {
            void item(long k0, long k1);
        }

        /** Shows every item, copied to {@link #value}; the visitor may change anything. */
        private void forEach(long fromK0, long fromK1, ItemVisitor visitor) {
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
        private void forEachOf(long inode, long fromK1, LongConsumer visitor) {
            long k1 = fromK1;
            while (editor.ceiling(inode, k1) && store.foundK0 == inode) {
                k1 = store.foundK1;
                length = store.valueLength;
                Memory.copy(store.valueAddress, value, length);
                visitor.accept(k1);
                k1++;
            }
        }

        // --- inodes

        private void findInodes() {
            inodes = new CheckInodes();
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (isNumber(k0) && k1 == Items.INODE_KEY && isInode(k0)) {
                    int i = inodes.add(k0);
                    inodes.mode[i] = Memory.getInt(value + Items.INODE_MODE_OFFSET);
                    inodes.links[i] = Memory.getInt(value + Items.INODE_LINKS_OFFSET);
                    inodes.flags[i] = Memory.getInt(value + Items.INODE_FLAGS_OFFSET);
                    inodes.size[i] = Memory.getLong(value + Items.INODE_SIZE_OFFSET);
                    inodes.blocks[i] = Memory.getLong(value + Items.INODE_BLOCKS_OFFSET);
                    inodes.parent[i] = Memory.getLong(value + Items.INODE_PARENT_OFFSET);
                }
            });
        }

        private boolean isInode(long number) {
            if (!Inode.isValidItem(value, length)) {
                return false;
            }
            int mode = Memory.getInt(value + Items.INODE_MODE_OFFSET);
            return Modes.isValidType(mode)
                    && (number != FileSystem.ROOT_INODE || (mode & Modes.S_IFMT) == Modes.S_IFDIR);
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
            forEach(0, 1L << 63, (k0, k1) -> {
                boolean own = k0 < FileSystem.ROOT_INODE || k0 > Items.SYSTEM;
                if (own) {
                    editor.delete(k0, k1);
                    repaired("an item that belongs to nothing was deleted: " + Long.toHexString(k0) + ":"
                            + Long.toHexString(k1));
                } else if (isNumber(k0) && inodes.indexOf(k0) < 0) {
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
                case Items.TYPE_DENTRY -> of.entries |= Items.isDentry(value, length);
                case Items.TYPE_XATTR -> of.attributes = true;
                case Items.TYPE_INLINE -> {
                    of.inline = true;
                    of.secondPiece |= k1 == Items.INLINE_KEY2;
                    of.inlineBytes += Math.max(0, length - Items.INLINE_DATA_OFFSET);
                }
                case Items.TYPE_EXTENT -> {
                    if (Items.isExtent(value, length, store.totalBlocks())) {
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
                    ? MODE_DIRECTORY
                    : isLink ? MODE_LINK : MODE_FILE;
            boolean isFile = mode == MODE_FILE;
            boolean isWholeLink =
                    mode == MODE_LINK && !editor.mayHaveLost(number, Items.INLINE_KEY, Items.INLINE_KEY2 + 1);
            if (mode != MODE_DIRECTORY && !isWholeLink && !(isFile && (of.inline || of.extentEnd > 0))) {
                forEachOf(number, 0, k1 -> editor.delete(number, k1));
                lost(number, "lost; what is left of it is of no use");
                return;
            }
            Memory.zero(made, Items.INODE_SIZE);
            Memory.putInt(made, Items.VERSION);
            int flags = (of.attributes ? Items.FLAG_XATTRS : 0) | (isFile && of.extentEnd == 0 ? Items.FLAG_INLINE : 0);
            Memory.putInt(made + Items.INODE_FLAGS_OFFSET, flags);
            Memory.putInt(made + Items.INODE_MODE_OFFSET, isRoot ? MODE_DIRECTORY | 0x2d : mode);
            Memory.putInt(made + Items.INODE_LINKS_OFFSET, 1);
            Memory.putInt(made + Items.INODE_GENERATION_OFFSET, 1);
            long size = mode == MODE_DIRECTORY
                    ? Items.BLOCK_SIZE
                    : of.extentEnd > 0 && isFile ? of.extentEnd << Items.BLOCK_SHIFT : of.inlineBytes;
            Memory.putLong(made + Items.INODE_SIZE_OFFSET, Math.clamp(size, 0, Limits.MAX_FILE_BYTES));
            for (int at : new int[] {
                Items.INODE_ATIME_OFFSET, Items.INODE_MTIME_OFFSET, Items.INODE_CTIME_OFFSET, Items.INODE_BTIME_OFFSET
            }) {
                Memory.putLong(made + at, nowNs);
            }
            Memory.putLong(made + Items.INODE_PARENT_OFFSET, isRoot ? FileSystem.ROOT_INODE : 0);
            editor.put(number, Items.INODE_KEY, made, Items.INODE_SIZE);
            lost(number, "owner, mode, times" + (isFile ? " and exact size" : "") + " are lost; its content was kept");
        }

        /** The types that entries give to inodes that are not there. */
        private void findMissing() {
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (isNumber(k0) && Items.type(k1) == Items.TYPE_DENTRY && Items.isDentry(value, length)) {
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
                    long number = inodes.number[i];
                    long[] bytes = {0};
                    forEachOf(number, Items.INLINE_KEY, k1 -> {
                        boolean piece = k1 <= Items.INLINE_KEY2
                                && length >= Items.INLINE_DATA_OFFSET
                                && Memory.getUnsignedByte(value) == Items.VERSION;
                        bytes[0] += piece ? length - Items.INLINE_DATA_OFFSET : 0;
                    });
                    if (bytes[0] != inodes.size[i]) {
                        forEachOf(number, 0, k1 -> editor.delete(number, k1));
                        lost(number, "lost: the target of this symbolic link is not whole");
                        any[0] = true;
                    }
                }
            }
            return any[0];
        }

        /** For each directory the entry that counts: the one in the directory that it calls its parent, or the first. */
        private void findOwners() {
            owner = new long[inodes.count];
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (isEntry(k0, k1)) {
                    int i = inodes.indexOf(Memory.getLong(value + Items.DENTRY_INODE_OFFSET));
                    if (i >= 0 && inodes.isDirectory(i) && (owner[i] == 0 || inodes.parent[i] == k0)) {
                        owner[i] = k0;
                    }
                }
            });
            int root = inodes.indexOf(FileSystem.ROOT_INODE);
            owner[root] = FileSystem.ROOT_INODE;
        }

        private boolean isEntry(long k0, long k1) {
            return isNumber(k0)
                    && Items.type(k1) == Items.TYPE_DENTRY
                    && Items.isDentry(value, length)
                    && inodes.indexOf(k0) >= 0
                    && inodes.isDirectory(inodes.indexOf(k0));
        }

        // --- two extents in the same blocks, where leaves were chosen by age only

        private record Claim(long changedNs, long inode, long k1, long block, long blocks) {}

        /** Of two files in the same blocks the one that was changed later is right: the other one's item is left over. */
        private void dropConflicts() {
            TreeMap<Long, Claim> byBlock = new TreeMap<>();
            long[] current = {0, 0};
            Set<Claim> dropped = new HashSet<>();
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (isNumber(k0) && k1 == Items.INODE_KEY && isInode(k0)) {
                    current[0] = k0;
                    current[1] = Memory.getLong(value + Items.INODE_CTIME_OFFSET);
                }
                if (isNumber(k0)
                        && Items.type(k1) == Items.TYPE_EXTENT
                        && Items.isExtent(value, length, store.totalBlocks())) {
                    long block = Memory.getLong(value + Items.EXTENT_BLOCK_OFFSET);
                    long blocks = Memory.getInt(value + Items.EXTENT_LENGTH_OFFSET);
                    claim(byBlock, dropped, new Claim(current[0] == k0 ? current[1] : 0, k0, k1, block, blocks));
                }
            });
            for (Claim claim : dropped) {
                editor.delete(claim.inode, claim.k1);
                lost(claim.inode, lostBlocks(Items.sub(claim.k1), claim.blocks) + ": they belong to a newer file now");
            }
        }

        private static void claim(NavigableMap<Long, Claim> byBlock, Set<Claim> dropped, Claim claim) {
            Map.Entry<Long, Claim> at = byBlock.floorEntry(claim.block);
            if (at == null || at.getValue().block + at.getValue().blocks <= claim.block) {
                at = byBlock.higherEntry(claim.block);
            }
            while (at != null && at.getKey() < claim.block + claim.blocks) {
                Claim other = at.getValue();
                if (other.changedNs >= claim.changedNs) {
                    dropped.add(claim);
                    return;
                }
                dropped.add(other);
                byBlock.remove(at.getKey());
                at = byBlock.higherEntry(at.getKey());
            }
            byBlock.put(claim.block, claim);
        }

        // --- items

        private int current;
        private long currentNumber;
        private long blockSum;
        private long extentEnd;
        private boolean hasInline;
        private boolean hasXattrs;
        private long xattrKey;
        private int xattrLength;
        private int xattrPieces;

        private void mendItems() {
            current = -1;
            currentNumber = 0;
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (k0 != currentNumber) {
                    endInode();
                    currentNumber = k0;
                    current = isNumber(k0) ? inodes.indexOf(k0) : -1;
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
                    lost(k0, "the extent at file block " + Items.sub(k1) + " meant nothing");
                } else if (Items.type(k1) != Items.TYPE_DENTRY) {
                    repaired("inode " + k0 + ": item " + Long.toHexString(k1) + " meant nothing and was deleted");
                }
            }
        }

        /** Whether the entry stays; one that is told about here. */
        private boolean mendEntry(long k1) {
            if (!Items.isDentry(value, length) || !inodes.isDirectory(current)) {
                lost(currentNumber, "an entry meant nothing");
                return false;
            }
            long name = value + Items.DENTRY_NAME_OFFSET;
            int nameLength = length - Items.DENTRY_NAME_OFFSET;
            long target = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
            String text = text(name, nameLength);
            int i = inodes.indexOf(target);
            if (i < 0) {
                losses.merge(currentNumber, "entry \"" + text + "\": inode " + target + " is lost", Run::join);
                return false;
            }
            boolean isDirectory = inodes.isDirectory(i);
            if (isDirectory && (owner[i] != currentNumber || inodes.named[i] > 0 || target == FileSystem.ROOT_INODE)) {
                repaired("inode " + currentNumber + ": entry \"" + text + "\" named directory " + target
                        + " for a second time");
                return false;
            }
            int type = Modes.directoryType(inodes.mode[i]);
            boolean validName = Directory.isEntryName(name, nameLength);
            if (!validName || hash.hash48(name, nameLength) != Items.sub(k1) >>> COLLISION_BITS) {
                repaired("inode " + currentNumber + ": entry \"" + text + "\" was not where its name belongs");
                if (validName) {
                    byte[] bytes = new byte[nameLength];
                    Memory.copyToArray(name, bytes, 0, nameLength);
                    long added = addEntry(currentNumber, bytes, target, type);
                    // One that comes later is counted when it comes.
                    if (added != 0 && added < k1) {
                        countEntry(i, isDirectory);
                    }
                }
                return false;
            }
            if (type != Memory.getUnsignedByte(value + Items.DENTRY_TYPE_OFFSET)) {
                Memory.putByte(value + Items.DENTRY_TYPE_OFFSET, (byte) type);
                editor.put(currentNumber, k1, value, length);
                repaired("inode " + currentNumber + ": entry \"" + text + "\" had a wrong type");
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
            if (!Items.isExtent(value, length, store.totalBlocks())) {
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
            return true;
        }

        private boolean isGoodInline(long k1) {
            boolean isLink = inodes.isLink(current);
            boolean fits = isLink
                    ? Items.sub(k1) <= 1
                    : Items.sub(k1) == 0
                            && inodes.isInline(current)
                            && length <= Items.INLINE_DATA_OFFSET + Limits.MAX_INLINE_BYTES;
            if (!fits || length < Items.INLINE_DATA_OFFSET || Memory.getUnsignedByte(value) != Items.VERSION) {
                return false;
            }
            hasInline = true;
            if (!isLink && length - Items.INLINE_DATA_OFFSET > inodes.size[current]) {
                editor.put(currentNumber, k1, value, Items.INLINE_DATA_OFFSET + (int) inodes.size[current]);
                repaired("inode " + currentNumber + ": content behind its end was cut off");
            }
            return true;
        }

        private boolean isGoodXattr(long k1) {
            int piece = (int) (k1 & 0xff);
            if (length < Items.XATTR_DATA_OFFSET || Memory.getUnsignedByte(value) != Items.VERSION) {
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
                        || Items.XATTR_DATA_OFFSET + nameLength > length
                        || hash.hash40(name, nameLength) != Items.sub(k1) >>> 16) {
                    return false;
                }
                xattrKey = k1;
                xattrLength = valueLength;
            } else if (xattrPieces != piece
                    || nameLength != 0
                    || (k1 & ~0xffL) != xattrKey
                    || valueLength != xattrLength
                    || piece >= Xattrs.pieces(valueLength)) {
                return false;
            }
            if (length != Items.XATTR_DATA_OFFSET + nameLength + Xattrs.pieceBytes(valueLength, piece)) {
                return false;
            }
            xattrPieces = piece + 1;
            hasXattrs = true;
            return true;
        }

        private void endXattr() {
            if (xattrPieces > 0 && xattrPieces != Xattrs.pieces(xattrLength)) {
                for (int p = 0; p < xattrPieces; p++) {
                    editor.delete(currentNumber, xattrKey + p);
                }
                lost(currentNumber, "an extended attribute is not whole and was deleted");
            }
            xattrPieces = 0;
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
                    lost(number, (inodes.blocks[i] - blockSum) + " blocks of its content" + lostRange(number));
                }
            } else if (isFile
                    && inodes.isInline(i)
                    && inodes.size[i] > 0
                    && !hasInline
                    && editor.mayHaveLost(number, Items.INLINE_KEY, Items.INLINE_KEY + 1)) {
                lost(number, "its content, " + inodes.size[i] + " bytes, may be lost; it reads as zeroes");
            }
            if ((inodes.flags[i] & Items.FLAG_XATTRS) != 0
                    && editor.mayHaveLost(number, Items.key(Items.TYPE_XATTR, 0), Items.key(Items.TYPE_XATTR + 1, 0))) {
                lost(number, "extended attributes may be lost");
            }
            if (inodes.isDirectory(i)
                    && editor.mayHaveLost(
                            number, Items.key(Items.TYPE_DENTRY, 0), Items.key(Items.TYPE_DENTRY + 1, 0))) {
                lost(number, "entries of this directory may be lost; what they named is in /" + LOST_AND_FOUND);
            }
            int flags = (inodes.flags[i] & Items.KNOWN_FLAGS) | (hasXattrs ? Items.FLAG_XATTRS : 0);
            if (flags != inodes.flags[i] || blockSum != inodes.blocks[i]) {
                inodes.flags[i] = flags;
                inodes.blocks[i] = blockSum;
                long blocks = blockSum;
                changeInode(number, address -> {
                    Memory.putInt(address + Items.INODE_FLAGS_OFFSET, flags);
                    Memory.putLong(address + Items.INODE_BLOCKS_OFFSET, blocks);
                });
                repaired("inode " + number + ": blocks and flags were set to what its items say");
            }
        }

        /** Which file blocks cannot be told to be there. */
        private String lostRange(long number) {
            StringBuilder text = new StringBuilder();
            editor.lostRanges(
                    number, Items.key(Items.TYPE_EXTENT, 0), Items.key(Items.TYPE_EXTENT + 1, 0), (from, to) -> {
                        text.append(text.isEmpty() ? ", between file block " : " and ")
                                .append(Items.sub(from));
                        text.append(Items.type(to) == Items.TYPE_EXTENT ? " and " + Items.sub(to) : " and the end");
                    });
            return text.append("; they read as zeroes").toString();
        }

        private static String lostBlocks(long from, long blocks) {
            return "file blocks " + from + " to " + (from + blocks - 1) + " are lost";
        }

        private void mendSystemItem(long k1) {
            boolean good = false;
            if (k1 == Items.SUPER_KEY) {
                hasSuper = length == Items.SUPER_SIZE && Memory.getUnsignedByte(value) == Items.VERSION;
                good = true;
            } else if (k1 == Items.NEXT_INODE_KEY) {
                nextInode = length == Items.COUNTER_SIZE ? Memory.getLong(value + Items.COUNTER_VALUE_OFFSET) : 0;
                good = true;
            } else if (Items.type(k1) == Items.TYPE_ORPHAN && length == Items.ORPHAN_SIZE) {
                good = isGoodOrphan(Items.sub(k1), Memory.getByte(value + Items.ORPHAN_REASON_OFFSET));
            }
            if (!good) {
                editor.delete(Items.SYSTEM, k1);
                repaired("system item " + Long.toHexString(k1) + " meant nothing and was deleted");
            }
        }

        private boolean isGoodOrphan(long number, byte reason) {
            int i = inodes.indexOf(number);
            boolean truncating = reason == Items.ORPHAN_TRUNCATING;
            if (i < 0
                    || (!truncating && reason != Items.ORPHAN_UNLINKED)
                    || (truncating && (inodes.flags[i] & Items.FLAG_TRUNCATING) == 0)
                    || (!truncating && inodes.named[i] != 0)) {
                return false;
            }
            inodes.orphan[i] = reason;
            return true;
        }

        // --- the whole

        private void mendHeader() {
            if (!hasSuper) {
                Memory.zero(made, Items.SUPER_SIZE);
                Memory.putLong(made + Items.SUPER_VERSION_OFFSET, Items.VERSION);
                Memory.putLong(made + Items.SUPER_CREATED_OFFSET, nowNs);
                editor.put(Items.SYSTEM, Items.SUPER_KEY, made, Items.SUPER_SIZE);
                repaired("the file system's header was made anew");
            }
            long last = inodes.count == 0 ? 0 : inodes.number[inodes.count - 1];
            for (long number : missing.keySet()) {
                last = Math.max(last, number < Items.SYSTEM - 2L * Limits.INODE_BATCH ? number : 0);
            }
            if (nextInode <= last || nextInode > Items.SYSTEM) {
                // Numbers behind the last one seen may have been given out, too.
                nextInode = last + 1 + Limits.INODE_BATCH;
                counterChanged = true;
                repaired("the counter of inode numbers was set to " + nextInode);
            }
        }

        private boolean counterChanged;

        private void mendCounter() {
            if (counterChanged) {
                Items.encodeCounter(made, nextInode);
                editor.put(Items.SYSTEM, Items.NEXT_INODE_KEY, made, Items.COUNTER_SIZE);
            }
        }

        /** Everything hangs from the root afterwards, or is an orphan. */
        private void mendConnections() {
            cutCircles();
            int known = inodes.count;
            for (int i = 0; i < known; i++) {
                long number = inodes.number[i];
                if (inodes.named[i] == 0
                        && number != FileSystem.ROOT_INODE
                        && inodes.orphan[i] != Items.ORPHAN_UNLINKED) {
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
                    at = inodes.named[at] == 0 ? -1 : inodes.indexOf(owner[at]);
                }
                if (at >= 0 && seenBy[at] == i + 1 && inodes.number[at] != FileSystem.ROOT_INODE) {
                    removeEntry(owner[at], inodes.number[at]);
                    inodes.subdirectories[inodes.indexOf(owner[at])]--;
                    inodes.named[at] = 0;
                    owner[at] = 0;
                    repaired("directory " + inodes.number[at] + " was within itself");
                }
            }
        }

        private void removeEntry(long directory, long target) {
            forEachOf(directory, Items.key(Items.TYPE_DENTRY, 0), k1 -> {
                boolean names = Items.type(k1) == Items.TYPE_DENTRY
                        && Items.isDentry(value, length)
                        && Memory.getLong(value + Items.DENTRY_INODE_OFFSET) == target;
                if (names) {
                    editor.delete(directory, k1);
                }
            });
        }

        private void reattach(int i) {
            long number = inodes.number[i];
            int at = lostAndFound();
            byte[] name = ("#" + number).getBytes(StandardCharsets.US_ASCII);
            if (addEntry(lostAndFound, name, number, Modes.directoryType(inodes.mode[i])) == 0) {
                addEntry(
                        lostAndFound,
                        ("#" + number + "." + nowNs).getBytes(StandardCharsets.US_ASCII),
                        number,
                        Modes.directoryType(inodes.mode[i]));
            }
            inodes.named[i] = 1;
            if (inodes.isDirectory(i)) {
                inodes.subdirectories[at]++;
                owner[i] = lostAndFound;
            }
            repaired("inode " + number + " had no name: it is /" + LOST_AND_FOUND + "/#" + number + " now");
        }

        /** The index of the directory, which is made when need be. */
        private int lostAndFound() {
            for (int n = 0; lostAndFound == 0; n++) {
                byte[] name = (LOST_AND_FOUND + (n == 0 ? "" : "." + n)).getBytes(StandardCharsets.US_ASCII);
                long found = lookUp(FileSystem.ROOT_INODE, name);
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
            long number = nextInode++;
            counterChanged = true;
            Memory.zero(made, Items.INODE_SIZE);
            Memory.putInt(made, Items.VERSION);
            Memory.putInt(made + Items.INODE_MODE_OFFSET, MODE_DIRECTORY);
            Memory.putInt(made + Items.INODE_LINKS_OFFSET, 2);
            Memory.putInt(made + Items.INODE_GENERATION_OFFSET, 1);
            Memory.putLong(made + Items.INODE_SIZE_OFFSET, Items.BLOCK_SIZE);
            for (int at : new int[] {
                Items.INODE_ATIME_OFFSET, Items.INODE_MTIME_OFFSET, Items.INODE_CTIME_OFFSET, Items.INODE_BTIME_OFFSET
            }) {
                Memory.putLong(made + at, nowNs);
            }
            Memory.putLong(made + Items.INODE_PARENT_OFFSET, FileSystem.ROOT_INODE);
            editor.put(number, Items.INODE_KEY, made, Items.INODE_SIZE);
            addEntry(FileSystem.ROOT_INODE, name, number, Modes.directoryType(MODE_DIRECTORY));
            int i = inodes.add(number);
            inodes.mode[i] = MODE_DIRECTORY;
            inodes.links[i] = 2;
            inodes.parent[i] = FileSystem.ROOT_INODE;
            inodes.named[i] = 1;
            owner = Arrays.copyOf(owner, inodes.count);
            owner[i] = FileSystem.ROOT_INODE;
            inodes.subdirectories[inodes.indexOf(FileSystem.ROOT_INODE)]++;
            lostAndFound = number;
            repaired("/" + new String(name, StandardCharsets.US_ASCII) + " was made");
        }

        /** Link counts and parents. */
        private void mendCounts() {
            for (int i = 0; i < inodes.count; i++) {
                if (inodes.orphan[i] == Items.ORPHAN_UNLINKED) {
                    continue;
                }
                boolean isDirectory = inodes.isDirectory(i);
                int links = isDirectory ? 2 + inodes.subdirectories[i] : inodes.named[i];
                long parent = isDirectory ? owner[i] : inodes.parent[i];
                if (links != inodes.links[i] || parent != inodes.parent[i]) {
                    changeInode(inodes.number[i], address -> {
                        Memory.putInt(address + Items.INODE_LINKS_OFFSET, links);
                        Memory.putLong(address + Items.INODE_PARENT_OFFSET, parent);
                    });
                    repaired("inode " + inodes.number[i] + ": links were set from " + inodes.links[i] + " to " + links
                            + (parent == inodes.parent[i] ? "" : ", parent to " + parent));
                }
            }
        }

        // --- changing

        private void changeInode(long number, LongConsumer change) {
            if (!editor.find(number, Items.INODE_KEY)) {
                throw new IllegalStateException("inode " + number + " is gone");
            }
            Memory.copy(store.valueAddress, made, Items.INODE_SIZE);
            change.accept(made);
            editor.put(number, Items.INODE_KEY, made, Items.INODE_SIZE);
        }

        /** The inode of an entry, or 0. */
        private long lookUp(long directory, byte[] name) {
            try (Arena arena = Arena.ofConfined()) {
                long at = arena.allocate(name.length, 8).address();
                Memory.copyFromArray(name, 0, at, name.length);
                long first = Items.key(Items.TYPE_DENTRY, hash.hash48(at, name.length) << COLLISION_BITS);
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
        private long addEntry(long directory, byte[] name, long target, int type) {
            if (lookUp(directory, name) != 0) {
                return 0;
            }
            try (Arena arena = Arena.ofConfined()) {
                long at = arena.allocate(name.length, 8).address();
                Memory.copyFromArray(name, 0, at, name.length);
                long first = Items.key(Items.TYPE_DENTRY, hash.hash48(at, name.length) << COLLISION_BITS);
                for (int n = 0; n < Limits.MAX_COLLISIONS; n++) {
                    if (!editor.find(directory, first + n)) {
                        editor.put(directory, first + n, made, Items.encodeDentry(made, target, type, at, name.length));
                        return first + n;
                    }
                }
            }
            return 0;
        }

        // --- telling

        private void lost(long inode, String text) {
            losses.merge(inode, text, Run::join);
        }

        private static String join(String before, String text) {
            return before + "; " + text;
        }

        private static String text(long name, int nameLength) {
            byte[] bytes = new byte[nameLength];
            Memory.copyToArray(name, bytes, 0, nameLength);
            return new String(bytes, StandardCharsets.UTF_8);
        }

        private record Name(long directory, String name) {}

        private void lostRange(long from, long to, String text) {
            if (to > 0 && from < Items.SYSTEM) {
                reporter.lost("items of inodes " + from + " to " + Math.min(to, Items.SYSTEM) + " " + text);
            }
        }

        private void tellLosses() {
            editor.lostNumbers(
                    (from, to) -> lostRange(from, to, "cannot be read: what is gone without a trace was among them"));
            editor.guessedNumbers((from, to) -> lostRange(
                    from, to, "were chosen by their age: some may be of an older state, or had been removed before"));
            if (losses.isEmpty()) {
                return;
            }
            Map<Long, Name> names = new HashMap<>();
            forEach(FileSystem.ROOT_INODE, 0, (k0, k1) -> {
                if (isEntry(k0, k1)) {
                    long target = Memory.getLong(value + Items.DENTRY_INODE_OFFSET);
                    int i = inodes.indexOf(target);
                    if (losses.containsKey(target) || (i >= 0 && inodes.isDirectory(i))) {
                        names.put(
                                target,
                                new Name(
                                        k0, text(value + Items.DENTRY_NAME_OFFSET, length - Items.DENTRY_NAME_OFFSET)));
                    }
                }
            });
            losses.forEach((inode, text) -> reporter.lost("inode " + inode + path(names, inode) + ": " + text));
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
}

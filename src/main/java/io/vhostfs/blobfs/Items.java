package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.memory.Memory;

/**
 * Keys and values of everything the file system keeps in the store; docs/on-disk-format.md, "File system items".
 *
 * <p>A key is (inode number, type in the top 8 bits and a type's own 56 bits below). Every value starts with a version.
 */
final class Items {
    static final int BLOCK_SHIFT = 12;
    static final int BLOCK_SIZE = 1 << BLOCK_SHIFT;
    static final int BLOCK_MASK = BLOCK_SIZE - 1;

    static final int TYPE_SHIFT = 56;
    static final long SUB_MASK = (1L << TYPE_SHIFT) - 1;

    static final int TYPE_INODE = 1;
    static final int TYPE_XATTR = 2;
    static final int TYPE_DENTRY = 3;
    static final int TYPE_EXTENT = 4;
    static final int TYPE_INLINE = 5;
    /** Under {@link #SYSTEM}: sub is the inode number. */
    static final int TYPE_ORPHAN = 6;
    /** Under {@link #SYSTEM}: sub is one of COUNTER_*. */
    static final int TYPE_COUNTER = 7;
    /** Under {@link #SYSTEM}. */
    static final int TYPE_SUPER = 8;
    /** Under {@link #SYSTEM}: sub is the first disk block. */
    static final int TYPE_SHARED = 9;
    /** Under {@link #SYSTEM}: sub is a project of which {@link #isQuotaProject} is true. */
    static final int TYPE_PROJECT = 10;

    /** First key part of the items that belong to no inode: above every inode number. */
    static final long SYSTEM = 1L << 56;

    static final long COUNTER_NEXT_INODE = 1;

    static final int VERSION = 1;

    // --- INODE

    static final int INODE_SIZE = 128;
    static final int INODE_VERSION_OFFSET = 0;
    static final int INODE_FLAGS_OFFSET = 4;
    static final int INODE_MODE_OFFSET = 8;
    static final int INODE_UID_OFFSET = 12;
    static final int INODE_GID_OFFSET = 16;
    static final int INODE_LINKS_OFFSET = 20;
    static final int INODE_DEVICE_OFFSET = 24;
    static final int INODE_GENERATION_OFFSET = 28;
    static final int INODE_SIZE_OFFSET = 32;
    static final int INODE_BLOCKS_OFFSET = 40;
    static final int INODE_ATIME_OFFSET = 48;
    static final int INODE_MTIME_OFFSET = 56;
    static final int INODE_CTIME_OFFSET = 64;
    static final int INODE_BTIME_OFFSET = 72;
    static final int INODE_PARENT_OFFSET = 80;
    static final int INODE_DATA_VERSION_OFFSET = 88;
    /** 0: of no project; {@link #isQuotaProject}. */
    static final int INODE_PROJECT_OFFSET = 96;

    /** Content, if any, is in INLINE items and there are no extents. */
    static final int FLAG_INLINE = 1;
    /** There may be XATTR items. */
    static final int FLAG_XATTRS = 1 << 1;
    /** The block that holds the end of file may hold stale bytes behind it; zero them before the file grows over them. */
    static final int FLAG_STALE_TAIL = 1 << 2;
    /** A truncation was begun: extents behind the end of file are to be removed before anything else. */
    static final int FLAG_TRUNCATING = 1 << 3;
    /** Of a directory: what is made in it takes its project, directories this flag, too. */
    static final int FLAG_PROJECT_INHERIT = 1 << 4;

    /** What FS_IOC_SETFLAGS sets; see {@link InodeFlags}. */
    static final int FLAG_IMMUTABLE = 1 << 5;

    static final int FLAG_APPEND_ONLY = 1 << 6;
    static final int FLAG_NO_DUMP = 1 << 7;
    static final int FLAG_NO_ATIME = 1 << 8;
    static final int FLAG_SYNC = 1 << 9;
    static final int FLAG_DIR_SYNC = 1 << 10;

    static final int KNOWN_FLAGS = FLAG_INLINE
            | FLAG_XATTRS
            | FLAG_STALE_TAIL
            | FLAG_TRUNCATING
            | FLAG_PROJECT_INHERIT
            | FLAG_IMMUTABLE
            | FLAG_APPEND_ONLY
            | FLAG_NO_DUMP
            | FLAG_NO_ATIME
            | FLAG_SYNC
            | FLAG_DIR_SYNC;

    // --- DENTRY

    static final int DENTRY_VERSION_OFFSET = 0;
    static final int DENTRY_TYPE_OFFSET = 1;
    static final int DENTRY_NAME_LENGTH_OFFSET = 2;
    static final int DENTRY_INODE_OFFSET = 8;
    static final int DENTRY_NAME_OFFSET = 16;

    /** Sub is the name's hash, then this many bits that tell names of one hash apart. */
    static final int DENTRY_COLLISION_BITS = 8;

    // --- EXTENT

    static final int EXTENT_SIZE = 16;
    static final int EXTENT_VERSION_OFFSET = 0;
    static final int EXTENT_FLAGS_OFFSET = 1;
    static final int EXTENT_LENGTH_OFFSET = 4;
    static final int EXTENT_BLOCK_OFFSET = 8;
    static final int EXTENT_FLAG_UNWRITTEN = 1;
    /** Other extents may hold some of its blocks, too: they are not written in place. */
    static final int EXTENT_FLAG_SHARED = 2;

    // --- SHARED: how many extents hold each of a run of blocks; at least 2

    static final int SHARED_SIZE = 16;
    static final int SHARED_VERSION_OFFSET = 0;
    static final int SHARED_LENGTH_OFFSET = 4;
    static final int SHARED_REFERENCES_OFFSET = 8;

    // --- INLINE (content of a small file; a symbolic link's target in one or two pieces)

    static final int INLINE_VERSION_OFFSET = 0;
    static final int INLINE_DATA_OFFSET = 8;
    /** Bytes of a symbolic link's target in its first item. */
    static final int SYMLINK_PIECE_BYTES = 3072;

    // --- XATTR: sub is hash40 << 16 | collision << 8 | piece

    static final int XATTR_VERSION_OFFSET = 0;
    static final int XATTR_NAME_LENGTH_OFFSET = 1;
    static final int XATTR_VALUE_LENGTH_OFFSET = 4;
    /** In piece 0: the name, then the value's start; in the others: more of the value. */
    static final int XATTR_DATA_OFFSET = 8;

    /** Bytes of value in each piece but the last. */
    static final int XATTR_PIECE_BYTES = 3600;

    // --- ORPHAN

    static final int ORPHAN_SIZE = 8;
    static final int ORPHAN_VERSION_OFFSET = 0;
    static final int ORPHAN_REASON_OFFSET = 1;
    /** No directory entry is left: the inode goes when nobody uses it. */
    static final int ORPHAN_UNLINKED = 1;
    /** See {@link #FLAG_TRUNCATING}. */
    static final int ORPHAN_TRUNCATING = 2;

    // --- COUNTER

    static final int COUNTER_SIZE = 16;
    static final int COUNTER_VERSION_OFFSET = 0;
    static final int COUNTER_VALUE_OFFSET = 8;

    // --- SUPER

    static final int SUPER_SIZE = 64;
    static final int SUPER_VERSION_OFFSET = 0;
    static final int SUPER_COMPATIBLE_OFFSET = 8;
    static final int SUPER_READ_ONLY_COMPATIBLE_OFFSET = 16;
    static final int SUPER_INCOMPATIBLE_OFFSET = 24;
    static final int SUPER_CREATED_OFFSET = 32;
    /** Incompatible feature: extents may share blocks. Set with the first that do, and never cleared. */
    static final long FEATURE_SHARED = 1;

    /** Read-only compatible: there are PROJECT items, which whoever changes something keeps true. */
    static final long FEATURE_QUOTAS = 1;

    // --- PROJECT

    static final int PROJECT_SIZE = 64;
    static final int PROJECT_VERSION_OFFSET = 0;
    static final int PROJECT_FLAGS_OFFSET = 1;
    static final int PROJECT_ROOT_OFFSET = 8;
    static final int PROJECT_USED_BYTES_OFFSET = 16;
    static final int PROJECT_USED_INODES_OFFSET = 24;
    static final int PROJECT_MAX_BYTES_OFFSET = 32;
    static final int PROJECT_MAX_INODES_OFFSET = 40;
    /** What is used is not known: it was being counted. */
    static final int PROJECT_FLAG_COUNTING = 1;

    /** What an item of the tree takes beside its value, as quotas count. */
    static final int SLOT_BYTES = 24;

    private Items() {}

    /**
     * Whether a project is one that a share's quota made. Clients change neither such an inode's project nor its {@link
     * #FLAG_PROJECT_INHERIT}, and give no inode such a project: they would leave the quota.
     */
    static boolean isQuotaProject(int project) {
        return project < 0;
    }

    /** Whether a first key part is the number of an inode. */
    static boolean isInodeNumber(long k0) {
        return k0 > 0 && k0 <= Limits.MAX_INODE;
    }

    static long key(int type, long sub) {
        return (long) type << TYPE_SHIFT | sub;
    }

    static int type(long k1) {
        return (int) (k1 >>> TYPE_SHIFT);
    }

    static long sub(long k1) {
        return k1 & SUB_MASK;
    }

    static final long INODE_KEY = key(TYPE_INODE, 0);
    static final long INLINE_KEY = key(TYPE_INLINE, 0);
    static final long INLINE_KEY2 = key(TYPE_INLINE, 1);
    static final long SUPER_KEY = key(TYPE_SUPER, 0);
    static final long NEXT_INODE_KEY = key(TYPE_COUNTER, COUNTER_NEXT_INODE);

    static long extentKey(long fileBlock) {
        return key(TYPE_EXTENT, fileBlock);
    }

    static long orphanKey(long inode) {
        return key(TYPE_ORPHAN, inode);
    }

    static long projectKey(int project) {
        return key(TYPE_PROJECT, Integer.toUnsignedLong(project));
    }

    static void encodeProject(long to, Quota quota) {
        Memory.zero(to, PROJECT_SIZE);
        Memory.putLong(to, VERSION | (quota.isCounting ? PROJECT_FLAG_COUNTING << 8 : 0));
        Memory.putLong(to + PROJECT_ROOT_OFFSET, quota.root);
        Memory.putLong(to + PROJECT_USED_BYTES_OFFSET, quota.usedBytes);
        Memory.putLong(to + PROJECT_USED_INODES_OFFSET, quota.usedInodes);
        Memory.putLong(to + PROJECT_MAX_BYTES_OFFSET, quota.maxBytes);
        Memory.putLong(to + PROJECT_MAX_INODES_OFFSET, quota.maxInodes);
    }

    static boolean isProject(long value, int length) {
        return length == PROJECT_SIZE
                && Memory.getUnsignedByte(value) == VERSION
                && Memory.getLong(value + PROJECT_MAX_BYTES_OFFSET) >= 0
                && Memory.getLong(value + PROJECT_MAX_INODES_OFFSET) >= 0;
    }

    static Quota decodeProject(int project, long value) {
        Quota quota = new Quota(project, Memory.getLong(value + PROJECT_ROOT_OFFSET));
        quota.isCounting = (Memory.getByte(value + PROJECT_FLAGS_OFFSET) & PROJECT_FLAG_COUNTING) != 0;
        quota.usedBytes = Memory.getLong(value + PROJECT_USED_BYTES_OFFSET);
        quota.usedInodes = Memory.getLong(value + PROJECT_USED_INODES_OFFSET);
        quota.maxBytes = Memory.getLong(value + PROJECT_MAX_BYTES_OFFSET);
        quota.maxInodes = Memory.getLong(value + PROJECT_MAX_INODES_OFFSET);
        return quota;
    }

    static long sharedKey(long diskBlock) {
        return key(TYPE_SHARED, diskBlock);
    }

    /** The length has the flags of {@link ExtentMap}. */
    static void encodeExtent(long to, long diskBlock, int length) {
        int flags = (length < 0 ? EXTENT_FLAG_UNWRITTEN : 0) | (ExtentMap.isShared(length) ? EXTENT_FLAG_SHARED : 0);
        Memory.putInt(to, VERSION | flags << 8);
        Memory.putInt(to + EXTENT_LENGTH_OFFSET, ExtentMap.blocks(length));
        Memory.putLong(to + EXTENT_BLOCK_OFFSET, diskBlock);
    }

    /** An extent's length with the flags of {@link ExtentMap}. */
    static int extentLength(long value) {
        int flags = Memory.getByte(value + EXTENT_FLAGS_OFFSET);
        return Memory.getInt(value + EXTENT_LENGTH_OFFSET)
                | ((flags & EXTENT_FLAG_UNWRITTEN) != 0 ? ExtentMap.UNWRITTEN : 0)
                | ((flags & EXTENT_FLAG_SHARED) != 0 ? ExtentMap.SHARED : 0);
    }

    /** As {@link #isExtent}, and the store has not given the blocks to anything else, as far as a look at both ends tells. */
    static boolean isOwnExtent(BlobStore store) {
        if (!isExtent(store.valueAddress, store.valueLength, store.totalBlocks())) {
            return false;
        }
        long block = Memory.getLong(store.valueAddress + EXTENT_BLOCK_OFFSET);
        long last = block + Memory.getInt(store.valueAddress + EXTENT_LENGTH_OFFSET) - 1;
        return store.isData(block) && store.isUsed(block) && store.isUsed(last);
    }

    static void encodeShared(long to, int blocks, long references) {
        Memory.putInt(to, VERSION);
        Memory.putInt(to + SHARED_LENGTH_OFFSET, blocks);
        Memory.putLong(to + SHARED_REFERENCES_OFFSET, references);
    }

    /** Whether a value counts the references of blocks that lie within a store of so many blocks. */
    static boolean isShared(long k1, long value, int length, long totalBlocks) {
        if (length != SHARED_SIZE || Memory.getUnsignedByte(value) != VERSION) {
            return false;
        }
        int blocks = Memory.getInt(value + SHARED_LENGTH_OFFSET);
        return blocks > 0
                && blocks <= Limits.MAX_ITEM_EXTENT_BLOCKS
                && sub(k1) > 0
                && sub(k1) <= totalBlocks - blocks
                && Memory.getLong(value + SHARED_REFERENCES_OFFSET) >= 2;
    }

    /** Whether an INLINE item of so many bytes is a piece of a symbolic link's target of {@code size} bytes. */
    static boolean isTargetPiece(long k1, long size, int length) {
        if (size <= 0 || size > Limits.MAX_SYMLINK_BYTES || sub(k1) > 1) {
            return false;
        }
        long first = Math.min(size, SYMLINK_PIECE_BYTES);
        long bytes = sub(k1) == 0 ? first : size - first;
        return bytes > 0 && length == INLINE_DATA_OFFSET + bytes;
    }

    static void encodeOrphan(long to, int reason) {
        Memory.putLong(to, VERSION | (long) reason << 8);
    }

    static void encodeCounter(long to, long value) {
        Memory.putLong(to, VERSION);
        Memory.putLong(to + COUNTER_VALUE_OFFSET, value);
    }

    /** Header of an INLINE item; the data follows at {@link #INLINE_DATA_OFFSET}. */
    static void encodeInlineHeader(long to) {
        Memory.putLong(to, VERSION);
    }

    static int encodeDentry(long to, long inode, int type, long nameAddress, int nameLength) {
        Memory.putLong(to, VERSION | (long) type << 8 | (long) nameLength << 16);
        Memory.putLong(to + DENTRY_INODE_OFFSET, inode);
        Memory.copy(nameAddress, to + DENTRY_NAME_OFFSET, nameLength);
        return DENTRY_NAME_OFFSET + nameLength;
    }

    /** Whether a value is a directory entry whose lengths agree. */
    static boolean isDentry(long address, int length) {
        return length >= DENTRY_NAME_OFFSET
                && Memory.getUnsignedByte(address) == VERSION
                && DENTRY_NAME_OFFSET + Memory.getUnsignedByte(address + DENTRY_NAME_LENGTH_OFFSET) == length;
    }

    /** Whether a value is an extent that lies within a store of so many blocks. */
    static boolean isExtent(long value, int length, long totalBlocks) {
        if (length != EXTENT_SIZE || Memory.getUnsignedByte(value) != VERSION) {
            return false;
        }
        int blocks = Memory.getInt(value + EXTENT_LENGTH_OFFSET);
        long disk = Memory.getLong(value + EXTENT_BLOCK_OFFSET);
        int both = EXTENT_FLAG_UNWRITTEN | EXTENT_FLAG_SHARED;
        return blocks > 0
                && blocks <= Limits.MAX_ITEM_EXTENT_BLOCKS
                && disk > 0
                && disk <= totalBlocks - blocks
                && (Memory.getByte(value + EXTENT_FLAGS_OFFSET) & both) != both;
    }
}

package io.vhostfs.blobfs;

/** Every limit of the file system, with its reason. */
final class Limits {
    /** NAME_MAX of Linux. */
    static final int MAX_NAME_BYTES = 255;
    /** PATH_MAX of Linux, without the NUL. */
    static final int MAX_SYMLINK_BYTES = 4095;
    /** As ext4: what old tools hold in 16 bits. */
    static final int MAX_LINKS = 65_000;
    /** One exbibyte: block numbers and sizes stay far from the sign bit. */
    static final long MAX_FILE_BYTES = 1L << 60;
    /** Larger reads and writes are cut short; the FUSE layer sends at most 1 MiB, and a write is one group. */
    static final int MAX_IO_BYTES = 2 << 20;
    /** Files up to here live in the tree: half of the largest value, so that nodes stay well filled. */
    static final int MAX_INLINE_BYTES = 2000;
    /** XATTR_SIZE_MAX of Linux. */
    static final int MAX_XATTR_BYTES = 65_536;
    /** XATTR_NAME_MAX of Linux. */
    static final int MAX_XATTR_NAME_BYTES = 255;
    /** XATTR_LIST_MAX of Linux: all names of an inode, each with its NUL. */
    static final int MAX_XATTR_LIST_BYTES = 65_536;
    /** Entries whose names have the same 40 or 48 bits of keyed hash: what the keys have room for. */
    static final int MAX_COLLISIONS = 256;
    /** Extents or items one atomic group changes: its nodes must fit the tree's cache all at once. */
    static final int MAX_GROUP_ITEMS = 64;
    /** An extent's length in the format: what an int holds with room for two flags. */
    static final int MAX_ITEM_EXTENT_BLOCKS = (1 << 30) - 1;
    /** An extent's length as it is made: 4 GiB, whose bits change in 100 µs, or 1 ms before the code is compiled. */
    static final int MAX_EXTENT_BLOCKS = 1 << 20;
    /** Blocks that one group allocates or frees, but for its last extent: the same. */
    static final int MAX_GROUP_BLOCKS = 1 << 20;
    /** Ranges whose counts of references one group changes: each may lie in another node, and deletes have 16 chunks at least. */
    static final int MAX_GROUP_SHARED_RANGES = 8;
    /** Items that count the references of one such range: what is beyond goes into the next group. */
    static final int MAX_SHARED_ITEMS_PER_RANGE = 16;
    /** Runs of free blocks that one turn looks for; in a store full of small ones each takes up to 300 µs. */
    static final int MAX_RESERVES_PER_TURN = 8;
    /** Inodes whose time stamps syncfs writes back in one turn. */
    static final int MAX_WRITE_BACKS_PER_TURN = 512;
    /** Inode numbers reserved in one durable step. */
    static final int INODE_BATCH = 1024;
    /** Greater inode numbers are not given out, and none is there: what is left below 2^56 lets the counter count on. */
    static final long MAX_INODE = Items.SYSTEM - (1 << 20);
    /** What the counter of inode numbers may say: a repair sets it a batch behind the last number, and takes a few. */
    static final long MAX_NEXT_INODE = MAX_INODE + 4 * INODE_BATCH;
    /** Inodes cached without being in use: about 200 bytes each. */
    static final int MAX_CACHED_INODES = 1 << 16;
    /** Extents of all inodes in memory, about 24 bytes each; more, and maps nobody uses are dropped. */
    static final int MAX_CACHED_EXTENTS = 1 << 21;
    /** Extents read from the tree in one turn: about half a millisecond. */
    static final int MAX_EXTENTS_PER_TURN = 4096;
    /** Inodes with time stamps not yet in the tree; more start a write-back. */
    static final int MAX_DIRTY_INODES = 4096;
    /** Time stamps reach the tree at the latest after this. */
    static final long WRITE_BACK_NS = 5_000_000_000L;
    /** AccessTimes.RELATIVE: an access time older than this is not kept even where nothing changed: a day, as in Linux. */
    static final long RELATIVE_ACCESS_TIME_NS = 86_400_000_000_000L;
    /** References one client may hold: its kernel caches at most so many inodes. 16 bytes each, half filled. */
    static final int MAX_CLIENT_REFERENCES = 1 << 23;
    /** Files one client may hold open. */
    static final int MAX_CLIENT_HANDLES = 1 << 20;
    /** Memory for bounce buffers. */
    static final long MAX_BOUNCE_BYTES = 256L << 20;
    /** Reactors that may send requests. */
    static final int MAX_REACTORS = 64;

    /** Locks one client may hold: those of one file are looked through one after the other, so that all take 20 µs. */
    static final int MAX_CLIENT_LOCKS = 1 << 13;
    /** Lock requests of one client that wait: fewer than a small ring has slots, so that one for an unlock is left. */
    static final int MAX_CLIENT_WAITING_LOCKS = 96;
    /** Owners that wait for each other in a circle which is found: MAX_DEADLK_ITERATIONS of Linux. */
    static final int MAX_DEADLOCK_OWNERS = 10;
    /** Locks and files that are looked at for a circle before one waits: about 100 µs. */
    static final int MAX_DEADLOCK_LOOKS = 1 << 14;

    /** Directories with a quota of their own: shares, of which a target serves far fewer. */
    static final int MAX_QUOTAS = 1 << 12;

    private Limits() {}
}

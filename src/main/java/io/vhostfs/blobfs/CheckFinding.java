package io.vhostfs.blobfs;

/**
 * One thing that is wrong in a file system.
 *
 * @param kind what it is
 * @param inode the inode concerned, 0 when there is none
 * @param detail for people: what was found, and what was expected
 */
public record CheckFinding(Kind kind, long inode, String detail) {
    /** Every kind says what it costs. */
    public enum Kind {
        /** A value no version of this program writes: what it held is lost. */
        MALFORMED_ITEM,
        /** The file system's own header or counter is missing or wrong: it cannot be mounted. */
        BAD_HEADER,
        /** An entry names an inode that is not there. */
        DANGLING_ENTRY,
        /** An entry's type or hash is not that of its inode or name: a lookup misses it. */
        WRONG_ENTRY,
        /** An inode without an entry and without an ORPHAN item: its space is lost. */
        UNREACHABLE_INODE,
        /** The link count disagrees with the entries. */
        WRONG_LINK_COUNT,
        /** A directory's parent is not the directory that names it, or it is named twice. */
        WRONG_PARENT,
        /** Items of an inode that is not there. */
        STRAY_ITEM,
        /** Two files, or a file and the store, share blocks: writing to one damages the other. */
        SHARED_BLOCKS,
        /** The count of extents that share blocks is wrong: too low, and they are lost with the first that goes. */
        WRONG_REFERENCES,
        /** A file's blocks are free for others to take. */
        FREE_BLOCKS_IN_USE,
        /** The size or the number of blocks disagrees with the extents. */
        WRONG_SIZE,
        /** An attribute lacks a piece or has one too many, or is no access control list although its name says so. */
        BROKEN_XATTR,
        /** The permission bits are not those of the access control list. */
        WRONG_MODE,
        /** An ORPHAN item for what is no orphan. */
        STRAY_ORPHAN,
        /** What a quota says to be used is not what its inodes take: too little or too much is refused. */
        WRONG_USAGE
    }
}

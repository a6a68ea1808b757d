package io.vhostfs.fsdev;

/** An inode's attributes, as stat(2) gives them. Mutable, reused. */
public final class FsAttributes {
    public long inode;
    public long generation;
    public long sizeBytes;
    /** In 512-byte units. */
    public long blocks;

    /** Nanoseconds since 1970; signed. */
    public long accessTimeNs;

    public long modifyTimeNs;
    public long changeTimeNs;
    public long birthTimeNs;

    /** Type and permission bits, as {@code st_mode}. */
    public int mode;

    public int linkCount;
    public int uid;
    public int gid;
    /** Linux encoding of {@code new_encode_dev}: as FUSE carries it. */
    public int deviceNumber;

    public int blockSize;

    /** {@code FS_*_FL}: IMMUTABLE, APPEND, NODUMP, NOATIME, SYNC, DIRSYNC, PROJINHERIT. Not set in listings. */
    public int flags;

    /** Whether there are extended attributes, or have been. Not set in listings. */
    public boolean hasXattrs;

    /** Unsigned; 0: of no project. Not set in listings. */
    public int project;

    public void copyFrom(FsAttributes o) {
        inode = o.inode;
        generation = o.generation;
        sizeBytes = o.sizeBytes;
        blocks = o.blocks;
        accessTimeNs = o.accessTimeNs;
        modifyTimeNs = o.modifyTimeNs;
        changeTimeNs = o.changeTimeNs;
        birthTimeNs = o.birthTimeNs;
        mode = o.mode;
        linkCount = o.linkCount;
        uid = o.uid;
        gid = o.gid;
        deviceNumber = o.deviceNumber;
        blockSize = o.blockSize;
        flags = o.flags;
        hasXattrs = o.hasXattrs;
        project = o.project;
    }
}

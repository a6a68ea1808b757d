package io.vhostfs.fsdev;

/** What statfs(2) gives. Mutable, reused. */
public final class FsStatistics {
    public int blockSize;
    public long blocks;
    public long freeBlocks;
    public long availableBlocks;
    public long files;
    public long freeFiles;
    public int maxNameLength;
}

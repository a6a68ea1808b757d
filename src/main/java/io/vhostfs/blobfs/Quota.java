package io.vhostfs.blobfs;

/** A project that a share's quota made: what it uses, and may use. Home reactor; {@link Quotas} changes it. */
final class Quota {
    final int project;
    /** The inode number of its top directory. */
    final long root;

    long usedBytes;
    long usedInodes;
    /** 0: no limit. */
    long maxBytes;
    /** 0: no limit. */
    long maxInodes;
    /** What it uses is being counted, and nothing is refused. */
    boolean isCounting;

    Quota(int project, long root) {
        this.project = project;
        this.root = root;
    }

    long freeBytes() {
        return maxBytes == 0 || isCounting ? Long.MAX_VALUE : Math.max(0, maxBytes - usedBytes);
    }

    long freeInodes() {
        return maxInodes == 0 || isCounting ? Long.MAX_VALUE : Math.max(0, maxInodes - usedInodes);
    }
}

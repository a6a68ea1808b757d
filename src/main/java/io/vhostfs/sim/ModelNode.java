package io.vhostfs.sim;

import io.vhostfs.os.LibcConstants;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** One inode of the model, without its content. One thread. */
final class ModelNode {
    final long inode;
    /** The type's bits, {@code S_IFMT}. */
    final int type;

    int permissions;
    int device;
    /** Directories have 2 and one for each subdirectory; others, names. */
    int links;

    long size;
    /** Of a directory. */
    long parent;

    @Nullable
    String target;

    /** It never had a name, and may be given one: O_TMPFILE. */
    boolean linkable;

    /** Names in a directory, and the inodes that they name. */
    final TreeMap<String, Long> entries = new TreeMap<>();

    final TreeMap<String, byte[]> xattrs = new TreeMap<>();

    ModelNode(long inode, int type, int permissions) {
        this.inode = inode;
        this.type = type;
        this.permissions = permissions;
        links = type == LibcConstants.S_IFDIR ? 2 : 0;
    }

    boolean isDirectory() {
        return type == LibcConstants.S_IFDIR;
    }

    boolean isFile() {
        return type == LibcConstants.S_IFREG;
    }

    ModelNode copy() {
        ModelNode copy = new ModelNode(inode, type, permissions);
        copy.device = device;
        copy.links = links;
        copy.size = size;
        copy.parent = parent;
        copy.target = target;
        copy.linkable = linkable;
        copy.entries.putAll(entries);
        copy.xattrs.putAll(xattrs);
        return copy;
    }
}

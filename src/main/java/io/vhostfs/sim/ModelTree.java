package io.vhostfs.sim;

import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Names and attributes as they should be. One thread.
 *
 * <p>Invariant: link counts are those that the entries imply; inodes without links stay until {@link #dropUnlinked}.
 */
final class ModelTree {
    static final long ROOT = 1;

    final TreeMap<Long, ModelNode> nodes = new TreeMap<>();

    /** An empty tree but for its root. */
    static ModelTree empty(ModelNode root) {
        ModelTree tree = new ModelTree();
        root.parent = root.inode;
        tree.nodes.put(root.inode, root);
        return tree;
    }

    ModelTree copy() {
        ModelTree copy = new ModelTree();
        nodes.forEach((inode, node) -> copy.nodes.put(inode, node.copy()));
        return copy;
    }

    @Nullable
    ModelNode find(long inode) {
        return nodes.get(inode);
    }

    ModelNode node(long inode) {
        return Objects.requireNonNull(nodes.get(inode), () -> "inode " + inode + " is not in the model");
    }

    void add(ModelNode node) {
        nodes.put(node.inode, node);
    }

    /** A directory that was removed, or never was, takes no names. */
    boolean isLive(long inode) {
        ModelNode node = find(inode);
        return node != null && node.links > 0;
    }

    @Nullable
    ModelNode entry(long dir, String name) {
        Long inode = node(dir).entries.get(name);
        return inode == null ? null : node(inode);
    }

    void setEntry(long dir, String name, long inode) {
        ModelNode parent = node(dir);
        ModelNode child = node(inode);
        parent.entries.put(name, inode);
        if (child.isDirectory()) {
            child.parent = dir;
            parent.links++;
        } else {
            child.links++;
        }
    }

    /** The entry goes; a directory lives on when it is put elsewhere, else {@link #kill} it. */
    void removeEntry(long dir, String name) {
        ModelNode parent = node(dir);
        ModelNode child = node(Objects.requireNonNull(parent.entries.remove(name)));
        if (child.isDirectory()) {
            parent.links--;
        } else {
            child.links--;
        }
    }

    void kill(long directory) {
        node(directory).links = 0;
    }

    /** Whether {@code inode} is {@code ancestor} or lies below it. */
    boolean isWithin(long inode, long ancestor) {
        long at = inode;
        while (at != ancestor) {
            ModelNode node = node(at);
            if (node.parent == at) {
                return false;
            }
            at = node.parent;
        }
        return true;
    }

    void dropUnlinked() {
        nodes.values().removeIf(node -> node.links == 0);
    }
}

package io.vhostfs.sim;

import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Says whether what a mount found is a state that the promises allow: a prefix of the acknowledged changes that holds all
 * that was synced, with content that may be there. One thread.
 */
final class Oracle {
    private final History history;
    private final Map<Long, FileModel> files;

    Oracle(History history, Map<Long, FileModel> files) {
        this.history = history;
        this.files = files;
    }

    /** The prefix that survived; a broken promise throws. */
    int match(Observation found) {
        ModelTree tree = history.durableTree();
        String best = "";
        int bestDepth = -1;
        for (int prefix = history.durable(); ; prefix++) {
            Difference difference = new Difference(tree, found, prefix);
            String why = difference.find();
            if (why == null) {
                return prefix;
            }
            if (difference.depth > bestDepth) {
                bestDepth = difference.depth;
                best = "after " + prefix + " changes"
                        + (prefix > 0 ? " (the last one: " + history.what(prefix - 1) + ")" : "") + ": " + why;
            }
            if (prefix == history.length()) {
                throw new SimFailure("what was found is no state of the history: " + history.durable() + " of "
                        + history.length() + " acknowledged changes were synced. The nearest one, " + best);
            }
            history.advance(tree, prefix);
        }
    }

    /** The comparison with one prefix. */
    private final class Difference {
        private final ModelTree tree;
        private final Observation found;
        private final int prefix;
        /** How much was equal. */
        private int depth;

        Difference(ModelTree tree, Observation found, int prefix) {
            this.tree = tree;
            this.found = found;
            this.prefix = prefix;
        }

        /** Null, or the first difference. */
        @Nullable
        String find() {
            String names = compareDirectory(ModelTree.ROOT);
            if (names != null) {
                return names;
            }
            for (ModelNode node : found.tree().nodes.values()) {
                String why = compareNode(tree.node(node.inode), node);
                if (why != null) {
                    return "inode " + node.inode + ": " + why;
                }
                depth++;
            }
            return null;
        }

        private @Nullable String compareDirectory(long dir) {
            ModelNode expected = tree.node(dir);
            ModelNode seen = found.tree().node(dir);
            if (!expected.entries.equals(seen.entries)) {
                Set<String> missing = new TreeSet<>(expected.entries.keySet());
                missing.removeAll(seen.entries.keySet());
                Set<String> extra = new TreeSet<>(seen.entries.keySet());
                extra.removeAll(expected.entries.keySet());
                return "directory " + dir + ": missing " + missing + ", not expected " + extra + ", or another inode";
            }
            depth++;
            for (long inode : expected.entries.values()) {
                ModelNode child = found.tree().find(inode);
                if (child != null && child.isDirectory()) {
                    String why = compareDirectory(inode);
                    if (why != null) {
                        return why;
                    }
                }
            }
            return null;
        }

        private @Nullable String compareNode(ModelNode expected, ModelNode seen) {
            if (expected.type != seen.type || expected.permissions != seen.permissions) {
                return "mode 0" + Integer.toOctalString(seen.type | seen.permissions) + ", not 0"
                        + Integer.toOctalString(expected.type | expected.permissions);
            }
            if (expected.links != seen.links) {
                return seen.links + " links, not " + expected.links;
            }
            if (expected.device != seen.device || !Objects.equals(expected.target, seen.target)) {
                return "another device number or target";
            }
            if (!expected.xattrs.keySet().equals(seen.xattrs.keySet())) {
                return "attributes " + seen.xattrs.keySet() + ", not " + expected.xattrs.keySet();
            }
            for (Map.Entry<String, byte[]> e : expected.xattrs.entrySet()) {
                if (!Arrays.equals(e.getValue(), seen.xattrs.get(e.getKey()))) {
                    return "another value of " + e.getKey();
                }
            }
            if (expected.isFile()) {
                return compareContent(expected, seen);
            }
            return expected.size == seen.size ? null : "size " + seen.size + ", not " + expected.size;
        }

        private @Nullable String compareContent(ModelNode expected, ModelNode seen) {
            FileModel file = Objects.requireNonNullElseGet(files.get(seen.inode), FileModel::new);
            if (!file.isSizeAllowed(expected.size, seen.size, prefix)) {
                return "size " + seen.size + ", not " + expected.size;
            }
            return file.check(Objects.requireNonNull(found.contents().get(seen.inode)), prefix);
        }
    }
}

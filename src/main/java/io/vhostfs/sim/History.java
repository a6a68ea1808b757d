package io.vhostfs.sim;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * The acknowledged changes since the last mount, in the order in which the file system made them, and how many of them
 * must survive. One thread.
 *
 * <p>One reactor answers in the order in which it changes things, so the order of the replies is the order of the log.
 */
final class History {
    private record Change(String what, Consumer<ModelTree> apply) {}

    private ModelTree base;
    private ModelTree live;
    private final List<Change> changes = new ArrayList<>();
    private final Map<Long, Integer> lastChange = new HashMap<>();
    private final Map<Long, Integer> lastDataChange = new HashMap<>();
    private int durable;

    History(ModelTree observed) {
        base = observed;
        live = observed.copy();
    }

    /** As everything is now. */
    ModelTree live() {
        return live;
    }

    int length() {
        return changes.size();
    }

    /** So many changes a cut must not take back. */
    int durable() {
        return durable;
    }

    /** Applies a change that was acknowledged; returns its place. */
    int add(String what, Consumer<ModelTree> change, long... touched) {
        change.accept(live);
        changes.add(new Change(what, change));
        for (long inode : touched) {
            lastChange.put(inode, changes.size());
        }
        return changes.size() - 1;
    }

    /** The same for a new inode, which fdatasync covers, too. */
    int addInode(String what, Consumer<ModelTree> change, long inode, long dir) {
        int index = add(what, change, inode, dir);
        lastDataChange.put(inode, changes.size());
        return index;
    }

    /** The same for a change of content or size. One that may have been made earlier covers what was before it only. */
    int addData(String what, Consumer<ModelTree> change, long inode, DataOp op) {
        int index = add(what, change);
        int covered = op.interval ? op.submittedAt : changes.size();
        lastChange.merge(inode, covered, Math::max);
        lastDataChange.merge(inode, covered, Math::max);
        return index;
    }

    int dataCoveredBy(long inode) {
        return lastDataChange.getOrDefault(inode, 0);
    }

    /** How many changes a sync of that inode that is submitted now will cover. */
    int coveredBy(long inode) {
        return lastChange.getOrDefault(inode, 0);
    }

    void madeDurable(int count) {
        durable = Math.max(durable, count);
    }

    /** The tree after the first {@code durable()} changes. */
    ModelTree durableTree() {
        ModelTree tree = base.copy();
        for (int i = 0; i < durable; i++) {
            changes.get(i).apply().accept(tree);
        }
        return tree;
    }

    /** Takes a tree from {@code prefix} changes to one more. */
    void advance(ModelTree tree, int prefix) {
        changes.get(prefix).apply().accept(tree);
    }

    String what(int index) {
        return changes.get(index).what();
    }
}

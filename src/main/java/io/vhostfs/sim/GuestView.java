package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.sim.SimFailure.require;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What a guest knows of the file system: the model's tree as the answers so far made it, and of each inode its content,
 * lookups and open files. It also chooses whom the next request concerns.
 *
 * <p>Invariant: an inode that the guest may name in a request (the root, or one that it has looked up) is known until its
 * last lookup is forgotten. One thread.
 */
final class GuestView {
    private static final int NAMES = 10;

    /** What the guest knows of an inode besides the model's tree. */
    static final class Known {
        final FileModel file;
        long lookups;
        final List<Long> handles = new ArrayList<>();
        int inFlight;

        Known(FileModel file) {
            this.file = file;
        }
    }

    private final SimRandom random;
    private final TreeMap<Long, Known> known = new TreeMap<>();
    /** Forgotten inodes without names: a crash may bring them back. */
    private final TreeMap<Long, FileModel> gone = new TreeMap<>();

    private History history;
    private long nextWrite = 1;

    GuestView(SimRandom random, History history) {
        this.random = random;
        this.history = history;
    }

    /** After a mount: what was found is what there is. */
    void restart(Observation found) {
        history = new History(found.tree());
        known.clear();
        gone.clear();
        found.lookups().forEach((inode, count) -> {
            Known k = new Known(Objects.requireNonNullElseGet(found.files().get(inode), FileModel::new));
            k.lookups = count;
            known.put(inode, k);
        });
        known.put(ModelTree.ROOT, new Known(new FileModel()));
    }

    History history() {
        return history;
    }

    ModelTree tree() {
        return history.live();
    }

    // --- inodes

    int knownInodes() {
        return known.size();
    }

    Known known(long inode) {
        return known.computeIfAbsent(inode, n -> new Known(new FileModel()));
    }

    /** A new inode: what had its number before was another one. */
    void meet(long inode) {
        Known k = new Known(new FileModel());
        k.lookups = 1;
        known.put(inode, k);
    }

    /** Nobody can name the inode any more. */
    void lose(long inode) {
        gone.put(inode, known(inode).file);
        known.remove(inode);
        tree().nodes.remove(inode);
    }

    Stream<FileModel> knownFiles() {
        return known.values().stream().map(k -> k.file);
    }

    /** All files that there may be after a crash. */
    Map<Long, FileModel> files() {
        Map<Long, FileModel> files = new TreeMap<>(gone);
        known.forEach((inode, k) -> files.put(inode, k.file));
        return files;
    }

    /** Bytes that name their inode, place and write, which is a new one. */
    byte[] newBytes(long inode, long offset, int length) {
        return Pattern.fill(inode, nextWrite++, offset, length);
    }

    /** Attributes that came with an answer. */
    void checkAttributes(String what, ByteBuffer body, int at, ModelNode node) {
        FileModel file = known(node.inode).file;
        int mode = body.getInt(at + FUSE_ATTR_MODE_OFFSET);
        require(body.getLong(at + FUSE_ATTR_INO_OFFSET) == node.inode, what + " is of another inode");
        require(mode == (node.type | node.permissions), what + " says mode 0" + Integer.toOctalString(mode));
        int links = body.getInt(at + FUSE_ATTR_NLINK_OFFSET);
        require(links == node.links, what + " says " + links + " links, not " + node.links);
        long size = body.getLong(at + FUSE_ATTR_SIZE_OFFSET);
        if (node.isFile() && !file.exclusive && !file.uncertain) {
            require(size == file.size, what + " says size " + size + ", not " + file.size);
        }
    }

    // --- choosing

    String anyName() {
        // A few names are long, so that directories and nodes split.
        String name = "n" + random.below(NAMES);
        return random.oneIn(12) ? name + "-".repeat(random.pick(30, 100, 240)) : name;
    }

    /** A name that is in the directory, or any. */
    String someName(long dir) {
        TreeMap<String, Long> entries = tree().node(dir).entries;
        if (entries.isEmpty() || random.oneIn(8)) {
            return anyName();
        }
        List<String> names = new ArrayList<>(entries.keySet());
        return names.get(random.below(names.size()));
    }

    long anyDirectory() {
        return Objects.requireNonNull(any(ModelNode::isDirectory)).inode;
    }

    @Nullable
    ModelNode anyFile() {
        return any(ModelNode::isFile);
    }

    @Nullable
    ModelNode anyNode() {
        return any(node -> true);
    }

    /** The first file that never had a name. */
    @Nullable
    ModelNode anyNameless() {
        return usable(node -> node.linkable).findFirst().orElse(null);
    }

    private @Nullable ModelNode any(Predicate<ModelNode> kind) {
        List<ModelNode> nodes = usable(kind).toList();
        return nodes.isEmpty() ? null : nodes.get(random.below(nodes.size()));
    }

    /** Those of a kind that a request may name, by inode number. */
    private Stream<ModelNode> usable(Predicate<ModelNode> kind) {
        return tree().nodes.values().stream().filter(kind).filter(this::isUsable);
    }

    private boolean isUsable(ModelNode node) {
        Known k = known(node.inode);
        return node.inode == ModelTree.ROOT || k.lookups > 0;
    }
}

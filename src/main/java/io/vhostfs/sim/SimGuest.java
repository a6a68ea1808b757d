package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A guest that works on the file system, with several requests in flight, and knows what each answer must be.
 *
 * <p>Invariant: what is checked is certain. Names may be changed by any number of requests at once, for the order of the
 * answers says who came first; of changes of one file at most one changes more than blocks that no other one writes. One
 * thread.
 */
final class SimGuest {
    private static final int REMEMBERED = 300;
    private static final String OBSERVE = "observe opcode ";
    private static final int NAMES = 10;
    private static final int MAX_HANDLES = 4;
    private static final int XATTR_NAMES = 4;
    private static final String LABEL = "security.sim";
    private static final int LABELLED_ONE_IN = 4;
    private static final int LISTING_BYTES = 32 << 10;

    /** What happens when an answer comes. */
    private interface Answer {
        void on(int error, byte[] body);
    }

    /** A request in flight. */
    private record Call(String what, Answer answer) {
        boolean isObservation() {
            return what.startsWith(OBSERVE);
        }
    }

    /** What the guest knows of an inode besides the model's tree. */
    private static final class Known {
        final FileModel file;
        long lookups;
        final List<Long> handles = new ArrayList<>();
        int inFlight;

        Known(FileModel file) {
            this.file = file;
        }
    }

    /** Blocks of an overwrite in flight. */
    private record Range(long inode, long first, long last) {}

    private final SimPlan plan;
    private final SimDriver driver;
    private final SimRandom random;
    private final TraceHash trace;
    private final @Nullable Call[] calls = new @Nullable Call[SimDriver.SLOTS];
    private final Deque<String> recent = new ArrayDeque<>();
    private final TreeMap<Long, Known> known = new TreeMap<>();
    /** Forgotten inodes without names: a crash may bring them back. */
    private final TreeMap<Long, FileModel> gone = new TreeMap<>();

    private final List<Range> overwriting = new ArrayList<>();
    /** What was written to others may turn up there. */
    private final Set<Long> copiedInto = new HashSet<>();

    private History history;
    private int inFlight;
    private long nextWrite = 1;

    long operations;
    boolean sawFailure;
    boolean sawNoSpace;

    SimGuest(SimPlan plan, SimDriver driver, SimRandom random, TraceHash trace, History history) {
        this.plan = plan;
        this.driver = driver;
        this.random = random;
        this.trace = trace;
        this.history = history;
    }

    History history() {
        return history;
    }

    int inFlight() {
        return inFlight;
    }

    Deque<String> recent() {
        return recent;
    }

    void remember(String what) {
        recent.add(what);
        if (recent.size() > REMEMBERED) {
            recent.remove();
        }
    }

    /** After a mount: what was found is what there is. */
    void restart(Observation found) {
        history = new History(found.tree());
        known.clear();
        gone.clear();
        sawFailure = false;
        found.lookups().forEach((inode, count) -> {
            Known k = new Known(Objects.requireNonNullElseGet(found.files().get(inode), FileModel::new));
            k.lookups = count;
            known.put(inode, k);
        });
        known.put(ModelTree.ROOT, new Known(new FileModel()));
    }

    /** The target is gone: nothing in flight will be answered. */
    void forgetCalls() {
        for (int slot = 0; slot < calls.length; slot++) {
            Call call = calls[slot];
            if (call != null) {
                remember("unanswered: " + call.what());
            }
            calls[slot] = null;
        }
        overwriting.clear();
        inFlight = 0;
    }

    /** Whether the inode may hold bytes that name another one, or another place. */
    boolean wasCopiedInto(long inode) {
        return copiedInto.contains(inode);
    }

    Map<Long, FileModel> files() {
        Map<Long, FileModel> files = new TreeMap<>(gone);
        known.forEach((inode, k) -> files.put(inode, k.file));
        return files;
    }

    private ModelTree tree() {
        return history.live();
    }

    // --- requests

    /** Takes all answers that are there; returns how many. */
    int takeAnswers() {
        int n = 0;
        for (int slot = driver.takeCompleted(); slot >= 0; slot = driver.takeCompleted()) {
            Call call = Objects.requireNonNull(calls[slot]);
            calls[slot] = null;
            inFlight--;
            operations++;
            n++;
            int error = driver.error(slot);
            byte[] body = driver.body(slot);
            trace.add(error);
            trace.add(body);
            if (!call.isObservation()) {
                remember(call.what() + " = " + (error == 0 ? "ok" : Errno.name(error)));
            }
            call.answer().on(error, body);
        }
        return n;
    }

    private boolean send(String what, FuseMessage m, Answer answer) {
        return send(what, m, true, answer);
    }

    private boolean send(String what, FuseMessage m, boolean hasReply, Answer answer) {
        int slot = driver.freeSlot();
        if (slot < 0) {
            throw new IllegalStateException("no slot is free");
        }
        calls[slot] = new Call(what, answer);
        inFlight++;
        driver.send(slot, m, hasReply);
        return true;
    }

    /** Sends one request, the only one; the answer is taken by {@link #takeAnswers}. */
    void sendAlone(FuseMessage m, Object[] result) {
        send(OBSERVE + m.opcode() + " inode " + m.nodeid(), m, (error, body) -> {
            result[0] = error;
            result[1] = body;
        });
    }

    /** Starts something. */
    void issue() {
        for (int i = 0; i < 20; i++) {
            if (tryIssue()) {
                return;
            }
        }
    }

    private boolean tryIssue() {
        if (random.percent(plan.syncPercent())) {
            return sync();
        }
        if (plan.fillsLog() && random.percent(60)) {
            return setxattr();
        }
        boolean crowded = known.size() > plan.maxInodes();
        int what = random.below(crowded ? 100 : 90);
        if (what < 9) {
            return crowded ? unlink() : random.oneIn(6) ? tmpfile() : create();
        } else if (what < 12) {
            return crowded ? rmdir() : mkdir();
        } else if (what < 14) {
            return crowded ? unlink() : mknod();
        } else if (what < 16) {
            return crowded ? unlink() : symlink();
        } else if (what < 18) {
            return link();
        } else if (what < 22) {
            return unlink();
        } else if (what < 24) {
            return rmdir();
        } else if (what < 30) {
            return rename();
        } else if (what < 36) {
            return copy();
        } else if (what < 47) {
            return write();
        } else if (what < 53) {
            return truncate();
        } else if (what < 59) {
            return fallocate();
        } else if (what < 63) {
            return open();
        } else if (what < 67) {
            return release();
        } else if (what < 71) {
            return setxattr();
        } else if (what < 72) {
            return removexattr();
        } else if (what < 74) {
            return chmod();
        } else if (what < 80) {
            return read();
        } else if (what < 83) {
            return readdir();
        } else if (what < 85) {
            return lookup();
        } else if (what < 86) {
            return getattr();
        } else if (what < 87) {
            return lseek();
        } else if (what < 90) {
            return forget();
        }
        return unlink();
    }

    // --- choosing

    private String anyName() {
        // A few names are long, so that directories and nodes split.
        String name = "n" + random.below(NAMES);
        return random.oneIn(12) ? name + "-".repeat(random.pick(30, 100, 240)) : name;
    }

    private Known known(long inode) {
        return known.computeIfAbsent(inode, n -> new Known(new FileModel()));
    }

    private boolean isUsable(ModelNode node) {
        Known k = known(node.inode);
        return node.inode == ModelTree.ROOT || k.lookups > 0;
    }

    private long anyDirectory() {
        List<Long> dirs = new ArrayList<>();
        for (ModelNode node : tree().nodes.values()) {
            if (node.isDirectory() && isUsable(node)) {
                dirs.add(node.inode);
            }
        }
        return dirs.get(random.below(dirs.size()));
    }

    private @Nullable ModelNode anyFile() {
        List<ModelNode> files = new ArrayList<>();
        for (ModelNode node : tree().nodes.values()) {
            if (node.isFile() && isUsable(node)) {
                files.add(node);
            }
        }
        return files.isEmpty() ? null : files.get(random.below(files.size()));
    }

    private @Nullable ModelNode anyNameless() {
        for (ModelNode node : tree().nodes.values()) {
            if (node.linkable && isUsable(node)) {
                return node;
            }
        }
        return null;
    }

    private @Nullable ModelNode anyNode() {
        List<ModelNode> all = new ArrayList<>();
        for (ModelNode node : tree().nodes.values()) {
            if (isUsable(node)) {
                all.add(node);
            }
        }
        return all.isEmpty() ? null : all.get(random.below(all.size()));
    }

    /** A name that is in the directory, or any. */
    private String someName(long dir) {
        TreeMap<String, Long> entries = tree().node(dir).entries;
        if (entries.isEmpty() || random.oneIn(8)) {
            return anyName();
        }
        List<String> names = new ArrayList<>(entries.keySet());
        return names.get(random.below(names.size()));
    }

    private void begin(long... inodes) {
        for (long inode : inodes) {
            known(inode).inFlight++;
        }
    }

    private void end(long... inodes) {
        for (long inode : inodes) {
            known(inode).inFlight--;
        }
    }

    // --- judging

    /** Whether an error may come for reasons that the model does not know. */
    private boolean isExcused(int error, boolean frees) {
        if (error == -Errno.ENOSPC) {
            sawNoSpace = true;
            return plan.small() && !frees;
        }
        if (plan.faults().hasErred() && (error == -Errno.EIO || error == -Errno.EROFS)) {
            sawFailure = true;
            return true;
        }
        return false;
    }

    private static String name(int error) {
        return error == 0 ? "success" : Errno.name(error);
    }

    /** False when the operation failed for a reason that is no fault. */
    private boolean succeeded(String what, int error, int expected, boolean frees) {
        if (error == expected) {
            return error == 0;
        }
        if (isExcused(error, frees)) {
            return false;
        }
        throw new SimFailure(what + " was answered with " + name(error) + ", not " + name(expected));
    }

    private static ByteBuffer wrap(byte[] body) {
        return ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new SimFailure(what);
        }
    }

    // --- names

    private int expectNew(long dir, String name) {
        if (!tree().isLive(dir)) {
            return -Errno.ENOENT;
        }
        return tree().entry(dir, name) != null ? -Errno.EEXIST : 0;
    }

    private boolean create() {
        long dir = anyDirectory();
        String name = anyName();
        int mode = random.pick(0600, 0644, 0755);
        String what = "create " + dir + "/" + name;
        begin(dir);
        byte @Nullable [] label = label(name);
        FuseMessage message = FuseMessage.create(dir, name, mode).withLabel(LABEL, label);
        return send(what, message, (error, body) -> {
            end(dir);
            if (succeeded(what, error, expectNew(dir, name), false)) {
                made(what, dir, name, new ModelNode(newInode(what, body), S_IFREG, mode), label);
                known(entryInode(body)).handles.add(wrap(body).getLong(FUSE_ENTRY_OUT_SIZE));
            }
        });
    }

    /** A file without a name, which {@link #link} may give one. */
    private boolean tmpfile() {
        long dir = anyDirectory();
        String what = "tmpfile in " + dir;
        begin(dir);
        return send(what, FuseMessage.tmpfile(dir, 0640), (error, body) -> {
            end(dir);
            if (succeeded(what, error, tree().isLive(dir) ? 0 : -Errno.ENOENT, false)) {
                ModelNode node = new ModelNode(newInode(what, body), S_IFREG, 0640);
                node.linkable = true;
                ModelNode template = node.copy();
                history.addInode(what + " -> " + node.inode, tree -> tree.add(template.copy()), node.inode, node.inode);
                known(node.inode).handles.add(wrap(body).getLong(FUSE_ENTRY_OUT_SIZE));
            }
        });
    }

    private boolean mkdir() {
        long dir = anyDirectory();
        String name = anyName();
        String what = "mkdir " + dir + "/" + name;
        begin(dir);
        byte @Nullable [] label = label(name);
        FuseMessage message = FuseMessage.mkdir(dir, name, 0755).withLabel(LABEL, label);
        return send(what, message, (error, body) -> {
            end(dir);
            if (succeeded(what, error, expectNew(dir, name), false)) {
                made(what, dir, name, new ModelNode(newInode(what, body), S_IFDIR, 0755), label);
            }
        });
    }

    private boolean mknod() {
        long dir = anyDirectory();
        String name = anyName();
        int type = random.pick(S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK);
        int device = type == S_IFCHR || type == S_IFBLK ? random.between(1, 500) : 0;
        String what = "mknod " + dir + "/" + name;
        begin(dir);
        byte @Nullable [] label = label(name);
        FuseMessage message = FuseMessage.mknod(dir, name, type | 0640, device).withLabel(LABEL, label);
        return send(what, message, (error, body) -> {
            end(dir);
            if (succeeded(what, error, expectNew(dir, name), false)) {
                ModelNode node = new ModelNode(newInode(what, body), type, 0640);
                node.device = device;
                made(what, dir, name, node, label);
            }
        });
    }

    private boolean symlink() {
        long dir = anyDirectory();
        String name = anyName();
        String target = "t" + "/x".repeat(random.pick(1, 10, 800, 2000));
        String what = "symlink " + dir + "/" + name + " of " + target.length();
        begin(dir);
        byte @Nullable [] label = label(name);
        FuseMessage message = FuseMessage.symlink(dir, name, target).withLabel(LABEL, label);
        return send(what, message, (error, body) -> {
            end(dir);
            if (succeeded(what, error, expectNew(dir, name), false)) {
                ModelNode node = new ModelNode(newInode(what, body), S_IFLNK, 0777);
                node.target = target;
                node.size = target.length();
                made(what, dir, name, node, label);
            }
        });
    }

    private static long entryInode(byte[] body) {
        return wrap(body).getLong(FUSE_ENTRY_OUT_NODEID_OFFSET);
    }

    /** The inode that was made, which the guest knows from now on. */
    private long newInode(String what, byte[] body) {
        long inode = entryInode(body);
        require(tree().find(inode) == null, what + " was given inode " + inode + ", which is in use");
        known.put(inode, new Known(new FileModel()));
        known(inode).lookups = 1;
        return inode;
    }

    /** What the policy of the guest's kernel gives a new inode: goes by the name alone, nothing for most. */
    private static byte @Nullable [] label(String name) {
        int hash = name.hashCode() & 0xff;
        if (hash % LABELLED_ONE_IN != 0) {
            return null;
        }
        byte[] value = new byte[hash < 32 ? 9000 : 1 + hash];
        Arrays.fill(value, (byte) hash);
        return value;
    }

    private void made(String what, long dir, String name, ModelNode node, byte @Nullable [] label) {
        if (label != null) {
            node.xattrs.put(LABEL, label);
        }
        ModelNode template = node.copy();
        history.addInode(
                what + " -> " + node.inode,
                tree -> {
                    tree.add(template.copy());
                    tree.setEntry(dir, name, template.inode);
                },
                node.inode,
                dir);
    }

    private boolean link() {
        ModelNode nameless = random.percent(50) ? anyNameless() : null;
        ModelNode node = nameless == null ? anyNode() : nameless;
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        long dir = anyDirectory();
        String name = anyName();
        String what = "link " + inode + " as " + dir + "/" + name;
        begin(dir, inode);
        return send(what, FuseMessage.link(inode, dir, name), (error, body) -> {
            end(dir, inode);
            ModelNode now = tree().node(inode);
            int expected = !tree().isLive(dir)
                    ? -Errno.ENOENT
                    : now.isDirectory()
                            ? -Errno.EPERM
                            : now.links == 0 && !now.linkable ? -Errno.ENOENT : expectNew(dir, name);
            if (succeeded(what, error, expected, false)) {
                known(inode).lookups++;
                history.add(
                        what,
                        tree -> {
                            tree.setEntry(dir, name, inode);
                            tree.node(inode).linkable = false;
                        },
                        dir,
                        inode);
            }
        });
    }

    private boolean unlink() {
        long dir = anyDirectory();
        String name = someName(dir);
        String what = "unlink " + dir + "/" + name;
        begin(dir);
        return send(what, FuseMessage.unlink(dir, name), (error, body) -> {
            end(dir);
            ModelNode target = tree().isLive(dir) ? tree().entry(dir, name) : null;
            int expected = target == null ? -Errno.ENOENT : target.isDirectory() ? -Errno.EISDIR : 0;
            if (succeeded(what, error, expected, true) && target != null) {
                history.add(what, tree -> tree.removeEntry(dir, name), dir, target.inode);
            }
        });
    }

    private boolean rmdir() {
        long dir = anyDirectory();
        String name = someName(dir);
        String what = "rmdir " + dir + "/" + name;
        begin(dir);
        return send(what, FuseMessage.rmdir(dir, name), (error, body) -> {
            end(dir);
            ModelNode target = tree().isLive(dir) ? tree().entry(dir, name) : null;
            int expected = target == null
                    ? -Errno.ENOENT
                    : !target.isDirectory() ? -Errno.ENOTDIR : target.entries.isEmpty() ? 0 : -Errno.ENOTEMPTY;
            if (succeeded(what, error, expected, true) && target != null) {
                long inode = target.inode;
                history.add(
                        what,
                        tree -> {
                            tree.removeEntry(dir, name);
                            tree.kill(inode);
                        },
                        dir,
                        inode);
            }
        });
    }

    private boolean rename() {
        long from = anyDirectory();
        long to = random.percent(40) ? from : anyDirectory();
        String name = someName(from);
        String newName = random.percent(50) ? someName(to) : anyName();
        int flags = random.pick(0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE);
        String what = "rename " + from + "/" + name + " to " + to + "/" + newName + " flags " + flags;
        begin(from, to);
        return send(what, FuseMessage.rename(from, name, to, newName, flags), (error, body) -> {
            end(from, to);
            int expected = expectRename(from, name, to, newName, flags);
            if (succeeded(what, error, expected, false)) {
                renamed(what, from, name, to, newName, flags);
            }
        });
    }

    private int expectRename(long from, String name, long to, String newName, int flags) {
        ModelTree tree = tree();
        if (!tree.isLive(from) || !tree.isLive(to) || tree.entry(from, name) == null) {
            return -Errno.ENOENT;
        }
        ModelNode source = Objects.requireNonNull(tree.entry(from, name));
        ModelNode target = tree.entry(to, newName);
        boolean exchange = flags == RENAME_EXCHANGE;
        if (target != null && target.inode == source.inode) {
            return flags == RENAME_NOREPLACE ? -Errno.EEXIST : 0;
        }
        if (target != null && flags == RENAME_NOREPLACE) {
            return -Errno.EEXIST;
        }
        if (target == null && exchange) {
            return -Errno.ENOENT;
        }
        if (source.isDirectory() && from != to && tree.isWithin(to, source.inode)) {
            return -Errno.EINVAL;
        }
        if (target != null && target.isDirectory() && from != to && tree.isWithin(from, target.inode)) {
            return exchange ? -Errno.EINVAL : -Errno.ENOTEMPTY;
        }
        if (target == null || exchange) {
            return 0;
        }
        if (source.isDirectory() != target.isDirectory()) {
            return source.isDirectory() ? -Errno.ENOTDIR : -Errno.EISDIR;
        }
        return target.entries.isEmpty() ? 0 : -Errno.ENOTEMPTY;
    }

    private void renamed(String what, long from, String name, long to, String newName, int flags) {
        ModelNode source = Objects.requireNonNull(tree().entry(from, name));
        ModelNode target = tree().entry(to, newName);
        long inode = source.inode;
        if (target == null) {
            history.add(
                    what,
                    tree -> {
                        tree.removeEntry(from, name);
                        tree.setEntry(to, newName, inode);
                    },
                    from,
                    to,
                    inode);
            return;
        }
        long other = target.inode;
        if (other == inode) {
            return;
        }
        history.add(
                what,
                tree -> {
                    tree.removeEntry(from, name);
                    tree.removeEntry(to, newName);
                    tree.setEntry(to, newName, inode);
                    if (flags == RENAME_EXCHANGE) {
                        tree.setEntry(from, name, other);
                    } else if (tree.node(other).isDirectory()) {
                        tree.kill(other);
                    }
                },
                from,
                to,
                inode,
                other);
    }

    private boolean lookup() {
        long dir = anyDirectory();
        String name = someName(dir);
        String what = "lookup " + dir + "/" + name;
        begin(dir);
        return send(what, FuseMessage.lookup(dir, name), (status, body) -> {
            end(dir);
            ModelNode target = tree().entry(dir, name);
            // An entry without a node says that there is none, and may be cached.
            int error = status == 0 && entryInode(body) == 0 ? -Errno.ENOENT : status;
            if (succeeded(what, error, target == null ? -Errno.ENOENT : 0, true) && target != null) {
                require(entryInode(body) == target.inode, what + " found inode " + entryInode(body));
                known(target.inode).lookups++;
                checkAttributes(what, wrap(body), FUSE_ENTRY_OUT_ATTR_OFFSET, target);
            }
        });
    }

    private boolean forget() {
        ModelNode node = anyNode();
        if (node == null || node.inode == ModelTree.ROOT) {
            return false;
        }
        Known k = known(node.inode);
        boolean linked = node.links > 0;
        if (k.inFlight > 0 || k.lookups == 0 || !k.handles.isEmpty() || (linked && !random.oneIn(3))) {
            return false;
        }
        long count = k.lookups;
        k.lookups = 0;
        send("forget " + node.inode + " " + count, FuseMessage.forget(node.inode, count), false, (error, body) -> {});
        if (!linked && k.handles.isEmpty()) {
            gone.put(node.inode, k.file);
            known.remove(node.inode);
            tree().nodes.remove(node.inode);
        }
        return true;
    }

    private boolean readdir() {
        long dir = anyDirectory();
        boolean plus = random.percent(40);
        return list(dir, 0, plus);
    }

    private boolean list(long dir, long offset, boolean plus) {
        String what = (plus ? "readdirplus " : "readdir ") + dir + " from " + offset;
        begin(dir);
        return send(what, FuseMessage.readdir(dir, offset, LISTING_BYTES, plus), (error, body) -> {
            end(dir);
            int expected = 0;
            if (error == -Errno.ENOENT && !tree().isLive(dir)) {
                return;
            }
            if (!succeeded(what, error, expected, true)) {
                return;
            }
            for (DirectoryEntry entry : DirectoryEntry.parse(body, plus)) {
                if (entry.isDots()) {
                    continue;
                }
                ModelNode node = tree().entry(dir, entry.name());
                require(node != null && node.inode == entry.inode(), what + " shows " + entry);
                if (plus && node != null) {
                    known(node.inode).lookups++;
                }
            }
        });
    }

    private boolean getattr() {
        ModelNode node = anyNode();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        String what = "getattr " + inode;
        begin(inode);
        return send(what, FuseMessage.getattr(inode), (error, body) -> {
            end(inode);
            if (succeeded(what, error, 0, true)) {
                checkAttributes(what, wrap(body), FUSE_ATTR_OUT_ATTR_OFFSET, tree().node(inode));
            }
        });
    }

    private void checkAttributes(String what, ByteBuffer body, int at, ModelNode node) {
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

    // --- open files

    private boolean open() {
        ModelNode node = anyFile();
        if (node == null || known(node.inode).handles.size() >= MAX_HANDLES) {
            return false;
        }
        long inode = node.inode;
        FileModel file = known(inode).file;
        // That of an empty file changes nothing.
        boolean truncates = random.oneIn(10) && file.size > 0 && mayChangeAlone(file);
        String what = "open " + inode + (truncates ? " O_TRUNC" : "");
        DataOp op = truncates ? startAlone(file, file.truncate(0, history.length())) : null;
        begin(inode);
        int flags = O_RDWR | (truncates ? O_TRUNC : 0);
        return send(what, FuseMessage.open(inode, flags), (error, body) -> {
            end(inode);
            if (op != null) {
                endChange(what, inode, file, op, succeeded(what, error, 0, true));
            }
            if (succeeded(what, error, 0, true)) {
                known(inode).handles.add(wrap(body).getLong(0));
            }
        });
    }

    private boolean release() {
        ModelNode node = anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = known(inode);
        if (k.handles.isEmpty() || k.inFlight > 0) {
            return false;
        }
        long handle = k.handles.remove(random.below(k.handles.size()));
        String what = "release " + inode;
        begin(inode);
        return send(what, FuseMessage.release(inode, handle), (error, body) -> {
            end(inode);
            succeeded(what, error, 0, true);
        });
    }

    private long anyHandle(Known k) {
        return k.handles.isEmpty() || random.percent(50) ? 0 : k.handles.get(random.below(k.handles.size()));
    }

    // --- content

    private static boolean mayChangeAlone(FileModel file) {
        return !file.uncertain && !file.exclusive && file.changing == 0;
    }

    private static DataOp startAlone(FileModel file, DataOp op) {
        file.exclusive = true;
        file.changing++;
        return op;
    }

    /** The change of a file was answered. */
    private void endChange(String what, long inode, FileModel file, DataOp op, boolean succeeded) {
        file.changing--;
        boolean alone = file.exclusive;
        if (alone) {
            file.exclusive = false;
        }
        if (!succeeded) {
            file.failed(op);
            return;
        }
        op.answered = true;
        if (op.newSize >= 0) {
            file.size = op.newSize;
        }
        if (alone) {
            long size = file.size;
            op.index = history.addData(
                    what,
                    tree -> {
                        ModelNode node = tree.find(inode);
                        if (node != null) {
                            node.size = size;
                        }
                    },
                    inode,
                    op);
        }
    }

    private long anyOffset(FileModel file) {
        return switch (random.below(5)) {
            case 0 -> 0;
            case 1 -> Math.min(file.size, plan.maxFileBytes() - 1);
            case 2 -> random.below(plan.maxFileBytes()) / FileModel.BLOCK * (long) FileModel.BLOCK;
            default -> random.below((int) Math.min(plan.maxFileBytes(), file.size + 9000));
        };
    }

    private int anyLength(long offset) {
        int most = (int) Math.min(plan.maxFileBytes() - offset, SimDriver.MAX_DATA_BYTES - 4096);
        if (most < 1) {
            return 0;
        }
        return switch (random.below(4)) {
            case 0 -> Math.min(most, FileModel.BLOCK * random.between(1, 8));
            case 1 -> random.skewed(Math.min(most, 2000));
            default -> random.skewed(most);
        };
    }

    private boolean write() {
        ModelNode node = anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = known(inode);
        FileModel file = k.file;
        boolean append = random.percent(30);
        boolean aligned = random.percent(40);
        long offset = append ? file.size : anyOffset(file);
        offset = aligned && !append ? offset / FileModel.BLOCK * FileModel.BLOCK : offset;
        int length = anyLength(offset);
        length = aligned && length > FileModel.BLOCK ? length / FileModel.BLOCK * FileModel.BLOCK : length;
        if (length == 0 || file.uncertain || file.exclusive) {
            return false;
        }
        if (file.isOverwrite(offset, length) && file.changing > 0) {
            return !isBeingWritten(inode, offset, length) && send(inode, k, offset, length, append, false);
        }
        return file.changing == 0 && send(inode, k, offset, length, append, !file.isOverwrite(offset, length));
    }

    private boolean isBeingWritten(long inode, long offset, int length) {
        long first = offset / FileModel.BLOCK;
        long last = (offset + length - 1) / FileModel.BLOCK;
        return overwriting.stream().anyMatch(r -> r.inode == inode && r.first <= last && first <= r.last);
    }

    private boolean send(long inode, Known k, long offset, int length, boolean append, boolean alone) {
        FileModel file = k.file;
        byte[] data = Pattern.fill(inode, nextWrite++, offset, length);
        boolean durable = random.oneIn(25);
        int before = history.length();
        int ofInode = history.coveredBy(inode);
        DataOp op = file.write(offset, data, before);
        op.interval |= durable;
        Range range = new Range(inode, offset / FileModel.BLOCK, (offset + length - 1) / FileModel.BLOCK);
        if (alone) {
            startAlone(file, op);
        } else {
            file.changing++;
            overwriting.add(range);
        }
        int flags = (append ? O_APPEND : 0) | (durable ? O_DSYNC : 0);
        String what = "write " + inode + " " + offset + "+" + length + (append ? " append" : "")
                + (durable ? " dsync" : "") + (alone ? "" : " in place");
        begin(inode);
        return send(what, FuseMessage.write(inode, anyHandle(k), offset, data, flags), (error, body) -> {
            end(inode);
            overwriting.remove(range);
            boolean good = succeeded(what, error, 0, false);
            if (good) {
                int count = wrap(body).getInt(0);
                require(count == length, what + " wrote " + count + " bytes");
            }
            endChange(what, inode, file, op, good);
            if (good && durable) {
                op.madeDurable();
                // Its change is in the log, and with it all that came before; an overwrite needs its inode only.
                history.madeDurable(op.group ? before : ofInode);
            }
        });
    }

    private boolean truncate() {
        ModelNode node = anyFile();
        if (node == null || !mayChangeAlone(known(node.inode).file)) {
            return false;
        }
        long inode = node.inode;
        FileModel file = known(inode).file;
        long size =
                switch (random.below(4)) {
                    case 0 -> 0;
                    case 1 -> file.size / FileModel.BLOCK * FileModel.BLOCK;
                    default -> anyOffset(file);
                };
        String what = "truncate " + inode + " to " + size + " from " + file.size;
        boolean frees = size <= file.size;
        DataOp op = startAlone(file, file.truncate(size, history.length()));
        begin(inode);
        return send(what, FuseMessage.truncate(inode, size), (error, body) -> {
            end(inode);
            endChange(what, inode, file, op, succeeded(what, error, 0, frees));
        });
    }

    private boolean fallocate() {
        ModelNode node = anyFile();
        if (node == null || !mayChangeAlone(known(node.inode).file)) {
            return false;
        }
        long inode = node.inode;
        Known k = known(inode);
        FileModel file = k.file;
        // A disk that is to grow must be full now and then.
        boolean fills = plan.grows() && plan.small() && random.percent(40);
        int anyMode = random.pick(
                0,
                FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_ZERO_RANGE,
                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
        int mode = fills ? FALLOC_FL_KEEP_SIZE : anyMode;
        long offset = fills ? 0 : anyOffset(file);
        int wanted = fills ? plan.maxFileBytes() : random.skewed(plan.maxFileBytes());
        long length = Math.min(plan.maxFileBytes() - offset, wanted);
        if (length <= 0) {
            return false;
        }
        boolean grows = (mode & FALLOC_FL_KEEP_SIZE) == 0;
        boolean punches = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
        boolean clears = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
        DataOp op = startAlone(
                file,
                clears
                        ? file.clear(offset, length, grows, punches, history.length())
                        : file.allocate(offset, length, grows, history.length()));
        String what = "fallocate " + inode + " mode " + mode + " " + offset + "+" + length;
        begin(inode);
        return send(what, FuseMessage.fallocate(inode, anyHandle(k), mode, offset, length), (error, body) -> {
            end(inode);
            endChange(what, inode, file, op, succeeded(what, error, 0, false));
        });
    }

    /** Whole blocks, which are shared. */
    private boolean copy() {
        ModelNode from = anyFile();
        ModelNode to = anyFile();
        if (from == null || to == null) {
            return false;
        }
        Known s = known(from.inode);
        Known t = known(to.inode);
        FileModel source = s.file;
        FileModel target = t.file;
        if (!mayChangeAlone(source) || !mayChangeAlone(target) || source.size < FileModel.BLOCK) {
            return false;
        }
        int sourceBlocks = (int) (source.size / FileModel.BLOCK);
        int first = random.below(sourceBlocks);
        int count = random.oneIn(2) ? sourceBlocks - first : 1 + random.below(sourceBlocks - first);
        long offset = anyOffset(target) / FileModel.BLOCK * FileModel.BLOCK;
        count = (int) Math.min(count, (plan.maxFileBytes() - offset) / FileModel.BLOCK);
        long length = (long) count * FileModel.BLOCK;
        long sourceOffset = (long) first * FileModel.BLOCK;
        boolean isSame = source == target;
        if (count <= 0 || (isSame && sourceOffset < offset + length && offset < sourceOffset + length)) {
            return false;
        }
        DataOp op = startAlone(target, target.clone(source, sourceOffset, offset, length, history.length()));
        if (!isSame) {
            source.exclusive = true;
            source.changing++;
        }
        copiedInto.add(to.inode);
        String what = "copy " + from.inode + " " + sourceOffset + "+" + length + " to " + to.inode + " " + offset;
        begin(from.inode, to.inode);
        return send(
                what,
                FuseMessage.copyFileRange(
                        from.inode, anyHandle(s), sourceOffset, to.inode, anyHandle(t), offset, length),
                (error, body) -> {
                    end(from.inode, to.inode);
                    if (!isSame) {
                        source.exclusive = false;
                        source.changing--;
                    }
                    boolean good = succeeded(what, error, 0, false);
                    long copied = good ? wrap(body).getLong(0) : 0;
                    boolean whole = copied == length;
                    // What went before an error counts.
                    require(whole || !good || plan.small() || plan.faults().hasErred(), what + " copied " + copied);
                    endChange(what, to.inode, target, op, whole);
                });
    }

    private boolean read() {
        ModelNode node = anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = known(inode);
        FileModel file = k.file;
        long offset = random.oneIn(3) ? 0 : anyOffset(file);
        int length = random.oneIn(3) ? SimDriver.MAX_DATA_BYTES : random.skewed(SimDriver.MAX_DATA_BYTES);
        boolean quiet = file.changing == 0 && !file.uncertain;
        long version = file.version;
        String what = "read " + inode + " " + offset + "+" + length;
        begin(inode);
        return send(what, FuseMessage.read(inode, anyHandle(k), offset, length), (error, body) -> {
            end(inode);
            if (!succeeded(what, error, 0, true)) {
                return;
            }
            if (!quiet || file.version != version) {
                // Which of its states it shows is not known, but it shows nothing else.
                require(
                        wasCopiedInto(inode) || Pattern.isOwn(body, inode, offset),
                        what + " shows bytes of another file or place");
                return;
            }
            byte[] expected = file.read(offset, length);
            int wrong = Arrays.mismatch(expected, body);
            if (wrong >= 0) {
                int at = Math.max(0, Math.min(wrong, Math.min(body.length, expected.length) - 64)) & ~7;
                throw new SimFailure(what + ": got " + body.length + " bytes, expected " + expected.length
                        + "; first difference at " + (offset + wrong) + ": got "
                        + Pattern.describe(body, at, Math.min(64, body.length - at)) + " expected "
                        + Pattern.describe(expected, at, Math.min(64, expected.length - at)));
            }
        });
    }

    private boolean lseek() {
        ModelNode node = anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        FileModel file = known(inode).file;
        if (file.changing > 0 || file.uncertain || file.size == 0) {
            return false;
        }
        long offset = random.below((int) file.size);
        long version = file.version;
        String what = "lseek " + inode + " data from " + offset;
        begin(inode);
        return send(what, FuseMessage.lseek(inode, offset, SEEK_DATA), (error, body) -> {
            end(inode);
            if (file.version != version || isExcused(error, true)) {
                return;
            }
            require(error == 0 || error == -Errno.ENXIO, what + " was answered with " + name(error));
            long found = error == 0 ? wrap(body).getLong(0) : file.size;
            require(found >= offset && found <= file.size, what + " found " + found);
            for (byte b : file.read(offset, (int) (found - offset))) {
                require(b == 0, what + " skipped data, to " + found);
            }
        });
    }

    // --- attributes

    private boolean chmod() {
        ModelNode node = anyNode();
        if (node == null || node.type == S_IFLNK) {
            return false;
        }
        long inode = node.inode;
        int mode = random.below(01000);
        String what = "chmod " + inode + " 0" + Integer.toOctalString(mode);
        begin(inode);
        return send(what, FuseMessage.chmod(inode, mode), (error, body) -> {
            end(inode);
            if (succeeded(what, error, 0, false)) {
                history.add(what, tree -> change(tree, inode, n -> n.permissions = mode), inode);
            }
        });
    }

    private static void change(ModelTree tree, long inode, Consumer<ModelNode> change) {
        ModelNode node = tree.find(inode);
        if (node != null) {
            change.accept(node);
        }
    }

    private boolean setxattr() {
        ModelNode node = anyNode();
        if (node == null || !(node.isFile() || node.isDirectory())) {
            return false;
        }
        long inode = node.inode;
        String name = "user.x" + random.below(XATTR_NAMES);
        int length = random.pick(0, 10, 300, 3590, 3601, 9000, 20_000);
        byte[] value = Pattern.fill(inode, nextWrite++, 0, length);
        int flags = random.pick(0, 0, XATTR_CREATE, LibcConstants.XATTR_REPLACE);
        String what = "setxattr " + inode + " " + name + " of " + length + " flags " + flags;
        begin(inode);
        return send(what, FuseMessage.setxattr(inode, name, value, flags), (error, body) -> {
            end(inode);
            boolean there = tree().node(inode).xattrs.containsKey(name);
            int expected = there && flags == XATTR_CREATE
                    ? -Errno.EEXIST
                    : !there && flags == LibcConstants.XATTR_REPLACE ? -Errno.ENODATA : 0;
            if (succeeded(what, error, expected, false)) {
                history.add(what, tree -> change(tree, inode, n -> n.xattrs.put(name, value)), inode);
            }
        });
    }

    private boolean removexattr() {
        ModelNode node = anyNode();
        if (node == null || node.xattrs.isEmpty()) {
            return false;
        }
        long inode = node.inode;
        String name = node.xattrs.firstKey();
        String what = "removexattr " + inode + " " + name;
        begin(inode);
        return send(what, FuseMessage.removexattr(inode, name), (error, body) -> {
            end(inode);
            boolean there = tree().node(inode).xattrs.containsKey(name);
            if (succeeded(what, error, there ? 0 : -Errno.ENODATA, true)) {
                history.add(what, tree -> change(tree, inode, n -> n.xattrs.remove(name)), inode);
            }
        });
    }

    // --- durability

    private boolean sync() {
        if (random.oneIn(4)) {
            return syncfs();
        }
        ModelNode node = random.percent(70) ? anyFile() : tree().node(anyDirectory());
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        boolean dataOnly = node.isFile() && random.percent(40);
        int covered = dataOnly ? history.dataCoveredBy(inode) : history.coveredBy(inode);
        List<DataOp> ops = answered(known(inode).file);
        String what = (dataOnly ? "fdatasync " : "fsync ") + inode;
        begin(inode);
        return send(what, FuseMessage.fsync(inode, node.isDirectory(), dataOnly), (error, body) -> {
            end(inode);
            if (succeeded(what, error, 0, true)) {
                history.madeDurable(covered);
                ops.forEach(DataOp::madeDurable);
            }
        });
    }

    private boolean syncfs() {
        int covered = history.length();
        List<DataOp> ops = new ArrayList<>();
        known.values().forEach(k -> ops.addAll(answered(k.file)));
        return send("syncfs", FuseMessage.syncfs(ModelTree.ROOT), (error, body) -> {
            if (succeeded("syncfs", error, 0, true)) {
                history.madeDurable(covered);
                ops.forEach(DataOp::madeDurable);
            }
        });
    }

    /** Changes that were acknowledged. */
    private static List<DataOp> answered(FileModel file) {
        List<DataOp> ops = new ArrayList<>();
        for (DataOp op : file.ops()) {
            if (op.answered && !op.synced) {
                ops.add(op);
            }
        }
        return ops;
    }
}

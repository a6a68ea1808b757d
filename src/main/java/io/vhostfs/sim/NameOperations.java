package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.sim.SimFailure.require;

import io.vhostfs.os.Errno;
import io.vhostfs.sim.GuestView.Known;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * What a guest does with names: it makes, links, renames, removes, lists, looks up and forgets.
 *
 * <p>Invariant: names may be changed by any number of requests at once. What an answer must be is judged when it comes, by
 * the tree as the answers before it left it. One thread. Each method starts one request, or returns false.
 */
final class NameOperations {
    private static final String LABEL = "security.sim";
    private static final int LABELLED_ONE_IN = 4;
    private static final int LISTING_BYTES = 32 << 10;

    private final GuestView view;
    private final GuestRequests requests;
    private final SimRandom random;

    NameOperations(GuestView view, GuestRequests requests, SimRandom random) {
        this.view = view;
        this.requests = requests;
        this.random = random;
    }

    boolean create() {
        long dir = view.anyDirectory();
        String name = view.anyName();
        int mode = random.pick(0600, 0644, 0755);
        FuseMessage message = FuseMessage.create(dir, name, mode);
        return make("create", dir, name, message, inode -> new ModelNode(inode, S_IFREG, mode));
    }

    /** A file without a name, which {@link #link} may give one. */
    boolean tmpfile() {
        long dir = view.anyDirectory();
        String what = "tmpfile in " + dir;
        return requests.send(what, FuseMessage.tmpfile(dir, 0640), (error, body) -> {
            if (requests.succeeded(what, error, view.tree().isLive(dir) ? 0 : -Errno.ENOENT, false)) {
                ModelNode node = new ModelNode(newInode(what, body), S_IFREG, 0640);
                node.linkable = true;
                ModelNode template = node.copy();
                view.history()
                        .addInode(
                                what + " -> " + node.inode, tree -> tree.add(template.copy()), node.inode, node.inode);
                opened(node.inode, body);
            }
        });
    }

    boolean mkdir() {
        long dir = view.anyDirectory();
        String name = view.anyName();
        FuseMessage message = FuseMessage.mkdir(dir, name, 0755);
        return make("mkdir", dir, name, message, inode -> new ModelNode(inode, S_IFDIR, 0755));
    }

    boolean mknod() {
        long dir = view.anyDirectory();
        String name = view.anyName();
        int type = random.pick(S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK);
        int device = type == S_IFCHR || type == S_IFBLK ? random.between(1, 500) : 0;
        return make("mknod", dir, name, FuseMessage.mknod(dir, name, type | 0640, device), inode -> {
            ModelNode node = new ModelNode(inode, type, 0640);
            node.device = device;
            return node;
        });
    }

    boolean symlink() {
        long dir = view.anyDirectory();
        String name = view.anyName();
        String target = "t" + "/x".repeat(random.pick(1, 10, 800, 2000));
        return make("symlink", dir, name, FuseMessage.symlink(dir, name, target), inode -> {
            ModelNode node = new ModelNode(inode, S_IFLNK, 0777);
            node.target = target;
            node.size = target.length();
            return node;
        });
    }

    /** A new name for a new inode, whose node is as {@code asNode} says. */
    private boolean make(String verb, long dir, String name, FuseMessage message, LongFunction<ModelNode> asNode) {
        String what = verb + " " + dir + "/" + name;
        byte @Nullable [] label = label(name);
        return requests.send(what, message.withLabel(LABEL, label), (error, body) -> {
            if (requests.succeeded(what, error, expectNew(dir, name), false)) {
                ModelNode node = asNode.apply(newInode(what, body));
                if (label != null) {
                    node.xattrs.put(LABEL, label);
                }
                made(what, dir, name, node);
                if (message.opcode() == FUSE_CREATE) {
                    opened(node.inode, body);
                }
            }
        });
    }

    private static long entryInode(byte[] body) {
        return FuseMessage.fields(body).getLong(FUSE_ENTRY_OUT_NODEID_OFFSET);
    }

    /** The inode that was made, which the guest knows from now on. */
    private long newInode(String what, byte[] body) {
        long inode = entryInode(body);
        require(view.tree().find(inode) == null, what + " was given inode " + inode + ", which is in use");
        view.meet(inode);
        return inode;
    }

    /** The inode came with a file that is open. */
    private void opened(long inode, byte[] body) {
        view.known(inode).handles.add(FuseMessage.fields(body).getLong(FUSE_ENTRY_OUT_SIZE));
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

    private void made(String what, long dir, String name, ModelNode node) {
        ModelNode template = node.copy();
        view.history()
                .addInode(
                        what + " -> " + node.inode,
                        tree -> {
                            tree.add(template.copy());
                            tree.setEntry(dir, name, template.inode);
                        },
                        node.inode,
                        dir);
    }

    boolean link() {
        ModelNode nameless = random.percent(50) ? view.anyNameless() : null;
        ModelNode node = nameless == null ? view.anyNode() : nameless;
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        long dir = view.anyDirectory();
        String name = view.anyName();
        String what = "link " + inode + " as " + dir + "/" + name;
        return requests.send(what, FuseMessage.link(inode, dir, name), inode, (error, body) -> {
            ModelNode now = view.tree().node(inode);
            int expected = !view.tree().isLive(dir)
                    ? -Errno.ENOENT
                    : now.isDirectory()
                            ? -Errno.EPERM
                            : now.links == 0 && !now.linkable ? -Errno.ENOENT : expectNew(dir, name);
            if (requests.succeeded(what, error, expected, false)) {
                view.known(inode).lookups++;
                view.history()
                        .add(
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

    boolean unlink() {
        long dir = view.anyDirectory();
        String name = view.someName(dir);
        String what = "unlink " + dir + "/" + name;
        return requests.send(what, FuseMessage.unlink(dir, name), (error, body) -> {
            ModelNode target = view.tree().isLive(dir) ? view.tree().entry(dir, name) : null;
            int expected = target == null ? -Errno.ENOENT : target.isDirectory() ? -Errno.EISDIR : 0;
            if (requests.succeeded(what, error, expected, true) && target != null) {
                view.history().add(what, tree -> tree.removeEntry(dir, name), dir, target.inode);
            }
        });
    }

    boolean rmdir() {
        long dir = view.anyDirectory();
        String name = view.someName(dir);
        String what = "rmdir " + dir + "/" + name;
        return requests.send(what, FuseMessage.rmdir(dir, name), (error, body) -> {
            ModelNode target = view.tree().isLive(dir) ? view.tree().entry(dir, name) : null;
            int expected = target == null
                    ? -Errno.ENOENT
                    : !target.isDirectory() ? -Errno.ENOTDIR : target.entries.isEmpty() ? 0 : -Errno.ENOTEMPTY;
            if (requests.succeeded(what, error, expected, true) && target != null) {
                long inode = target.inode;
                view.history()
                        .add(
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

    boolean rename() {
        long from = view.anyDirectory();
        long to = random.percent(40) ? from : view.anyDirectory();
        String name = view.someName(from);
        String newName = random.percent(50) ? view.someName(to) : view.anyName();
        int flags = random.pick(0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE);
        String what = "rename " + from + "/" + name + " to " + to + "/" + newName + " flags " + flags;
        return requests.send(what, FuseMessage.rename(from, name, to, newName, flags), to, (error, body) -> {
            int expected = expectRename(from, name, to, newName, flags);
            if (requests.succeeded(what, error, expected, false)) {
                renamed(what, from, name, to, newName, flags);
            }
        });
    }

    private int expectRename(long from, String name, long to, String newName, int flags) {
        ModelTree tree = view.tree();
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
        ModelNode source = Objects.requireNonNull(view.tree().entry(from, name));
        ModelNode target = view.tree().entry(to, newName);
        long inode = source.inode;
        if (target == null) {
            view.history()
                    .add(
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
        view.history()
                .add(
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

    boolean lookup() {
        long dir = view.anyDirectory();
        String name = view.someName(dir);
        String what = "lookup " + dir + "/" + name;
        return requests.send(what, FuseMessage.lookup(dir, name), (status, body) -> {
            ModelNode target = view.tree().entry(dir, name);
            // An entry without a node says that there is none, and may be cached.
            int error = status == 0 && entryInode(body) == 0 ? -Errno.ENOENT : status;
            if (requests.succeeded(what, error, target == null ? -Errno.ENOENT : 0, true) && target != null) {
                require(entryInode(body) == target.inode, what + " found inode " + entryInode(body));
                view.known(target.inode).lookups++;
                view.checkAttributes(what, FuseMessage.fields(body), FUSE_ENTRY_OUT_ATTR_OFFSET, target);
            }
        });
    }

    boolean forget() {
        ModelNode node = view.anyNode();
        if (node == null || node.inode == ModelTree.ROOT) {
            return false;
        }
        Known k = view.known(node.inode);
        boolean linked = node.links > 0;
        if (k.inFlight > 0 || k.lookups == 0 || !k.handles.isEmpty() || (linked && !random.oneIn(3))) {
            return false;
        }
        long count = k.lookups;
        k.lookups = 0;
        requests.sendWithoutReply("forget " + node.inode + " " + count, FuseMessage.forget(node.inode, count));
        if (!linked && k.handles.isEmpty()) {
            view.lose(node.inode);
        }
        return true;
    }

    boolean readdir() {
        long dir = view.anyDirectory();
        boolean plus = random.percent(40);
        String what = (plus ? "readdirplus " : "readdir ") + dir + " from 0";
        return requests.send(what, FuseMessage.readdir(dir, 0, LISTING_BYTES, plus), (error, body) -> {
            if (error == -Errno.ENOENT && !view.tree().isLive(dir)) {
                return;
            }
            if (!requests.succeeded(what, error, 0, true)) {
                return;
            }
            for (DirectoryEntry entry : DirectoryEntry.parse(body, plus)) {
                if (entry.isDots()) {
                    continue;
                }
                ModelNode node = view.tree().entry(dir, entry.name());
                require(node != null && node.inode == entry.inode(), what + " shows " + entry);
                if (plus && node != null) {
                    view.known(node.inode).lookups++;
                }
            }
        });
    }

    private int expectNew(long dir, String name) {
        if (!view.tree().isLive(dir)) {
            return -Errno.ENOENT;
        }
        return view.tree().entry(dir, name) != null ? -Errno.EEXIST : 0;
    }
}

package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * What a guest does with attributes, and its syncs.
 *
 * <p>Invariant: a sync that succeeded makes durable what was acknowledged before it was sent, and nothing more is expected
 * of it. One thread. Each method starts one request, or returns false.
 */
final class AttributeOperations {
    private static final int XATTR_NAMES = 4;

    private final GuestView view;
    private final GuestRequests requests;
    private final SimRandom random;

    AttributeOperations(GuestView view, GuestRequests requests, SimRandom random) {
        this.view = view;
        this.requests = requests;
        this.random = random;
    }

    boolean getattr() {
        ModelNode node = view.anyNode();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        String what = "getattr " + inode;
        return requests.send(what, FuseMessage.getattr(inode), (error, body) -> {
            if (requests.succeeded(what, error, 0, true)) {
                view.checkAttributes(
                        what,
                        FuseMessage.fields(body),
                        FUSE_ATTR_OUT_ATTR_OFFSET,
                        view.tree().node(inode));
            }
        });
    }

    boolean chmod() {
        ModelNode node = view.anyNode();
        if (node == null || node.type == S_IFLNK) {
            return false;
        }
        long inode = node.inode;
        int mode = random.below(01000);
        String what = "chmod " + inode + " 0" + Integer.toOctalString(mode);
        return requests.send(what, FuseMessage.chmod(inode, mode), (error, body) -> {
            if (requests.succeeded(what, error, 0, false)) {
                view.history().add(what, tree -> change(tree, inode, n -> n.permissions = mode), inode);
            }
        });
    }

    private static void change(ModelTree tree, long inode, Consumer<ModelNode> change) {
        ModelNode node = tree.find(inode);
        if (node != null) {
            change.accept(node);
        }
    }

    boolean setxattr() {
        ModelNode node = view.anyNode();
        if (node == null || !(node.isFile() || node.isDirectory())) {
            return false;
        }
        long inode = node.inode;
        String name = "user.x" + random.below(XATTR_NAMES);
        int length = random.pick(0, 10, 300, 3590, 3601, 9000, 20_000);
        byte[] value = view.newBytes(inode, 0, length);
        int flags = random.pick(0, 0, XATTR_CREATE, LibcConstants.XATTR_REPLACE);
        String what = "setxattr " + inode + " " + name + " of " + length + " flags " + flags;
        return requests.send(what, FuseMessage.setxattr(inode, name, value, flags), (error, body) -> {
            boolean there = view.tree().node(inode).xattrs.containsKey(name);
            int expected = there && flags == XATTR_CREATE
                    ? -Errno.EEXIST
                    : !there && flags == LibcConstants.XATTR_REPLACE ? -Errno.ENODATA : 0;
            if (requests.succeeded(what, error, expected, false)) {
                view.history().add(what, tree -> change(tree, inode, n -> n.xattrs.put(name, value)), inode);
            }
        });
    }

    boolean removexattr() {
        ModelNode node = view.anyNode();
        if (node == null || node.xattrs.isEmpty()) {
            return false;
        }
        long inode = node.inode;
        String name = node.xattrs.firstKey();
        String what = "removexattr " + inode + " " + name;
        return requests.send(what, FuseMessage.removexattr(inode, name), (error, body) -> {
            boolean there = view.tree().node(inode).xattrs.containsKey(name);
            if (requests.succeeded(what, error, there ? 0 : -Errno.ENODATA, true)) {
                view.history().add(what, tree -> change(tree, inode, n -> n.xattrs.remove(name)), inode);
            }
        });
    }

    boolean sync() {
        if (random.oneIn(4)) {
            return syncfs();
        }
        ModelNode node = random.percent(70) ? view.anyFile() : view.tree().node(view.anyDirectory());
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        boolean dataOnly = node.isFile() && random.percent(40);
        int covered =
                dataOnly ? view.history().dataCoveredBy(inode) : view.history().coveredBy(inode);
        List<DataOp> ops = answered(view.known(inode).file);
        String what = (dataOnly ? "fdatasync " : "fsync ") + inode;
        return requests.send(what, FuseMessage.fsync(inode, node.isDirectory(), dataOnly), (error, body) -> {
            if (requests.succeeded(what, error, 0, true)) {
                view.history().madeDurable(covered);
                ops.forEach(DataOp::madeDurable);
            }
        });
    }

    private boolean syncfs() {
        int covered = view.history().length();
        List<DataOp> ops = new ArrayList<>();
        view.knownFiles().forEach(file -> ops.addAll(answered(file)));
        return requests.send("syncfs", FuseMessage.syncfs(ModelTree.ROOT), (error, body) -> {
            if (requests.succeeded("syncfs", error, 0, true)) {
                view.history().madeDurable(covered);
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

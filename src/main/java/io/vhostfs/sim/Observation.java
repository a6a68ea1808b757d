package io.vhostfs.sim;

import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.*;

import io.vhostfs.os.Errno;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/**
 * Everything that is there after a mount, asked for as a guest does, one request at a time.
 *
 * <p>Each inode is asked for once, whatever its names; listings must say the same as lookups and attributes. One thread.
 */
final class Observation {
    /** Sends one request and lets time pass until its answer is there. */
    interface Asker {
        byte[] ask(FuseMessage message, int... allowedErrors);
    }

    /** The answer was EIO, as it may be where the disk is damaged. */
    static final class Unreadable extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Unreadable() {
            super("EIO", null, false, false);
        }
    }

    private static final int PIECE = SimDriver.MAX_DATA_BYTES;
    private static final int NAME_ROOM = 8192;

    private final Asker asker;
    private final SimRandom random;
    private final ModelTree tree = new ModelTree();
    private final TreeMap<Long, FileModel> files = new TreeMap<>();
    private final TreeMap<Long, byte[]> contents = new TreeMap<>();
    private final TreeMap<Long, Long> lookups = new TreeMap<>();
    private boolean unreadable;

    Observation(Asker asker, SimRandom random) {
        this.asker = asker;
        this.random = random;
    }

    ModelTree tree() {
        return tree;
    }

    Map<Long, FileModel> files() {
        return files;
    }

    Map<Long, byte[]> contents() {
        return contents;
    }

    Map<Long, Long> lookups() {
        return lookups;
    }

    /** Whether something could not be read; it is left out. */
    boolean isIncomplete() {
        return unreadable;
    }

    void run() {
        try {
            runFromRoot();
        } catch (Unreadable e) {
            unreadable = true;
        }
    }

    private void runFromRoot() {
        ModelNode root =
                node(FuseMessage.fields(asker.ask(FuseMessage.getattr(ModelTree.ROOT))), FUSE_ATTR_OUT_ATTR_OFFSET);
        root.parent = root.inode;
        tree.add(root);
        xattrs(root);
        list(root);
    }

    private static ModelNode node(ByteBuffer body, int at) {
        int mode = body.getInt(at + FUSE_ATTR_MODE_OFFSET);
        ModelNode node = new ModelNode(body.getLong(at + FUSE_ATTR_INO_OFFSET), mode & S_IFMT, mode & ~S_IFMT);
        node.links = body.getInt(at + FUSE_ATTR_NLINK_OFFSET);
        node.device = body.getInt(at + FUSE_ATTR_RDEV_OFFSET);
        node.size = node.isDirectory() ? 0 : body.getLong(at + FUSE_ATTR_SIZE_OFFSET);
        return node;
    }

    private void list(ModelNode dir) {
        long offset = 0;
        boolean plus = random.percent(30);
        while (true) {
            byte[] body = asker.ask(FuseMessage.readdir(dir.inode, offset, random.pick(1024, 4096, 32 << 10), plus));
            if (body.length == 0) {
                return;
            }
            for (DirectoryEntry entry : DirectoryEntry.parse(body, plus)) {
                offset = entry.offset();
                if (!entry.isDots()) {
                    if (plus) {
                        lookups.merge(entry.inode(), 1L, Long::sum);
                    }
                    tryEntry(dir, entry);
                }
            }
        }
    }

    private void tryEntry(ModelNode dir, DirectoryEntry entry) {
        try {
            entry(dir, entry);
        } catch (Unreadable e) {
            unreadable = true;
        }
    }

    private void entry(ModelNode dir, DirectoryEntry entry) {
        byte[] body = asker.ask(FuseMessage.lookup(dir.inode, entry.name()));
        ModelNode node = node(FuseMessage.fields(body), FUSE_ENTRY_OUT_ATTR_OFFSET);
        if (node.inode != entry.inode() || node.type >>> 12 != entry.type()) {
            throw new SimFailure("directory " + dir.inode + " lists " + entry + ", a lookup finds inode " + node.inode
                    + " of type " + (node.type >>> 12));
        }
        if (dir.entries.put(entry.name(), node.inode) != null) {
            throw new SimFailure("directory " + dir.inode + " lists " + entry.name() + " twice");
        }
        lookups.merge(node.inode, 1L, Long::sum);
        if (tree.find(node.inode) != null) {
            if (node.isDirectory()) {
                throw new SimFailure("directory " + node.inode + " has two names");
            }
            return;
        }
        node.parent = dir.inode;
        tree.add(node);
        if (node.type == S_IFLNK) {
            node.target = new String(asker.ask(FuseMessage.readlink(node.inode)), StandardCharsets.UTF_8);
        }
        xattrs(node);
        if (node.isDirectory()) {
            list(node);
        } else if (node.isFile()) {
            content(node, FuseMessage.fields(body).getLong(FUSE_ENTRY_OUT_ATTR_OFFSET + FUSE_ATTR_BLOCKS_OFFSET));
        }
    }

    private void xattrs(ModelNode node) {
        byte[] names = asker.ask(FuseMessage.listxattr(node.inode, NAME_ROOM));
        int start = 0;
        for (int i = 0; i < names.length; i++) {
            if (names[i] == 0) {
                String name = new String(names, start, i - start, StandardCharsets.UTF_8);
                node.xattrs.put(name, asker.ask(FuseMessage.getxattr(node.inode, name, 64 << 10)));
                start = i + 1;
            }
        }
    }

    private void content(ModelNode node, long sectors) {
        byte[] all = new byte[(int) Math.min(node.size, FileModel.MAX_BYTES)];
        for (int at = 0; at < all.length; at += PIECE) {
            byte[] piece = asker.ask(FuseMessage.read(node.inode, 0, at, PIECE));
            if (piece.length != Math.min(PIECE, all.length - at)) {
                throw new SimFailure("inode " + node.inode + " says size " + node.size + ", a read at " + at
                        + " ends at " + (at + piece.length));
            }
            System.arraycopy(piece, 0, all, at, piece.length);
        }
        boolean[] mapped = new boolean[FileModel.MAX_BYTES / FileModel.BLOCK];
        boolean inline = map(node, mapped) && sectors == 0;
        contents.put(node.inode, all);
        files.put(node.inode, FileModel.observed(all, inline, mapped));
    }

    /** Which blocks there are; whether there is any. */
    private boolean map(ModelNode node, boolean[] mapped) {
        long at = 0;
        boolean any = false;
        while (at < node.size) {
            byte[] data = asker.ask(FuseMessage.lseek(node.inode, at, SEEK_DATA), -Errno.ENXIO);
            if (data.length == 0) {
                break;
            }
            long start = FuseMessage.fields(data).getLong(0);
            long end = FuseMessage.fields(asker.ask(FuseMessage.lseek(node.inode, start, SEEK_HOLE)))
                    .getLong(0);
            for (long b = start / FileModel.BLOCK; b < (end + FileModel.BLOCK - 1) / FileModel.BLOCK; b++) {
                mapped[(int) b] = true;
                any = true;
            }
            at = Math.max(end, start + 1);
        }
        return any;
    }
}

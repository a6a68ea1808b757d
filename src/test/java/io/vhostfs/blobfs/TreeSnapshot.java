package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** Everything that can be read of a file system, and what may be read of it after it was damaged. */
final class TreeSnapshot {
    static final int PIECE = 1 << 16;
    private static final long MAX_CONTENT = 4 << 20;

    /** What is found under one name, as text that is equal only when all of it is; null: not readable. */
    static final class Entry {
        final long inode;
        final int type;
        final Set<String> facts = new TreeSet<>();

        Entry(long inode, int type) {
            this.inode = inode;
            this.type = type;
        }
    }

    final Map<String, Entry> entries = new TreeMap<>();

    /** Operations that were refused with EIO. */
    int refusals;

    final List<String> refused = new ArrayList<>();

    /** Whether names and inodes known from before may be gone. */
    private boolean mayBeGone;

    private final FsTestClient client;
    private final Map<Long, Set<String>> names = new HashMap<>();

    private TreeSnapshot(FsTestClient client) {
        this.client = client;
    }

    /** All that can be reached from the root, as far as it can be read. */
    static TreeSnapshot of(BlobFs fileSystem, Reactor reactor) {
        return of(fileSystem, reactor, false);
    }

    private static TreeSnapshot of(BlobFs fileSystem, Reactor reactor, boolean mayBeGone) {
        FsTestClient client = new FsTestClient(fileSystem, reactor, fileSystem.attach(FileSystem.ROOT_INODE), PIECE);
        TreeSnapshot snapshot = new TreeSnapshot(client);
        snapshot.mayBeGone = mayBeGone;
        snapshot.add("/", FileSystem.ROOT_INODE, 4);
        return snapshot;
    }

    /**
     * All that can be read, reached from the root or known from before: what was there is found again, or refused, and
     * not gone.
     */
    static TreeSnapshot of(BlobFs fileSystem, Reactor reactor, TreeSnapshot... truths) {
        TreeSnapshot snapshot = of(fileSystem, reactor);
        truths[0].entries.forEach((path, e) -> {
            boolean always = Arrays.stream(truths).allMatch(t -> t.holds(path, e.inode));
            if (always && !path.equals("/")) {
                snapshot.look(path, Objects.requireNonNull(truths[0].entries.get(parent(path))), e);
            }
        });
        return snapshot;
    }

    /**
     * All that can be read of what was known before, by name or by number, and perhaps is not there any more.
     *
     * @param isHalfRepaired entries may name inodes that are gone: the step that removes them is still to come
     */
    static TreeSnapshot ofRemains(BlobFs fileSystem, Reactor reactor, TreeSnapshot truth, boolean isHalfRepaired) {
        TreeSnapshot snapshot = of(fileSystem, reactor, isHalfRepaired);
        snapshot.mayBeGone = true;
        truth.entries.forEach((path, e) -> {
            if (!path.equals("/")) {
                snapshot.look(path, Objects.requireNonNull(truth.entries.get(parent(path))), e);
            }
        });
        return snapshot;
    }

    private boolean holds(String path, long inode) {
        Entry e = entries.get(path);
        return e != null && e.inode == inode;
    }

    /** A reference by number, where the one by name was refused. */
    private boolean mayAsk(long inode) {
        return ok(client.tryLookup(inode, "."));
    }

    private static String parent(String path) {
        return path.substring(0, path.lastIndexOf('/', path.length() - 2) + 1);
    }

    private void look(String path, Entry directory, Entry e) {
        String name =
                path.substring(path.lastIndexOf('/', path.length() - 2) + 1).replace("/", "");
        if (mayAsk(directory.inode) && ok(client.tryLookup(directory.inode, name))) {
            assertEquals(e.inode, client.request.attributes.inode, path);
        }
        if (!entries.containsKey(path) && mayAsk(e.inode)) {
            add(path, e.inode, e.type);
        }
    }

    private static void note(Entry e, String fact, Object value) {
        e.facts.add(fact + " " + value);
    }

    private boolean ok(int status) {
        if (status == -Errno.EIO) {
            refusals++;
            refused.add("operation " + client.request.operation + " of inode " + client.request.inode);
            return false;
        }
        if (mayBeGone && (status == -Errno.ENOENT || status == -Errno.ESTALE)) {
            return false;
        }
        if (status != 0) {
            throw new AssertionError("operation " + client.request.operation + " of inode " + client.request.inode
                    + " ends with " + Errno.name(status));
        }
        return true;
    }

    private void add(String path, long inode, int type) {
        Entry e = new Entry(inode, type);
        entries.put(path, e);
        long size = -1;
        if (ok(client.tryGetattr(inode))) {
            FsAttributes a = client.request.attributes;
            size = a.sizeBytes;
            note(e, "mode", a.mode);
            note(e, "size", a.sizeBytes);
            note(e, "links", a.linkCount);
            note(e, "owner", a.uid + ":" + a.gid);
            note(e, "device", a.deviceNumber);
            note(e, "modified", a.modifyTimeNs);
        }
        addXattrs(e, inode);
        switch (type) {
            case 4 -> addDirectory(path, e, inode);
            case 8 -> addContent(e, inode, size);
            case 10 -> {
                client.request.inode = inode;
                client.request.setData(client.request.data, 4096);
                if (ok(client.call(FsOp.READLINK))) {
                    note(e, "target", text(client.request.count));
                }
            }
            default -> {}
        }
    }

    private String text(long length) {
        return new String(FsTestClient.bytes(client.request.data, (int) length), StandardCharsets.ISO_8859_1);
    }

    private void addXattrs(Entry e, long inode) {
        if (!ok(client.tryListxattr(inode, PIECE))) {
            return;
        }
        String all = text(client.request.count);
        note(e, "attributes", Arrays.stream(all.split("\0", -1)).sorted().toList());
        for (String name : all.split("\0", -1)) {
            if (!name.isEmpty() && ok(client.tryGetxattr(inode, name, PIECE))) {
                note(e, "attribute " + name, text(client.request.count).hashCode() + " " + client.request.count);
            }
        }
    }

    private void addContent(Entry e, long inode, long size) {
        // A damaged size may be anything.
        for (long at = 0; at < Math.min(size, MAX_CONTENT); at += PIECE) {
            if (ok(client.tryRead(inode, 0, at, PIECE))) {
                byte[] bytes = FsTestClient.bytes(client.request.data, (int) client.request.count);
                note(e, "bytes at " + at, bytes.length + " " + Arrays.hashCode(bytes));
            }
        }
    }

    private void addDirectory(String path, Entry e, long inode) {
        List<FsTestClient.Entry> found = new ArrayList<>();
        long cookie = 0;
        boolean whole = true;
        while (whole) {
            List<FsTestClient.Entry> some = new ArrayList<>();
            whole = ok(client.tryList(inode, cookie, 50, false, some));
            if (some.isEmpty()) {
                break;
            }
            found.addAll(some);
            cookie = found.getLast().cookie();
        }
        Set<String> known = names.computeIfAbsent(inode, i -> new HashSet<>());
        for (FsTestClient.Entry child : found) {
            if (!child.name().equals(".") && !child.name().equals("..") && known.add(child.name())) {
                note(e, "entry", child.name());
                // Listed and yet not found by name is possible: the listing needs fewer nodes.
                boolean isText = child.name().indexOf('\ufffd') < 0;
                if (isText && ok(client.tryLookup(inode, child.name()))) {
                    assertTrue(
                            client.request.attributes.inode == child.inode(),
                            path + child.name() + " is " + client.request.attributes.inode + " and " + child.inode());
                }
                String childPath = path + child.name() + (child.type() == 4 ? "/" : "");
                if (!entries.containsKey(childPath) && mayAsk(child.inode())) {
                    add(childPath, child.inode(), child.type());
                }
            }
        }
        if (whole) {
            note(
                    e,
                    "entries",
                    found.stream().map(FsTestClient.Entry::name).sorted().collect(Collectors.joining("/")));
        }
    }

    /** What this snapshot holds that none of the true ones does: nothing, if damage only hides. */
    List<String> wrongAgainst(TreeSnapshot... truths) {
        List<String> wrong = new ArrayList<>();
        entries.forEach((path, e) -> {
            for (String fact : e.facts) {
                boolean known = false;
                for (TreeSnapshot truth : truths) {
                    Entry t = truth.entries.get(path);
                    known |= t != null && t.inode == e.inode && t.facts.contains(fact);
                }
                if (!known) {
                    wrong.add(path + ": " + fact.substring(0, Math.min(200, fact.length())));
                }
            }
        });
        return wrong;
    }
}

package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.MallocDevice;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Random operations against a model in memory; content, attributes and names must agree, also after a remount. */
class BlobFsModelTest {
    private static final int MAX_FILE = 300_000;

    /** A file or directory of the model. */
    private static final class Node {
        final boolean isDirectory;
        final long inode;
        byte[] content = new byte[0];
        final TreeMap<String, Node> entries = new TreeMap<>();
        final TreeMap<String, String> xattrs = new TreeMap<>();

        @Nullable
        Node parent;

        int links;
        int mode;

        Node(long inode, boolean isDirectory) {
            this.inode = inode;
            this.isDirectory = isDirectory;
            this.links = isDirectory ? 2 : 1;
        }
    }

    private final Random random = new Random();
    private @Nullable FsFixture mounted;
    private @Nullable FsTestClient current;
    /** The same client on another reactor. */
    private @Nullable FsTestClient elsewhere;

    private boolean asksElsewhere;
    private final Node root = new Node(FileSystem.ROOT_INODE, true);
    private final Map<Long, Node> all = new HashMap<>();

    private void begin(BlockDevice device, StoreOptions options, long seed) {
        random.setSeed(seed);
        mounted = new FsFixture(device, options);
        current = mounted.newClient();
        root.parent = root;
        all.put(root.inode, root);
    }

    private FsFixture fixture() {
        return Objects.requireNonNull(mounted);
    }

    private FsTestClient client() {
        return Objects.requireNonNull(asksElsewhere ? elsewhere : current);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void agreesWithTheModel(long seed) {
        begin(new MallocDevice(128 << 20), StoreOptions.DEFAULT, seed);
        run(4000);
    }

    @ParameterizedTest
    @ValueSource(longs = {4, 5})
    void agreesWithTheModelOnADeviceThatDefersAndDemandsAlignment(long seed) {
        begin(new DeferringDevice(new MallocDevice(128 << 20), seed, 4096, 512), StoreOptions.DEFAULT, seed);
        // And extents that are dropped all the time.
        fixture().fileSystem.volume().setMaxCachedExtents(20);
        run(3000);
    }

    @ParameterizedTest
    @ValueSource(longs = {8, 9, 10})
    void agreesWithTheModelWhenRequestsComeFromTwoReactors(long seed) {
        begin(new DeferringDevice(new MallocDevice(128 << 20), seed, 512, 1), StoreOptions.DEFAULT, seed);
        FsTestClient client = client();
        elsewhere = fixture().newClientElsewhere(client.client, new Reactor("other"));
        for (int i = 0; i < 4000; i++) {
            step();
            if (i % 1000 == 999) {
                verify(root);
            }
        }
        fixture().close();
    }

    @Test
    void agreesWithTheModelWhenNodesDoNotFitTheCache() {
        StoreOptions small = StoreOptions.DEFAULT.withMetaCacheBytes(4 << 20);
        begin(new DeferringDevice(new MallocDevice(128 << 20), 7, 512, 1), small, 7);
        for (int i = 0; i < 12_000; i++) {
            long inode = client().create(1, "filler-of-a-tree-that-is-larger-than-its-cache-" + i);
            Node n = new Node(inode, false);
            n.parent = root;
            n.mode = LibcConstants.S_IFREG | 0x1a4;
            root.entries.put("filler-of-a-tree-that-is-larger-than-its-cache-" + i, n);
            all.put(inode, n);
        }
        run(3000);
    }

    private void run(int operations) {
        for (int i = 0; i < operations; i++) {
            step();
            if (i % 1000 == 999) {
                verify(root);
                fixture().unmount();
                assertEquals(List.of(), Checks.run(fixture().device));
                fixture().mount();
                current = fixture().newClient();
                relearn(root);
                verify(root);
            }
        }
        fixture().close();
    }

    /** A new client holds no references: looks everything up again. */
    private void relearn(Node dir) {
        for (Map.Entry<String, Node> e : dir.entries.entrySet()) {
            assertEquals(e.getValue().inode, client().lookup(dir.inode, e.getKey()));
            if (e.getValue().isDirectory) {
                relearn(e.getValue());
            }
        }
    }

    private void step() {
        asksElsewhere = elsewhere != null && random.nextBoolean();
        switch (random.nextInt(18)) {
            case 0 -> make(false);
            case 1 -> make(random.nextInt(3) == 0);
            case 2 -> remove();
            case 3 -> link();
            case 4, 5 -> rename();
            case 6, 7, 8 -> write(0);
            case 9 -> write(LibcConstants.O_APPEND);
            case 10 -> read();
            case 11 -> truncate();
            case 12 -> allocate();
            case 13 -> xattr();
            case 14 -> chmod();
            case 15, 16 -> cloneRange();
            default -> fsync();
        }
    }

    private Node anyDirectory() {
        List<Node> dirs = all.values().stream().filter(n -> n.isDirectory).toList();
        return dirs.get(random.nextInt(dirs.size()));
    }

    private @Nullable Node anyFile() {
        List<Node> files = all.values().stream()
                .filter(n -> !n.isDirectory && !isFiller(n))
                .toList();
        return files.isEmpty() ? null : files.get(random.nextInt(files.size()));
    }

    private boolean isFiller(Node n) {
        return n.content.length == 0 && random.nextInt(1000) != 0 && all.size() > 10_000;
    }

    private String anyName() {
        return "n" + random.nextInt(12);
    }

    private void make(boolean directory) {
        Node dir = anyDirectory();
        String name = anyName();
        int expected = dir.entries.containsKey(name) ? -Errno.EEXIST : 0;
        int status = directory
                ? client().tryMkdir(dir.inode, name)
                : client().tryCreate(dir.inode, name, LibcConstants.O_EXCL);
        assertEquals(expected, status);
        if (status == 0) {
            Node n = new Node(client().request.attributes.inode, directory);
            n.parent = dir;
            n.mode = client().request.attributes.mode;
            dir.entries.put(name, n);
            dir.links += directory ? 1 : 0;
            all.put(n.inode, n);
            if (!directory) {
                assertEquals(0, client().release(client().request.handle));
            }
        }
    }

    private void remove() {
        Node dir = anyDirectory();
        String name = anyName();
        Node n = dir.entries.get(name);
        boolean rmdir = n == null ? random.nextBoolean() : n.isDirectory;
        int expected = n == null ? -Errno.ENOENT : n.isDirectory && !n.entries.isEmpty() ? -Errno.ENOTEMPTY : 0;
        int status = rmdir ? client().tryRmdir(dir.inode, name) : client().tryUnlink(dir.inode, name);
        assertEquals(expected, status);
        if (n != null && status == 0) {
            dir.entries.remove(name);
            unlinked(n, dir);
        }
    }

    private void unlinked(Node n, Node dir) {
        if (n.isDirectory) {
            dir.links--;
            n.links = 0;
        } else {
            n.links--;
        }
        if (n.links == 0) {
            all.remove(n.inode);
            client().forget(n.inode, Long.MAX_VALUE);
            assertEquals(-Errno.ESTALE, client().tryGetattr(n.inode));
        }
    }

    private void link() {
        Node file = anyFile();
        Node dir = anyDirectory();
        String name = anyName();
        if (file == null) {
            return;
        }
        int expected = dir.entries.containsKey(name) ? -Errno.EEXIST : 0;
        assertEquals(expected, client().tryLink(file.inode, dir.inode, name));
        if (expected == 0) {
            dir.entries.put(name, file);
            file.links++;
        }
    }

    private static boolean isBelow(Node n, Node ancestor) {
        Node at = n;
        while (at != ancestor) {
            Node up = at.parent;
            if (up == at || up == null) {
                return false;
            }
            at = up;
        }
        return true;
    }

    private void rename() {
        Node from = anyDirectory();
        Node to = random.nextBoolean() ? from : anyDirectory();
        String name = anyName();
        String name2 = anyName();
        boolean exchange = random.nextInt(4) == 0;
        Node source = from.entries.get(name);
        Node target = to.entries.get(name2);
        int expected = expectedRename(from, to, source, target, exchange);
        assertEquals(
                expected,
                client().tryRename(from.inode, name, to.inode, name2, exchange ? LibcConstants.RENAME_EXCHANGE : 0));
        if (expected != 0 || source == null || source == target) {
            return;
        }
        to.entries.put(name2, source);
        moved(source, from, to);
        if (exchange && target != null) {
            from.entries.put(name, target);
            moved(target, to, from);
            return;
        }
        if (from != to || !name.equals(name2)) {
            from.entries.remove(name);
        }
        if (target != null) {
            unlinked(target, to);
        }
    }

    private static void moved(Node n, Node from, Node to) {
        if (n.isDirectory) {
            n.parent = to;
            from.links--;
            to.links++;
        }
    }

    private static int expectedRename(
            Node from, Node to, @Nullable Node source, @Nullable Node target, boolean exchange) {
        if (source == null || (exchange && target == null)) {
            return -Errno.ENOENT;
        }
        if (source == target) {
            return 0;
        }
        if (source.isDirectory && isBelow(to, source)) {
            return -Errno.EINVAL;
        }
        if (target == null) {
            return 0;
        }
        if (target.isDirectory && isBelow(from, target)) {
            return exchange ? -Errno.EINVAL : -Errno.ENOTEMPTY;
        }
        if (exchange) {
            return 0;
        }
        if (source.isDirectory != target.isDirectory) {
            return source.isDirectory ? -Errno.ENOTDIR : -Errno.EISDIR;
        }
        return target.entries.isEmpty() ? 0 : -Errno.ENOTEMPTY;
    }

    private int anyOffset(int size) {
        int offset =
                switch (random.nextInt(4)) {
                    case 0 -> size;
                    case 1 -> random.nextInt(size + 1);
                    case 2 -> random.nextInt(MAX_FILE / 2);
                    default -> random.nextInt(5000);
                };
        return random.nextBoolean() ? offset & ~4095 : offset;
    }

    private int anyLength() {
        int length =
                switch (random.nextInt(4)) {
                    case 0 -> random.nextInt(100);
                    case 1 -> random.nextInt(5000);
                    case 2 -> 4096 * (1 + random.nextInt(4));
                    default -> random.nextInt(60_000);
                };
        return 1 + length - (length > 1 ? 1 : 0);
    }

    private void write(int flags) {
        Node file = anyFile();
        if (file == null) {
            return;
        }
        int offset = anyOffset(file.content.length);
        byte[] bytes = new byte[anyLength()];
        random.nextBytes(bytes);
        int at = (flags & LibcConstants.O_APPEND) != 0 ? file.content.length : offset;
        if (at + bytes.length > MAX_FILE) {
            return;
        }
        int shift = random.nextInt(3) == 0 ? random.nextInt(600) : 0;
        int sync = random.nextInt(10) == 0 ? LibcConstants.O_DSYNC : 0;
        assertEquals(0, client().tryWriteAt(client().request.data + shift, file.inode, 0, offset, bytes, flags | sync));
        assertEquals(bytes.length, client().request.count);
        if (file.content.length < at + bytes.length) {
            file.content = Arrays.copyOf(file.content, at + bytes.length);
        }
        System.arraycopy(bytes, 0, file.content, at, bytes.length);
    }

    private void read() {
        Node file = anyFile();
        if (file != null) {
            int offset = anyOffset(file.content.length);
            int length = anyLength();
            byte[] expected = offset >= file.content.length
                    ? new byte[0]
                    : Arrays.copyOfRange(file.content, offset, Math.min(file.content.length, offset + length));
            assertArrayEquals(expected, client().read(file.inode, offset, length));
        }
    }

    private void truncate() {
        Node file = anyFile();
        if (file != null) {
            int size = Math.min(anyOffset(file.content.length), MAX_FILE);
            assertEquals(0, client().truncate(file.inode, size));
            file.content = Arrays.copyOf(file.content, size);
        }
    }

    private void allocate() {
        Node file = anyFile();
        if (file == null) {
            return;
        }
        int offset = Math.min(anyOffset(file.content.length), MAX_FILE - 60_000);
        int length = anyLength();
        int keep = random.nextBoolean() ? LibcConstants.FALLOC_FL_KEEP_SIZE : 0;
        int mode =
                switch (random.nextInt(3)) {
                    case 0 -> LibcConstants.FALLOC_FL_PUNCH_HOLE | LibcConstants.FALLOC_FL_KEEP_SIZE;
                    case 1 -> LibcConstants.FALLOC_FL_ZERO_RANGE | keep;
                    default -> keep;
                };
        assertEquals(0, client().fallocate(file.inode, mode, offset, length));
        if ((mode & LibcConstants.FALLOC_FL_KEEP_SIZE) == 0 && offset + length > file.content.length) {
            file.content = Arrays.copyOf(file.content, offset + length);
        }
        if ((mode & ~LibcConstants.FALLOC_FL_KEEP_SIZE) != 0 && offset < file.content.length) {
            Arrays.fill(file.content, offset, Math.min(file.content.length, offset + length), (byte) 0);
        }
    }

    private void cloneRange() {
        Node source = anyFile();
        Node target = random.nextInt(4) == 0 ? source : anyFile();
        if (source == null || target == null) {
            return;
        }
        int from = anyOffset(source.content.length) & ~4095;
        int to = anyOffset(target.content.length) & ~4095;
        int asked = 4096 * (1 + random.nextInt(random.nextBoolean() ? 3 : 30));
        int whole = Math.max(0, Math.min(asked, source.content.length - from) & ~4095);
        if (to + whole > MAX_FILE) {
            return;
        }
        int status = client().tryClone(source.inode, from, target.inode, to, asked);
        if (source == target && from < to + whole && to < from + whole) {
            assertEquals(-Errno.EINVAL, status);
            return;
        }
        assertEquals(0, status);
        int count = (int) client().request.count;
        if (count != whole) {
            // Content that lives in the tree has no blocks; it may have outgrown it and be small again.
            assertEquals(0, count);
            assertTrue(
                    source.content.length <= Limits.MAX_INLINE_BYTES || isHole(source.content), "nothing was shared");
        }
        if (count > 0 && target.content.length < to + count) {
            target.content = Arrays.copyOf(target.content, to + count);
        }
        if (count > 0) {
            System.arraycopy(source.content, from, target.content, to, count);
        }
    }

    private static boolean isHole(byte[] content) {
        for (byte b : content) {
            if (b != 0) {
                return false;
            }
        }
        return true;
    }

    private void xattr() {
        Node file = anyFile();
        if (file == null) {
            return;
        }
        String name = "user.x" + random.nextInt(4);
        if (random.nextInt(3) == 0) {
            int expected = file.xattrs.remove(name) == null ? -Errno.ENODATA : 0;
            assertEquals(expected, client().removexattr(file.inode, name));
            return;
        }
        String value = "v".repeat(random.nextInt(10) == 0 ? random.nextInt(65_000) : random.nextInt(100));
        assertEquals(0, client().trySetxattr(file.inode, name, value.getBytes(StandardCharsets.UTF_8), 0));
        file.xattrs.put(name, value);
    }

    private void chmod() {
        Node file = anyFile();
        if (file != null) {
            client().request.newAttributes.mode = random.nextInt(0x200);
            assertEquals(0, client().trySetattr(file.inode, FsRequest.SET_MODE));
            file.mode = client().request.attributes.mode;
        }
    }

    private void fsync() {
        Node file = anyFile();
        if (file != null) {
            assertEquals(0, client().fsync(file.inode, random.nextBoolean()));
        }
    }

    // --- agreement

    private void verify(Node dir) {
        List<FsTestClient.Entry> listed = client().list(dir.inode, 1 + random.nextInt(100));
        TreeSet<String> names = new TreeSet<>();
        for (FsTestClient.Entry e : listed) {
            names.add(e.name());
        }
        TreeSet<String> expected = new TreeSet<>(dir.entries.keySet());
        expected.add(".");
        expected.add("..");
        assertEquals(expected, names);
        assertEquals(expected.size(), listed.size());
        assertEquals(dir.links, client().getattr(dir.inode).linkCount);
        for (Node n : dir.entries.values()) {
            if (n.isDirectory) {
                verify(n);
            } else {
                verifyFile(n);
            }
        }
    }

    private void verifyFile(Node file) {
        FsAttributes a = client().getattr(file.inode);
        assertEquals(file.content.length, a.sizeBytes);
        assertEquals(file.links, a.linkCount);
        assertEquals(file.mode, a.mode);
        assertArrayEquals(file.content, client().read(file.inode, 0, MAX_FILE + 1));
        for (Map.Entry<String, String> x : file.xattrs.entrySet()) {
            assertEquals(x.getValue(), new String(client().getxattr(file.inode, x.getKey()), StandardCharsets.UTF_8));
        }
        assertEquals(0, client().tryListxattr(file.inode, 4096));
        List<String> names = new ArrayList<>();
        if (client().request.count > 0) {
            String list = new String(
                    FsTestClient.bytes(client().request.data, (int) client().request.count), StandardCharsets.UTF_8);
            names.addAll(List.of(list.split("\0")));
        }
        names.sort(null);
        assertEquals(List.copyOf(file.xattrs.keySet()), names);
    }
}

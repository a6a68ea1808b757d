package io.vhostfs.blobfs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.blobfs.CheckFinding.Kind;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.RepairReporter;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.fsdev.AclText;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Each kind of damage is found for what it is. */
class BlobFsCheckTest {
    private static final int ROOT = 1;
    private static final String ACCESS = "system.posix_acl_access";
    private static final String DEFAULT = "system.posix_acl_default";

    private final FsFixture fixture = new FsFixture(32 << 20);
    private long dir;
    private long sub;
    private long file;
    private long other;

    @BeforeEach
    void makeFiles() {
        FsTestClient client = fixture.newClient();
        dir = client.mkdir(ROOT, "d");
        sub = client.mkdir(dir, "sub");
        file = client.create(dir, "f");
        client.write(file, 0, new byte[20_000]);
        other = client.create(dir, "g");
        client.write(other, 0, new byte[8192]);
        client.write(client.create(dir, "small"), 0, new byte[100]);
        assertEquals(0, client.trySymlink(dir, "l", "target"));
        assertEquals(0, client.trySetxattr(file, "user.long", new byte[9000], 0));
        StringBuilder users = new StringBuilder("u::rw-");
        for (int i = 0; i < 507; i++) {
            users.append(",u:").append(2000 + i).append(":r--");
        }
        assertEquals(0, client.trySetxattr(other, ACCESS, AclText.encode(users + ",g::r--,m::rw-,o::---"), 0));
        assertEquals(0, client.trySetxattr(dir, DEFAULT, AclText.encode("u::rwx,g::r--,o::---"), 0));
        fixture.unmount();
        assertEquals(List.of(), Checks.run(fixture.device));
    }

    @AfterEach
    void close() {
        fixture.device.close();
    }

    /** A change of one item, made behind the file system's back. */
    private interface Damage {
        /** Changes the value, of which {@code length} bytes are at {@code value}; the new length, negative to delete. */
        int apply(long value, int length);
    }

    private void damage(long k0, long k1, Damage damage) {
        BlobStore store = BlobStore.open(fixture.device, StoreOptions.DEFAULT);
        try (Arena arena = Arena.ofConfined()) {
            long value = arena.allocate(BlobStore.MAX_VALUE_BYTES, 8).address();
            int length = 0;
            if (store.find(k0, k1) == BlobStore.OK) {
                length = store.valueLength;
                Memory.copy(store.valueAddress, value, length);
            }
            int newLength = damage.apply(value, length);
            assertEquals(BlobStore.OK, store.prepare(k0, k1, Math.max(0, newLength)));
            assertEquals(BlobStore.OK, store.begin(BlobStore.logBytes(Math.max(0, newLength))));
            if (newLength < 0) {
                store.delete(k0, k1);
            } else {
                store.put(k0, k1, value, newLength);
            }
            store.end();
        }
        store.closeBlocking();
    }

    private Set<Kind> kinds() {
        return Checks.run(fixture.device).stream().map(CheckFinding::kind).collect(Collectors.toSet());
    }

    private long extentOf(long inode) {
        BlobStore store = BlobStore.open(fixture.device, StoreOptions.DEFAULT.withReadOnly());
        assertEquals(BlobStore.OK, store.find(inode, Items.extentKey(0)));
        long block = Memory.getLong(store.valueAddress + Items.EXTENT_BLOCK_OFFSET);
        store.abandon();
        return block;
    }

    @Test
    void aMissingInode() {
        damage(other, Items.INODE_KEY, (value, length) -> -1);
        assertEquals(Set.of(Kind.DANGLING_ENTRY, Kind.STRAY_ITEM), kinds());
    }

    @Test
    void aGarbledInode() {
        damage(other, Items.INODE_KEY, (value, length) -> {
            Memory.putShort(value, (short) 99);
            return length;
        });
        assertTrue(kinds().contains(Kind.MALFORMED_ITEM) || kinds().contains(Kind.STRAY_ITEM));
    }

    @Test
    void aWrongLinkCount() {
        damage(file, Items.INODE_KEY, (value, length) -> {
            Memory.putInt(value + Items.INODE_LINKS_OFFSET, 7);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_LINK_COUNT), kinds());
    }

    @Test
    void aWrongParent() {
        damage(sub, Items.INODE_KEY, (value, length) -> {
            Memory.putLong(value + Items.INODE_PARENT_OFFSET, ROOT);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_PARENT), kinds());
    }

    @Test
    void anInodeWithoutAName() {
        BlobStore store = BlobStore.open(fixture.device, StoreOptions.DEFAULT.withReadOnly());
        assertEquals(BlobStore.OK, store.ceiling(dir, Items.key(Items.TYPE_DENTRY, 0)));
        long key = store.foundK1;
        store.abandon();
        damage(dir, key, (value, length) -> -1);
        assertTrue(kinds().contains(Kind.UNREACHABLE_INODE));
    }

    @Test
    void anEntryOfAnotherTypeOrName() {
        BlobStore store = BlobStore.open(fixture.device, StoreOptions.DEFAULT.withReadOnly());
        assertEquals(BlobStore.OK, store.ceiling(dir, Items.key(Items.TYPE_DENTRY, 0)));
        long key = store.foundK1;
        store.abandon();
        damage(dir, key, (value, length) -> {
            Memory.putByte(value + Items.DENTRY_TYPE_OFFSET, (byte) 1);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_ENTRY), kinds());
    }

    @Test
    void sharedBlocks() {
        long block = extentOf(other);
        damage(file, Items.extentKey(0), (value, length) -> {
            Memory.putLong(value + Items.EXTENT_BLOCK_OFFSET, block);
            return length;
        });
        assertTrue(kinds().contains(Kind.SHARED_BLOCKS));
    }

    /** Two files more with the blocks of {@link #file}, of which the first differs in one. */
    private void cloneTwice() {
        fixture.mount();
        FsTestClient client = fixture.newClient();
        long d = client.lookup(ROOT, "d");
        long source = client.lookup(d, "f");
        for (String name : List.of("c1", "c2")) {
            long clone = client.create(d, name);
            assertEquals(16_384, client.cloneRange(source, 0, clone, 0, 16_384));
        }
        client.write(client.lookup(d, "c1"), 4096, new byte[4096]);
        fixture.unmount();
        assertEquals(Set.of(), kinds());
    }

    @Test
    void aWrongCountOfReferences() {
        cloneTwice();
        damage(Items.SYSTEM, Items.sharedKey(extentOf(file)), (value, length) -> {
            assertEquals(3, Memory.getLong(value + Items.SHARED_REFERENCES_OFFSET));
            Memory.putLong(value + Items.SHARED_REFERENCES_OFFSET, 2);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_REFERENCES), kinds());
    }

    @Test
    void sharedBlocksThatNothingCounts() {
        cloneTwice();
        damage(Items.SYSTEM, Items.sharedKey(extentOf(file)), (value, length) -> -1);
        assertEquals(Set.of(Kind.WRONG_REFERENCES), kinds());
    }

    @Test
    void aCountOfBlocksThatNobodyHolds() {
        damage(Items.SYSTEM, Items.sharedKey(5000), (value, length) -> {
            Items.encodeShared(value, 7, 2);
            return Items.SHARED_SIZE;
        });
        assertEquals(Set.of(Kind.WRONG_REFERENCES, Kind.BAD_HEADER), kinds());
    }

    @Test
    void anExtentThatDoesNotKnowThatItsBlocksAreShared() {
        cloneTwice();
        damage(file, Items.extentKey(0), (value, length) -> {
            Memory.putByte(value + Items.EXTENT_FLAGS_OFFSET, (byte) 0);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_REFERENCES, Kind.SHARED_BLOCKS), kinds());
    }

    @Test
    void aHeaderThatDoesNotKnowThatBlocksAreShared() {
        cloneTwice();
        damage(Items.SYSTEM, Items.SUPER_KEY, (value, length) -> {
            Memory.putLong(value + Items.SUPER_INCOMPATIBLE_OFFSET, 0);
            return length;
        });
        assertEquals(Set.of(Kind.BAD_HEADER), kinds());
    }

    @Test
    void blocksThatAreFree() {
        long last = 32 * 256 - 20;
        damage(other, Items.extentKey(0), (value, length) -> {
            Memory.putLong(value + Items.EXTENT_BLOCK_OFFSET, last);
            return length;
        });
        assertTrue(kinds().contains(Kind.FREE_BLOCKS_IN_USE));
    }

    @Test
    void aWrongNumberOfBlocks() {
        damage(other, Items.extentKey(0), (value, length) -> {
            Memory.putInt(value + Items.EXTENT_LENGTH_OFFSET, 1);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_SIZE), kinds());
    }

    private long attributeOf(long inode) {
        BlobStore store = BlobStore.open(fixture.device, StoreOptions.DEFAULT.withReadOnly());
        assertEquals(BlobStore.OK, store.ceiling(inode, Items.key(Items.TYPE_XATTR, 0)));
        long key = store.foundK1;
        store.abandon();
        return key;
    }

    @Test
    void anAttributeWithoutItsEnd() {
        damage(file, attributeOf(file) + 2, (value, length) -> -1);
        assertEquals(Set.of(Kind.BROKEN_XATTR), kinds());
    }

    // --- access control lists, which are mended, too

    private List<String> repairs() {
        List<String> told = new ArrayList<>();
        RepairReporter reporter = new RepairReporter() {
            @Override
            public void problem(String text) {}

            @Override
            public void repaired(String text) {
                told.add(text);
            }

            @Override
            public void lost(String text) {
                told.add(text);
            }
        };
        BlobStore.repair(fixture.device, StoreOptions.DEFAULT, reporter, new BlobFsRepair(reporter, 5_000_000_000L));
        assertEquals(List.of(), Checks.run(fixture.device));
        fixture.mount();
        return told;
    }

    @Test
    void aModeThatIsNotThatOfItsList() {
        damage(other, Items.INODE_KEY, (value, length) -> {
            Memory.putInt(value + Items.INODE_MODE_OFFSET, LibcConstants.S_IFREG | 04644);
            return length;
        });
        assertEquals(Set.of(Kind.WRONG_MODE), kinds());
        assertTrue(repairs().toString().contains("inode " + other + ": the mode"));
        FsTestClient client = fixture.newClient();
        assertEquals(other, client.lookup(client.lookup(ROOT, "d"), "g"));
        assertEquals(LibcConstants.S_IFREG | 04660, client.getattr(other).mode);
        assertEquals(4092, client.getxattr(other, ACCESS).length);
        fixture.unmount();
    }

    @Test
    void anAccessListThatIsNone() {
        // In its second piece: a tag that is none.
        damage(other, attributeOf(other) + 1, (value, length) -> {
            Memory.putShort(value + length - 16, (short) 0x40);
            return length;
        });
        assertEquals(Set.of(Kind.BROKEN_XATTR), kinds());
        assertTrue(repairs().toString().contains("an access control list is none"));
        FsTestClient client = fixture.newClient();
        assertEquals(other, client.lookup(client.lookup(ROOT, "d"), "g"));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(other, ACCESS, 0));
        // What was the mask is not the group's.
        assertEquals(LibcConstants.S_IFREG | 0600, client.getattr(other).mode);
        fixture.unmount();
    }

    @Test
    void aDefaultListThatIsNone() {
        damage(dir, attributeOf(dir), (value, length) -> {
            Memory.putInt(value + length - 28, 3);
            return length;
        });
        assertEquals(Set.of(Kind.BROKEN_XATTR), kinds());
        assertTrue(repairs().toString().contains("an access control list is none"));
        FsTestClient client = fixture.newClient();
        assertEquals(dir, client.lookup(ROOT, "d"));
        assertEquals(-Errno.ENODATA, client.tryGetxattr(dir, DEFAULT, 0));
        assertEquals(LibcConstants.S_IFDIR | 0755, client.getattr(dir).mode);
        fixture.unmount();
    }

    @Test
    void aStrayOrphan() {
        damage(Items.SYSTEM, Items.orphanKey(file), (value, length) -> {
            Items.encodeOrphan(value, Items.ORPHAN_UNLINKED);
            return Items.ORPHAN_SIZE;
        });
        assertEquals(Set.of(Kind.STRAY_ORPHAN), kinds());
    }

    @Test
    void aHeaderThatIsGone() {
        damage(Items.SYSTEM, Items.SUPER_KEY, (value, length) -> -1);
        damage(Items.SYSTEM, Items.NEXT_INODE_KEY, (value, length) -> {
            Items.encodeCounter(value, 2);
            return length;
        });
        assertEquals(Set.of(Kind.BAD_HEADER), kinds());
    }

    @Test
    void directoriesThatContainEachOther() {
        damage(dir, Items.INODE_KEY, (value, length) -> {
            Memory.putLong(value + Items.INODE_PARENT_OFFSET, sub);
            return length;
        });
        Set<Kind> found = kinds();
        assertTrue(found.contains(Kind.WRONG_PARENT));
        assertTrue(found.contains(Kind.UNREACHABLE_INODE));
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsStatistics;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The projects whose use of space is counted and limited; docs/on-disk-format.md, "Quotas".
 *
 * <p>Invariant: unless it {@link Quota#isCounting}, a project's PROJECT item says in every group what the inodes of the
 * project take: the item changes in the group that changes them. Without quotas nothing here costs more than looking at a
 * null. Home reactor.
 */
final class Quotas {
    /** Projects are numbered from here. */
    static final int FIRST_PROJECT = Integer.MIN_VALUE | 1;

    /** What an inode takes by its item alone. */
    static final int INODE_BYTES = bytesOf(Items.INODE_SIZE);

    private final BlobStore store;
    /** The project of number n is at n - 1. */
    private Quota[] all = new Quota[0];

    private final long scratch;

    @SuppressWarnings("unused") // holds the scratch memory
    private final Arena arena = Arena.ofAuto();

    Quotas(BlobStore store) {
        this.store = store;
        scratch = arena.allocate(Math.max(Items.PROJECT_SIZE, Items.SUPER_SIZE), 8)
                .address();
    }

    /** What an item in the tree takes of a quota: its slot and its value. */
    static int bytesOf(int valueLength) {
        return Items.SLOT_BYTES + (valueLength + 7 & ~7);
    }

    static int entryBytes(int nameLength) {
        return bytesOf(Items.DENTRY_NAME_OFFSET + nameLength);
    }

    boolean isEmpty() {
        return all.length == 0;
    }

    int count() {
        return all.length;
    }

    Quota at(int index) {
        return all[index];
    }

    /** The quota of a project, or null: most have none. */
    @Nullable
    Quota of(int project) {
        int number = project & Integer.MAX_VALUE;
        return project < 0 && number > 0 && number <= all.length ? all[number - 1] : null;
    }

    // --- within operations

    /** Makes {@link #charge} possible: OK, or what {@link BlobStore#prepare} says. */
    int prepare(@Nullable Quota quota) {
        return quota == null
                ? BlobStore.OK
                : store.prepare(Items.SYSTEM, Items.projectKey(quota.project), Items.PROJECT_SIZE);
    }

    /** As {@link #prepare}, for a change that frees space. */
    int prepareInReserve(@Nullable Quota quota) {
        return quota == null
                ? BlobStore.OK
                : store.prepareInReserve(Items.SYSTEM, Items.projectKey(quota.project), Items.PROJECT_SIZE);
    }

    /** Whether so much more may be used: OK or -ENOSPC, as XFS says of project quotas. */
    static int check(@Nullable Quota quota, long bytes, long inodes) {
        if (quota == null) {
            return BlobStore.OK;
        }
        boolean fits = (bytes <= 0 || bytes <= quota.freeBytes()) && (inodes <= 0 || inodes <= quota.freeInodes());
        return fits ? BlobStore.OK : -Errno.ENOSPC;
    }

    /** Between begin and end, prepared: the group's change of what is used. */
    void charge(@Nullable Quota quota, long bytes, long inodes) {
        if (quota == null || quota.isCounting || (bytes == 0 && inodes == 0)) {
            return;
        }
        quota.usedBytes += bytes;
        quota.usedInodes += inodes;
        put(quota);
    }

    /** Between begin and end. */
    void put(Quota quota) {
        Items.encodeProject(scratch, quota);
        store.put(Items.SYSTEM, Items.projectKey(quota.project), scratch, Items.PROJECT_SIZE);
    }

    /** What a client sees in a directory of the project: size and free space of the quota, unless the store has less. */
    static void limit(@Nullable Quota quota, FsStatistics s) {
        if (quota == null || quota.isCounting) {
            return;
        }
        if (quota.maxBytes != 0) {
            s.blocks = Math.min(s.blocks, quota.maxBytes >>> Items.BLOCK_SHIFT);
            s.freeBlocks = Math.min(s.freeBlocks, quota.freeBytes() >>> Items.BLOCK_SHIFT);
            s.availableBlocks = s.freeBlocks;
        }
        if (quota.maxInodes != 0) {
            s.files = quota.maxInodes;
            s.freeFiles = quota.freeInodes();
        }
    }

    // --- the table

    /** Reads the projects while the file system is being mounted: OK, NOT_RESIDENT or a negative errno. */
    int load() {
        while (true) {
            int s = store.ceiling(Items.SYSTEM, Items.projectKey(nextProject()));
            if (s == BlobStore.NOT_FOUND
                    || (s == BlobStore.OK
                            && (store.foundK0 != Items.SYSTEM || Items.type(store.foundK1) != Items.TYPE_PROJECT))) {
                return BlobStore.OK;
            }
            if (s != BlobStore.OK) {
                return s;
            }
            if (store.foundK1 != Items.projectKey(nextProject())
                    || !Items.isProject(store.valueAddress, store.valueLength)) {
                return -Errno.EIO;
            }
            add(Items.decodeProject(nextProject(), store.valueAddress));
        }
    }

    /** The project that the next quota gets. */
    int nextProject() {
        return FIRST_PROJECT + all.length;
    }

    void add(Quota quota) {
        all = Arrays.copyOf(all, all.length + 1);
        all[all.length - 1] = quota;
    }

    /** Between begin and end: from now on programs that know no quotas must not change the store. */
    void putFeature(long superValue) {
        Memory.copy(superValue, scratch, Items.SUPER_SIZE);
        long features = Memory.getLong(scratch + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET);
        Memory.putLong(scratch + Items.SUPER_READ_ONLY_COMPATIBLE_OFFSET, features | Items.FEATURE_QUOTAS);
        store.put(Items.SYSTEM, Items.SUPER_KEY, scratch, Items.SUPER_SIZE);
    }
}

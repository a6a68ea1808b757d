package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Sets a directory's quota; makes all below it one project and counts it when that was not done yet, or not to the end.
 *
 * <p>Invariant: while a project's inodes are being marked and counted its item says {@link Quota#isCounting}, so that after
 * a crash the next one starts anew; marking again what is marked changes nothing. A turn does a bounded part. Home reactor,
 * while no client works in the directories concerned.
 */
final class QuotaSetter extends VolumeTask {
    private static final int SIZE_STEP = 2;

    private final BlobStore store;
    private final Quotas quotas;
    private final Orphans orphans;
    private final long directory;
    private final long maxBytes;
    private final long maxInodes;

    private boolean isSet;

    // --- the project being counted

    private @Nullable Quota counted;
    private long bytes;
    private long inodes;
    /** Inodes found and not yet looked at. */
    private long[] found = new long[64];

    private int foundCount;
    /** Inodes that other names may lead to again. */
    private final Set<Long> seen = new HashSet<>();

    /** The inode whose items are being read, or 0, and the first one not yet read. */
    private long current;

    private long nextKey;

    QuotaSetter(Volume volume, Orphans orphans, long directory, long maxBytes, long maxInodes, IntConsumer done) {
        super(volume, done);
        this.store = volume.store;
        this.quotas = volume.quotas;
        this.orphans = orphans;
        this.directory = directory;
        this.maxBytes = maxBytes;
        this.maxInodes = maxInodes;
    }

    @Override
    int turn() {
        int s = BlobStore.OK;
        for (int n = 0; s == BlobStore.OK && n < Limits.MAX_EXTENTS_PER_TURN; n++) {
            if (isSet && counted == null && !startCounting()) {
                return BlobStore.OK;
            }
            s = step();
        }
        return s == BlobStore.OK ? Volume.NEXT_TURN : s;
    }

    /** A part of the work: OK, NOT_RESIDENT, {@link Volume#NEXT_TURN} or a negative errno. */
    private int step() {
        if (!isSet) {
            return set();
        }
        if (orphans.isBusy()) {
            // What is removed meanwhile would be counted or not.
            return Volume.NEXT_TURN;
        }
        if (current != 0) {
            return count();
        }
        return foundCount > 0 ? mark(found[foundCount - 1]) : endCounting();
    }

    // --- the limits

    private int set() {
        Inode inode = volume.load(directory);
        if (inode == null) {
            return volume.status;
        }
        if (!inode.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        Quota own = inode.quota;
        int s = own != null && own.root == directory ? setLimits(own) : makeProject(inode, own);
        isSet = s == BlobStore.OK;
        return s;
    }

    private int setLimits(Quota quota) {
        int s = quotas.prepare(quota);
        if (s == BlobStore.OK) {
            s = store.begin(0);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        quota.maxBytes = maxBytes;
        quota.maxInodes = maxInodes;
        quotas.put(quota);
        return store.end();
    }

    /** The project, still without inodes; what the directory was part of is counted again without it. */
    private int makeProject(Inode inode, @Nullable Quota before) {
        if (quotas.count() == Limits.MAX_QUOTAS) {
            return -Errno.ENOSPC;
        }
        Quota quota = new Quota(quotas.nextProject(), inode.number);
        quota.maxBytes = maxBytes;
        quota.maxInodes = maxInodes;
        quota.isCounting = true;
        int s = store.find(Items.SYSTEM, Items.SUPER_KEY);
        if (s != BlobStore.OK || store.valueLength != Items.SUPER_SIZE) {
            return s == BlobStore.NOT_RESIDENT ? s : -Errno.EIO;
        }
        Memory.copy(store.valueAddress, volume.scratch2, Items.SUPER_SIZE);
        s = store.prepare(Items.SYSTEM, Items.SUPER_KEY, Items.SUPER_SIZE);
        if (s == BlobStore.OK) {
            s = quotas.prepare(quota);
        }
        if (s == BlobStore.OK) {
            s = quotas.prepare(before);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.SUPER_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        quotas.add(quota);
        quotas.putFeature(volume.scratch2);
        quotas.put(quota);
        if (before != null) {
            before.isCounting = true;
            quotas.put(before);
        }
        return store.end();
    }

    // --- counting

    /** Takes the next project that is to be counted; false when there is none. */
    private boolean startCounting() {
        for (int i = 0; i < quotas.count(); i++) {
            Quota quota = quotas.at(i);
            if (quota.isCounting && quota.root != 0) {
                counted = quota;
                bytes = 0;
                inodes = 0;
                seen.clear();
                push(quota.root);
                return true;
            }
        }
        return false;
    }

    private Quota counted() {
        Quota quota = counted;
        if (quota == null) {
            throw new IllegalStateException("nothing is being counted");
        }
        return quota;
    }

    private void push(long inode) {
        if (foundCount == found.length) {
            found = Arrays.copyOf(found, SIZE_STEP * foundCount);
        }
        found[foundCount++] = inode;
    }

    /** Makes the inode found last one of the project, unless another quota begins with it. */
    private int mark(long number) {
        Inode inode = volume.load(number);
        if (inode == null) {
            if (volume.status == BlobStore.NOT_RESIDENT) {
                return volume.status;
            }
            // Of an entry without an inode, or of a project without its directory, fsck tells.
            foundCount--;
            return BlobStore.OK;
        }
        Quota quota = counted();
        Quota before = inode.quota;
        boolean isOther = before != null && before != quota && before.root == number;
        boolean isAgain = inode.links > 1 && !inode.isDirectory() && seen.contains(number);
        if (isOther || isAgain) {
            foundCount--;
            return BlobStore.OK;
        }
        if (before != quota) {
            int s = putProject(inode, quota, before);
            if (s != BlobStore.OK) {
                return s;
            }
        }
        foundCount--;
        if (inode.links > 1 && !inode.isDirectory()) {
            seen.add(number);
        }
        inodes++;
        bytes += Quotas.INODE_BYTES + (inode.blocks << Items.BLOCK_SHIFT);
        current = number;
        nextKey = Items.INODE_KEY + 1;
        return BlobStore.OK;
    }

    private int putProject(Inode inode, Quota quota, @Nullable Quota before) {
        int s = volume.prepareInode(inode.number);
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        if (before != null && !before.isCounting) {
            before.isCounting = true;
            quotas.put(before);
        }
        inode.beginChange();
        inode.setProject(quota.project);
        inode.endChange();
        volume.putInode(inode);
        s = store.end();
        volume.changed(inode);
        return s;
    }

    /** One item of the current inode. */
    private int count() {
        int s = store.ceiling(current, nextKey);
        if (s == BlobStore.NOT_FOUND || (s == BlobStore.OK && store.foundK0 != current)) {
            current = 0;
            return BlobStore.OK;
        }
        if (s != BlobStore.OK) {
            return s;
        }
        int type = Items.type(store.foundK1);
        if (type == Items.TYPE_EXTENT) {
            // The inode has told of all.
            nextKey = Items.key(Items.TYPE_EXTENT + 1, 0);
            return BlobStore.OK;
        }
        if (type == Items.TYPE_DENTRY) {
            if (!Items.isDentry(store.valueAddress, store.valueLength)) {
                return -Errno.EIO;
            }
            push(Memory.getLong(store.valueAddress + Items.DENTRY_INODE_OFFSET));
        }
        bytes += Quotas.bytesOf(store.valueLength);
        nextKey = store.foundK1 + 1;
        return BlobStore.OK;
    }

    private int endCounting() {
        Quota quota = counted();
        int s = quotas.prepare(quota);
        if (s == BlobStore.OK) {
            s = store.begin(0);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        quota.usedBytes = bytes;
        quota.usedInodes = inodes;
        quota.isCounting = false;
        quotas.put(quota);
        counted = null;
        return store.end();
    }
}

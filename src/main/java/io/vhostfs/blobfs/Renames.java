package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import org.jspecify.annotations.Nullable;

/**
 * rename(2) with its flags, one group; see {@link Namespace}.
 *
 * <p>Invariant: no directory becomes its own ancestor. Home reactor.
 */
final class Renames {
    private final Volume volume;
    private final BlobStore store;
    private final Directory directory;
    private final Namespace namespace;
    private final Orphans orphans;

    // --- the rename under way, valid within one call

    private long sourceKey;
    private long targetKey;
    private int sourceType;
    private int targetType;
    private long sourceNumber;
    /** 0: no entry of the new name. */
    private long targetNumber;

    Renames(Volume volume, Directory directory, Namespace namespace, Orphans orphans) {
        this.volume = volume;
        this.store = volume.store;
        this.directory = directory;
        this.namespace = namespace;
        this.orphans = orphans;
    }

    int rename(FsRequest r, BlobFsClient client) {
        int flags = r.flags;
        int alone = LibcConstants.RENAME_EXCHANGE;
        int known = alone | LibcConstants.RENAME_NOREPLACE | LibcConstants.RENAME_WHITEOUT;
        if ((flags & ~known) != 0 || ((flags & alone) != 0 && flags != alone)) {
            return -Errno.EINVAL;
        }
        Inode from = volume.directory(client, r.inode);
        Inode to = from == null ? null : volume.directory(client, r.inode2);
        if (from == null || to == null) {
            return volume.status;
        }
        if (from.links == 0 || to.links == 0) {
            return -Errno.ENOENT;
        }
        int s = find(r, from, to);
        if (s != BlobStore.OK) {
            return s;
        }
        if (targetNumber == sourceNumber) {
            return (flags & LibcConstants.RENAME_NOREPLACE) != 0 ? -Errno.EEXIST : BlobStore.OK;
        }
        Inode source = volume.load(sourceNumber);
        Inode target = source == null || targetNumber == 0 ? null : volume.load(targetNumber);
        if (source == null || (target == null && targetNumber != 0)) {
            return volume.status;
        }
        boolean exchange = (flags & LibcConstants.RENAME_EXCHANGE) != 0;
        s = check(flags, from, to, source, target);
        if (s != BlobStore.OK) {
            return s;
        }
        return exchange && target != null ? exchange(r, from, to, source, target) : move(r, from, to, source, target);
    }

    private static boolean isDots(long name, int length) {
        return Directory.isDot(name, length) || Directory.isDotDot(name, length);
    }

    /** Finds both entries. */
    private int find(FsRequest r, Inode from, Inode to) {
        if (isDots(r.nameAddress, r.nameLength) || isDots(r.name2Address, r.name2Length)) {
            return -Errno.EBUSY;
        }
        int s = Directory.checkName(r.nameAddress, r.nameLength);
        if (s == BlobStore.OK) {
            s = Directory.checkName(r.name2Address, r.name2Length);
        }
        if (s == BlobStore.OK) {
            s = directory.find(from.number, r.nameAddress, r.nameLength);
        }
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.ENOENT : s;
        }
        sourceKey = directory.entryKey;
        sourceNumber = directory.entryInode;
        sourceType = directory.entryType;
        s = directory.find(to.number, r.name2Address, r.name2Length);
        if (s != BlobStore.OK && s != BlobStore.NOT_FOUND) {
            return s;
        }
        targetKey = directory.entryKey;
        targetNumber = s == BlobStore.OK ? directory.entryInode : 0;
        targetType = s == BlobStore.OK ? directory.entryType : 0;
        return targetKey == 0 ? -Errno.ENOSPC : BlobStore.OK;
    }

    private int check(int flags, Inode from, Inode to, Inode source, @Nullable Inode target) {
        if ((flags & LibcConstants.RENAME_NOREPLACE) != 0 && target != null) {
            return -Errno.EEXIST;
        }
        boolean exchange = (flags & LibcConstants.RENAME_EXCHANGE) != 0;
        if (exchange && target == null) {
            return -Errno.ENOENT;
        }
        boolean isForeign = source.isForeignTo(to) || (exchange && target != null && target.isForeignTo(from));
        int s = InodeFlags.checkRename(from, to, source, target);
        if (s == BlobStore.OK && isForeign) {
            s = -Errno.EXDEV;
        }
        if (s == BlobStore.OK && source.isDirectory() && from != to) {
            s = checkNotBelow(to.number, source.number, -Errno.EINVAL);
        }
        if (s == BlobStore.OK && target != null && target.isDirectory() && from != to) {
            s = checkNotBelow(from.number, target.number, exchange ? -Errno.EINVAL : -Errno.ENOTEMPTY);
        }
        if (s == BlobStore.OK && target != null && !exchange) {
            s = checkReplaced(source, target);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        return isLinkLimit(exchange, from, to, source, target) ? -Errno.EMLINK : BlobStore.OK;
    }

    private int checkReplaced(Inode source, Inode target) {
        if (source.isDirectory() && !target.isDirectory()) {
            return -Errno.ENOTDIR;
        }
        if (!source.isDirectory() && target.isDirectory()) {
            return -Errno.EISDIR;
        }
        return target.isDirectory() ? directory.checkEmpty(target.number) : BlobStore.OK;
    }

    private static boolean isLinkLimit(boolean exchange, Inode from, Inode to, Inode source, @Nullable Inode target) {
        boolean sourceIsDirectory = source.isDirectory();
        boolean targetIsDirectory = target != null && target.isDirectory();
        if (from == to || sourceIsDirectory == targetIsDirectory) {
            return false;
        }
        return (sourceIsDirectory ? to.links : exchange ? from.links : 0) >= Limits.MAX_LINKS;
    }

    /** {@code error} when {@code number} is {@code ancestor} or lies below it. */
    private int checkNotBelow(long number, long ancestor, int error) {
        long at = number;
        while (at != ancestor) {
            if (at == FileSystem.ROOT_INODE) {
                return BlobStore.OK;
            }
            at = volume.parentOf(at);
            if (at == 0) {
                return volume.status;
            }
        }
        return error;
    }

    private int move(FsRequest r, Inode from, Inode to, Inode source, @Nullable Inode target) {
        boolean moves = source.isDirectory() && from != to;
        boolean losesDirectory = target != null && target.isDirectory();
        boolean leavesWhiteout = (r.flags & LibcConstants.RENAME_WHITEOUT) != 0;
        int s = leavesWhiteout ? Quotas.check(from.quota, Quotas.INODE_BYTES, 1) : BlobStore.OK;
        if (s == BlobStore.OK) {
            s = prepareQuotas(from, to);
        }
        if (s == BlobStore.OK) {
            s = directory.prepareEntry(to.number, targetKey, r.name2Length);
        }
        int logBytes = Directory.logBytes(r.name2Length) + BlobStore.logBytes(0);
        if (s == BlobStore.OK) {
            s = leavesWhiteout ? prepareWhiteout(r, from) : store.prepareDelete(from.number, sourceKey);
            logBytes += leavesWhiteout ? whiteoutLogBytes(r) : 0;
        }
        if (s == BlobStore.OK && target != null) {
            s = namespace.prepareDropLink(target);
            logBytes += BlobStore.logBytes(Items.INODE_SIZE);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(source.number);
            logBytes += BlobStore.logBytes(Items.INODE_SIZE);
        }
        if (s == BlobStore.OK && (moves || losesDirectory)) {
            s = prepareDirectories(from, to);
            logBytes += 2 * BlobStore.logBytes(Items.INODE_SIZE);
        }
        if (s == BlobStore.OK) {
            s = store.begin(logBytes);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        long now = volume.now();
        if (leavesWhiteout) {
            putWhiteout(r, from, now);
        } else {
            store.delete(from.number, sourceKey);
        }
        directory.putEntry(to.number, targetKey, sourceNumber, sourceType, r.name2Address, r.name2Length);
        if (target != null) {
            namespace.dropLink(target, now);
        }
        setParent(source, to, now);
        touch(from, to, now);
        if (moves || losesDirectory) {
            to.links -= losesDirectory ? 1 : 0;
            from.links -= moves ? 1 : 0;
            to.links += moves ? 1 : 0;
            volume.putInode(from);
            volume.putInode(to);
        }
        if (target == null) {
            volume.quotas.charge(to.quota, Quotas.entryBytes(r.name2Length), 0);
        }
        if (leavesWhiteout) {
            volume.quotas.charge(from.quota, Quotas.INODE_BYTES, 1);
        } else {
            volume.quotas.charge(from.quota, -Quotas.entryBytes(r.nameLength), 0);
        }
        s = end(from, to, source, target);
        if (target != null) {
            orphans.released(target);
        }
        return s;
    }

    /** An entry moves from one directory to the other. */
    private int prepareQuotas(Inode from, Inode to) {
        int s = volume.quotas.prepare(from.quota);
        return s == BlobStore.OK && to.quota != from.quota ? volume.quotas.prepare(to.quota) : s;
    }

    private int prepareWhiteout(FsRequest r, Inode from) {
        int s = directory.prepareEntry(from.number, sourceKey, r.nameLength);
        if (s == BlobStore.OK) {
            s = volume.prepareInode(volume.nextInodeNumber());
        }
        return s == BlobStore.OK ? volume.prepareInodeNumber() : s;
    }

    private int whiteoutLogBytes(FsRequest r) {
        return Directory.logBytes(r.nameLength) + BlobStore.logBytes(Items.INODE_SIZE) + volume.inodeNumberLogBytes();
    }

    /** A character device 0/0, as overlayfs marks what is hidden below. */
    private void putWhiteout(FsRequest r, Inode from, long now) {
        Inode whiteout = namespace.newInode(r, from, LibcConstants.S_IFCHR, 0, now);
        int type = Modes.directoryType(whiteout.mode);
        directory.putEntry(from.number, sourceKey, whiteout.number, type, r.nameAddress, r.nameLength);
        volume.putInode(whiteout);
        volume.changed(whiteout);
    }

    private int exchange(FsRequest r, Inode from, Inode to, Inode source, Inode target) {
        int s = directory.prepareEntry(from.number, sourceKey, r.nameLength);
        if (s == BlobStore.OK) {
            s = directory.prepareEntry(to.number, targetKey, r.name2Length);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(source.number);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(target.number);
        }
        if (s == BlobStore.OK) {
            s = prepareDirectories(from, to);
        }
        if (s == BlobStore.OK) {
            s = store.begin(Directory.logBytes(r.nameLength)
                    + Directory.logBytes(r.name2Length)
                    + 4 * BlobStore.logBytes(Items.INODE_SIZE));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        long now = volume.now();
        directory.putEntry(from.number, sourceKey, targetNumber, targetType, r.nameAddress, r.nameLength);
        directory.putEntry(to.number, targetKey, sourceNumber, sourceType, r.name2Address, r.name2Length);
        setParent(source, to, now);
        setParent(target, from, now);
        touch(from, to, now);
        int shift = (source.isDirectory() ? 1 : 0) - (target.isDirectory() ? 1 : 0);
        from.links -= shift;
        to.links += shift;
        volume.putInode(from);
        volume.putInode(to);
        return end(from, to, source, target);
    }

    private int prepareDirectories(Inode from, Inode to) {
        int s = volume.prepareInode(from.number);
        return s == BlobStore.OK ? volume.prepareInode(to.number) : s;
    }

    private void setParent(Inode inode, Inode parent, long now) {
        inode.beginChange();
        inode.changeTimeNs = now;
        if (inode.isDirectory()) {
            inode.parent = parent.number;
        }
        inode.endChange();
        volume.putInode(inode);
    }

    private void touch(Inode from, Inode to, long now) {
        volume.touchModified(from, now);
        volume.touchModified(to, now);
    }

    private int end(Inode from, Inode to, Inode source, @Nullable Inode target) {
        int s = store.end();
        volume.changed(from);
        volume.changed(to);
        volume.changed(source);
        if (target != null) {
            volume.changed(target);
        }
        return s;
    }
}

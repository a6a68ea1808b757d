package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import org.jspecify.annotations.Nullable;

/**
 * Operations that look up, add and remove names; each is one call that runs to its end or is run again from its start.
 *
 * <p>Invariant: links of an inode are the entries that name it, and for a directory 2 plus its subdirectories. Home
 * reactor.
 */
final class Namespace {
    private final Volume volume;
    private final BlobStore store;
    private final Directory directory;
    private final Orphans orphans;
    private final Attributes attributes;
    private final FileChanges changes;
    private final NewXattrs newXattrs;

    Namespace(
            Volume volume,
            Directory directory,
            Orphans orphans,
            Attributes attributes,
            FileChanges changes,
            NewXattrs newXattrs) {
        this.volume = volume;
        this.store = volume.store;
        this.directory = directory;
        this.orphans = orphans;
        this.attributes = attributes;
        this.changes = changes;
        this.newXattrs = newXattrs;
    }

    /** A directory that a name is to be added to or removed from, or null. */
    private @Nullable Inode liveDirectory(BlobFsClient client, long number) {
        Inode dir = volume.directory(client, number);
        if (dir != null && dir.links == 0) {
            volume.status = -Errno.ENOENT;
            return null;
        }
        return dir;
    }

    // --- lookup

    int lookup(FsRequest r, BlobFsClient client) {
        Inode dir = volume.directory(client, r.inode);
        if (dir == null) {
            return isExportLookup(r, client) ? entry(r, client, r.inode) : volume.status;
        }
        if (r.nameLength <= 2 && Directory.isDot(r.nameAddress, r.nameLength)) {
            return entry(r, client, dir.number);
        }
        if (r.nameLength <= 2 && Directory.isDotDot(r.nameAddress, r.nameLength)) {
            return lookupParent(r, client, dir);
        }
        if (r.nameLength > Limits.MAX_NAME_BYTES) {
            return -Errno.ENAMETOOLONG;
        }
        int s = directory.find(dir.number, r.nameAddress, r.nameLength);
        if (s == BlobStore.OK) {
            s = entry(r, client, directory.entryInode);
            // An entry without its inode is damage.
            return s == -Errno.ESTALE ? -Errno.EIO : s;
        }
        return s == BlobStore.NOT_FOUND ? -Errno.ENOENT : s;
    }

    /**
     * A client that has the whole file system may turn a number it kept (an NFS file handle, say) into a reference; one
     * that has a part of it may not leave that part by guessing.
     */
    private boolean isExportLookup(FsRequest r, BlobFsClient client) {
        return (volume.status == -Errno.ESTALE || volume.status == -Errno.ENOTDIR)
                && (client.rootInode() == FileSystem.ROOT_INODE || client.holds(r.inode))
                && Directory.isDot(r.nameAddress, r.nameLength);
    }

    private int lookupParent(FsRequest r, BlobFsClient client, Inode dir) {
        if (dir.number == client.rootInode()) {
            return entry(r, client, dir.number);
        }
        if (client.rootInode() != FileSystem.ROOT_INODE && !client.holds(dir.parent)) {
            return -Errno.ESTALE;
        }
        return dir.links == 0 ? -Errno.ENOENT : entry(r, client, dir.parent);
    }

    private int entry(FsRequest r, BlobFsClient client, long number) {
        if (!client.hasRoomForReference()) {
            return -Errno.ENOMEM;
        }
        Inode inode = volume.load(number);
        if (inode == null) {
            return volume.status;
        }
        if (inode.links == 0 && !client.holds(number)) {
            return -Errno.ESTALE;
        }
        if (volume.isKeptFrom(client, number, inode.mode, inode.links)) {
            return -Errno.EBUSY;
        }
        give(r, client, inode);
        return BlobStore.OK;
    }

    private static void give(FsRequest r, BlobFsClient client, Inode inode) {
        client.addReference(inode.number);
        inode.fill(r.attributes);
    }

    // --- new names

    /** Looks the place of a new name up: OK ({@code directory.entryKey}), -EEXIST, or another status. */
    private int findPlace(Inode dir, long name, int length) {
        if (Directory.isDot(name, length) || Directory.isDotDot(name, length)) {
            return -Errno.EEXIST;
        }
        int s = Directory.checkName(name, length);
        if (s != BlobStore.OK) {
            return s;
        }
        s = directory.find(dir.number, name, length);
        if (s == BlobStore.OK) {
            return -Errno.EEXIST;
        }
        if (s != BlobStore.NOT_FOUND) {
            return s;
        }
        return directory.entryKey == 0 ? -Errno.ENOSPC : BlobStore.OK;
    }

    int mkdir(FsRequest r, BlobFsClient client) {
        return make(r, client, Modes.S_IFDIR | (r.mode & Modes.PERMISSIONS), 0);
    }

    int mknod(FsRequest r, BlobFsClient client) {
        int mode = (r.mode & Modes.S_IFMT) == 0 ? r.mode | Modes.S_IFREG : r.mode;
        int type = mode & Modes.S_IFMT;
        if (type == Modes.S_IFDIR || type == Modes.S_IFLNK) {
            return -Errno.EPERM;
        }
        if (!Modes.isValidType(mode)) {
            return -Errno.EINVAL;
        }
        boolean device = type == LibcConstants.S_IFCHR || type == LibcConstants.S_IFBLK;
        return make(r, client, type | (mode & Modes.PERMISSIONS), device ? r.deviceNumber : 0);
    }

    int symlink(FsRequest r, BlobFsClient client) {
        if (r.name2Length > Limits.MAX_SYMLINK_BYTES) {
            return -Errno.ENAMETOOLONG;
        }
        if (r.name2Length <= 0) {
            return -Errno.ENOENT;
        }
        return make(r, client, Modes.S_IFLNK | 0x1ff, 0);
    }

    int create(FsRequest r, BlobFsClient client) {
        Inode dir = liveDirectory(client, r.inode);
        if (dir == null) {
            return volume.status;
        }
        if (!client.hasRoomForHandle()) {
            return -Errno.ENFILE;
        }
        int s = findPlace(dir, r.nameAddress, r.nameLength);
        if (s == -Errno.EEXIST) {
            return openExisting(r, client);
        }
        return s == BlobStore.OK ? makeAt(r, client, dir, Modes.S_IFREG | (r.mode & Modes.PERMISSIONS), 0) : s;
    }

    private int openExisting(FsRequest r, BlobFsClient client) {
        boolean dots = Directory.isDot(r.nameAddress, r.nameLength) || Directory.isDotDot(r.nameAddress, r.nameLength);
        if (dots || (r.flags & LibcConstants.O_EXCL) != 0) {
            return -Errno.EEXIST;
        }
        if (!client.hasRoomForReference()) {
            return -Errno.ENOMEM;
        }
        Inode inode = volume.load(directory.entryInode);
        if (inode == null) {
            return volume.status;
        }
        return volume.isKeptFrom(client, inode.number, inode.mode, inode.links) ? -Errno.EBUSY : open(r, client, inode);
    }

    /** OPEN, or CREATE of what is there: a handle, after truncation when that is asked for. */
    int open(FsRequest r, BlobFsClient client, Inode inode) {
        int type = inode.mode & Modes.S_IFMT;
        if (type != Modes.S_IFREG) {
            return type == Modes.S_IFDIR ? -Errno.EISDIR : type == Modes.S_IFLNK ? -Errno.ELOOP : -Errno.ENXIO;
        }
        int s = InodeFlags.checkOpen(r, inode);
        if (s == BlobStore.OK && !client.hasRoomForHandle()) {
            s = -Errno.ENFILE;
        }
        if (s != BlobStore.OK) {
            return s;
        }
        OpenFile file = client.open(inode, r.flags);
        if ((r.flags & LibcConstants.O_TRUNC) != 0 && (inode.size != 0 || inode.blocks != 0)) {
            return changes.start(r, inode, FileOp.TRUNCATE, file);
        }
        attributes.setOpened(r, inode, file);
        return BlobStore.OK;
    }

    private int make(FsRequest r, BlobFsClient client, int mode, int device) {
        Inode dir = liveDirectory(client, r.inode);
        if (dir == null) {
            return volume.status;
        }
        int s = findPlace(dir, r.nameAddress, r.nameLength);
        return s == BlobStore.OK ? makeAt(r, client, dir, mode, device) : s;
    }

    /** A new inode under the name whose place was found. */
    private int makeAt(FsRequest r, BlobFsClient client, Inode dir, int wantedMode, int device) {
        boolean isDirectory = (wantedMode & Modes.S_IFMT) == Modes.S_IFDIR;
        if (isDirectory && dir.links >= Limits.MAX_LINKS) {
            return -Errno.EMLINK;
        }
        if (!client.hasRoomForReference()) {
            return -Errno.ENOMEM;
        }
        int s = InodeFlags.isImmutable(dir) ? -Errno.EPERM : newXattrs.plan(r, dir, wantedMode);
        int usedBytes = Quotas.entryBytes(r.nameLength)
                + Quotas.INODE_BYTES
                + targetBytes(r, wantedMode)
                + newXattrs.usedBytes();
        if (s == BlobStore.OK) {
            s = Quotas.check(dir.quota, usedBytes, 1);
        }
        if (s == BlobStore.OK) {
            s = prepareMake(r, dir, wantedMode, isDirectory);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        long now = volume.now();
        int mode = newXattrs.mode;
        Inode inode = newInode(r, dir, mode, device, now);
        newXattrs.put(inode);
        directory.putEntry(
                dir.number, directory.entryKey, inode.number, Modes.directoryType(mode), r.nameAddress, r.nameLength);
        putTarget(r, inode);
        volume.putInode(inode);
        volume.touchModified(dir, now);
        if (isDirectory) {
            dir.links++;
            volume.putInode(dir);
        }
        volume.quotas.charge(dir.quota, usedBytes, 1);
        s = store.end();
        volume.changed(inode);
        volume.changed(dir);
        if (s != BlobStore.OK) {
            return s;
        }
        if (r.operation == FsOp.CREATE) {
            attributes.setOpened(r, inode, client.open(inode, r.flags));
        } else {
            give(r, client, inode);
        }
        return BlobStore.OK;
    }

    /** A new file that has no name: an orphan from the start. */
    int makeNameless(FsRequest r, BlobFsClient client) {
        Inode dir = liveDirectory(client, r.inode);
        if (dir == null) {
            return volume.status;
        }
        if (!r.withoutHandle && !client.hasRoomForHandle()) {
            return -Errno.ENFILE;
        }
        if (!client.hasRoomForReference()) {
            return -Errno.ENOMEM;
        }
        long number = volume.nextInodeNumber();
        if (InodeFlags.isImmutable(dir)) {
            return -Errno.EPERM;
        }
        int s = newXattrs.plan(r, dir, Modes.S_IFREG | (r.mode & Modes.PERMISSIONS));
        int usedBytes = Quotas.INODE_BYTES + newXattrs.usedBytes();
        if (s == BlobStore.OK) {
            s = Quotas.check(dir.quota, usedBytes, 1);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(number);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInodeNumber();
        }
        if (s == BlobStore.OK) {
            s = newXattrs.prepare(number);
        }
        if (s == BlobStore.OK) {
            s = store.prepare(Items.SYSTEM, Items.orphanKey(number), Items.ORPHAN_SIZE);
        }
        if (s == BlobStore.OK) {
            s = volume.quotas.prepare(dir.quota);
        }
        if (s == BlobStore.OK) {
            s = store.begin(BlobStore.logBytes(Items.INODE_SIZE)
                    + BlobStore.logBytes(Items.ORPHAN_SIZE)
                    + newXattrs.logBytes
                    + volume.inodeNumberLogBytes());
        }
        if (s != BlobStore.OK) {
            return s;
        }
        Inode inode = newInode(r, dir, newXattrs.mode, 0, volume.now());
        newXattrs.put(inode);
        volume.putInode(inode);
        inode.beginChange();
        inode.links = 0;
        inode.endChange();
        inode.linkable = (r.flags & LibcConstants.O_EXCL) == 0;
        putOrphan(inode);
        volume.quotas.charge(dir.quota, usedBytes, 1);
        s = store.end();
        volume.changed(inode);
        if (s == BlobStore.OK && r.withoutHandle) {
            r.handle = 0;
            give(r, client, inode);
        } else if (s == BlobStore.OK) {
            attributes.setOpened(r, inode, client.open(inode, r.flags));
        }
        return s;
    }

    private int prepareMake(FsRequest r, Inode dir, int mode, boolean isDirectory) {
        long number = volume.nextInodeNumber();
        int logBytes =
                Directory.logBytes(r.nameLength) + BlobStore.logBytes(Items.INODE_SIZE) + volume.inodeNumberLogBytes();
        int s = directory.prepareEntry(dir.number, directory.entryKey, r.nameLength);
        if (s == BlobStore.OK) {
            s = volume.prepareInode(number);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInodeNumber();
        }
        if (s == BlobStore.OK) {
            s = volume.quotas.prepare(dir.quota);
        }
        if (s == BlobStore.OK && isDirectory) {
            s = volume.prepareInode(dir.number);
            logBytes += BlobStore.logBytes(Items.INODE_SIZE);
        }
        if (s == BlobStore.OK && (mode & Modes.S_IFMT) == Modes.S_IFLNK) {
            s = prepareTarget(r, number);
            logBytes += 2 * BlobStore.logBytes(Items.INLINE_DATA_OFFSET) + r.name2Length;
        }
        if (s == BlobStore.OK) {
            s = newXattrs.prepare(number);
            logBytes += newXattrs.logBytes;
        }
        return s == BlobStore.OK ? store.begin(logBytes) : s;
    }

    private int prepareTarget(FsRequest r, long number) {
        int first = Math.min(r.name2Length, Items.SYMLINK_PIECE_BYTES);
        int s = store.prepare(number, Items.INLINE_KEY, Items.INLINE_DATA_OFFSET + first);
        if (s == BlobStore.OK && first < r.name2Length) {
            s = store.prepare(number, Items.INLINE_KEY2, Items.INLINE_DATA_OFFSET + r.name2Length - first);
        }
        return s;
    }

    /** What a new symbolic link's target takes of a quota. */
    private static int targetBytes(FsRequest r, int mode) {
        if ((mode & Modes.S_IFMT) != Modes.S_IFLNK) {
            return 0;
        }
        int first = Math.min(r.name2Length, Items.SYMLINK_PIECE_BYTES);
        int rest = r.name2Length - first;
        return Quotas.bytesOf(Items.INLINE_DATA_OFFSET + first)
                + (rest == 0 ? 0 : Quotas.bytesOf(Items.INLINE_DATA_OFFSET + rest));
    }

    private void putTarget(FsRequest r, Inode inode) {
        if ((inode.mode & Modes.S_IFMT) != Modes.S_IFLNK) {
            return;
        }
        int first = Math.min(r.name2Length, Items.SYMLINK_PIECE_BYTES);
        putPiece(inode.number, Items.INLINE_KEY, r.name2Address, first);
        if (first < r.name2Length) {
            putPiece(inode.number, Items.INLINE_KEY2, r.name2Address + first, r.name2Length - first);
        }
        inode.size = r.name2Length;
    }

    private void putPiece(long number, long key, long from, int length) {
        Items.encodeInlineHeader(volume.scratch);
        Memory.copy(from, volume.scratch + Items.INLINE_DATA_OFFSET, length);
        store.put(number, key, volume.scratch, Items.INLINE_DATA_OFFSET + length);
    }

    /** Between begin and end: the inode object of a new inode. */
    Inode newInode(FsRequest r, Inode dir, int mode, int device, long now) {
        Inode inode = volume.inodes.obtain();
        boolean isDirectory = (mode & Modes.S_IFMT) == Modes.S_IFDIR;
        boolean inheritsGroup = (dir.mode & LibcConstants.S_ISGID) != 0;
        inode.beginChange();
        inode.number = volume.takeInodeNumber();
        inode.mode = isDirectory && inheritsGroup ? mode | LibcConstants.S_ISGID : mode;
        inode.uid = r.uid;
        inode.gid = inheritsGroup ? dir.gid : r.gid;
        inode.flags = InodeFlags.inherited(dir, isDirectory);
        inode.flags |= (mode & Modes.S_IFMT) == Modes.S_IFREG ? Items.FLAG_INLINE : 0;
        inode.links = isDirectory ? 2 : 1;
        inode.deviceNumber = device;
        inode.generation = 1;
        inode.size = isDirectory ? Items.BLOCK_SIZE : 0;
        inode.blocks = 0;
        inode.accessTimeNs = now;
        inode.modifyTimeNs = now;
        inode.changeTimeNs = now;
        inode.birthTimeNs = now;
        inode.parent = isDirectory ? dir.number : 0;
        inode.dataVersion = 0;
        boolean inheritsProject = (dir.flags & Items.FLAG_PROJECT_INHERIT) != 0;
        inode.setProject(inheritsProject ? dir.projectId : 0);
        inode.flags |= isDirectory && inheritsProject ? Items.FLAG_PROJECT_INHERIT : 0;
        inode.map = ExtentMap.EMPTY;
        inode.endChange();
        inode.resetTransient();
        volume.inodes.put(inode);
        return inode;
    }

    int link(FsRequest r, BlobFsClient client) {
        Inode dir = liveDirectory(client, r.inode);
        if (dir == null) {
            return volume.status;
        }
        Inode inode = volume.inode(client, r.inode2);
        if (inode == null) {
            return volume.status;
        }
        int s = inode.isDirectory() || InodeFlags.isFixed(inode)
                ? -Errno.EPERM
                : inode.links == 0 && !inode.linkable
                        ? -Errno.ENOENT
                        : inode.links >= Limits.MAX_LINKS ? -Errno.EMLINK : findPlace(dir, r.nameAddress, r.nameLength);
        if (s == BlobStore.OK && inode.isForeignTo(dir)) {
            s = -Errno.EXDEV;
        }
        if (s == BlobStore.OK && InodeFlags.isImmutable(dir)) {
            s = -Errno.EPERM;
        }
        if (s == BlobStore.OK) {
            s = Quotas.check(dir.quota, Quotas.entryBytes(r.nameLength), 0);
        }
        if (s == BlobStore.OK) {
            s = directory.prepareEntry(dir.number, directory.entryKey, r.nameLength);
        }
        if (s == BlobStore.OK) {
            s = volume.prepareInode(inode.number);
        }
        if (s == BlobStore.OK) {
            s = volume.quotas.prepare(dir.quota);
        }
        boolean first = inode.links == 0;
        if (s == BlobStore.OK && first) {
            s = store.prepareDelete(Items.SYSTEM, Items.orphanKey(inode.number));
        }
        if (s == BlobStore.OK) {
            s = store.begin(Directory.logBytes(r.nameLength)
                    + BlobStore.logBytes(Items.INODE_SIZE)
                    + (first ? BlobStore.logBytes(0) : 0));
        }
        if (s != BlobStore.OK) {
            return s;
        }
        if (first) {
            store.delete(Items.SYSTEM, Items.orphanKey(inode.number));
            volume.unlistOrphan(inode);
            inode.linkable = false;
        }
        long now = volume.now();
        int type = Modes.directoryType(inode.mode);
        directory.putEntry(dir.number, directory.entryKey, inode.number, type, r.nameAddress, r.nameLength);
        inode.beginChange();
        inode.links++;
        inode.changeTimeNs = now;
        inode.endChange();
        volume.putInode(inode);
        volume.touchModified(dir, now);
        volume.quotas.charge(dir.quota, Quotas.entryBytes(r.nameLength), 0);
        s = store.end();
        volume.changed(inode);
        volume.changed(dir);
        if (s == BlobStore.OK) {
            give(r, client, inode);
        }
        return s;
    }

    // --- names removed

    /** UNLINK and RMDIR. */
    int remove(FsRequest r, BlobFsClient client, boolean isRmdir) {
        Inode dir = liveDirectory(client, r.inode);
        if (dir == null) {
            return volume.status;
        }
        int s = checkRemovedName(r, isRmdir);
        if (s == BlobStore.OK) {
            s = directory.find(dir.number, r.nameAddress, r.nameLength);
        }
        if (s != BlobStore.OK) {
            return s == BlobStore.NOT_FOUND ? -Errno.ENOENT : s;
        }
        long key = directory.entryKey;
        Inode inode = volume.load(directory.entryInode);
        if (inode == null) {
            return volume.status;
        }
        if (inode.isDirectory() != isRmdir) {
            return isRmdir ? -Errno.ENOTDIR : -Errno.EISDIR;
        }
        s = InodeFlags.checkRemoval(dir, inode);
        if (s == BlobStore.OK && isRmdir) {
            s = directory.checkEmpty(inode.number);
        }
        if (s == BlobStore.OK) {
            s = store.prepareDelete(dir.number, key);
        }
        if (s == BlobStore.OK) {
            s = prepareDropLink(inode);
        }
        if (s == BlobStore.OK) {
            s = volume.quotas.prepareInReserve(dir.quota);
        }
        int logBytes = BlobStore.logBytes(0) + BlobStore.logBytes(Items.INODE_SIZE);
        if (s == BlobStore.OK && isRmdir) {
            s = volume.prepareInodeInReserve(dir.number);
            logBytes += BlobStore.logBytes(Items.INODE_SIZE);
        }
        if (s == BlobStore.OK) {
            s = store.begin(logBytes);
        }
        if (s != BlobStore.OK) {
            return s;
        }
        long now = volume.now();
        store.delete(dir.number, key);
        dropLink(inode, now);
        volume.touchModified(dir, now);
        if (isRmdir) {
            dir.links--;
            volume.putInode(dir);
        }
        volume.quotas.charge(dir.quota, -Quotas.entryBytes(r.nameLength), 0);
        s = store.end();
        volume.changed(dir);
        volume.changed(inode);
        orphans.released(inode);
        return s;
    }

    private static int checkRemovedName(FsRequest r, boolean isRmdir) {
        if (Directory.isDot(r.nameAddress, r.nameLength)) {
            return isRmdir ? -Errno.EINVAL : -Errno.EISDIR;
        }
        if (Directory.isDotDot(r.nameAddress, r.nameLength)) {
            return isRmdir ? -Errno.ENOTEMPTY : -Errno.EISDIR;
        }
        return Directory.checkName(r.nameAddress, r.nameLength);
    }

    /** Whether the inode goes when one name goes. */
    private static boolean isLastLink(Inode inode) {
        return inode.links <= 1 || inode.isDirectory();
    }

    int prepareDropLink(Inode inode) {
        return isLastLink(inode)
                ? volume.prepareInReserve(Items.SYSTEM, Items.orphanKey(inode.number), Items.ORPHAN_SIZE)
                : volume.prepareInodeInReserve(inode.number);
    }

    /** Between begin and end: at most the log bytes of one inode. */
    void dropLink(Inode inode, long now) {
        inode.beginChange();
        inode.changeTimeNs = now;
        inode.links = isLastLink(inode) ? 0 : inode.links - 1;
        inode.endChange();
        if (inode.links == 0) {
            putOrphan(inode);
        } else {
            volume.putInode(inode);
        }
    }

    /** Between begin and end: the inode has no link. */
    private void putOrphan(Inode inode) {
        Items.encodeOrphan(volume.scratch, Items.ORPHAN_UNLINKED);
        store.put(Items.SYSTEM, Items.orphanKey(inode.number), volume.scratch, Items.ORPHAN_SIZE);
        volume.addOrphan(inode);
    }

    // --- symbolic links

    int readlink(FsRequest r, Inode inode) {
        if ((inode.mode & Modes.S_IFMT) != Modes.S_IFLNK) {
            return -Errno.EINVAL;
        }
        long done = 0;
        for (int piece = 0; piece == 0 || (piece == 1 && inode.size > Items.SYMLINK_PIECE_BYTES); piece++) {
            int s = store.find(inode.number, piece == 0 ? Items.INLINE_KEY : Items.INLINE_KEY2);
            if (s != BlobStore.OK) {
                return s == BlobStore.NOT_FOUND ? -Errno.EIO : s;
            }
            if (!Items.isTargetPiece(store.foundK1, inode.size, store.valueLength)) {
                return -Errno.EIO;
            }
            int length = store.valueLength - Items.INLINE_DATA_OFFSET;
            long data = store.valueAddress + Items.INLINE_DATA_OFFSET;
            long given = Iovecs.scatterShared(data, length, r.dataIovecs, r.dataIovecCount, done);
            if (given < 0) {
                return (int) given;
            }
            done += given;
        }
        r.count = done;
        return BlobStore.OK;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import org.jspecify.annotations.Nullable;

/** Changes of attributes, and what OPEN and CREATE answer. Home reactor. */
final class Attributes {
    private final Volume volume;
    private final Acls acls;

    Attributes(Volume volume, Acls acls) {
        this.volume = volume;
        this.acls = acls;
    }

    /** SETATTR without a size. */
    int set(FsRequest r, Inode inode) {
        r.accessListChanged = false;
        int allowed = InodeFlags.checkAttributes(r, inode);
        if (allowed != BlobStore.OK) {
            return allowed;
        }
        if (r.valid != 0) {
            boolean setsMode = (r.valid & FsRequest.SET_MODE) != 0;
            int s = setsMode ? acls.prepareMode(inode, r.newAttributes.mode) : BlobStore.OK;
            if (s == BlobStore.OK) {
                s = volume.prepareInode(inode.number);
            }
            if (s == BlobStore.OK) {
                s = volume.store.begin(BlobStore.logBytes(Items.INODE_SIZE) + (setsMode ? acls.modeLogBytes() : 0));
            }
            if (s != BlobStore.OK) {
                return s;
            }
            r.accessListChanged = setsMode && acls.putMode(inode);
            inode.beginChange();
            apply(r, inode, volume.now());
            inode.endChange();
            volume.putInode(inode);
            s = volume.store.end();
            volume.changed(inode);
            if (s != BlobStore.OK) {
                return s;
            }
        }
        inode.fill(r.attributes);
        return BlobStore.OK;
    }

    /** Between the inode's beginChange and endChange: all of a SETATTR but the size. */
    void apply(FsRequest r, Inode inode, long nowNs) {
        int valid = r.valid;
        FsAttributes a = r.newAttributes;
        if ((valid & (FsRequest.SET_UID | FsRequest.SET_GID)) != 0) {
            inode.mode = inode.isDirectory() ? inode.mode : Modes.withNewOwner(inode.mode);
        } else if ((valid & FsRequest.SET_KILL_PRIVILEGES) != 0) {
            inode.mode = Modes.withoutPrivileges(inode.mode, r.gid == inode.gid);
        }
        if ((valid & FsRequest.SET_MODE) != 0) {
            inode.mode = (inode.mode & Modes.S_IFMT) | (a.mode & Modes.PERMISSIONS);
        }
        InodeFlags.apply(r, inode);
        if ((valid & FsRequest.SET_UID) != 0) {
            inode.uid = a.uid;
        }
        if ((valid & FsRequest.SET_GID) != 0) {
            inode.gid = a.gid;
        }
        if ((valid & (FsRequest.SET_ATIME | FsRequest.SET_ATIME_NOW)) != 0) {
            inode.accessTimeNs = (valid & FsRequest.SET_ATIME_NOW) != 0 ? nowNs : a.accessTimeNs;
        }
        if ((valid & (FsRequest.SET_MTIME | FsRequest.SET_MTIME_NOW)) != 0) {
            inode.modifyTimeNs = (valid & FsRequest.SET_MTIME_NOW) != 0 ? nowNs : a.modifyTimeNs;
        } else if ((valid & FsRequest.SET_SIZE) != 0) {
            inode.modifyTimeNs = nowNs;
        }
        inode.changeTimeNs = (valid & FsRequest.SET_CTIME) != 0 ? a.changeTimeNs : nowNs;
    }

    /** Between the inode's beginChange and endChange: what truncation to 0 by an open does. */
    void applyTruncation(FsRequest r, Inode inode, long nowNs) {
        if (r.operation == FsOp.SETATTR) {
            apply(r, inode, nowNs);
            return;
        }
        inode.mode = r.killPrivileges ? Modes.withoutPrivileges(inode.mode, r.gid == inode.gid) : inode.mode;
        inode.modifyTimeNs = nowNs;
        inode.changeTimeNs = nowNs;
    }

    /** The answer of OPEN, CREATE and OPENDIR. */
    void setOpened(FsRequest r, Inode inode, @Nullable OpenFile opened) {
        if (opened == null) {
            throw new IllegalStateException("open without a handle");
        }
        r.handle = opened.handle();
        inode.fill(r.attributes);
        if (r.operation == FsOp.CREATE || r.operation == FsOp.TMPFILE) {
            ((BlobFsClient) r.client).addReference(inode.number);
        }
    }
}

package io.vhostfs.fuse;

import static io.vhostfs.fuse.FuseConstants.*;

import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.LibcConstants;
import java.util.Arrays;

/**
 * Tells of what the clients of one file system change, to clients whose kernels can be told to drop what they have cached.
 *
 * <p>Invariant: a change is told after it took effect and before who made it is answered, and never to who made it. Told
 * from the reactor on which the request completed; subscriptions change on ordinary threads.
 */
public final class ChangeFeed {
    /** Hears of changes by other clients, on any reactor; must not block. Numbers are nodeids of the hearing session. */
    public interface Listener {
        /**
         * An inode to which the session's client holds references has changed: attributes, and perhaps {@code data} or an
         * access control list, which kernels cache apart from attributes.
         */
        void onChanged(long nodeid, boolean data);

        /**
         * The session's own client has asked for the attributes of an inode: its kernel drops data when they have changed,
         * and access control lists in any case.
         */
        void onSeen(long nodeid);

        /** A name in such a directory was removed or stands for something else. The name is valid during the call only. */
        void onNameGone(long directoryNodeid, long nameAddress, int nameLength);
    }

    private record Subscriber(FuseSession session, Listener listener) {}

    private static final Subscriber[] NOBODY = {};

    private volatile Subscriber[] subscribers = NOBODY;

    /** From now on {@code listener} hears what other sessions than {@code session} change. */
    public synchronized void subscribe(FuseSession session, Listener listener) {
        Subscriber[] more = Arrays.copyOf(subscribers, subscribers.length + 1);
        more[more.length - 1] = new Subscriber(session, listener);
        subscribers = more;
    }

    /** No effect when it is not subscribed. */
    public synchronized void unsubscribe(FuseSession session) {
        subscribers = Arrays.stream(subscribers)
                .filter(s -> !s.session().equals(session))
                .toArray(Subscriber[]::new);
    }

    boolean isHeard() {
        return subscribers.length != 0;
    }

    /** A request has succeeded; its reply is not written yet. */
    void publish(FuseSession from, FuseRequest r) {
        switch (r.opcode) {
            case FUSE_WRITE, FUSE_FALLOCATE -> changed(from, r.inode, true);
            case FUSE_GETATTR -> seen(from, r.attributes.inode);
            case FUSE_COPY_FILE_RANGE, FUSE_COPY_FILE_RANGE_64 -> changed(from, r.inode2, true);
            case FUSE_SETATTR -> changed(from, r.inode, (r.valid & FsRequest.SET_SIZE) != 0 || r.accessListChanged);
            case FUSE_SETXATTR, FUSE_REMOVEXATTR -> changed(from, r.inode, r.accessListChanged);
            case FUSE_OPEN -> truncated(from, r, r.inode);
            case FUSE_CREATE -> {
                changed(from, r.inode, false);
                truncated(from, r, r.attributes.inode);
            }
            case FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK -> changed(from, r.inode, false);
            case FUSE_IOCTL -> {
                if (r.operation == FsOp.SETATTR) {
                    changed(from, r.inode, false);
                }
            }
            case FUSE_LINK -> {
                changed(from, r.inode, false);
                changed(from, r.inode2, false);
            }
            case FUSE_UNLINK, FUSE_RMDIR -> nameGone(from, r.inode, r.nameAddress, r.nameLength);
            case FUSE_RENAME, FUSE_RENAME2 -> {
                nameGone(from, r.inode, r.nameAddress, r.nameLength);
                nameGone(from, r.inode2, r.name2Address, r.name2Length);
            }
            default -> {}
        }
    }

    @SuppressWarnings("ReferenceEquality") // identity is meant
    private void seen(FuseSession from, long inode) {
        for (Subscriber subscriber : subscribers) {
            if (subscriber.session() == from) {
                subscriber.listener().onSeen(from.nodeidOf(inode));
            }
        }
    }

    private void truncated(FuseSession from, FuseRequest r, long inode) {
        if ((r.flags & LibcConstants.O_TRUNC) != 0) {
            changed(from, inode, true);
        }
    }

    @SuppressWarnings("ReferenceEquality") // identity is meant
    private void changed(FuseSession from, long inode, boolean data) {
        for (Subscriber subscriber : subscribers) {
            FuseSession session = subscriber.session();
            if (session != from && session.client().holds(inode)) {
                subscriber.listener().onChanged(session.nodeidOf(inode), data);
            }
        }
    }

    @SuppressWarnings("ReferenceEquality") // identity is meant
    private void nameGone(FuseSession from, long directory, long nameAddress, int nameLength) {
        for (Subscriber subscriber : subscribers) {
            FuseSession session = subscriber.session();
            if (session != from && session.client().holds(directory)) {
                subscriber.listener().onNameGone(session.nodeidOf(directory), nameAddress, nameLength);
            }
        }
    }
}

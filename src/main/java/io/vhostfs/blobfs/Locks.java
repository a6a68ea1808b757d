package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import org.jspecify.annotations.Nullable;

/**
 * POSIX record locks and flock(2) of all clients; each kind knows nothing of the other, as in Linux.
 *
 * <p>Invariant: locks of different owners overlap only when both are shared; locks of one owner never overlap; a request
 * waits only while a lock of another owner excludes it, and no owner waits for a record lock that it holds up itself. An owner is a number of a client: clients do not share owners.
 * Locks live in memory: they end with their client. Home reactor.
 */
final class Locks {
    private static final int REMEMBERED_INTERRUPTS = 64;

    /** A lock held. */
    private static final class Lock {
        @Nullable
        BlobFsClient client;

        long owner;
        boolean isFlock;
        int type;
        int pid;
        long start;
        /** Inclusive. */
        long end;

        @Nullable
        Lock next;

        boolean isOf(@Nullable BlobFsClient otherClient, long otherOwner, boolean flock) {
            return client == otherClient && owner == otherOwner && isFlock == flock;
        }

        boolean overlaps(long otherStart, long otherEnd) {
            return start <= otherEnd && otherStart <= end;
        }
    }

    /** An inode with locks or with requests that wait for some. */
    static final class LockedFile {
        private @Nullable Inode inode;
        private @Nullable Lock first;
        private @Nullable FsRequest firstWaiting;
        private @Nullable LockedFile previous;
        private @Nullable LockedFile next;
    }

    private final BlobFs fileSystem;
    private @Nullable LockedFile firstFile;
    private @Nullable LockedFile freeFile;
    private @Nullable Lock freeLock;

    /** Requests that wait. */
    private int waiting;

    private int looksLeft;

    // Interrupts that came before what they interrupt.
    private final long[] interruptedKeys = new long[REMEMBERED_INTERRUPTS];
    private final @Nullable BlobFsClient[] interruptedClients = new @Nullable BlobFsClient[REMEMBERED_INTERRUPTS];
    private int nextInterrupted;

    Locks(BlobFs fileSystem) {
        this.fileSystem = fileSystem;
    }

    // --- requests

    /** GETLK: what excludes the lock asked for, or F_UNLCK. */
    int get(FsRequest r, Inode inode, BlobFsClient client) {
        LockedFile file = inode.locks;
        Lock found = file == null ? null : conflict(file, r, client);
        if (found == null) {
            r.lockType = LibcConstants.F_UNLCK;
            return BlobStore.OK;
        }
        r.lockType = found.type;
        r.offset = found.start;
        r.lockEnd = found.end;
        // The number of a process means something to its own client only.
        r.pid = found.client == client ? found.pid : 0;
        return BlobStore.OK;
    }

    /** SETLK: OK, -EAGAIN, PENDING until the lock is had, or another errno. */
    int set(FsRequest r, Inode inode, BlobFsClient client) {
        LockedFile file = inode.locks;
        if (r.lockType == LibcConstants.F_UNLCK) {
            return file == null ? BlobStore.OK : unlock(file, r, client);
        }
        if (client.lockCount + 2 > Limits.MAX_CLIENT_LOCKS) {
            return -Errno.ENOLCK;
        }
        if (file == null) {
            file = add(inode);
        }
        if (r.isFlock && holdsFlock(file, r, client)) {
            return BlobStore.OK;
        }
        if (r.isFlock && carve(file, client, r.lockOwner, true, 0, Long.MAX_VALUE)) {
            // As in Linux, a change of the kind of an flock lets others have it in between.
            wake(file);
        }
        if (conflict(file, r, client) == null) {
            if (take(file, r, client)) {
                wake(file);
            }
            return BlobStore.OK;
        }
        int status = r.mayWait ? await(file, r, client) : -Errno.EAGAIN;
        dropIfUnused(file);
        return status;
    }

    private static boolean holdsFlock(LockedFile file, FsRequest r, BlobFsClient client) {
        for (Lock lock = file.first; lock != null; lock = lock.next) {
            if (lock.type == r.lockType && lock.isOf(client, r.lockOwner, true)) {
                return true;
            }
        }
        return false;
    }

    private int unlock(LockedFile file, FsRequest r, BlobFsClient client) {
        if (client.lockCount + 1 > Limits.MAX_CLIENT_LOCKS) {
            return -Errno.ENOLCK;
        }
        if (carve(file, client, r.lockOwner, r.isFlock, r.offset, r.lockEnd)) {
            wake(file);
        }
        dropIfUnused(file);
        return BlobStore.OK;
    }

    private int await(LockedFile file, FsRequest r, BlobFsClient client) {
        if (!r.isFlock && waiting != 0) {
            looksLeft = Limits.MAX_DEADLOCK_LOOKS;
            if (isHeldUpBy(file, r, client, r.lockOwner, client, 0)) {
                return -Errno.EDEADLK;
            }
        }
        if (client.waitingLocks == Limits.MAX_CLIENT_WAITING_LOCKS) {
            return -Errno.ENOLCK;
        }
        if (wasInterrupted(client, r.key)) {
            return -Errno.EINTR;
        }
        client.waitingLocks++;
        waiting++;
        r.next = null;
        FsRequest last = file.firstWaiting;
        if (last == null) {
            file.firstWaiting = r;
            return FileSystem.PENDING;
        }
        while (last.next != null) {
            last = last.next;
        }
        last.next = r;
        return FileSystem.PENDING;
    }

    /** Close of a descriptor: the owner's record locks go; or the last close of an open file: its flock goes. */
    void release(Inode inode, BlobFsClient client, long owner, boolean isFlock) {
        LockedFile file = inode.locks;
        if (file != null) {
            if (carve(file, client, owner, isFlock, 0, Long.MAX_VALUE)) {
                wake(file);
            }
            dropIfUnused(file);
        }
    }

    /** The request of {@code client} with this key need not wait any longer. */
    void interrupt(BlobFsClient client, long key) {
        for (LockedFile file = firstFile; file != null; file = file.next) {
            for (FsRequest r = file.firstWaiting; r != null; r = r.next) {
                if (r.client == client && r.key == key) {
                    endWaiting(file, r, -Errno.EINTR);
                    dropIfUnused(file);
                    return;
                }
            }
        }
        interruptedClients[nextInterrupted] = client;
        interruptedKeys[nextInterrupted] = key;
        nextInterrupted = (nextInterrupted + 1) % REMEMBERED_INTERRUPTS;
    }

    private boolean wasInterrupted(BlobFsClient client, long key) {
        for (int i = 0; i < REMEMBERED_INTERRUPTS; i++) {
            if (interruptedKeys[i] == key && interruptedClients[i] == client) {
                interruptedClients[i] = null;
                return true;
            }
        }
        return false;
    }

    /** Ends all waiting of a client. */
    void interruptAll(BlobFsClient client, int status) {
        LockedFile file = firstFile;
        while (file != null) {
            LockedFile following = file.next;
            FsRequest r = file.firstWaiting;
            while (r != null) {
                FsRequest after = r.next;
                if (r.client == client) {
                    endWaiting(file, r, status);
                }
                r = after;
            }
            dropIfUnused(file);
            file = following;
        }
    }

    /** The client is gone, with all that it holds and waits for. */
    void detach(BlobFsClient client) {
        interruptAll(client, -Errno.ESTALE);
        LockedFile file = firstFile;
        while (file != null) {
            LockedFile following = file.next;
            if (removeAll(file, client)) {
                wake(file);
            }
            dropIfUnused(file);
            file = following;
        }
        for (int i = 0; i < REMEMBERED_INTERRUPTS; i++) {
            if (interruptedClients[i] == client) {
                interruptedClients[i] = null;
            }
        }
    }

    /** No client has the inode open any more: nobody is left who could unlock it. */
    void closed(Inode inode) {
        LockedFile file = inode.locks;
        if (file == null) {
            return;
        }
        while (file.firstWaiting != null) {
            endWaiting(file, file.firstWaiting, -Errno.EBADF);
        }
        removeAll(file, null);
        dropIfUnused(file);
    }

    // --- locks of a file

    /** A lock of another owner that excludes the one asked for, or null. */
    private static @Nullable Lock conflict(LockedFile file, FsRequest r, BlobFsClient client) {
        for (Lock lock = file.first; lock != null; lock = lock.next) {
            if (excludes(lock, r, client)) {
                return lock;
            }
        }
        return null;
    }

    private static boolean excludes(Lock lock, FsRequest r, BlobFsClient client) {
        boolean exclusive = lock.type == LibcConstants.F_WRLCK || r.lockType == LibcConstants.F_WRLCK;
        return exclusive
                && lock.isFlock == r.isFlock
                && !lock.isOf(client, r.lockOwner, r.isFlock)
                && lock.overlaps(r.offset, r.lockEnd);
    }

    /** Takes the range out of an owner's locks; whether any was there. Makes one lock more at most. */
    private boolean carve(LockedFile file, BlobFsClient client, long owner, boolean isFlock, long start, long end) {
        boolean any = false;
        Lock before = null;
        Lock lock = file.first;
        while (lock != null) {
            Lock after = lock.next;
            if (!lock.isOf(client, owner, isFlock) || !lock.overlaps(start, end)) {
                before = lock;
                lock = after;
                continue;
            }
            any = true;
            if (lock.start < start && lock.end > end) {
                addLock(file, lock, end + 1, lock.end);
                lock.end = start - 1;
                return true;
            }
            if (lock.start < start) {
                lock.end = start - 1;
                before = lock;
            } else if (lock.end > end) {
                lock.start = end + 1;
                before = lock;
            } else {
                unlink(file, before, lock);
            }
            lock = after;
        }
        return any;
    }

    /** The range becomes the owner's; what excludes it was looked for. Whether the owner may hold less than before. */
    private boolean take(LockedFile file, FsRequest r, BlobFsClient client) {
        boolean had = carve(file, client, r.lockOwner, r.isFlock, r.offset, r.lockEnd);
        Lock lock = newLock();
        lock.client = client;
        lock.owner = r.lockOwner;
        lock.isFlock = r.isFlock;
        lock.type = r.lockType;
        lock.pid = r.pid;
        lock.start = r.offset;
        lock.end = r.lockEnd;
        merge(file, lock);
        lock.next = file.first;
        file.first = lock;
        count(lock, 1);
        return had && r.lockType == LibcConstants.F_RDLCK;
    }

    /** Neighbours of the same kind and owner become part of the new lock. */
    private void merge(LockedFile file, Lock added) {
        Lock before = null;
        Lock lock = file.first;
        while (lock != null) {
            Lock after = lock.next;
            boolean touches = (lock.end != Long.MAX_VALUE && lock.end + 1 == added.start)
                    || (added.end != Long.MAX_VALUE && added.end + 1 == lock.start);
            if (touches && lock.type == added.type && lock.isOf(added.client, added.owner, added.isFlock)) {
                added.start = Math.min(added.start, lock.start);
                added.end = Math.max(added.end, lock.end);
                unlink(file, before, lock);
            } else {
                before = lock;
            }
            lock = after;
        }
    }

    private void addLock(LockedFile file, Lock like, long start, long end) {
        Lock lock = newLock();
        lock.client = like.client;
        lock.owner = like.owner;
        lock.isFlock = like.isFlock;
        lock.type = like.type;
        lock.pid = like.pid;
        lock.start = start;
        lock.end = end;
        lock.next = file.first;
        file.first = lock;
        count(lock, 1);
    }

    private Lock newLock() {
        Lock lock = freeLock;
        if (lock == null) {
            return new Lock();
        }
        freeLock = lock.next;
        return lock;
    }

    private void unlink(LockedFile file, @Nullable Lock before, Lock lock) {
        if (before == null) {
            file.first = lock.next;
        } else {
            before.next = lock.next;
        }
        count(lock, -1);
        lock.client = null;
        lock.next = freeLock;
        freeLock = lock;
    }

    private static void count(Lock lock, int delta) {
        if (lock.client != null) {
            lock.client.lockCount += delta;
        }
    }

    /** Removes the locks of a client, or of all; whether there was one. */
    private boolean removeAll(LockedFile file, @Nullable BlobFsClient client) {
        boolean any = false;
        Lock before = null;
        Lock lock = file.first;
        while (lock != null) {
            Lock after = lock.next;
            if (client == null || lock.client == client) {
                unlink(file, before, lock);
                any = true;
            } else {
                before = lock;
            }
            lock = after;
        }
        return any;
    }

    // --- waiting

    /** Some lock has gone: who has waited longest comes first. */
    private void wake(LockedFile file) {
        FsRequest r = file.firstWaiting;
        while (r != null) {
            FsRequest after = r.next;
            BlobFsClient client = (BlobFsClient) r.client;
            if (conflict(file, r, client) == null) {
                unlinkWaiting(file, r);
                take(file, r, client);
                fileSystem.complete(r, BlobStore.OK);
                // What was just locked may be a part of what the owner held for writing: those in front look again.
                after = file.firstWaiting;
            }
            r = after;
        }
    }

    private void endWaiting(LockedFile file, FsRequest r, int status) {
        unlinkWaiting(file, r);
        fileSystem.complete(r, status);
    }

    @SuppressWarnings("ReferenceEquality") // identity is meant
    private void unlinkWaiting(LockedFile file, FsRequest r) {
        if (file.firstWaiting == r) {
            file.firstWaiting = r.next;
        } else {
            FsRequest before = file.firstWaiting;
            while (before != null && before.next != r) {
                before = before.next;
            }
            if (before != null) {
                before.next = r.next;
            }
        }
        r.next = null;
        ((BlobFsClient) r.client).waitingLocks--;
        waiting--;
    }

    // --- deadlocks

    /**
     * Whether the record lock {@code r}, were it waited for, would wait for an owner, for one whom that owner waits for, and
     * so on. What is too long to be looked through is no deadlock.
     */
    private boolean isHeldUpBy(
            LockedFile file, FsRequest r, BlobFsClient client, long owner, BlobFsClient ownersClient, int depth) {
        for (Lock lock = file.first; lock != null && looksLeft-- > 0; lock = lock.next) {
            BlobFsClient holder = lock.client;
            if (holder == null || !excludes(lock, r, client)) {
                continue;
            }
            if (lock.isOf(ownersClient, owner, false)) {
                return true;
            }
            if (depth < Limits.MAX_DEADLOCK_OWNERS && isHeldUp(lock.owner, holder, owner, ownersClient, depth + 1)) {
                return true;
            }
        }
        return false;
    }

    /** Whether {@code waiter} waits for {@code owner}, or for one who does. */
    private boolean isHeldUp(
            long waiter, BlobFsClient waitersClient, long owner, BlobFsClient ownersClient, int depth) {
        for (LockedFile file = firstFile; file != null && looksLeft-- > 0; file = file.next) {
            for (FsRequest r = file.firstWaiting; r != null; r = r.next) {
                boolean waits = r.client == waitersClient && r.lockOwner == waiter && !r.isFlock;
                if (waits && isHeldUpBy(file, r, waitersClient, owner, ownersClient, depth)) {
                    return true;
                }
            }
        }
        return false;
    }

    // --- files with locks

    private LockedFile add(Inode inode) {
        LockedFile file = freeFile;
        if (file == null) {
            file = new LockedFile();
        } else {
            freeFile = file.next;
        }
        file.inode = inode;
        inode.locks = file;
        file.previous = null;
        file.next = firstFile;
        if (firstFile != null) {
            firstFile.previous = file;
        }
        firstFile = file;
        return file;
    }

    private void dropIfUnused(LockedFile file) {
        Inode inode = file.inode;
        if (inode == null || file.first != null || file.firstWaiting != null) {
            return;
        }
        inode.locks = null;
        file.inode = null;
        if (file.previous == null) {
            firstFile = file.next;
        } else {
            file.previous.next = file.next;
        }
        if (file.next != null) {
            file.next.previous = file.previous;
        }
        file.previous = null;
        file.next = freeFile;
        freeFile = file;
    }
}

package io.vhostfs.hostmount;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;

import io.vhostfs.fuse.ChangeFeed;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntSupplier;
import org.jctools.queues.varhandle.MpmcVarHandleArrayQueue;
import org.jctools.queues.varhandle.MpscVarHandleArrayQueue;

/**
 * Tells the kernel to drop what it has cached of files that other clients change.
 *
 * <p>Invariant: of every change that was heard of the kernel learns, unless the queue was full; then it is told that every
 * name may be stale. On a thread of its own: the kernel waits in a notification for pages and directories that requests have
 * locked which only a reactor can answer. Changes are heard of on any reactor, without waiting and without garbage.
 *
 * <p>Of data the kernel is told only when it has not asked for the file's attributes since the change: when it asks, it sees
 * another time or size, and drops the pages by itself. A notification makes it throw away the attributes that it is just
 * asking for (it compares {@code attr_version}), so that a lseek(2) or read(2) would go by those before, though there was
 * another change meanwhile. Attributes alone are not told: they are asked for at each use.
 */
final class Invalidator implements ChangeFeed.Listener {
    /** Changes that wait to be told: what a guest does in the time of some notifications. */
    private static final int CAPACITY = 1024;

    /** Inodes of which a change waits to be told need not be queued again; a power of two. */
    static final int MARKS = 1024;

    private static final int NAME_BYTES = LibcConstants.NAME_MAX + 1;
    private static final int MESSAGE_BYTES = FUSE_OUT_HEADER_SIZE
            + Math.max(FUSE_NOTIFY_INVAL_INODE_OUT_SIZE, FUSE_NOTIFY_INVAL_ENTRY_OUT_SIZE)
            + NAME_BYTES;

    /** The first minor version with {@code FUSE_NOTIFY_INC_EPOCH}. */
    private static final int EPOCH_MINOR = 44;

    /** So long after a change attributes that were gathered before it may still be on their way, and be noted as seen. */
    static final long SEEN_NS = 50_000_000;

    /** How long a file is left alone, and nobody asks: who uses a file by maps only sees its changes after this. */
    static final long UNSEEN_NS = 1_000_000_000;

    private static final class Change {
        final long name;
        long nodeid;
        /** 0: of an inode. */
        int nameLength;
        /** Not to be told before this, after it was to be told long ago. */
        long postponedToNs;

        boolean isPostponed;

        Change(long name) {
            this.name = name;
        }
    }

    private final IntSupplier minorVersion;
    private final int fd;
    private final Thread thread;

    /** Keeps the names' memory and the message's alive. */
    private final MemorySegment memory = Arena.ofAuto().allocate((long) CAPACITY * NAME_BYTES + MESSAGE_BYTES, 64);

    private final long message = memory.address() + (long) CAPACITY * NAME_BYTES;
    private final MpmcVarHandleArrayQueue<Change> free = new MpmcVarHandleArrayQueue<>(CAPACITY);
    private final MpscVarHandleArrayQueue<Change> queue = new MpscVarHandleArrayQueue<>(CAPACITY);
    private final AtomicLongArray marks = new AtomicLongArray(MARKS);
    private final AtomicLongArray changedNs = new AtomicLongArray(MARKS);
    private final AtomicLongArray seenNs = new AtomicLongArray(MARKS);
    private final ArrayDeque<Change> waiting = new ArrayDeque<>(CAPACITY);
    private volatile boolean lost;
    private volatile boolean parked;
    private volatile boolean stopping;

    /**
     * Not started yet.
     *
     * @param minorVersion the protocol version agreed on
     * @param fd a channel of the mount
     */
    Invalidator(String name, IntSupplier minorVersion, int fd) {
        this.minorVersion = minorVersion;
        this.fd = fd;
        for (int i = 0; i < CAPACITY; i++) {
            free.offer(new Change(memory.address() + (long) i * NAME_BYTES));
        }
        thread = Thread.ofPlatform().daemon(true).name("invalidate " + name).unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    /** Waits for the notification under way, which may wait for requests: reactors must still answer. */
    void stop() throws InterruptedException {
        stopping = true;
        LockSupport.unpark(thread);
        thread.join();
    }

    // --- on reactors

    @Override
    public void onChanged(long nodeid, boolean data) {
        if (!data) {
            return;
        }
        int index = markIndex(nodeid);
        changedNs.set(index, System.nanoTime());
        if (marks.get(index) == nodeid) {
            return;
        }
        Change change = free.poll();
        if (change != null) {
            marks.set(index, nodeid);
            change.nodeid = nodeid;
            change.nameLength = 0;
            change.isPostponed = false;
        }
        put(change);
    }

    @Override
    public void onSeen(long nodeid) {
        int index = markIndex(nodeid);
        if (marks.get(index) == nodeid) {
            seenNs.set(index, System.nanoTime());
        }
    }

    @Override
    public void onNameGone(long directoryNodeid, long nameAddress, int nameLength) {
        Change change = free.poll();
        if (change != null) {
            change.nodeid = directoryNodeid;
            change.nameLength = nameLength;
            Memory.copy(nameAddress, change.name, nameLength);
            Memory.putByte(change.name + nameLength, (byte) 0);
        }
        put(change);
    }

    private void put(@org.jspecify.annotations.Nullable Change change) {
        if (change == null || !queue.offer(change)) {
            lost = true;
        }
        if (parked) {
            LockSupport.unpark(thread);
        }
    }

    private static int markIndex(long nodeid) {
        return (int) (nodeid & (MARKS - 1));
    }

    // --- on the thread

    private void run() {
        while (!stopping) {
            Change change = queue.poll();
            if (change != null && change.nameLength != 0) {
                tellNameGone(change);
                free.offer(change);
            } else if (change != null) {
                waiting.add(change);
            } else if (lost) {
                lost = false;
                tellLoss();
            } else {
                park(tellUnseen());
            }
        }
    }

    /** Tells of the files left alone that nobody has asked for; nanoseconds until the next may be, 0: none waits. */
    private long tellUnseen() {
        long shortestNs = 0;
        for (int i = waiting.size(); i > 0; i--) {
            Change change = waiting.remove();
            int index = markIndex(change.nodeid);
            // What changes from here on is queued again. Without the mark the times are those of another inode.
            boolean isMarked = marks.compareAndSet(index, change.nodeid, 0);
            long changed = changedNs.get(index);
            long leftNs = leftNs(change, changed);
            if (leftNs > 0) {
                marks.compareAndSet(index, 0, change.nodeid);
                waiting.add(change);
                shortestNs = shortestNs == 0 ? leftNs : Math.min(shortestNs, leftNs);
                continue;
            }
            if (!isMarked || seenNs.get(index) - changed < SEEN_NS) {
                tellData(change);
            }
            free.offer(change);
        }
        return shortestNs;
    }

    /** After a machine that stood still: whoever asks when it goes on has a moment to do so. */
    private static long leftNs(Change change, long changedNs) {
        long nowNs = System.nanoTime();
        long leftNs = changedNs + UNSEEN_NS - nowNs;
        if (change.isPostponed) {
            leftNs = Math.max(leftNs, change.postponedToNs - nowNs);
        }
        if (leftNs < -SEEN_NS && !change.isPostponed) {
            change.isPostponed = true;
            change.postponedToNs = nowNs + SEEN_NS;
            leftNs = SEEN_NS;
        }
        return leftNs;
    }

    private void park(long timeoutNs) {
        parked = true;
        if (queue.isEmpty() && !lost && !stopping) {
            if (timeoutNs == 0) {
                LockSupport.park(this);
            } else {
                LockSupport.parkNanos(this, timeoutNs);
            }
        }
        parked = false;
    }

    private void tellData(Change change) {
        long body = message + FUSE_OUT_HEADER_SIZE;
        Memory.putLong(body + FUSE_NOTIFY_INVAL_INODE_OUT_INO_OFFSET, change.nodeid);
        Memory.putLong(body + FUSE_NOTIFY_INVAL_INODE_OUT_OFF_OFFSET, 0);
        Memory.putLong(body + FUSE_NOTIFY_INVAL_INODE_OUT_LEN_OFFSET, 0);
        send(FUSE_NOTIFY_INVAL_INODE, FUSE_NOTIFY_INVAL_INODE_OUT_SIZE);
    }

    private void tellNameGone(Change change) {
        long body = message + FUSE_OUT_HEADER_SIZE;
        Memory.putLong(body + FUSE_NOTIFY_INVAL_ENTRY_OUT_PARENT_OFFSET, change.nodeid);
        Memory.putInt(body + FUSE_NOTIFY_INVAL_ENTRY_OUT_NAMELEN_OFFSET, change.nameLength);
        Memory.putInt(body + FUSE_NOTIFY_INVAL_ENTRY_OUT_FLAGS_OFFSET, 0);
        Memory.copy(change.name, body + FUSE_NOTIFY_INVAL_ENTRY_OUT_SIZE, change.nameLength + 1L);
        send(FUSE_NOTIFY_INVAL_ENTRY, FUSE_NOTIFY_INVAL_ENTRY_OUT_SIZE + change.nameLength + 1);
    }

    private void tellLoss() {
        if (minorVersion.getAsInt() >= EPOCH_MINOR) {
            send(FUSE_NOTIFY_INC_EPOCH, 0);
        }
    }

    /** Errors are the usual case: ENOENT, the kernel has cached nothing; ENODEV, the mount is gone. */
    private void send(int code, int bodyBytes) {
        int length = FUSE_OUT_HEADER_SIZE + bodyBytes;
        Memory.putInt(message + FUSE_OUT_HEADER_LEN_OFFSET, length);
        Memory.putInt(message + FUSE_OUT_HEADER_ERROR_OFFSET, code);
        Memory.putLong(message + FUSE_OUT_HEADER_UNIQUE_OFFSET, 0);
        Libc.write(fd, message, length);
    }
}

package io.vhostfs.blobfs;

/**
 * Which operations hold or await ranges of a file's blocks.
 *
 * <p>Invariant: of two active operations whose ranges overlap none is exclusive; nobody overtakes a waiting operation
 * whose range overlaps. Home reactor.
 */
final class RangeLocks {
    private RangeLocks() {}

    /** Takes the operation's range, or says that it must wait (and then {@link #await}). */
    static boolean tryAcquire(Inode inode, FileOp op) {
        for (FileOp a = inode.activeRanges; a != null; a = a.nextRange) {
            if (conflicts(a, op)) {
                return false;
            }
        }
        for (FileOp w = inode.firstWaiting; w != null && w != op; w = w.nextRange) {
            if (conflicts(w, op)) {
                return false;
            }
        }
        return true;
    }

    private static boolean conflicts(FileOp a, FileOp b) {
        return (a.exclusive || b.exclusive) && a.rangeStart < b.rangeEnd && b.rangeStart < a.rangeEnd;
    }

    static void activate(Inode inode, FileOp op) {
        op.previousRange = null;
        op.nextRange = inode.activeRanges;
        if (op.nextRange != null) {
            op.nextRange.previousRange = op;
        }
        inode.activeRanges = op;
    }

    static void release(Inode inode, FileOp op) {
        FileOp previous = op.previousRange;
        FileOp next = op.nextRange;
        if (previous == null) {
            inode.activeRanges = next;
        } else {
            previous.nextRange = next;
        }
        if (next != null) {
            next.previousRange = previous;
        }
        op.nextRange = null;
        op.previousRange = null;
    }

    static void await(Inode inode, FileOp op) {
        FileOp last = inode.lastWaiting;
        op.nextRange = null;
        op.previousRange = last;
        if (last == null) {
            inode.firstWaiting = op;
        } else {
            last.nextRange = op;
        }
        inode.lastWaiting = op;
    }

    static void stopWaiting(Inode inode, FileOp op) {
        inode.rangeChanges++;
        FileOp previous = op.previousRange;
        FileOp next = op.nextRange;
        if (previous == null) {
            inode.firstWaiting = next;
        } else {
            previous.nextRange = next;
        }
        if (next == null) {
            inode.lastWaiting = previous;
        } else {
            next.previousRange = previous;
        }
        op.nextRange = null;
        op.previousRange = null;
    }
}

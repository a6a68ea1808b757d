package io.vhostfs.sim;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.sim.SimFailure.require;

import io.vhostfs.os.Errno;
import io.vhostfs.sim.GuestView.Known;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What a guest does with the contents of files: it opens them, writes, cuts, allocates, copies, reads and seeks.
 *
 * <p>Invariant: of the changes of one file that are in flight at most one changes more than blocks that no other one
 * writes. One thread. Each method starts one request, or returns false.
 */
final class ContentOperations {
    private static final int MAX_HANDLES = 4;

    /** Blocks of an overwrite in flight. */
    private record Range(long inode, long first, long last) {}

    private final SimPlan plan;
    private final GuestView view;
    private final GuestRequests requests;
    private final SimRandom random;
    private final List<Range> overwriting = new ArrayList<>();
    /** What was written to others may turn up there. */
    private final Set<Long> copiedInto = new HashSet<>();

    ContentOperations(SimPlan plan, GuestView view, GuestRequests requests, SimRandom random) {
        this.plan = plan;
        this.view = view;
        this.requests = requests;
        this.random = random;
    }

    /** The target is gone: nothing in flight will be answered. */
    void abandon() {
        overwriting.clear();
    }

    /** Whether the inode may hold bytes that name another one, or another place. */
    boolean wasCopiedInto(long inode) {
        return copiedInto.contains(inode);
    }

    boolean open() {
        ModelNode node = view.anyFile();
        if (node == null || view.known(node.inode).handles.size() >= MAX_HANDLES) {
            return false;
        }
        long inode = node.inode;
        FileModel file = view.known(inode).file;
        // That of an empty file changes nothing.
        boolean truncates = random.oneIn(10) && file.size > 0 && mayChangeAlone(file);
        String what = "open " + inode + (truncates ? " O_TRUNC" : "");
        DataOp op = truncates ? startAlone(file, file.truncate(0, view.history().length())) : null;
        int flags = O_RDWR | (truncates ? O_TRUNC : 0);
        return requests.send(what, FuseMessage.open(inode, flags), (error, body) -> {
            if (op != null) {
                endChange(what, inode, file, op, requests.succeeded(what, error, 0, true));
            }
            if (requests.succeeded(what, error, 0, true)) {
                view.known(inode).handles.add(FuseMessage.fields(body).getLong(0));
            }
        });
    }

    boolean release() {
        ModelNode node = view.anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = view.known(inode);
        if (k.handles.isEmpty() || k.inFlight > 0) {
            return false;
        }
        long handle = k.handles.remove(random.below(k.handles.size()));
        String what = "release " + inode;
        return requests.send(what, FuseMessage.release(inode, handle), (error, body) -> {
            requests.succeeded(what, error, 0, true);
        });
    }

    private long anyHandle(Known k) {
        return k.handles.isEmpty() || random.percent(50) ? 0 : k.handles.get(random.below(k.handles.size()));
    }

    private static boolean mayChangeAlone(FileModel file) {
        return !file.uncertain && !file.exclusive && file.changing == 0;
    }

    private static DataOp startAlone(FileModel file, DataOp op) {
        file.exclusive = true;
        file.changing++;
        return op;
    }

    /** The change of a file was answered. */
    private void endChange(String what, long inode, FileModel file, DataOp op, boolean succeeded) {
        file.changing--;
        boolean alone = file.exclusive;
        if (alone) {
            file.exclusive = false;
        }
        if (!succeeded) {
            file.failed(op);
            return;
        }
        op.answered = true;
        if (op.newSize >= 0) {
            file.size = op.newSize;
        }
        if (alone) {
            long size = file.size;
            op.index = view.history()
                    .addData(
                            what,
                            tree -> {
                                ModelNode node = tree.find(inode);
                                if (node != null) {
                                    node.size = size;
                                }
                            },
                            inode,
                            op);
        }
    }

    private long anyOffset(FileModel file) {
        return switch (random.below(5)) {
            case 0 -> 0;
            case 1 -> Math.min(file.size, plan.maxFileBytes() - 1);
            case 2 -> random.below(plan.maxFileBytes()) / FileModel.BLOCK * (long) FileModel.BLOCK;
            default -> random.below((int) Math.min(plan.maxFileBytes(), file.size + 9000));
        };
    }

    private int anyLength(long offset) {
        int most = (int) Math.min(plan.maxFileBytes() - offset, SimDriver.MAX_DATA_BYTES - 4096);
        if (most < 1) {
            return 0;
        }
        return switch (random.below(4)) {
            case 0 -> Math.min(most, FileModel.BLOCK * random.between(1, 8));
            case 1 -> random.skewed(Math.min(most, 2000));
            default -> random.skewed(most);
        };
    }

    boolean write() {
        ModelNode node = view.anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = view.known(inode);
        FileModel file = k.file;
        boolean append = random.percent(30);
        boolean aligned = random.percent(40);
        long offset = append ? file.size : anyOffset(file);
        offset = aligned && !append ? offset / FileModel.BLOCK * FileModel.BLOCK : offset;
        int length = anyLength(offset);
        length = aligned && length > FileModel.BLOCK ? length / FileModel.BLOCK * FileModel.BLOCK : length;
        if (length == 0 || file.uncertain || file.exclusive) {
            return false;
        }
        if (file.isOverwrite(offset, length) && file.changing > 0) {
            return !isBeingWritten(inode, offset, length) && sendWrite(inode, k, offset, length, append, false);
        }
        return file.changing == 0 && sendWrite(inode, k, offset, length, append, !file.isOverwrite(offset, length));
    }

    private boolean isBeingWritten(long inode, long offset, int length) {
        long first = offset / FileModel.BLOCK;
        long last = (offset + length - 1) / FileModel.BLOCK;
        return overwriting.stream().anyMatch(r -> r.inode == inode && r.first <= last && first <= r.last);
    }

    private boolean sendWrite(long inode, Known k, long offset, int length, boolean append, boolean alone) {
        FileModel file = k.file;
        byte[] data = view.newBytes(inode, offset, length);
        boolean durable = random.oneIn(25);
        int before = view.history().length();
        int ofInode = view.history().coveredBy(inode);
        DataOp op = file.write(offset, data, before);
        op.interval |= durable;
        Range range = new Range(inode, offset / FileModel.BLOCK, (offset + length - 1) / FileModel.BLOCK);
        if (alone) {
            startAlone(file, op);
        } else {
            file.changing++;
            overwriting.add(range);
        }
        int flags = (append ? O_APPEND : 0) | (durable ? O_DSYNC : 0);
        String what = "write " + inode + " " + offset + "+" + length + (append ? " append" : "")
                + (durable ? " dsync" : "") + (alone ? "" : " in place");
        return requests.send(what, FuseMessage.write(inode, anyHandle(k), offset, data, flags), (error, body) -> {
            overwriting.remove(range);
            boolean good = requests.succeeded(what, error, 0, false);
            if (good) {
                int count = FuseMessage.fields(body).getInt(0);
                require(count == length, what + " wrote " + count + " bytes");
            }
            endChange(what, inode, file, op, good);
            if (good && durable) {
                op.madeDurable();
                // Its change is in the log, and with it all that came before; an overwrite needs its inode only.
                view.history().madeDurable(op.group ? before : ofInode);
            }
        });
    }

    boolean truncate() {
        ModelNode node = view.anyFile();
        if (node == null || !mayChangeAlone(view.known(node.inode).file)) {
            return false;
        }
        long inode = node.inode;
        FileModel file = view.known(inode).file;
        long size =
                switch (random.below(4)) {
                    case 0 -> 0;
                    case 1 -> file.size / FileModel.BLOCK * FileModel.BLOCK;
                    default -> anyOffset(file);
                };
        String what = "truncate " + inode + " to " + size + " from " + file.size;
        boolean frees = size <= file.size;
        DataOp op = startAlone(file, file.truncate(size, view.history().length()));
        return requests.send(what, FuseMessage.truncate(inode, size), (error, body) -> {
            endChange(what, inode, file, op, requests.succeeded(what, error, 0, frees));
        });
    }

    boolean fallocate() {
        ModelNode node = view.anyFile();
        if (node == null || !mayChangeAlone(view.known(node.inode).file)) {
            return false;
        }
        long inode = node.inode;
        Known k = view.known(inode);
        FileModel file = k.file;
        // A disk that is to grow must be full now and then.
        boolean fills = plan.grows() && plan.small() && random.percent(40);
        int anyMode = random.pick(
                0,
                FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_ZERO_RANGE,
                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
        int mode = fills ? FALLOC_FL_KEEP_SIZE : anyMode;
        long offset = fills ? 0 : anyOffset(file);
        int wanted = fills ? plan.maxFileBytes() : random.skewed(plan.maxFileBytes());
        long length = Math.min(plan.maxFileBytes() - offset, wanted);
        if (length <= 0) {
            return false;
        }
        boolean grows = (mode & FALLOC_FL_KEEP_SIZE) == 0;
        boolean punches = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
        boolean clears = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
        DataOp op = startAlone(
                file,
                clears
                        ? file.clear(
                                offset, length, grows, punches, view.history().length())
                        : file.allocate(offset, length, grows, view.history().length()));
        String what = "fallocate " + inode + " mode " + mode + " " + offset + "+" + length;
        return requests.send(what, FuseMessage.fallocate(inode, anyHandle(k), mode, offset, length), (error, body) -> {
            endChange(what, inode, file, op, requests.succeeded(what, error, 0, false));
        });
    }

    /** Whole blocks, which are shared. */
    boolean copy() {
        ModelNode from = view.anyFile();
        ModelNode to = view.anyFile();
        if (from == null || to == null) {
            return false;
        }
        Known s = view.known(from.inode);
        Known t = view.known(to.inode);
        FileModel source = s.file;
        FileModel target = t.file;
        if (!mayChangeAlone(source) || !mayChangeAlone(target) || source.size < FileModel.BLOCK) {
            return false;
        }
        int sourceBlocks = (int) (source.size / FileModel.BLOCK);
        int first = random.below(sourceBlocks);
        int count = random.oneIn(2) ? sourceBlocks - first : 1 + random.below(sourceBlocks - first);
        long offset = anyOffset(target) / FileModel.BLOCK * FileModel.BLOCK;
        count = (int) Math.min(count, (plan.maxFileBytes() - offset) / FileModel.BLOCK);
        long length = (long) count * FileModel.BLOCK;
        long sourceOffset = (long) first * FileModel.BLOCK;
        boolean isSame = source == target;
        if (count <= 0 || (isSame && sourceOffset < offset + length && offset < sourceOffset + length)) {
            return false;
        }
        DataOp op = startAlone(
                target,
                target.clone(
                        source, sourceOffset, offset, length, view.history().length()));
        if (!isSame) {
            source.exclusive = true;
            source.changing++;
        }
        copiedInto.add(to.inode);
        String what = "copy " + from.inode + " " + sourceOffset + "+" + length + " to " + to.inode + " " + offset;
        return requests.send(
                what,
                FuseMessage.copyFileRange(
                        from.inode, anyHandle(s), sourceOffset, to.inode, anyHandle(t), offset, length),
                to.inode,
                (error, body) -> {
                    if (!isSame) {
                        source.exclusive = false;
                        source.changing--;
                    }
                    boolean good = requests.succeeded(what, error, 0, false);
                    long copied = good ? FuseMessage.fields(body).getLong(0) : 0;
                    boolean whole = copied == length;
                    // What went before an error counts.
                    require(whole || !good || plan.small() || plan.faults().hasErred(), what + " copied " + copied);
                    endChange(what, to.inode, target, op, whole);
                });
    }

    boolean read() {
        ModelNode node = view.anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        Known k = view.known(inode);
        FileModel file = k.file;
        long offset = random.oneIn(3) ? 0 : anyOffset(file);
        int length = random.oneIn(3) ? SimDriver.MAX_DATA_BYTES : random.skewed(SimDriver.MAX_DATA_BYTES);
        boolean quiet = file.changing == 0 && !file.uncertain;
        long version = file.version;
        String what = "read " + inode + " " + offset + "+" + length;
        return requests.send(what, FuseMessage.read(inode, anyHandle(k), offset, length), (error, body) -> {
            if (!requests.succeeded(what, error, 0, true)) {
                return;
            }
            if (!quiet || file.version != version) {
                // Which of its states it shows is not known, but it shows nothing else.
                require(
                        wasCopiedInto(inode) || Pattern.isOwn(body, inode, offset),
                        what + " shows bytes of another file or place");
                return;
            }
            byte[] expected = file.read(offset, length);
            int wrong = Arrays.mismatch(expected, body);
            if (wrong >= 0) {
                int at = Math.max(0, Math.min(wrong, Math.min(body.length, expected.length) - 64)) & ~7;
                throw new SimFailure(what + ": got " + body.length + " bytes, expected " + expected.length
                        + "; first difference at " + (offset + wrong) + ": got "
                        + Pattern.describe(body, at, Math.min(64, body.length - at)) + " expected "
                        + Pattern.describe(expected, at, Math.min(64, expected.length - at)));
            }
        });
    }

    boolean lseek() {
        ModelNode node = view.anyFile();
        if (node == null) {
            return false;
        }
        long inode = node.inode;
        FileModel file = view.known(inode).file;
        if (file.changing > 0 || file.uncertain || file.size == 0) {
            return false;
        }
        long offset = random.below((int) file.size);
        long version = file.version;
        String what = "lseek " + inode + " data from " + offset;
        return requests.send(what, FuseMessage.lseek(inode, offset, SEEK_DATA), (error, body) -> {
            if (file.version != version || requests.isExcused(error, true)) {
                return;
            }
            require(error == 0 || error == -Errno.ENXIO, what + " was answered with " + GuestRequests.name(error));
            long found = error == 0 ? FuseMessage.fields(body).getLong(0) : file.size;
            require(found >= offset && found <= file.size, what + " found " + found);
            for (byte b : file.read(offset, (int) (found - offset))) {
                require(b == 0, what + " skipped data, to " + found);
            }
        });
    }
}

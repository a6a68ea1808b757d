package io.vhostfs.sim;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A file's content: as it reads now, and all that each sector may hold after a cut. One thread.
 *
 * <p>Each sector has a list of events in the order of their submission. An event starts a <em>run</em> when it comes with
 * another place on the disk (blocks allocated, unmapped, or content kept in the tree): it shows exactly when its operation
 * is part of the prefix that survived. The others overwrite in place: any of them may show within its run, but for those
 * before the last one that is certain to be durable.
 */
final class FileModel {
    static final int MAX_BYTES = 1 << 20;
    static final int SECTOR = SimDisk.SECTOR;
    static final int BLOCK = SimDisk.BLOCK;
    static final int SECTORS_PER_BLOCK = BLOCK / SECTOR;

    /** Files up to here are kept in the tree. */
    static final int MAX_INLINE_BYTES = 2000;

    /**
     * What happens to a sector.
     *
     * @param startsRun it shows exactly with its operation's metadata
     * @param sameBlock with that the place on the disk does not change: what is written shows in the run before, too
     * @param isZeroing no byte is written: the block reads as zeroes from now on
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared, never changed
    private record Event(DataOp op, boolean startsRun, boolean sameBlock, boolean isZeroing, byte[] after) {
        Event inPlace() {
            return new Event(op, false, sameBlock, isZeroing, after);
        }
    }

    long size;
    boolean inline = true;
    /** Bytes stored in the tree while it is inline. */
    private int inlineStored;

    private final boolean[] mapped = new boolean[MAX_BYTES / BLOCK];
    /** Turned to zeroes where it is: the next write goes to the same place on the disk. */
    private final boolean[] zeroed = new boolean[MAX_BYTES / BLOCK];

    private byte[] content = new byte[0];
    /** The same, but for what lies behind the end in the last block, which nobody sees. */
    private byte[] disk = new byte[0];

    private byte[] base = new byte[0];
    private final @Nullable List<Event>[] events;
    private final List<DataOp> ops = new ArrayList<>();

    /** Requests in flight that change it. */
    int changing;
    /** One of them may be the only one. */
    boolean exclusive;
    /** Grows with every change that is submitted. */
    long version;
    /** A failed change left the content uncertain: not checked until the next mount. */
    boolean uncertain;

    @SuppressWarnings("unchecked")
    FileModel() {
        events = (List<Event>[]) new List<?>[MAX_BYTES / SECTOR];
    }

    /** What a mount found. */
    static FileModel observed(byte[] content, boolean inline, boolean[] mappedBlocks) {
        FileModel file = new FileModel();
        file.size = content.length;
        file.content = content.clone();
        file.base = content.clone();
        file.disk = content.clone();
        file.inline = inline;
        file.inlineStored = inline ? content.length : 0;
        System.arraycopy(mappedBlocks, 0, file.mapped, 0, mappedBlocks.length);
        return file;
    }

    byte[] read(long offset, int length) {
        int from = (int) Math.min(offset, size);
        int to = (int) Math.min(offset + length, size);
        byte[] result = new byte[to - from];
        if (from < content.length) {
            System.arraycopy(content, from, result, 0, Math.min(to, content.length) - from);
        }
        return result;
    }

    boolean isMapped(long offset) {
        return mapped[(int) (offset / BLOCK)];
    }

    /** Whether all of the range is below the end and has blocks: a write there changes no metadata. */
    boolean isOverwrite(long offset, int length) {
        if (inline || offset + length > size) {
            return false;
        }
        for (long b = offset / BLOCK; b <= (offset + length - 1) / BLOCK; b++) {
            if (!mapped[(int) b]) {
                return false;
            }
        }
        return true;
    }

    List<DataOp> ops() {
        return ops;
    }

    // --- planning

    private void ensure(long length) {
        if (content.length < length) {
            content = Arrays.copyOf(content, (int) Math.min(MAX_BYTES, Math.max(length, 2L * content.length)));
            disk = Arrays.copyOf(disk, content.length);
        }
    }

    private byte[] sector(byte[] from, int sector) {
        byte[] copy = new byte[SECTOR];
        int at = sector * SECTOR;
        if (at < from.length) {
            System.arraycopy(from, at, copy, 0, Math.min(SECTOR, from.length - at));
        }
        return copy;
    }

    private void add(DataOp op, int sector, boolean startsRun) {
        List<Event> list = events[sector];
        if (list == null) {
            list = new ArrayList<>(4);
            events[sector] = list;
        }
        boolean sameBlock = startsRun && zeroed[sector / SECTORS_PER_BLOCK];
        boolean isZeroing = sameBlock && !mapped[sector / SECTORS_PER_BLOCK];
        list.add(new Event(op, startsRun, sameBlock, isZeroing, sector(startsRun ? content : disk, sector)));
    }

    private void addRange(DataOp op, long from, long to, boolean startsRun) {
        for (long s = from / SECTOR; s < (to + SECTOR - 1) / SECTOR && s < events.length; s++) {
            add(op, (int) s, startsRun);
        }
    }

    private DataOp newOp(int historyLength) {
        DataOp op = new DataOp(historyLength);
        ops.add(op);
        version++;
        return op;
    }

    /** Inline content moves to a block: the same bytes, from now on overwritten in place. */
    private void expel(int historyLength) {
        inline = false;
        if (inlineStored == 0) {
            return;
        }
        DataOp move = newOp(historyLength);
        move.index = historyLength - 1;
        move.group = true;
        addRange(move, 0, BLOCK, true);
        mapped[0] = true;
    }

    /** When the file grows, what lies behind its end in the last block is zeroed in place first. */
    private void cleanTail(DataOp op) {
        if (size % BLOCK != 0 && mapped[(int) (size / BLOCK)]) {
            long blockEnd = (size / BLOCK + 1) * BLOCK;
            System.arraycopy(
                    content,
                    (int) Math.min(size, content.length),
                    disk,
                    (int) Math.min(size, disk.length),
                    tailLength(blockEnd));
            addRange(op, size / SECTOR * SECTOR, blockEnd, false);
        }
    }

    private int tailLength(long blockEnd) {
        return (int) Math.max(0, Math.min(content.length, blockEnd) - Math.min(content.length, size));
    }

    DataOp write(long offset, byte[] data, int historyLength) {
        long end = offset + data.length;
        boolean staysInline = inline && Math.max(size, end) <= MAX_INLINE_BYTES;
        if (inline && !staysInline) {
            expel(historyLength);
        }
        DataOp op = newOp(historyLength);
        ensure(end);
        System.arraycopy(data, 0, content, (int) offset, data.length);
        System.arraycopy(data, 0, disk, (int) offset, data.length);
        if (staysInline) {
            op.group = true;
            addRange(op, 0, Math.max(end, size), true);
            inlineStored = (int) Math.max(inlineStored, end);
        } else {
            writeBlocks(op, offset, end);
        }
        if (end > size) {
            op.newSize = end;
        }
        return op;
    }

    private void writeBlocks(DataOp op, long offset, long end) {
        op.group = end > size;
        if (op.group) {
            cleanTail(op);
        }
        for (long b = offset / BLOCK; b <= (end - 1) / BLOCK; b++) {
            if (mapped[(int) b]) {
                addRange(op, Math.max(offset, b * BLOCK), Math.min(end, (b + 1) * BLOCK), false);
            } else {
                op.group = true;
                mapped[(int) b] = true;
                addRange(op, b * BLOCK, (b + 1) * BLOCK, true);
                zeroed[(int) b] = false;
            }
        }
    }

    DataOp truncate(long newSize, int historyLength) {
        boolean staysInline = inline && newSize <= MAX_INLINE_BYTES;
        if (inline && !staysInline) {
            expel(historyLength);
        }
        DataOp op = newOp(historyLength);
        op.interval = true;
        op.group = true;
        op.newSize = newSize;
        if (newSize < size) {
            zero(content, newSize, size);
        }
        if (staysInline) {
            inlineStored = (int) Math.min(inlineStored, newSize);
            zero(disk, newSize, disk.length);
            addRange(op, 0, Math.max(size, newSize), true);
        } else if (newSize <= size) {
            unmap(op, (newSize + BLOCK - 1) / BLOCK, MAX_BYTES / BLOCK, false);
        } else {
            cleanTail(op);
        }
        return op;
    }

    private static void zero(byte[] bytes, long from, long to) {
        if (from < bytes.length && from < to) {
            Arrays.fill(bytes, (int) from, (int) Math.min(to, bytes.length), (byte) 0);
        }
    }

    private void unmap(DataOp op, long fromBlock, long toBlock, boolean staysAllocated) {
        for (long b = fromBlock; b < toBlock; b++) {
            zeroed[(int) b] = staysAllocated && (zeroed[(int) b] || mapped[(int) b]);
            if (mapped[(int) b]) {
                mapped[(int) b] = false;
                zero(disk, b * BLOCK, (b + 1) * BLOCK);
                addRange(op, b * BLOCK, (b + 1) * BLOCK, true);
            }
        }
    }

    /** Punches a hole or turns a range to zeroes. */
    DataOp clear(long offset, long length, boolean grows, boolean punches, int historyLength) {
        if (inline) {
            expel(historyLength);
        }
        DataOp op = newOp(historyLength);
        op.interval = true;
        long end = Math.min(offset + length, MAX_BYTES);
        zero(content, offset, end);
        zero(disk, offset, end);
        if (grows && offset + length > size) {
            // The patch of the tail is certain with the new size; those of the edges are not promised by anything.
            op.newSize = offset + length;
            cleanTail(op);
        }
        long first = (offset + BLOCK - 1) / BLOCK;
        long last = end / BLOCK;
        if (offset % BLOCK != 0) {
            patch(op, offset, Math.min(end, first * BLOCK));
        }
        if (end % BLOCK != 0 && last >= first) {
            patch(op, last * BLOCK, end);
        }
        unmap(op, first, last, !punches);
        return op;
    }

    private void patch(DataOp op, long from, long to) {
        if (mapped[(int) (from / BLOCK)]) {
            addRange(op, from, to, false);
        }
    }

    /** Takes whole blocks of another file, or of this one, as they are: they are shared, and holes are holes. */
    DataOp clone(FileModel source, long sourceOffset, long offset, long length, int historyLength) {
        if (inline) {
            expel(historyLength);
        }
        DataOp op = newOp(historyLength);
        op.interval = true;
        op.group = true;
        op.growsInSteps = true;
        ensure(offset + length);
        if (offset + length > size) {
            op.newSize = offset + length;
            cleanTail(op);
        }
        byte[] data = source.read(sourceOffset, (int) length);
        System.arraycopy(data, 0, content, (int) offset, data.length);
        System.arraycopy(data, 0, disk, (int) offset, data.length);
        for (long b = offset / BLOCK; b < (offset + length) / BLOCK; b++) {
            boolean isData = source.mapped[(int) (b + (sourceOffset - offset) / BLOCK)];
            zeroed[(int) b] = false;
            if (isData || mapped[(int) b]) {
                mapped[(int) b] = isData;
                addRange(op, b * BLOCK, (b + 1) * BLOCK, true);
            }
        }
        return op;
    }

    /** Allocates a range. */
    DataOp allocate(long offset, long length, boolean grows, int historyLength) {
        if (inline) {
            expel(historyLength);
        }
        DataOp op = newOp(historyLength);
        op.interval = true;
        op.group = true;
        if (grows && offset + length > size) {
            op.newSize = offset + length;
            cleanTail(op);
        }
        return op;
    }

    /** The target ended in order. */
    void madeDurable() {
        ops.stream().filter(op -> op.answered).forEach(DataOp::madeDurable);
    }

    /** The operation was refused: what it would have mapped it has not, what it overwrote it may have. */
    void failed(DataOp op) {
        uncertain = true;
        if (op.interval) {
            return;
        }
        for (List<Event> list : events) {
            if (list != null) {
                list.removeIf(event -> event.op == op && event.startsRun && !event.sameBlock);
                list.replaceAll(event -> event.op == op ? event.inPlace() : event);
            }
        }
    }

    // --- after a cut

    /** Whether a file whose size is {@code recorded} in the tree of that prefix may have that size. */
    boolean isSizeAllowed(long recorded, long found, int prefix) {
        long certain = recorded;
        boolean allowed = false;
        for (DataOp op : ops) {
            if (op.newSize >= 0 && op.index >= prefix && op.mayBeApplied(prefix)) {
                allowed |= op.newSize == found;
                allowed |= op.growsInSteps && found > recorded && found < op.newSize && found % BLOCK == 0;
                certain = op.durable ? op.newSize : certain;
            }
        }
        return allowed || found == certain;
    }

    /**
     * Whether the content found may be there after a cut of which that prefix survived; null, or what is wrong. Bytes
     * behind the end of what was found are not looked at.
     */
    @Nullable
    String check(byte[] found, int prefix) {
        for (int s = 0; s * SECTOR < found.length; s++) {
            int length = Math.min(SECTOR, found.length - s * SECTOR);
            if (!isAllowed(s, found, length, prefix, false) && !isAllowed(s, found, length, prefix, true)) {
                return "sector " + s + " (bytes from " + s * SECTOR + "): " + describe(s, found, length, prefix);
            }
        }
        return null;
    }

    /** @param may whether operations that may have been applied were */
    private boolean isAllowed(int s, byte[] found, int length, int prefix, boolean may) {
        List<Event> list = s < events.length ? events[s] : null;
        if (list == null) {
            return matches(sector(base, s), found, s, length);
        }
        int runStart = runStart(list, prefix, may);
        int runEnd = runEnd(list, runStart);
        int floor = floor(list, runStart, runEnd, prefix);
        if (floor < 0 && matches(sector(base, s), found, s, length)) {
            return true;
        }
        for (int i = Math.max(0, floor); i < runEnd; i++) {
            if ((i == runStart || !list.get(i).isZeroing) && matches(list.get(i).after, found, s, length)) {
                return true;
            }
        }
        return false;
    }

    private static boolean isApplied(DataOp op, int prefix, boolean may) {
        return may ? op.mayBeApplied(prefix) : op.isApplied(prefix);
    }

    /** The event that started the run, or -1 for what was there at first. */
    private static int runStart(List<Event> list, int prefix, boolean may) {
        for (int i = list.size() - 1; i >= 0; i--) {
            if (list.get(i).startsRun && isApplied(list.get(i).op, prefix, may)) {
                return i;
            }
        }
        return -1;
    }

    /** Where the events end that may show: a block that only reads as zeroes shows nothing else. */
    private static int runEnd(List<Event> list, int runStart) {
        boolean shows = runStart < 0 || !list.get(runStart).isZeroing;
        int end = runStart + 1;
        while (end < list.size() && (!list.get(end).startsRun || (shows && list.get(end).sameBlock))) {
            end++;
        }
        return end;
    }

    /** The last event of the run that is certain to be there. */
    private static int floor(List<Event> list, int runStart, int runEnd, int prefix) {
        for (int i = runEnd - 1; i > runStart; i--) {
            DataOp op = list.get(i).op;
            if (op.synced || (op.group && op.isApplied(prefix))) {
                return i;
            }
        }
        return runStart;
    }

    private static boolean matches(byte[] allowed, byte[] found, int s, int length) {
        int at = s * SECTOR;
        return Arrays.equals(allowed, 0, length, found, at, at + length);
    }

    private String describe(int s, byte[] found, int length, int prefix) {
        StringBuilder text = new StringBuilder("found ").append(Pattern.describe(found, s * SECTOR, length));
        text.append("; at prefix ").append(prefix).append(" could be: base ");
        text.append(Pattern.describe(sector(base, s), 0, SECTOR));
        List<Event> list = events[s];
        if (list != null) {
            for (Event event : list) {
                text.append(event.startsRun ? event.sameBlock ? "; RUN in place" : "; RUN" : ";");
                text.append(" op of ").append(event.op.submittedAt).append('-').append(event.op.index);
                text.append(event.op.synced ? " synced" : "").append(event.op.group ? " group " : " ");
                text.append(event.op.interval ? "interval " : "");
                text.append(Pattern.describe(event.after, 0, SECTOR));
            }
        }
        return text.toString();
    }
}

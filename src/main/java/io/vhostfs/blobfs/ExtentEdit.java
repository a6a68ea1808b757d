package io.vhostfs.blobfs;

import io.vhostfs.blobstore.BlobStore;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One change to a file's extents: what a range of blocks becomes, merged with its neighbours, as a difference of tree
 * items and as a new map.
 *
 * <p>Use: {@link #begin}, {@link #add} in ascending order, {@link #compute}; then prepare, put and {@link #apply}. Nothing
 * but this object changes before {@link #apply}. Home reactor; reused.
 */
final class ExtentEdit {
    private ExtentMap map = ExtentMap.EMPTY;
    private long start;
    private long end;

    // What the range becomes.
    private int addCount;
    private long[] addFile = new long[16];
    private long[] addDisk = new long[16];
    private int[] addLength = new int[16];

    // The extents of the old map that are concerned, and what takes their place.
    private long oldPosition;
    private int oldCount;
    private int newCount;
    private long[] newFile = new long[16];
    private long[] newDisk = new long[16];
    private int[] newLength = new int[16];

    /** Tree items put and deleted. */
    int puts;

    int deletes;

    /** How the number of allocated blocks changes. */
    long blocksDelta;

    void begin(ExtentMap oldMap, long startBlock, long endBlock) {
        map = oldMap;
        start = startBlock;
        end = endBlock;
        addCount = 0;
    }

    /** The length with its flags. */
    void add(long fileBlock, long diskBlock, int length) {
        if (addCount == addFile.length) {
            addFile = Arrays.copyOf(addFile, 2 * addCount);
            addDisk = Arrays.copyOf(addDisk, 2 * addCount);
            addLength = Arrays.copyOf(addLength, 2 * addCount);
        }
        addFile[addCount] = fileBlock;
        addDisk[addCount] = diskBlock;
        addLength[addCount++] = length;
    }

    void compute() {
        newCount = 0;
        blocksDelta = 0;
        oldCount = 0;
        // An extent that ends where the range starts is a neighbour to merge with.
        oldPosition = map.firstEndingBehind(start - 1);
        long p = oldPosition;
        if (!map.isEnd(p) && map.fileBlock(p) < start) {
            int length = map.length(p);
            append(map.fileBlock(p), map.diskBlock(p), (int) (start - map.fileBlock(p)), ExtentMap.flags(length));
        }
        for (int i = 0; i < addCount; i++) {
            append(addFile[i], addDisk[i], ExtentMap.blocks(addLength[i]), ExtentMap.flags(addLength[i]));
        }
        for (; !map.isEnd(p) && map.fileBlock(p) <= end; p = map.next(p)) {
            oldCount++;
            long file = map.fileBlock(p);
            int length = map.length(p);
            long extentEnd = file + ExtentMap.blocks(length);
            blocksDelta -= ExtentMap.blocks(length);
            if (extentEnd > end) {
                long cut = Math.max(0, end - file);
                append(file + cut, map.diskBlock(p) + cut, (int) (extentEnd - file - cut), ExtentMap.flags(length));
            }
        }
        for (int i = 0; i < newCount; i++) {
            blocksDelta += ExtentMap.blocks(newLength[i]);
        }
        countChanges();
    }

    private void append(long file, long disk, int blocks, int flags) {
        if (newCount > 0) {
            int last = newCount - 1;
            int lastBlocks = ExtentMap.blocks(newLength[last]);
            if (ExtentMap.flags(newLength[last]) == flags
                    && newFile[last] + lastBlocks == file
                    && newDisk[last] + lastBlocks == disk
                    && lastBlocks + blocks <= Limits.MAX_EXTENT_BLOCKS) {
                newLength[last] += blocks;
                return;
            }
        }
        if (newCount == newFile.length) {
            newFile = Arrays.copyOf(newFile, 2 * newCount);
            newDisk = Arrays.copyOf(newDisk, 2 * newCount);
            newLength = Arrays.copyOf(newLength, 2 * newCount);
        }
        newFile[newCount] = file;
        newDisk[newCount] = disk;
        newLength[newCount++] = blocks | flags;
    }

    private void countChanges() {
        puts = 0;
        deletes = 0;
        visit(null, 0, 0, 0);
    }

    /** Prepares every item in the tree: OK, NOT_RESIDENT or a negative errno. */
    int prepare(BlobStore store, long inode, boolean mayUseReserve) {
        return visit(store, inode, mayUseReserve ? 2 : 1, 0);
    }

    /** Between begin and end: puts and deletes the items; {@code scratch} has room for one value. */
    void put(BlobStore store, long inode, long scratch) {
        visit(store, inode, 3, scratch);
    }

    /** Of the items, and of as many ranges allocated or freed as there are extents on either side. */
    int logBytes() {
        return puts * BlobStore.logBytes(Items.EXTENT_SIZE)
                + deletes * BlobStore.logBytes(0)
                + (addCount + oldCount) * BlobStore.RANGE_LOG_BYTES;
    }

    /** Walks both lists by file block; what is the same on both sides stays. */
    private int visit(@Nullable BlobStore store, long inode, int what, long scratch) {
        long p = oldPosition;
        int i = 0;
        int o = 0;
        while (o < oldCount || i < newCount) {
            long oldFile = o < oldCount ? map.fileBlock(p) : Long.MAX_VALUE;
            long file = i < newCount ? newFile[i] : Long.MAX_VALUE;
            int status = BlobStore.OK;
            if (oldFile < file) {
                status = delete(store, inode, oldFile, what);
            } else if (oldFile > file || map.diskBlock(p) != newDisk[i] || map.length(p) != newLength[i]) {
                status = putOne(store, inode, i, what, oldFile == file, scratch);
            }
            if (status != BlobStore.OK) {
                return status;
            }
            if (oldFile <= file) {
                o++;
                p = map.next(p);
            }
            if (file <= oldFile) {
                i++;
            }
        }
        return BlobStore.OK;
    }

    private int delete(@Nullable BlobStore store, long inode, long file, int what) {
        if (store == null) {
            deletes++;
            return BlobStore.OK;
        }
        if (what == 3) {
            store.delete(inode, Items.extentKey(file));
            return BlobStore.OK;
        }
        return store.prepareDelete(inode, Items.extentKey(file));
    }

    private int putOne(@Nullable BlobStore store, long inode, int i, int what, boolean replaces, long scratch) {
        if (store == null) {
            puts++;
            return BlobStore.OK;
        }
        long key = Items.extentKey(newFile[i]);
        if (what == 3) {
            Items.encodeExtent(scratch, newDisk[i], newLength[i]);
            store.put(inode, key, scratch, Items.EXTENT_SIZE);
            return BlobStore.OK;
        }
        if (what == 1) {
            return store.prepare(inode, key, Items.EXTENT_SIZE);
        }
        return replaces
                ? store.prepareInReserve(inode, key, Items.EXTENT_SIZE)
                : store.prepareInHalfReserve(inode, key, Items.EXTENT_SIZE);
    }

    /** Between begin and end: frees what the old extents held within the range and shared with nobody. */
    void freeRange(BlobStore store) {
        for (long p = map.firstEndingBehind(start); !map.isEnd(p) && map.fileBlock(p) < end; p = map.next(p)) {
            if (!ExtentMap.isShared(map.length(p))) {
                long from = Math.max(start, map.fileBlock(p));
                store.free(map.diskBlock(p) + (from - map.fileBlock(p)), (int) (rangeEnd(p) - from));
            }
        }
    }

    /** Gives up the references of the old extents within the range to what they may share with others. */
    void dropShared(SharedBlocks shared) {
        for (long p = map.firstEndingBehind(start); !map.isEnd(p) && map.fileBlock(p) < end; p = map.next(p)) {
            if (ExtentMap.isShared(map.length(p))) {
                long from = Math.max(start, map.fileBlock(p));
                shared.change(map.diskBlock(p) + (from - map.fileBlock(p)), rangeEnd(p) - from, false);
            }
        }
    }

    private long rangeEnd(long position) {
        return Math.min(end, map.fileBlock(position) + ExtentMap.blocks(map.length(position)));
    }

    /** Whether the tree changes at all. */
    boolean isChange() {
        return puts + deletes > 0;
    }

    ExtentMap apply() {
        return map.splice(oldPosition, oldCount, newFile, newDisk, newLength, newCount);
    }
}

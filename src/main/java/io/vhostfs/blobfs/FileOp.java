package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Message;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A file operation that may wait: for block I/O, for its turn on a range of the file, for a node of the tree. Pooled per
 * reactor, used on that reactor only.
 *
 * <p>Invariant: while {@link #pending} is not 0, buffers and iovecs of this object belong to the block device.
 */
final class FileOp extends BlobStore.Parkable implements Message {
    // kind
    static final int READ = 1;
    /** An overwrite of data that is there: no metadata. */
    static final int OVERWRITE = 2;

    static final int WRITE = 3;
    static final int TRUNCATE = 4;
    static final int FALLOCATE = 5;
    /** Ends a truncation that a crash cut short. */
    static final int FINISH_TRUNCATION = 6;

    /** Shares a range of another file, or of another place of the same one: see {@link #partner}. */
    static final int CLONE = 8;
    /** Holds the range of the file that a CLONE takes from; does nothing by itself. */
    static final int CLONE_SOURCE = 9;

    /** First and last block of a range, and the block at the end of file. */
    static final int MAX_PATCHES = 3;

    /** Waits for a commit only. */
    static final int SYNC = 7;

    final IoContext context;

    @Nullable
    FsRequest request;

    @Nullable
    Inode inode;

    int kind;
    int phase;

    @Nullable
    FileOp nextFree;

    // --- the request's data

    long offset;
    /** Bytes read or written for the client. */
    long length;

    // --- block I/O of the current phase

    int pending;
    int ioStatus;
    /** The store was not yet told of the writes of this phase. */
    private boolean wrote;

    private int epoch;
    boolean inEpoch;
    private DataIo[] ios = new DataIo[0];
    private int ioCount;
    private long iovecs;
    private int iovecCapacity;
    private int iovecCount;

    /** Holds the iovecs' memory. */
    @SuppressWarnings("unused")
    private @Nullable Arena iovecArena;

    IoContext.@Nullable Bounce bounce;
    /** For a read through the bounce buffer: where in it the data starts. */
    int bounceSkip;

    // --- range of file blocks held or waited for

    boolean exclusive;
    long rangeStart;
    long rangeEnd;

    @Nullable
    FileOp nextRange;

    @Nullable
    FileOp previousRange;

    // --- exclusive operations: see FileChanges

    /** Blocks concerned: what they are now, or will be. */
    int pieceCount;

    long[] pieceFile = new long[4];
    long[] pieceDisk = new long[4];
    /** With {@link ExtentMap#UNWRITTEN} or {@link ExtentMap#SHARED}; a new one with that takes the place of shared blocks. */
    int[] pieceLength = new int[4];
    /** Reserved by this operation, not yet in the tree. */
    boolean[] pieceNew = new boolean[4];

    /** Blocks of which a part is zeroed in place. */
    int patchCount;

    final long[] patchBlock = new long[MAX_PATCHES];
    final int[] patchFrom = new int[MAX_PATCHES];
    final int[] patchTo = new int[MAX_PATCHES];
    final long[] patchDisk = new long[MAX_PATCHES];
    /** The iovecs of the aligned data to be written, at the start of the iovec memory. */
    int alignedIovecs;

    /** Where a change in steps has got to, in file blocks. */
    long position;

    long endPosition;
    /** Of FALLOC_FL_ZERO_RANGE: up to here no block is shared any more. */
    long unsharedEnd;
    /** A block of which a part is to be zeroed, and that must get a place of its own first; negative: none. */
    long unshareBlock;
    /** Of a CLONE from another file: what holds the source's range. Of that: the CLONE. */
    @Nullable
    FileOp partner;

    /** TRUNCATE: the new size. */
    long newSize;
    /** Something was changed already: an error now leaves it so. */
    boolean committed;
    /** The handle that the request gets when it succeeds. */
    @Nullable
    OpenFile opened;

    final SyncWaiter waiter = new SyncWaiter();

    FileOp(IoContext context) {
        this.context = context;
    }

    void reset() {
        request = null;
        inode = null;
        opened = null;
        partner = null;
        pieceCount = 0;
        patchCount = 0;
        committed = false;
        exclusive = false;
        ioStatus = 0;
        bounceSkip = 0;
        clearIo();
        releaseBounce();
        if (inEpoch) {
            throw new IllegalStateException("operation ended within an I/O epoch");
        }
    }

    FsRequest request() {
        FsRequest r = request;
        if (r == null) {
            throw new IllegalStateException("operation without a request");
        }
        return r;
    }

    Inode inode() {
        Inode i = inode;
        if (i == null) {
            throw new IllegalStateException("operation without an inode");
        }
        return i;
    }

    // --- iovecs

    /** Makes room for so many more iovecs; only before any I/O of this phase was started. */
    void reserveIovecs(int count) {
        if (iovecCapacity < count) {
            int capacity = Math.max(8, Integer.highestOneBit(count - 1) << 1);
            Arena arena = Arena.ofAuto();
            iovecs = arena.allocate((long) capacity * Iovecs.IOVEC_SIZE, 64).address();
            iovecArena = arena;
            iovecCapacity = capacity;
        }
    }

    /** Forgets the I/O of the last phase. */
    void clearIo() {
        ioCount = 0;
        iovecCount = 0;
    }

    long iovecsAddress() {
        return iovecs;
    }

    int iovecCount() {
        return iovecCount;
    }

    void addIovec(long base, long lengthBytes) {
        Iovecs.set(iovecs, iovecCount++, base, lengthBytes);
    }

    /** Appends the part of an iovec array; returns the address of the first one appended. */
    long addSlice(long fromIovecs, int count, long skipBytes, long lengthBytes) {
        long at = iovecs + (long) iovecCount * Iovecs.IOVEC_SIZE;
        iovecCount += Iovecs.slice(fromIovecs, count, skipBytes, lengthBytes, at);
        return at;
    }

    // --- block I/O

    /** Starts one I/O; its end counts in {@link #pending}, its error in {@link #ioStatus}. */
    void submit(int operation, long diskOffsetBytes, long lengthBytes, long iovecsAddress, int count) {
        if (ioCount == ios.length) {
            ios = Arrays.copyOf(ios, Math.max(2, 2 * ioCount));
            for (int i = ioCount; i < ios.length; i++) {
                ios[i] = new DataIo(this);
            }
        }
        DataIo io = ios[ioCount++];
        io.operation = operation;
        io.flags = 0;
        io.offsetBytes = diskOffsetBytes;
        io.lengthBytes = lengthBytes;
        io.iovecsAddress = iovecsAddress;
        io.iovecCount = count;
        wrote |= operation == BlockIo.WRITE;
        int status = context.channel.submit(io);
        if (status == BlockChannel.PENDING) {
            pending++;
        } else if (status < 0 && ioStatus == 0) {
            ioStatus = status;
        }
    }

    /** After the phase's last {@link #submit}: PENDING, 0 or a negative errno. */
    int submitted() {
        if (pending == 0) {
            noteWrites();
            return ioStatus;
        }
        if (!inEpoch) {
            enterEpoch();
        }
        return BlockChannel.PENDING;
    }

    private void noteWrites() {
        if (wrote) {
            wrote = false;
            context.store.noteDataWrite(context.slot);
        }
    }

    /** From now on no block that is freed is used again before {@link #leaveEpoch}. */
    void enterEpoch() {
        epoch = context.store.ioStarted(context.slot);
        inEpoch = true;
    }

    void leaveEpoch() {
        if (inEpoch) {
            inEpoch = false;
            context.store.ioEnded(context.slot, epoch);
        }
    }

    private void ioDone(int status) {
        if (status < 0 && ioStatus == 0) {
            ioStatus = status;
        }
        if (--pending == 0) {
            noteWrites();
            leaveEpoch();
            context.fileSystem.resume(this);
        }
    }

    private static final class DataIo extends BlockIo {
        private final FileOp op;

        DataIo(FileOp op) {
            this.op = op;
        }

        @Override
        public void onComplete(int status) {
            op.ioDone(status);
        }
    }

    // --- bounce buffer

    boolean obtainBounce(long bytes) {
        releaseBounce();
        bounce = context.obtainBounce(bytes);
        return bounce != null;
    }

    long bounceAddress() {
        IoContext.Bounce b = bounce;
        if (b == null) {
            throw new IllegalStateException("operation without a bounce buffer");
        }
        return b.address;
    }

    void releaseBounce() {
        if (bounce != null) {
            context.releaseBounce(bounce);
            bounce = null;
        }
    }

    // --- pieces

    void addPiece(long file, long disk, int lengthWithFlag, boolean isNew) {
        if (pieceCount == pieceFile.length) {
            pieceFile = Arrays.copyOf(pieceFile, 2 * pieceCount);
            pieceDisk = Arrays.copyOf(pieceDisk, 2 * pieceCount);
            pieceLength = Arrays.copyOf(pieceLength, 2 * pieceCount);
            pieceNew = Arrays.copyOf(pieceNew, 2 * pieceCount);
        }
        pieceFile[pieceCount] = file;
        pieceDisk[pieceCount] = disk;
        pieceLength[pieceCount] = lengthWithFlag;
        pieceNew[pieceCount++] = isNew;
    }

    /** Blocks reserved so far for what was a hole. */
    long newBlocks() {
        long blocks = 0;
        for (int i = 0; i < pieceCount; i++) {
            blocks += pieceNew[i] && !ExtentMap.isShared(pieceLength[i]) ? ExtentMap.blocks(pieceLength[i]) : 0;
        }
        return blocks;
    }

    /** Gives back what was reserved and is not in the tree. */
    void unreservePieces() {
        for (int i = 0; i < pieceCount; i++) {
            if (pieceNew[i]) {
                context.store.unreserve(pieceDisk[i], ExtentMap.blocks(pieceLength[i]));
            }
        }
        pieceCount = 0;
    }

    /** Makes two pieces of one, the first of so many blocks. */
    void splitPiece(int piece, int blocks) {
        int length = pieceLength[piece];
        addPiece(0, 0, 0, false);
        for (int i = pieceCount - 1; i > piece; i--) {
            pieceFile[i] = pieceFile[i - 1];
            pieceDisk[i] = pieceDisk[i - 1];
            pieceLength[i] = pieceLength[i - 1];
            pieceNew[i] = pieceNew[i - 1];
        }
        pieceLength[piece] = blocks | ExtentMap.flags(length);
        pieceFile[piece + 1] += blocks;
        pieceDisk[piece + 1] += blocks;
        pieceLength[piece + 1] = length - blocks;
    }

    /** Forgets the first pieces, which are in the tree. */
    void dropPieces(int count) {
        pieceCount -= count;
        System.arraycopy(pieceFile, count, pieceFile, 0, pieceCount);
        System.arraycopy(pieceDisk, count, pieceDisk, 0, pieceCount);
        System.arraycopy(pieceLength, count, pieceLength, 0, pieceCount);
        System.arraycopy(pieceNew, count, pieceNew, 0, pieceCount);
    }

    /** Adds bytes to be zeroed; two parts of one block overlap or touch, or what lies between is behind the end of file. */
    void addPatch(long block, long diskBlock, int from, int to) {
        for (int i = 0; i < patchCount; i++) {
            if (patchBlock[i] == block) {
                patchFrom[i] = Math.min(patchFrom[i], from);
                patchTo[i] = Math.max(patchTo[i], to);
                return;
            }
        }
        patchDisk[patchCount] = diskBlock;
        patchBlock[patchCount] = block;
        patchFrom[patchCount] = from;
        patchTo[patchCount++] = to;
    }

    /** Zeroes the patches' parts in the bounce buffer. */
    void zeroPatches() {
        for (int i = 0; i < patchCount; i++) {
            Memory.zero(bounceAddress() + (long) i * Items.BLOCK_SIZE + patchFrom[i], patchTo[i] - (long) patchFrom[i]);
        }
    }

    // --- waking up

    @Override
    public void unpark() {
        context.fileSystem.resume(this);
    }

    /** The next step of a change in many steps. */
    @Override
    public void run() {
        context.fileSystem.resume(this);
    }

    /** Waits for a commit; knows when it ended within the call. */
    final class SyncWaiter extends BlobStore.CommitWaiter {
        private boolean inCall;
        private boolean fired;

        /** PENDING, 0 or a negative errno. */
        int sync(BlobStore store, boolean metadata) {
            inCall = true;
            fired = false;
            if (metadata) {
                store.commit(this);
            } else {
                store.flush(this);
            }
            inCall = false;
            return fired ? ioStatus : BlockChannel.PENDING;
        }

        @Override
        public void onCommitted(int status) {
            ioStatus = status;
            fired = true;
            if (!inCall) {
                context.fileSystem.resume(FileOp.this);
            }
        }
    }

    /** The error of a failed bounce allocation. */
    static int noMemory() {
        return -Errno.ENOMEM;
    }
}

package io.vhostfs.blobfs;

import io.vhostfs.fsdev.AccessTimes;
import io.vhostfs.fsdev.FsAttributes;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One inode in memory: what its item in the tree says, with time stamps that may be newer, and its extent map.
 *
 * <p>Invariant: written by the home reactor only, between {@link #beginChange} and {@link #endChange} for what others
 * read; these look through {@link #readVersion} and {@link #isVersion}. Pooled: who holds one across a wait has
 * pinned it, others check {@link #number} again.
 */
final class Inode implements Message {
    private static final VarHandle VERSION;
    private static final VarHandle EXCLUSIVES;
    private static final VarHandle REMOTE_WRITERS;
    private static final VarHandle REMOTE_MODIFIED;
    private static final VarHandle REMOTE_WAKE;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            VERSION = lookup.findVarHandle(Inode.class, "version", int.class);
            EXCLUSIVES = lookup.findVarHandle(Inode.class, "exclusives", int.class);
            REMOTE_WRITERS = lookup.findVarHandle(Inode.class, "remoteWriters", int.class);
            REMOTE_MODIFIED = lookup.findVarHandle(Inode.class, "remoteModified", int.class);
            REMOTE_WAKE = lookup.findVarHandle(Inode.class, "remoteWake", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** Odd while home changes fields. */
    @SuppressWarnings("unused")
    private int version;

    long number;
    int mode;
    int flags;
    long size;
    /** Null until read from the tree. */
    @Nullable
    ExtentMap map;

    /** Exclusive operations active or waiting: overwrites may not run beside without asking. */
    private int exclusives;

    int uid;
    int gid;
    int links;
    int deviceNumber;
    int generation;
    long blocks;
    long accessTimeNs;
    long modifyTimeNs;
    long changeTimeNs;
    long birthTimeNs;
    /** Of a directory. */
    long parent;
    /** Counts changes of content that were written to the tree. */
    long dataVersion;
    /** Unsigned; 0: of no project. */
    int projectId;
    /** Of the project, or null. */
    @Nullable
    Quota quota;

    /** The blocks that the quota counts. */
    long chargedBlocks;

    // --- other reactors

    /** Overwrites under way on other reactors. */
    @SuppressWarnings("unused")
    private int remoteWriters;

    /** Whether {@link #remoteModifiedNs} is news to home, which was sent this object to learn it. */
    @SuppressWarnings("unused")
    private int remoteModified;

    /** When data was last overwritten by another reactor. */
    private volatile long remoteModifiedNs;

    /** Whether {@link #wake} was sent and has not arrived. */
    @SuppressWarnings("unused")
    private int remoteWake;

    private final Volume volume;
    private final Message wake = this::onWake;

    // --- home only

    /** Recently used: the clock hand passes it once more. */
    boolean touched;
    /** Time stamps here are newer than in the tree. */
    boolean dirty;
    /** Being removed from the tree. */
    boolean purging;
    /** Without a name since it was made, and may get one. */
    boolean linkable;

    int handles;
    /** Handles through which it may be written. */
    int writers;

    int pins;
    /** The store's sequence after the last change of this inode, its items or its entries. */
    long changedSequence;

    @Nullable
    Inode dirtyPrevious;

    @Nullable
    Inode dirtyNext;

    /** In the list of inodes without links. */
    @Nullable
    Inode orphanPrevious;

    @Nullable
    Inode orphanNext;

    /** Extents read so far, while the map is being read. */
    ExtentMap.@Nullable Builder loading;

    /** Operations on ranges of the file, active and waiting. */
    @Nullable
    FileOp activeRanges;

    @Nullable
    FileOp firstWaiting;

    @Nullable
    FileOp lastWaiting;

    /** Null while nobody locks the file. */
    Locks.@Nullable LockedFile locks;

    /** Counts operations that stopped waiting. */
    int rangeChanges;

    /** Waiting operations are being resumed. */
    boolean waking;

    Inode(Volume volume) {
        this.volume = volume;
    }

    /** Whether an idle object: in nobody's hands, and nothing in it that the tree has not. */
    boolean isEvictable() {
        return handles == 0
                && pins == 0
                && !dirty
                && links != 0
                && activeRanges == null
                && firstWaiting == null
                && locks == null
                && !hasRemoteWriters()
                && !isModifiedElsewhere();
    }

    boolean isDirectory() {
        return (mode & Modes.S_IFMT) == Modes.S_IFDIR;
    }

    /** Takes over a project and its quota, which counts the inode already, or will in this group. */
    void setProject(int project) {
        projectId = project;
        quota = project < 0 ? volume.quotas.of(project) : null;
        chargedBlocks = blocks;
        if (quota != null && isDirectory()) {
            flags |= Items.FLAG_PROJECT_INHERIT;
        }
    }

    /** Whether an inode may not get a name in this directory: its blocks would be counted for another project. */
    boolean isForeignTo(Inode directory) {
        return (directory.flags & Items.FLAG_PROJECT_INHERIT) != 0 && directory.projectId != projectId;
    }

    boolean isRegular() {
        return (mode & Modes.S_IFMT) == Modes.S_IFREG;
    }

    boolean isInline() {
        return (flags & Items.FLAG_INLINE) != 0;
    }

    // --- consistent reading by other reactors

    void beginChange() {
        VERSION.setOpaque(this, version + 1);
        VarHandle.storeStoreFence();
    }

    void endChange() {
        VERSION.setRelease(this, version + 1);
    }

    /** An even number when a consistent read may begin. */
    int readVersion() {
        return (int) VERSION.getAcquire(this);
    }

    /** Whether nothing changed since {@link #readVersion}. */
    boolean isVersion(int v) {
        VarHandle.loadLoadFence();
        return (int) VERSION.getOpaque(this) == v;
    }

    // --- overwrites by other reactors: they count themselves, then look for exclusive operations; home does it the
    // other
    // way round. Both do the first with a full fence, so that one of them sees the other.

    boolean hasExclusives() {
        return exclusives != 0;
    }

    /** Home. */
    void addExclusive(int delta) {
        EXCLUSIVES.setVolatile(this, exclusives + delta);
    }

    boolean hasRemoteWriters() {
        return (int) REMOTE_WRITERS.getVolatile(this) != 0;
    }

    /** Another reactor: false when an exclusive operation is there (and nothing was counted). */
    boolean tryEnterRemoteWriter(Reactor home) {
        REMOTE_WRITERS.getAndAdd(this, 1);
        if ((int) EXCLUSIVES.getVolatile(this) == 0) {
            return true;
        }
        leaveRemoteWriter(home);
        return false;
    }

    void leaveRemoteWriter(Reactor home) {
        int before = (int) REMOTE_WRITERS.getAndAdd(this, -1);
        if (before == 1 && (int) EXCLUSIVES.getVolatile(this) != 0 && REMOTE_WAKE.compareAndSet(this, 0, 1)) {
            home.send(wake);
        }
    }

    private void onWake() {
        REMOTE_WAKE.setVolatile(this, 0);
        volume.wakeWaiting(this);
    }

    /** Another reactor, before it leaves: data was overwritten now. */
    void noteRemoteModification(Reactor home, long nowNs) {
        remoteModifiedNs = nowNs;
        if (REMOTE_MODIFIED.compareAndSet(this, 0, 1)) {
            home.send(this);
        }
    }

    boolean isModifiedElsewhere() {
        return (int) REMOTE_MODIFIED.getAcquire(this) != 0;
    }

    long remoteModifiedNs() {
        return remoteModifiedNs;
    }

    /** The news of {@link #noteRemoteModification} arrive at home. */
    @Override
    public void run() {
        REMOTE_MODIFIED.setVolatile(this, 0);
        volume.takeModification(this);
    }

    /** Whether a read at this moment changes the access time. */
    boolean isAccessTimeDue(AccessTimes when, long nowNs) {
        boolean isDue =
                switch (when) {
                    case OFF -> false;
                    case RELATIVE ->
                        accessTimeNs <= Math.max(modifyTimeNs, changeTimeNs)
                                || nowNs - accessTimeNs >= Limits.RELATIVE_ACCESS_TIME_NS;
                    case STRICT -> true;
                };
        return isDue && (flags & Items.FLAG_NO_ATIME) == 0;
    }

    void fill(FsAttributes a) {
        a.inode = number;
        a.generation = generation;
        a.sizeBytes = size;
        a.blocks = blocks << (Items.BLOCK_SHIFT - 9);
        a.accessTimeNs = accessTimeNs;
        a.modifyTimeNs = modifyTimeNs;
        a.changeTimeNs = changeTimeNs;
        a.birthTimeNs = birthTimeNs;
        a.mode = mode;
        a.linkCount = links;
        a.uid = uid;
        a.gid = gid;
        a.deviceNumber = deviceNumber;
        a.blockSize = Items.BLOCK_SIZE;
        InodeFlags.fill(this, a);
    }

    void encode(long to) {
        Memory.putInt(to, Items.VERSION);
        Memory.putInt(to + Items.INODE_FLAGS_OFFSET, flags);
        Memory.putInt(to + Items.INODE_MODE_OFFSET, mode);
        Memory.putInt(to + Items.INODE_UID_OFFSET, uid);
        Memory.putInt(to + Items.INODE_GID_OFFSET, gid);
        Memory.putInt(to + Items.INODE_LINKS_OFFSET, links);
        Memory.putInt(to + Items.INODE_DEVICE_OFFSET, deviceNumber);
        Memory.putInt(to + Items.INODE_GENERATION_OFFSET, generation);
        Memory.putLong(to + Items.INODE_SIZE_OFFSET, size);
        Memory.putLong(to + Items.INODE_BLOCKS_OFFSET, blocks);
        Memory.putLong(to + Items.INODE_ATIME_OFFSET, accessTimeNs);
        Memory.putLong(to + Items.INODE_MTIME_OFFSET, modifyTimeNs);
        Memory.putLong(to + Items.INODE_CTIME_OFFSET, changeTimeNs);
        Memory.putLong(to + Items.INODE_BTIME_OFFSET, birthTimeNs);
        Memory.putLong(to + Items.INODE_PARENT_OFFSET, parent);
        Memory.putLong(to + Items.INODE_DATA_VERSION_OFFSET, dataVersion);
        Memory.putLong(to + Items.INODE_PROJECT_OFFSET, Integer.toUnsignedLong(projectId));
        for (int at = Items.INODE_PROJECT_OFFSET + 8; at < Items.INODE_SIZE; at += 8) {
            Memory.putLong(to + at, 0);
        }
    }

    /** Takes over an inode item that {@link #isValidItem} found good. */
    void decode(long inodeNumber, long from) {
        beginChange();
        number = inodeNumber;
        flags = Memory.getInt(from + Items.INODE_FLAGS_OFFSET);
        mode = Memory.getInt(from + Items.INODE_MODE_OFFSET);
        uid = Memory.getInt(from + Items.INODE_UID_OFFSET);
        gid = Memory.getInt(from + Items.INODE_GID_OFFSET);
        links = Memory.getInt(from + Items.INODE_LINKS_OFFSET);
        deviceNumber = Memory.getInt(from + Items.INODE_DEVICE_OFFSET);
        generation = Memory.getInt(from + Items.INODE_GENERATION_OFFSET);
        size = Memory.getLong(from + Items.INODE_SIZE_OFFSET);
        blocks = Memory.getLong(from + Items.INODE_BLOCKS_OFFSET);
        accessTimeNs = Memory.getLong(from + Items.INODE_ATIME_OFFSET);
        modifyTimeNs = Memory.getLong(from + Items.INODE_MTIME_OFFSET);
        changeTimeNs = Memory.getLong(from + Items.INODE_CTIME_OFFSET);
        birthTimeNs = Memory.getLong(from + Items.INODE_BTIME_OFFSET);
        parent = Memory.getLong(from + Items.INODE_PARENT_OFFSET);
        dataVersion = Memory.getLong(from + Items.INODE_DATA_VERSION_OFFSET);
        setProject(Memory.getInt(from + Items.INODE_PROJECT_OFFSET));
        map = blocks == 0 || (flags & Items.FLAG_INLINE) != 0 ? ExtentMap.EMPTY : null;
        if (isRegular() && !isInline()) {
            // An append in place whose commit a crash prevented left its bytes behind the size, and no flag.
            flags |= Items.FLAG_STALE_TAIL;
        }
        endChange();
        resetTransient();
    }

    /** Attributes straight from an item, for listings that need no inode object. */
    static void decodeAttributes(long inodeNumber, long from, FsAttributes a) {
        a.inode = inodeNumber;
        a.generation = Memory.getInt(from + Items.INODE_GENERATION_OFFSET);
        a.sizeBytes = Memory.getLong(from + Items.INODE_SIZE_OFFSET);
        a.blocks = Memory.getLong(from + Items.INODE_BLOCKS_OFFSET) << (Items.BLOCK_SHIFT - 9);
        a.accessTimeNs = Memory.getLong(from + Items.INODE_ATIME_OFFSET);
        a.modifyTimeNs = Memory.getLong(from + Items.INODE_MTIME_OFFSET);
        a.changeTimeNs = Memory.getLong(from + Items.INODE_CTIME_OFFSET);
        a.birthTimeNs = Memory.getLong(from + Items.INODE_BTIME_OFFSET);
        a.mode = Memory.getInt(from + Items.INODE_MODE_OFFSET);
        a.linkCount = Memory.getInt(from + Items.INODE_LINKS_OFFSET);
        a.uid = Memory.getInt(from + Items.INODE_UID_OFFSET);
        a.gid = Memory.getInt(from + Items.INODE_GID_OFFSET);
        a.deviceNumber = Memory.getInt(from + Items.INODE_DEVICE_OFFSET);
        a.blockSize = Items.BLOCK_SIZE;
    }

    static boolean isValidItem(long address, int length) {
        return length == Items.INODE_SIZE
                && Memory.getUnsignedShort(address) == Items.VERSION
                && Memory.getLong(address + Items.INODE_SIZE_OFFSET) >= 0
                && Memory.getLong(address + Items.INODE_SIZE_OFFSET) <= Limits.MAX_FILE_BYTES;
    }

    void resetTransient() {
        touched = true;
        dirty = false;
        purging = false;
        linkable = false;
        locks = null;
        waking = false;
        handles = 0;
        pins = 0;
        loading = null;
        activeRanges = null;
        firstWaiting = null;
        lastWaiting = null;
    }
}

package io.vhostfs.uring;

import static io.vhostfs.os.LibcConstants.EFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.EFD_NONBLOCK;
import static io.vhostfs.os.LibcConstants.MAP_POPULATE;
import static io.vhostfs.os.LibcConstants.MAP_SHARED;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;
import static io.vhostfs.uring.UringConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/**
 * One io_uring with at most one registered file.
 *
 * <p>Invariants: there are twice as many completion as submission entries, so a user with no more requests in flight than
 * {@link #entries} loses no completion and never lacks a submission entry. No system call is made to look for
 * completions: the kernel says in the ring's flags when it has completions that only {@link #submit} can fetch.
 *
 * <p>Used by the thread that opened it. On a virtual thread the ring is opened without the modes that need the same kernel
 * thread each time.
 */
public final class Ring implements AutoCloseable {
    /** Completions wait, without interrupting anyone, until this thread enters the kernel (Linux 6.1). */
    static final int DEFERRED = IORING_SETUP_SUBMIT_ALL
            | IORING_SETUP_SINGLE_ISSUER
            | IORING_SETUP_DEFER_TASKRUN
            | IORING_SETUP_TASKRUN_FLAG;
    /** Completions wait for this thread's next system call, whichever (Linux 5.19). */
    static final int COOPERATIVE = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    /** Completions interrupt this thread. */
    static final int INTERRUPTING = 0;

    /** 5.6: everything that {@link UringConstants} names as an operation exists then. */
    private static final int NEEDED_FEATURES = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;

    private static final int NEEDS_ENTER = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;

    private final long sqHeadAddress;
    private final long sqTailAddress;
    private final long sqFlagsAddress;
    private final long sqesAddress;
    private final int sqeBytes;
    private final long cqHeadAddress;
    private final long cqTailAddress;
    private final long cqFlagsAddress;
    private final long cqesAddress;
    private final int entries;
    private final int sqMask;
    private final int cqMask;
    private int sqTail;
    private int cqHead;

    private final int fd;
    private final int eventFd;
    private final MemorySegment eventCount = Arena.ofAuto().allocate(Long.BYTES, Long.BYTES);
    private final long ringsAddress;
    private final long ringsBytes;
    private boolean open = true;

    /**
     * Opens a ring of {@code entries} submission entries, a power of two, in the best mode that the kernel has.
     *
     * @throws UringException when the host gives none
     */
    public static Ring open(int entries) throws UringException {
        return openInBestMode(entries, 0);
    }

    /**
     * The same with submission entries of 128 bytes, of which 80 are a command's own ({@link
     * UringConstants#IORING_OP_URING_CMD}; Linux 5.19).
     *
     * @throws UringException when the host gives none
     */
    public static Ring openForCommands(int entries) throws UringException {
        return openInBestMode(entries, IORING_SETUP_SQE128);
    }

    private static Ring openInBestMode(int entries, int setupFlags) throws UringException {
        if (Thread.currentThread().isVirtual()) {
            return open(entries, INTERRUPTING | setupFlags);
        }
        try {
            return open(entries, DEFERRED | setupFlags);
        } catch (UringException e) {
            if (e.errno() != Errno.EINVAL) {
                throw e;
            }
        }
        try {
            return open(entries, COOPERATIVE | setupFlags);
        } catch (UringException e) {
            if (e.errno() != Errno.EINVAL) {
                throw e;
            }
        }
        return open(entries, INTERRUPTING | setupFlags);
    }

    static Ring open(int entries, int setupFlags) throws UringException {
        try (Arena arena = Arena.ofConfined()) {
            long params = arena.allocate(IO_URING_PARAMS_SIZE, 8).address();
            Memory.putInt(params + IO_URING_PARAMS_FLAGS_OFFSET, setupFlags);
            int fd = Libc.ioUringSetup(entries, params);
            if (fd < 0) {
                throw new UringException("io_uring_setup", fd);
            }
            Mappings mappings = new Mappings(fd);
            try {
                mappings.map(params);
                return new Ring(mappings, params);
            } catch (UringException e) {
                mappings.undo();
                throw e;
            }
        }
    }

    /** What has to be given back when opening fails half-way. */
    private static final class Mappings {
        final int fd;
        long rings;
        long ringsBytes;
        long sqes;
        int sqeBytes;
        long sqesBytes;
        int eventFd = -1;

        Mappings(int fd) {
            this.fd = fd;
        }

        void map(long params) throws UringException {
            int features = Memory.getInt(params + IO_URING_PARAMS_FEATURES_OFFSET);
            if ((features & NEEDED_FEATURES) != NEEDED_FEATURES) {
                throw new UringException("the kernel's io_uring is too old: Linux 5.6 or newer is needed");
            }
            int sqEntries = Memory.getInt(params + IO_URING_PARAMS_SQ_ENTRIES_OFFSET);
            int cqEntries = Memory.getInt(params + IO_URING_PARAMS_CQ_ENTRIES_OFFSET);
            long arrayEnd =
                    Memory.getUnsignedInt(params + IO_URING_PARAMS_SQ_OFF_OFFSET + IO_SQRING_OFFSETS_ARRAY_OFFSET)
                            + (long) sqEntries * Integer.BYTES;
            long cqesEnd = Memory.getUnsignedInt(params + IO_URING_PARAMS_CQ_OFF_OFFSET + IO_CQRING_OFFSETS_CQES_OFFSET)
                    + (long) cqEntries * IO_URING_CQE_SIZE;
            ringsBytes = Math.max(arrayEnd, cqesEnd);
            rings = map(ringsBytes, IORING_OFF_SQ_RING);
            boolean isWide = (Memory.getInt(params + IO_URING_PARAMS_FLAGS_OFFSET) & IORING_SETUP_SQE128) != 0;
            sqeBytes = isWide ? 2 * IO_URING_SQE_SIZE : IO_URING_SQE_SIZE;
            sqesBytes = (long) sqEntries * sqeBytes;
            sqes = map(sqesBytes, IORING_OFF_SQES);
            eventFd = Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (eventFd < 0) {
                throw new UringException("eventfd", eventFd);
            }
            try (Arena arena = Arena.ofConfined()) {
                long fds = arena.allocate(Integer.BYTES, 4).address();
                Memory.putInt(fds, eventFd);
                int result = Libc.ioUringRegister(fd, IORING_REGISTER_EVENTFD, fds, 1);
                if (result < 0) {
                    throw new UringException("io_uring_register of an eventfd", result);
                }
            }
        }

        private long map(long bytes, long offset) throws UringException {
            long address = Libc.mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
            if (address < 0 && address > -4096) {
                throw new UringException("mmap of an io_uring", (int) address);
            }
            return address;
        }

        void undo() {
            if (rings != 0) {
                Libc.munmap(rings, ringsBytes);
            }
            if (sqes != 0) {
                Libc.munmap(sqes, sqesBytes);
            }
            if (eventFd >= 0) {
                Libc.close(eventFd);
            }
            Libc.close(fd);
        }
    }

    private Ring(Mappings mappings, long params) {
        fd = mappings.fd;
        eventFd = mappings.eventFd;
        ringsAddress = mappings.rings;
        ringsBytes = mappings.ringsBytes;
        sqesAddress = mappings.sqes;
        sqeBytes = mappings.sqeBytes;
        entries = Memory.getInt(params + IO_URING_PARAMS_SQ_ENTRIES_OFFSET);
        sqMask = entries - 1;
        cqMask = Memory.getInt(params + IO_URING_PARAMS_CQ_ENTRIES_OFFSET) - 1;
        long sq = params + IO_URING_PARAMS_SQ_OFF_OFFSET;
        sqHeadAddress = ringsAddress + Memory.getUnsignedInt(sq + IO_SQRING_OFFSETS_HEAD_OFFSET);
        sqTailAddress = ringsAddress + Memory.getUnsignedInt(sq + IO_SQRING_OFFSETS_TAIL_OFFSET);
        sqFlagsAddress = ringsAddress + Memory.getUnsignedInt(sq + IO_SQRING_OFFSETS_FLAGS_OFFSET);
        long cq = params + IO_URING_PARAMS_CQ_OFF_OFFSET;
        cqHeadAddress = ringsAddress + Memory.getUnsignedInt(cq + IO_CQRING_OFFSETS_HEAD_OFFSET);
        cqTailAddress = ringsAddress + Memory.getUnsignedInt(cq + IO_CQRING_OFFSETS_TAIL_OFFSET);
        cqFlagsAddress = ringsAddress + Memory.getUnsignedInt(cq + IO_CQRING_OFFSETS_FLAGS_OFFSET);
        cqesAddress = ringsAddress + Memory.getUnsignedInt(cq + IO_CQRING_OFFSETS_CQES_OFFSET);

        // Entry i is always announced in place i of the array between the tail and the entries.
        long array = ringsAddress + Memory.getUnsignedInt(sq + IO_SQRING_OFFSETS_ARRAY_OFFSET);
        for (int i = 0; i < entries; i++) {
            Memory.putInt(array + (long) i * Integer.BYTES, i);
        }
        Memory.putIntRelease(cqFlagsAddress, IORING_CQ_EVENTFD_DISABLED);
    }

    /** Its file descriptor, for who copies the table of files and must not keep the ring open. */
    public int fd() {
        return fd;
    }

    /** How many requests may be in flight at once. */
    public int entries() {
        return entries;
    }

    /**
     * Makes {@code fileFd} file 0 of this ring, for entries with {@link UringConstants#IOSQE_FIXED_FILE}. The ring holds
     * the file open until it is closed.
     *
     * @throws UringException when the kernel refuses
     */
    public void registerFile(int fileFd) throws UringException {
        try (Arena arena = Arena.ofConfined()) {
            long fds = arena.allocate(Integer.BYTES, 4).address();
            Memory.putInt(fds, fileFd);
            int result = Libc.ioUringRegister(fd, IORING_REGISTER_FILES, fds, 1);
            if (result < 0) {
                throw new UringException("io_uring_register of a file", result);
            }
        }
    }

    /** Address of a submission entry, all zeros, that the next {@link #submit} hands over; 0 when all are taken. */
    public long nextSqe() {
        if (unsubmitted() == entries) {
            return 0;
        }
        long sqe = sqesAddress + (long) (sqTail & sqMask) * sqeBytes;
        sqTail++;
        for (int i = 0; i < sqeBytes; i += Long.BYTES) {
            Memory.putLong(sqe + i, 0);
        }
        return sqe;
    }

    /** Entries taken that the kernel does not have yet. */
    public int unsubmitted() {
        return sqTail - Memory.getInt(sqHeadAddress);
    }

    /**
     * Hands over all entries and fetches the completions that wait for it, in one system call, or in none when there is
     * nothing of either.
     *
     * @return the entries that the kernel took, 0 also when it wants to be asked again later; or a negative errno, after
     *     which nothing more can be submitted
     */
    public int submit() {
        int count = unsubmitted();
        if (count == 0 && (Memory.getInt(sqFlagsAddress) & NEEDS_ENTER) == 0) {
            return 0;
        }
        Memory.putIntRelease(sqTailAddress, sqTail);
        int result = Libc.ioUringEnter(fd, count, 0, IORING_ENTER_GETEVENTS);
        return switch (result) {
            // No memory now, completions to be fetched first, a signal.
            case -Errno.EAGAIN, -Errno.EBUSY, -Errno.EINTR -> 0;
            default -> result;
        };
    }

    /** User data of an entry that {@link #submit} could not hand over, which is taken back; last first. */
    public long takeBack() {
        if (unsubmitted() == 0) {
            throw new IllegalStateException("all entries were submitted");
        }
        sqTail--;
        Memory.putIntRelease(sqTailAddress, sqTail);
        return Memory.getLong(sqesAddress + (long) (sqTail & sqMask) * sqeBytes + IO_URING_SQE_USER_DATA_OFFSET);
    }

    /** Address of the oldest completion entry, valid until {@link #completionTaken}; 0 when there is none. */
    public long peekCompletion() {
        return cqHead == Memory.getIntAcquire(cqTailAddress)
                ? 0
                : cqesAddress + (long) (cqHead & cqMask) * IO_URING_CQE_SIZE;
    }

    /** Gives the entry of {@link #peekCompletion} back. */
    public void completionTaken() {
        cqHead++;
        Memory.putIntRelease(cqHeadAddress, cqHead);
    }

    /** An eventfd that becomes readable with a completion while events are enabled. */
    public int eventFd() {
        return eventFd;
    }

    /** Asks for events; false when there is already something to do, of which no event will tell. */
    public boolean enableEvents() {
        Memory.putIntRelease(cqFlagsAddress, 0);
        // The store must not pass the loads below; the kernel has a barrier on its side.
        VarHandle.fullFence();
        return unsubmitted() == 0 && peekCompletion() == 0 && (Memory.getIntAcquire(sqFlagsAddress) & NEEDS_ENTER) == 0;
    }

    /** Takes the request for events back, and resets the eventfd. */
    public void disableEvents() {
        if (Memory.getInt(cqFlagsAddress) == 0) {
            Memory.putIntRelease(cqFlagsAddress, IORING_CQ_EVENTFD_DISABLED);
            // EAGAIN when no event came.
            Libc.read(eventFd, eventCount.address(), Long.BYTES);
        }
    }

    /** The kernel ends what is in flight, but later: there should be nothing. */
    @Override
    public void close() {
        if (!open) {
            return;
        }
        open = false;
        // The kernel takes a closed ring down in its own time; the file must be free when this returns.
        Libc.ioUringRegister(fd, IORING_UNREGISTER_FILES, 0, 0);
        Libc.munmap(sqesAddress, (long) entries * sqeBytes);
        Libc.munmap(ringsAddress, ringsBytes);
        Libc.close(fd);
        Libc.close(eventFd);
    }
}

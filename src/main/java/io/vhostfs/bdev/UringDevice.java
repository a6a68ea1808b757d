package io.vhostfs.bdev;

import static io.vhostfs.os.LibcConstants.BLKGETSIZE64;
import static io.vhostfs.os.LibcConstants.BLKPBSZGET;
import static io.vhostfs.os.LibcConstants.BLKROGET;
import static io.vhostfs.os.LibcConstants.BLKSSZGET;
import static io.vhostfs.os.LibcConstants.FALLOC_FL_KEEP_SIZE;
import static io.vhostfs.os.LibcConstants.FALLOC_FL_PUNCH_HOLE;
import static io.vhostfs.os.LibcConstants.LOCK_EX;
import static io.vhostfs.os.LibcConstants.LOCK_NB;
import static io.vhostfs.os.LibcConstants.LOCK_UN;
import static io.vhostfs.os.LibcConstants.O_CLOEXEC;
import static io.vhostfs.os.LibcConstants.O_CREAT;
import static io.vhostfs.os.LibcConstants.O_DIRECT;
import static io.vhostfs.os.LibcConstants.O_DIRECTORY;
import static io.vhostfs.os.LibcConstants.O_EXCL;
import static io.vhostfs.os.LibcConstants.O_RDONLY;
import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFBLK;
import static io.vhostfs.os.LibcConstants.S_IFDIR;
import static io.vhostfs.os.LibcConstants.S_IFREG;

import io.vhostfs.bdev.BlockDeviceException.Kind;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.FileStatus;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.uring.Ring;
import io.vhostfs.uring.UringException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A regular file or a block device of the host, reached through io_uring; one ring per channel.
 *
 * <p>Invariant: while it is open, nobody else who asks has it: files are locked (flock), block devices also opened
 * exclusively. Opened and closed on any thread; opening may take {@link #LOCK_WAIT_NS} and is for control paths.
 */
public final class UringDevice implements BlockDevice {
    /** A killed owner's io_uring lets go of its file a little later than the process ends. */
    private static final long LOCK_WAIT_NS = TimeUnit.SECONDS.toNanos(1);

    private static final long LOCK_RETRY_NS = TimeUnit.MILLISECONDS.toNanos(10);
    private static final int SMALLEST_BLOCK = 512;
    private static final int LARGEST_BLOCK = 4096;

    private final String name;
    private final int fd;
    private final boolean isBlockDevice;
    private final int blockSize;
    private final int atomicWriteBytes;
    private final int memoryAlignment;
    private volatile long capacityBytes;
    private final boolean supportsDiscard;
    private final AtomicInteger openChannels = new AtomicInteger();

    /**
     * Opens what {@code spec} names.
     *
     * @param create whether a file that is missing or empty is made, sparse, of the size that {@code spec} says
     * @throws BlockDeviceException when that is impossible
     */
    public static UringDevice open(BlockDeviceSpec.FilePath spec, boolean create) {
        requireIoUring(spec);
        FileStatus before = FileStatus.ofPath(spec.path());
        if (before.errno() == -Errno.ENOENT && create) {
            return create(spec);
        }
        if (before.errno() != 0) {
            throw openFailure(spec, before.errno());
        }
        requireUsableType(spec, before);
        int fd = openFile(spec, before.isType(S_IFBLK) ? O_EXCL : 0);
        return lockAndDescribe(spec, fd, create);
    }

    /**
     * Opens what {@code spec} names for reading beside a target that has it; the page cache is used in any case.
     *
     * @throws BlockDeviceException when that is impossible
     */
    static UringDevice openToLook(BlockDeviceSpec.FilePath spec) {
        requireIoUring(spec);
        BlockDeviceSpec.FilePath plain = new BlockDeviceSpec.FilePath(spec.path(), 0, false);
        int fd = CString.with(plain.path(), path -> Libc.open(path, O_RDONLY | O_CLOEXEC, 0));
        if (fd < 0) {
            throw openFailure(plain, fd);
        }
        try {
            FileStatus status = FileStatus.ofFd(fd);
            requireUsableType(plain, status);
            return new UringDevice(plain, fd, status);
        } catch (BlockDeviceException e) {
            Libc.close(fd);
            throw e;
        }
    }

    /**
     * Makes a regular file as large as {@code spec} says, if that is more than it has; its content stays, so that nobody
     * who has it locked is asked. A disk is left alone.
     *
     * @throws BlockDeviceException when that is impossible
     */
    static void enlarge(BlockDeviceSpec.FilePath spec) {
        FileStatus before = FileStatus.ofPath(spec.path());
        if (before.errno() != 0) {
            throw openFailure(spec, before.errno());
        }
        requireUsableType(spec, before);
        if (!before.isType(S_IFREG) || spec.sizeBytes() == 0 || spec.sizeBytes() == before.sizeBytes()) {
            return;
        }
        if (spec.sizeBytes() < before.sizeBytes()) {
            throw new BlockDeviceException(
                    Kind.INVALID,
                    spec + ": holds " + before.sizeBytes() + " bytes already; a store is never made smaller");
        }
        int fd = openFile(new BlockDeviceSpec.FilePath(spec.path(), 0, false), 0);
        try {
            setSize(spec, fd);
        } finally {
            Libc.close(fd);
        }
    }

    private static UringDevice create(BlockDeviceSpec.FilePath spec) {
        if (spec.sizeBytes() == 0) {
            throw sizeNeeded(spec, "does not exist");
        }
        int fd = openFile(spec, O_CREAT | O_EXCL);
        UringDevice device;
        try {
            device = lockAndDescribe(spec, fd, true);
        } catch (BlockDeviceException e) {
            CString.with(spec.path(), Libc::unlink);
            throw e;
        }
        return device;
    }

    private static UringDevice lockAndDescribe(BlockDeviceSpec.FilePath spec, int fd, boolean create) {
        try {
            lock(spec, fd);
            FileStatus status = FileStatus.ofFd(fd);
            requireUsableType(spec, status);
            if (status.isType(S_IFREG) && status.sizeBytes() == 0 && create && spec.sizeBytes() != 0) {
                setSize(spec, fd);
                status = FileStatus.ofFd(fd);
            }
            // The superuser may open a read-only disk for writing, and then write in vain.
            if (status.isType(S_IFBLK) && ioctlInt(spec.toString(), fd, BLKROGET) != 0) {
                throw openFailure(spec, -Errno.EACCES);
            }
            return new UringDevice(spec, fd, status);
        } catch (BlockDeviceException e) {
            Libc.close(fd);
            throw e;
        }
    }

    private UringDevice(BlockDeviceSpec.FilePath spec, int fd, FileStatus status) {
        this.isBlockDevice = status.isType(S_IFBLK);
        this.name = "file:" + spec.path();
        this.fd = fd;
        long sizeBytes = isBlockDevice ? ioctlLong(name, fd, BLKGETSIZE64) : status.sizeBytes();
        int logicalBlock = isBlockDevice ? ioctlInt(name, fd, BLKSSZGET) : SMALLEST_BLOCK;
        if (spec.direct()) {
            DirectAlignment alignment = directAlignment(spec, fd, status, logicalBlock);
            this.blockSize = alignment.offset();
            this.memoryAlignment = alignment.memory();
        } else {
            this.blockSize = SMALLEST_BLOCK;
            this.memoryAlignment = 1;
        }
        this.atomicWriteBytes = Math.max(
                blockSize, isBlockDevice ? Math.min(LARGEST_BLOCK, ioctlInt(name, fd, BLKPBSZGET)) : SMALLEST_BLOCK);
        this.capacityBytes = capacity(spec, sizeBytes) & -(long) blockSize;
        this.supportsDiscard = isBlockDevice ? discards(status) : punchesHoles(fd, sizeBytes);
    }

    private static void requireIoUring(BlockDeviceSpec.FilePath spec) {
        try {
            Ring.open(1).close();
        } catch (UringException e) {
            throw new BlockDeviceException(Kind.UNSUPPORTED, spec + ": " + e.getMessage());
        }
    }

    private static void requireUsableType(BlockDeviceSpec.FilePath spec, FileStatus status) {
        if (status.isType(S_IFDIR)) {
            throw openFailure(spec, -Errno.EISDIR);
        }
        if (!status.isType(S_IFREG) && !status.isType(S_IFBLK)) {
            throw new BlockDeviceException(
                    Kind.INVALID, spec + ": is neither a regular file nor a block device; name one of these");
        }
    }

    private static int openFile(BlockDeviceSpec.FilePath spec, int extraFlags) {
        int flags = O_RDWR | O_CLOEXEC | (spec.direct() ? O_DIRECT : 0) | extraFlags;
        long deadline = System.nanoTime() + LOCK_WAIT_NS;
        while (true) {
            int fd = CString.with(spec.path(), path -> Libc.open(path, flags, 0600));
            if (fd >= 0) {
                return fd;
            }
            if (fd != -Errno.EBUSY || System.nanoTime() > deadline) {
                throw openFailure(spec, fd);
            }
            LockSupport.parkNanos(LOCK_RETRY_NS);
        }
    }

    private static void lock(BlockDeviceSpec.FilePath spec, int fd) {
        long deadline = System.nanoTime() + LOCK_WAIT_NS;
        while (true) {
            int result = Libc.flock(fd, LOCK_EX | LOCK_NB);
            if (result == 0) {
                return;
            }
            if (result != -Errno.EAGAIN) {
                throw new BlockDeviceException(
                        Kind.IO,
                        spec + ": cannot be locked (" + Errno.name(result) + "); put it on a file system with locks");
            }
            if (System.nanoTime() > deadline) {
                throw openFailure(spec, -Errno.EBUSY);
            }
            LockSupport.parkNanos(LOCK_RETRY_NS);
        }
    }

    /** Which exception tells that open(2) or stat(2) failed so. */
    static BlockDeviceException openFailure(BlockDeviceSpec.FilePath spec, int negativeErrno) {
        return switch (-negativeErrno) {
            case Errno.ENOENT, Errno.ENXIO, Errno.ENODEV ->
                new BlockDeviceException(
                        Kind.MISSING,
                        spec + ": does not exist; check the path, or let it be made: --create and size=SIZE");
            case Errno.EBUSY ->
                new BlockDeviceException(
                        Kind.BUSY,
                        spec + ": is in use by another target, a mount or this one; end that first (fuser -v "
                                + spec.path() + " shows who)");
            case Errno.ETXTBSY ->
                new BlockDeviceException(
                        Kind.BUSY, spec + ": is a program that runs, or a swap file; name another file");
            case Errno.EACCES, Errno.EPERM ->
                new BlockDeviceException(
                        Kind.NOT_PERMITTED,
                        spec + ": may not be read and written by this user, or is a read-only device; mend its owner or"
                                + " mode, or run as a user who may");
            case Errno.EROFS ->
                new BlockDeviceException(
                        Kind.NOT_PERMITTED,
                        spec + ": lies on a read-only file system; mount that read-write, or name another file");
            case Errno.EISDIR -> new BlockDeviceException(Kind.INVALID, spec + ": is a directory; name a file in it");
            case Errno.ENOTDIR, Errno.ELOOP, Errno.ENAMETOOLONG ->
                new BlockDeviceException(
                        Kind.INVALID, spec + ": is no usable path (" + Errno.name(negativeErrno) + "); check it");
            case Errno.EINVAL, Errno.EOPNOTSUPP ->
                new BlockDeviceException(
                        Kind.UNSUPPORTED,
                        spec + ": its file system refuses to open it so ("
                                + Errno.name(negativeErrno)
                                + "); leave direct=on away, or move the file to a disk");
            case Errno.EMFILE, Errno.ENFILE ->
                new BlockDeviceException(
                        Kind.UNSUPPORTED, spec + ": too many files are open; raise the limit with ulimit -n");
            default ->
                new BlockDeviceException(
                        Kind.IO,
                        spec + ": cannot be opened (" + Errno.name(negativeErrno)
                                + "); the kernel's log (dmesg) may say why");
        };
    }

    private static BlockDeviceException sizeNeeded(BlockDeviceSpec.FilePath spec, String what) {
        return new BlockDeviceException(
                Kind.MISSING,
                spec + ": " + what + "; say how large it is to be made: file:" + spec.path() + ",size=SIZE");
    }

    /** Lets the file grow, sparse, and makes its existence durable: a flush of the device promises the data only. */
    private static void setSize(BlockDeviceSpec.FilePath spec, int fd) {
        int result = Libc.ftruncate(fd, spec.sizeBytes());
        if (result == 0) {
            result = Libc.fdatasync(fd);
        }
        if (result == 0) {
            result = syncDirectory(Path.of(spec.path()).toAbsolutePath().getParent());
        }
        if (result < 0) {
            throw new BlockDeviceException(
                    Kind.IO,
                    spec + ": cannot be made so large (" + Errno.name(result)
                            + "); choose a smaller size or another disk");
        }
    }

    private static int syncDirectory(@org.jspecify.annotations.Nullable Path directory) {
        int directoryFd = CString.with(
                directory == null ? "/" : directory.toString(),
                path -> Libc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
        if (directoryFd < 0) {
            return directoryFd;
        }
        int result = Libc.fdatasync(directoryFd);
        Libc.close(directoryFd);
        return result == -Errno.EINVAL ? 0 : result;
    }

    private static long capacity(BlockDeviceSpec.FilePath spec, long sizeBytes) {
        if (sizeBytes == 0) {
            throw spec.sizeBytes() == 0
                    ? sizeNeeded(spec, "is empty")
                    : new BlockDeviceException(Kind.MISSING, spec + ": is empty; let it be made with --create or mkfs");
        }
        // It may have grown since it was made of the size that its name still says.
        if (sizeBytes < Math.max(spec.sizeBytes(), BlockDeviceSpec.SIZE_UNIT_BYTES)) {
            throw new BlockDeviceException(
                    Kind.INVALID,
                    spec + ": holds " + sizeBytes
                            + " bytes only; leave size= away to use what is there, or enlarge it: "
                            + "truncate -s SIZE " + spec.path());
        }
        return sizeBytes;
    }

    private record DirectAlignment(int offset, int memory) {}

    private static DirectAlignment directAlignment(
            BlockDeviceSpec.FilePath spec, int fd, FileStatus status, int logicalBlock) {
        int offset;
        int memory;
        if (status.saysDirect()) {
            offset = status.directOffsetAlignment();
            memory = Math.max(1, status.directMemoryAlignment());
        } else {
            offset = status.isType(S_IFBLK) ? logicalBlock : probeDirectAlignment(fd);
            memory = offset;
        }
        if (offset <= 0 || offset > LARGEST_BLOCK) {
            throw new BlockDeviceException(
                    Kind.UNSUPPORTED,
                    spec + ": the page cache cannot be bypassed in blocks of " + LARGEST_BLOCK
                            + " bytes or fewer; leave direct=on away");
        }
        return new DirectAlignment(Math.max(SMALLEST_BLOCK, offset), memory);
    }

    /** The smallest block that can be read with O_DIRECT; 0 when none can. */
    private static int probeDirectAlignment(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            long buffer = arena.allocate(2L * LARGEST_BLOCK, LARGEST_BLOCK).address();
            for (int block = SMALLEST_BLOCK; block <= LARGEST_BLOCK; block *= 2) {
                // Address and offset are multiples of this block and of no larger one.
                if (Libc.pread(fd, buffer + block, block, block) >= 0) {
                    return block;
                }
            }
            return 0;
        }
    }

    /** Punches a hole behind the end of the file, which changes nothing. */
    private static boolean punchesHoles(int fd, long sizeBytes) {
        long end = (sizeBytes + LARGEST_BLOCK - 1) & -LARGEST_BLOCK;
        return Libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, LARGEST_BLOCK) == 0;
    }

    private static boolean discards(FileStatus status) {
        Path device = Path.of("/sys/dev/block/" + status.deviceMajor() + ":" + status.deviceMinor());
        // A partition's queue is its disk's.
        for (String queue : new String[] {"queue", "../queue"}) {
            try {
                Path limit = device.toRealPath().resolve(queue).resolve("discard_max_bytes");
                return Long.parseLong(Files.readString(limit).trim()) > 0;
            } catch (IOException | NumberFormatException e) {
                // Not there: the next place, or a kernel without sysfs.
            }
        }
        return false;
    }

    private static int ioctlInt(String name, int fd, int request) {
        return (int) ioctlLong(name, fd, request);
    }

    private static long ioctlLong(String name, int fd, int request) {
        try (Arena arena = Arena.ofConfined()) {
            long value = arena.allocate(Long.BYTES, Long.BYTES).address();
            int result = Libc.ioctl(fd, request, value);
            if (result < 0) {
                throw new BlockDeviceException(
                        Kind.IO, name + ": does not say how large it is (" + Errno.name(result) + ")");
            }
            return Memory.getLong(value);
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int blockSize() {
        return blockSize;
    }

    @Override
    public long capacityBytes() {
        return capacityBytes;
    }

    @Override
    public synchronized long refreshCapacity() {
        long sizeBytes;
        if (isBlockDevice) {
            sizeBytes = ioctlLong(name, fd, BLKGETSIZE64);
        } else {
            FileStatus status = FileStatus.ofFd(fd);
            sizeBytes = status.errno() == 0 ? status.sizeBytes() : 0;
        }
        capacityBytes = Math.max(capacityBytes, sizeBytes & -(long) blockSize);
        return capacityBytes;
    }

    /** The page cache; with direct=on the disk's own, of which nothing is known. */
    @Override
    public boolean hasVolatileCache() {
        return true;
    }

    @Override
    public int atomicWriteBytes() {
        return atomicWriteBytes;
    }

    @Override
    public boolean supportsDiscard() {
        return supportsDiscard;
    }

    @Override
    public int memoryAlignment() {
        return memoryAlignment;
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        UringChannel channel;
        try {
            channel = new UringChannel(this, reactor, fd, openChannels::decrementAndGet);
        } catch (UringException e) {
            throw new BlockDeviceException(Kind.UNSUPPORTED, name + ": " + e.getMessage());
        }
        openChannels.incrementAndGet();
        return channel;
    }

    @Override
    public void close() {
        if (openChannels.get() != 0) {
            throw new IllegalStateException(name + ": " + openChannels.get() + " channels are open");
        }
        // The kernel may hold the file a little longer for a ring it takes down.
        Libc.flock(fd, LOCK_UN);
        Libc.close(fd);
    }
}

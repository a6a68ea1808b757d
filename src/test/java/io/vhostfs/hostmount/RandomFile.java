package io.vhostfs.hostmount;

import static io.vhostfs.os.LibcConstants.*;
import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Random;

/**
 * One file to which random system calls are made, and what its content must then be.
 *
 * <p>The file may have a second path, on another mount of the same share, through which it is read and written as well.
 * One thread.
 */
final class RandomFile implements AutoCloseable {
    private static final int MAX_BYTES = 1 << 20;
    private static final int MAX_PIECE = 100_000;
    private static final int PAGE = 4096;
    private static final int REMEMBERED = 12;
    private static final int MS_ASYNC = 1;
    private static final int MS_SYNC = 4;
    private static final int FALLOC_FL_KEEP = FALLOC_FL_KEEP_SIZE;

    private final Path[] paths;
    private final Random random;
    private final int[] fds;
    private final int[] directFds;
    private final int[] appendFds;
    /** Of a file with one path: it sees all that is written in whatever way, at once. */
    private long longMap;

    private final byte[] model = new byte[MAX_BYTES];
    private int size;
    private final HugepageMemory buffer = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE, "test");
    private final ArrayDeque<String> history = new ArrayDeque<>();
    private String operation = "";

    RandomFile(Random random, Path... paths) {
        this.paths = paths;
        this.random = random;
        fds = new int[paths.length];
        directFds = new int[paths.length];
        appendFds = new int[paths.length];
        open();
    }

    private void open() {
        for (int i = 0; i < paths.length; i++) {
            String path = paths[i].toString();
            fds[i] = CString.with(path, p -> Libc.open(p, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
            directFds[i] = CString.with(path, p -> Libc.open(p, O_RDWR | O_DIRECT | O_CLOEXEC, 0));
            appendFds[i] = CString.with(path, p -> Libc.open(p, O_WRONLY | O_APPEND | O_CLOEXEC, 0));
            assertTrue(fds[i] >= 0 && directFds[i] >= 0 && appendFds[i] >= 0, () -> path + ": cannot be opened");
        }
        longMap = paths.length == 1 ? map(fds[0], PROT_READ | PROT_WRITE, 0, MAX_BYTES) : 0;
    }

    @Override
    public void close() {
        closeFiles();
        buffer.close();
    }

    private void closeFiles() {
        for (int i = 0; i < fds.length; i++) {
            Libc.close(fds[i]);
            Libc.close(directFds[i]);
            Libc.close(appendFds[i]);
        }
        if (longMap != 0) {
            assertEquals(0, Libc.munmap(longMap, MAX_BYTES));
        }
    }

    /** One random operation, checked; {@code other}, which may be the same, is where a copy comes from. */
    void step(RandomFile other) {
        int which = random.nextInt(paths.length);
        int fd = fds[which];
        operation = "";
        switch (random.nextInt(25)) {
            case 0, 1, 2 -> write(fd);
            case 3, 4, 5 -> read(fd);
            case 6, 7 -> writeMapped(fd);
            case 8, 9 -> readMapped(fd);
            case 10 -> writeDirect(directFds[which]);
            case 11 -> readDirect(directFds[which]);
            case 12, 13 -> truncate(fd);
            case 14 -> allocate(fd, 0);
            case 15 -> allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP);
            case 16 -> allocate(fd, FALLOC_FL_ZERO_RANGE | (random.nextBoolean() ? FALLOC_FL_KEEP : 0));
            case 17 -> copy(other, fd);
            case 18 -> sync(fd);
            case 19 -> append(appendFds[which]);
            case 20 -> seek(fd);
            case 21 -> shift(fd, FALLOC_FL_COLLAPSE_RANGE);
            case 22 -> shift(fd, FALLOC_FL_INSERT_RANGE);
            case 23 -> syncMap();
            default -> reopen();
        }
        assertEquals(size, sizeOf(fds[random.nextInt(paths.length)]), this::told);
    }

    /** Everything once more. */
    void checkAll() {
        for (int fd : fds) {
            for (int at = 0; at < size; at += MAX_PIECE) {
                readAt(fd, at, Math.min(MAX_PIECE, size - at));
            }
        }
    }

    private void tell(String what) {
        operation = what;
        history.add(what);
        if (history.size() > REMEMBERED) {
            history.removeFirst();
        }
    }

    private String told() {
        return String.join("\n", history);
    }

    private int piece(int from, int limit) {
        return Math.min(limit - from, 1 + random.nextInt(random.nextInt(4) == 0 ? MAX_PIECE : 9_000));
    }

    private byte[] fill(int length) {
        byte[] data = new byte[length];
        random.nextBytes(data);
        Memory.copyFromArray(data, 0, buffer.address(), length);
        return data;
    }

    private void put(byte[] data, int at) {
        System.arraycopy(data, 0, model, at, data.length);
        size = Math.max(size, at + data.length);
    }

    /** Asks for it: maps and copies go by what the kernel has heard last. */
    private static long sizeOf(int fd) {
        return SystemCalls.call("lseek", fd, 0L, SEEK_END);
    }

    private void assertDone(long expected, long result) {
        assertEquals(expected, result, () -> told() + "\n" + (result < 0 ? Errno.name((int) result) : ""));
    }

    private void assertSame(long address, int at, int length) {
        byte[] found = new byte[length];
        Memory.copyToArray(address, found, 0, length);
        int different = Arrays.mismatch(model, at, at + length, found, 0, length);
        assertEquals(-1, different, () -> told() + "\ndiffers at " + (at + different));
    }

    // --- operations

    private void write(int fd) {
        int at = random.nextInt(MAX_BYTES);
        byte[] data = fill(piece(at, MAX_BYTES));
        tell("write " + at + "+" + data.length);
        assertDone(data.length, Libc.pwrite(fd, buffer.address(), data.length, at));
        put(data, at);
    }

    private void read(int fd) {
        if (size > 0) {
            int at = random.nextInt(size);
            readAt(fd, at, piece(at, size));
        }
    }

    private void readAt(int fd, int at, int length) {
        tell("read " + at + "+" + length);
        assertDone(length, Libc.pread(fd, buffer.address(), length, at));
        assertSame(buffer.address(), at, length);
    }

    private long map(int fd, int protection, int page, int length) {
        long address = Libc.mmap(0, length, protection, MAP_SHARED, fd, page);
        assertTrue(address > 0, this::told);
        return address;
    }

    private void writeMapped(int fd) {
        if (size == 0) {
            return;
        }
        int at = random.nextInt(size);
        byte[] data = fill(piece(at, size));
        tell("write mapped " + at + "+" + data.length);
        assertDone(size, sizeOf(fd));
        if (longMap != 0 && random.nextBoolean()) {
            Memory.copyFromArray(data, 0, longMap + at, data.length);
            put(data, at);
            return;
        }
        int page = at & -PAGE;
        int length = at + data.length - page;
        long address = map(fd, PROT_READ | PROT_WRITE, page, length);
        Memory.copyFromArray(data, 0, address + (at - page), data.length);
        if (paths.length > 1) {
            // Others see what a map has changed once it is synced.
            assertDone(0, SystemCalls.call("msync", address, (long) length, MS_SYNC));
        }
        assertEquals(0, Libc.munmap(address, length));
        put(data, at);
    }

    private void syncMap() {
        if (longMap != 0 && size > 0) {
            boolean waits = random.nextBoolean();
            tell("msync " + waits);
            assertDone(0, SystemCalls.call("msync", longMap, (long) size, waits ? MS_SYNC : MS_ASYNC));
        }
    }

    private void readMapped(int fd) {
        if (size == 0) {
            return;
        }
        int at = random.nextInt(size);
        int count = piece(at, size);
        tell("read mapped " + at + "+" + count);
        assertDone(size, sizeOf(fd));
        if (longMap != 0 && random.nextBoolean()) {
            assertSame(longMap + at, at, count);
            return;
        }
        if (paths.length > 1) {
            // A map shows what others changed a moment later; a read asks at once.
            assertDone(1, Libc.pread(fd, buffer.address(), 1, at));
        }
        int page = at & -PAGE;
        long address = map(fd, PROT_READ, page, at + count - page);
        assertSame(address + (at - page), at, count);
        assertEquals(0, Libc.munmap(address, at + count - page));
    }

    private void writeDirect(int fd) {
        int at = random.nextInt(MAX_BYTES) & -PAGE;
        byte[] data = fill(Math.max(PAGE, piece(at, MAX_BYTES) & -PAGE));
        tell("write direct " + at + "+" + data.length);
        assertDone(data.length, Libc.pwrite(fd, buffer.address(), data.length, at));
        put(data, at);
    }

    private void readDirect(int fd) {
        if (size < PAGE) {
            return;
        }
        int at = random.nextInt(size) & -PAGE;
        int length = Math.max(PAGE, piece(at, size) & -PAGE);
        int expected = Math.min(length, size - at);
        tell("read direct " + at + "+" + length);
        assertDone(expected, Libc.pread(fd, buffer.address(), length, at));
        assertSame(buffer.address(), at, expected);
    }

    private void truncate(int fd) {
        int to = random.nextInt(
                random.nextInt(3) == 0 ? MAX_BYTES : size + 10_000 > MAX_BYTES ? MAX_BYTES : size + 10_000);
        tell("truncate " + size + " to " + to);
        assertDone(0, Libc.ftruncate(fd, to));
        if (to < size) {
            Arrays.fill(model, to, size, (byte) 0);
        }
        size = to;
    }

    private void allocate(int fd, int mode) {
        int at = random.nextInt(MAX_BYTES);
        int length = piece(at, MAX_BYTES);
        tell("fallocate " + mode + " " + at + "+" + length + " of " + size);
        assertDone(0, Libc.fallocate(fd, mode, at, length));
        if (mode != 0) {
            int end = Math.min(at + length, size);
            if (at < end) {
                Arrays.fill(model, at, end, (byte) 0);
            }
        }
        if ((mode & FALLOC_FL_KEEP) == 0) {
            size = Math.max(size, at + length);
        }
    }

    private void append(int fd) {
        if (size == MAX_BYTES) {
            return;
        }
        byte[] data = fill(piece(size, MAX_BYTES));
        tell("append " + data.length + " to " + size);
        assertDone(data.length, Libc.write(fd, buffer.address(), data.length));
        put(data, size);
    }

    /** Holes may be told as data, and never data as a hole. */
    private void seek(int fd) {
        if (size == 0) {
            return;
        }
        int at = random.nextInt(size);
        tell("seek from " + at);
        long data = SystemCalls.call("lseek", fd, (long) at, SEEK_DATA);
        long end = data == -Errno.ENXIO ? size : data;
        assertTrue(end >= at && end <= size, () -> told() + ": " + end);
        for (int i = at; i < end; i++) {
            assertEquals(0, model[i], () -> told() + ": no data up to " + end);
        }
        long hole = SystemCalls.call("lseek", fd, (long) at, SEEK_HOLE);
        assertTrue(hole >= at && hole <= size, () -> told() + ": hole at " + hole);
    }

    /** Takes blocks out of the file, or puts some in. FUSE of Linux knows no such thing. */
    private void shift(int fd, int mode) {
        int at = random.nextInt(MAX_BYTES) & -PAGE;
        int length = Math.max(PAGE, piece(at, MAX_BYTES) & -PAGE);
        boolean collapses = mode == FALLOC_FL_COLLAPSE_RANGE;
        if (collapses ? at + length >= size : at >= size || size + length > MAX_BYTES) {
            return;
        }
        tell((collapses ? "collapse " : "insert ") + at + "+" + length + " of " + size);
        int status = Libc.fallocate(fd, mode, at, length);
        if (status == -Errno.EOPNOTSUPP) {
            return;
        }
        assertDone(0, status);
        if (collapses) {
            System.arraycopy(model, at + length, model, at, size - at - length);
            Arrays.fill(model, size - length, size, (byte) 0);
            size -= length;
        } else {
            System.arraycopy(model, at, model, at + length, size - at);
            Arrays.fill(model, at, at + length, (byte) 0);
            size += length;
        }
    }

    private void copy(RandomFile other, int to) {
        if (other.size < 2) {
            return;
        }
        int from = other.fds[random.nextInt(other.fds.length)];
        int source = random.nextInt(other.size);
        int length = piece(source, other.size);
        int target = random.nextInt(MAX_BYTES - length);
        if (other == this && target < source + length && source < target + length) {
            return;
        }
        tell("copy " + source + "+" + length + " to " + target + (other == this ? "" : " from another"));
        // The kernel goes by the size it knows.
        assertDone(other.size, sizeOf(from));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment offsets = arena.allocate(16, 8);
            for (int done = 0; done < length; ) {
                offsets.set(ValueLayout.JAVA_LONG, 0, source + done);
                offsets.set(ValueLayout.JAVA_LONG, 8, target + done);
                long copied = SystemCalls.call(
                        "copy_file_range", from, offsets, to, offsets.asSlice(8), (long) (length - done), 0);
                assertTrue(copied > 0, () -> told() + ": " + copied);
                done += (int) copied;
            }
        }
        put(Arrays.copyOfRange(other.model, source, source + length), target);
    }

    private void sync(int fd) {
        tell("fdatasync");
        assertDone(0, Libc.fdatasync(fd));
    }

    private void reopen() {
        tell("reopen");
        closeFiles();
        open();
    }

    @Override
    public String toString() {
        return operation;
    }
}

package io.vhostfs.frontend;

import static io.vhostfs.fuse.FuseConstants.*;
import static io.vhostfs.fuse.FuseWire.*;
import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFREG;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Keeps a workload's cycles in flight on a request queue and records how long each takes.
 *
 * <p>Slot {@code i} uses descriptor {@code i} as the head of its chain, and has every request of its cycle laid out
 * beforehand; between runs others may use the same descriptors. In the loop only what varies is written: an offset, a name's digits, a nodeid. Completions are polled, the
 * loop allocates nothing and looks at the clock once per batch of completions, so a latency runs from the batch in which
 * the slot became free to the one in which its cycle ended. One thread.
 */
final class LoadGenerator {
    // Layout of a request's block; the two sides write different cache lines.
    private static final int OUT_HEADER_OFFSET = 64;
    private static final int IN_ARGS_OFFSET = 128;
    private static final int OUT_ARGS_OFFSET = 512;
    private static final int BLOCK_SIZE = 768;

    /** Digits of names, behind a letter and the slot's two characters. */
    private static final int NAME_DIGITS_OFFSET = 3;

    private static final String NAME_TEMPLATE = "00000000";

    /** FORGETs in flight; the high priority queue answers them with nothing but the used ring. */
    private static final int FORGET_SLOTS = 64;

    private static final int FORGET_SIZE = FUSE_IN_HEADER_SIZE + FUSE_FORGET_IN_SIZE;

    /** Empty polls between two looks at the clock and at the socket. */
    private static final int SPINS_PER_CHECK = 1 << 16;

    private static final long STALL_NS = 10_000_000_000L;

    private final FrontEnd frontEnd;
    private final SharedMemory memory;
    private final DriverQueue queue;
    private final DriverQueue hiprio;
    private final BenchWorkload workload;
    private final BenchFiles files;
    private final BenchWorkload.Step[] steps;
    private final int depth;
    private final long blockBytes;
    private final long blockCount;
    private final long blocks;
    private final long tables;
    private final int tableStride;
    private final int[] tableBytes;
    private final int[] expectedLength;
    private final long dataArea;
    private final int dataStride;
    private final long forgetArea;
    private final boolean forgetsAtEnd;

    private final int[] stepOf;
    private final long[] startedAtNs;
    private final long[] nodeOf;
    private long random = 0x2545_f491_4f6c_dd1dL;
    private long nextOffset;
    private int nextFile;
    private int nextName;
    private final int[] freeForgets = new int[FORGET_SLOTS];
    private int freeForgetCount = FORGET_SLOTS;
    private int inFlight;
    private long lookups;
    private boolean draining;
    private FuseClient.@Nullable Handle directory;

    LoadGenerator(FuseClient client, BenchWorkload workload, BenchFiles files) throws IOException {
        this.frontEnd = client.frontEnd();
        this.memory = frontEnd.memory();
        this.queue = frontEnd.queue(FrontEnd.REQUEST_QUEUE);
        this.hiprio = frontEnd.queue(FrontEnd.HIPRIO_QUEUE);
        this.workload = workload;
        this.files = files;
        this.depth = workload.queueDepth();
        this.steps = workload.steps().toArray(BenchWorkload.Step[]::new);
        if (!frontEnd.hasFeature(VIRTIO_RING_F_INDIRECT_DESC)) {
            throw new FrontEndException("the back end has no indirect descriptors");
        }
        blockBytes = workload.blockBytes();
        blockCount = blockBytes == 0 ? 0 : files.dataBytes() / blockBytes;
        stepOf = new int[depth];
        startedAtNs = new long[depth];
        nodeOf = new long[depth];
        tableBytes = new int[steps.length];
        expectedLength = new int[steps.length];
        boolean directoryLoad = steps[0] == BenchWorkload.Step.READDIRPLUS;
        forgetsAtEnd = steps[0] == BenchWorkload.Step.CREATE || steps[0] == BenchWorkload.Step.MKDIR;
        dataStride = directoryLoad ? BenchWorkload.DIRECTORY_BUFFER_BYTES : workload.blockBytes();
        int maxDescriptors = RequestLayout.MAX_FIXED_PARTS + dataStride / RequestLayout.PAGE_BYTES;
        if (maxDescriptors > queue.size()) {
            throw new FrontEndException("a request of " + dataStride + " bytes needs a longer ring");
        }
        tableStride = maxDescriptors * VRING_DESC_SIZE;
        blocks = memory.allocate((long) depth * steps.length * BLOCK_SIZE, 64);
        tables = memory.allocate((long) depth * steps.length * tableStride, 64);
        dataArea = memory.allocate((long) depth * dataStride, RequestLayout.PAGE_BYTES);
        forgetArea = memory.allocate(FORGET_SLOTS * 64L, 64);
        if (directoryLoad) {
            directory = client.opendir(files.filesNode());
        }
        for (int slot = 0; slot < depth; slot++) {
            byte[] pattern = new byte[workload.blockBytes()];
            BenchFiles.fill(pattern, 0);
            Memory.copyFromArray(pattern, 0, dataAddress(slot), pattern.length);
            for (int step = 0; step < steps.length; step++) {
                layOut(slot, step);
            }
        }
        for (int i = 0; i < FORGET_SLOTS; i++) {
            writeInHeader(forgetArea + i * 64L, FUSE_FORGET, 0, FUSE_FORGET_IN_SIZE, 1_000_000 + i);
            Memory.putLong(forgetArea + i * 64L + FUSE_IN_HEADER_SIZE, 1);
            freeForgets[i] = i;
            hiprio.setDescriptor(i, memory.guestAddress(forgetArea + i * 64L), FORGET_SIZE, 0, 0);
        }
    }

    /** Runs until the recorder has all its windows; everything that was in flight has ended when it returns. */
    void run(WindowRecorder recorder) throws IOException {
        draining = false;
        long nowNs = System.nanoTime();
        recorder.start(nowNs);
        for (int slot = 0; slot < depth; slot++) {
            startedAtNs[slot] = nowNs;
            stepOf[slot] = 0;
            pointHead(slot, 0);
            submit(slot, 0);
        }
        inFlight = depth;
        queue.publish();
        int spins = 0;
        while (inFlight > 0) {
            int ready = queue.ready();
            if (ready == 0) {
                if (++spins >= SPINS_PER_CHECK) {
                    spins = 0;
                    check(nowNs);
                }
                continue;
            }
            nowNs = System.nanoTime();
            spins = 0;
            for (int i = 0; i < ready; i++) {
                complete(queue.usedHead(i), queue.usedLength(i), nowNs, recorder);
            }
            queue.consume(ready);
            queue.publish();
            if (freeForgetCount < FORGET_SLOTS) {
                hiprio.publish();
                reapForgets();
            }
            draining |= !recorder.advance(nowNs);
        }
        while (freeForgetCount < FORGET_SLOTS) {
            reapForgets();
            check(nowNs);
        }
    }

    /** Takes back what the load left behind on the other side: lookups and the directory's handle. */
    void finish(FuseClient client) throws IOException {
        if (steps[0] == BenchWorkload.Step.LOOKUP) {
            // The files were looked up in turn.
            long rounds = lookups / BenchFiles.FILES;
            int more = (int) (lookups % BenchFiles.FILES);
            for (int i = 0; i < BenchFiles.FILES; i++) {
                long count = rounds + (i < more ? 1 : 0);
                if (count > 0) {
                    client.forget(files.fileNode(i), count);
                }
            }
        }
        if (directory != null) {
            if (lookups > 0) {
                files.forgetFiles(lookups);
            }
            client.releasedir(directory.nodeid(), directory.fh());
        }
    }

    /** Also lets others run: where more threads than cores poll, one of them may be the target's. */
    @SuppressWarnings("ThreadPriorityCheck") // a hint, nothing relies on it
    private void check(long lastNs) throws IOException {
        Thread.yield();
        if (frontEnd.socket().hungUp()) {
            throw new FrontEndException("the back end closed the connection during " + workload.id());
        }
        if (System.nanoTime() - lastNs > STALL_NS) {
            throw new FrontEndException("no completion of " + workload.id() + " in " + STALL_NS / 1_000_000_000 + " s");
        }
    }

    private void complete(int slot, int usedLength, long nowNs, WindowRecorder recorder) throws IOException {
        int step = slot < depth && slot >= 0 ? stepOf[slot] : -1;
        if (step < 0) {
            throw new FrontEndException("the used ring names descriptor " + slot + ", which is not in flight");
        }
        long block = block(slot, step);
        int error = Memory.getInt(block + OUT_HEADER_OFFSET + FUSE_OUT_HEADER_ERROR_OFFSET);
        int length = Memory.getInt(block + OUT_HEADER_OFFSET + FUSE_OUT_HEADER_LEN_OFFSET);
        int expected = expectedLength[step];
        if (error != 0 || (expected != 0 && length != expected) || usedLength < length) {
            throw wrongReply(steps[step], error, length, expected, usedLength);
        }
        boolean stay = take(slot, step, block, length);
        step++;
        if (step == steps.length) {
            recorder.record(nowNs - startedAtNs[slot]);
            startedAtNs[slot] = nowNs;
            step = 0;
            if (draining && !stay) {
                stepOf[slot] = -1;
                inFlight--;
                return;
            }
        }
        stepOf[slot] = step;
        submit(slot, step);
    }

    private FrontEndException wrongReply(BenchWorkload.Step step, int error, int length, int expected, int usedLength) {
        return new FrontEndException(
                workload.id() + ": reply to " + step + ": " + (error == 0 ? "no error" : Errno.name(error)) + ", "
                        + length + " bytes, expected " + expected + ", used length " + usedLength);
    }

    /** Takes from a reply what later steps need; true when the cycle must go on although the run is over. */
    private boolean take(int slot, int step, long block, int length) throws IOException {
        switch (steps[step]) {
            case CREATE -> {
                nodeOf[slot] = Memory.getLong(block + OUT_ARGS_OFFSET);
                useHandle(slot, Memory.getLong(block + OUT_ARGS_OFFSET + FUSE_ENTRY_OUT_SIZE));
                Memory.putLong(block(slot, 1) + FUSE_IN_HEADER_NODEID_OFFSET, nodeOf[slot]);
            }
            case MKDIR -> nodeOf[slot] = Memory.getLong(block + OUT_ARGS_OFFSET);
            case OPEN -> useHandle(slot, Memory.getLong(block + OUT_ARGS_OFFSET));
            case UNLINK, RMDIR -> {
                if (forgetsAtEnd) {
                    forget(nodeOf[slot]);
                }
            }
            case LOOKUP -> lookups++;
            case READDIRPLUS -> {
                return takeListing(slot, block, length);
            }
            default -> {}
        }
        return false;
    }

    /** The release that follows. */
    private void useHandle(int slot, long fh) {
        Memory.putLong(block(slot, 1) + IN_ARGS_OFFSET, fh);
    }

    /** Goes on behind the last entry, or at the start after an empty reply, which ends the listing. */
    private boolean takeListing(int slot, long block, int length) {
        long offset = 0;
        long end = dataAddress(slot) + length - FUSE_OUT_HEADER_SIZE;
        for (long at = dataAddress(slot); at < end; ) {
            long dirent = at + FUSE_ENTRY_OUT_SIZE;
            offset = Memory.getLong(dirent + FUSE_DIRENT_OFF_OFFSET);
            int nameLength = Memory.getInt(dirent + FUSE_DIRENT_NAMELEN_OFFSET);
            at = dirent + ((FUSE_DIRENT_SIZE + nameLength + 7) & ~7);
        }
        Memory.putLong(block + IN_ARGS_OFFSET + FUSE_READ_IN_OFFSET_OFFSET, offset);
        if (length == FUSE_OUT_HEADER_SIZE) {
            lookups++;
            return false;
        }
        return true;
    }

    private void submit(int slot, int step) {
        long block = block(slot, step);
        switch (steps[step]) {
            case READ_RANDOM -> Memory.putLong(block + IN_ARGS_OFFSET + FUSE_READ_IN_OFFSET_OFFSET, randomOffset());
            case READ_NEXT -> Memory.putLong(block + IN_ARGS_OFFSET + FUSE_READ_IN_OFFSET_OFFSET, sequentialOffset());
            case WRITE_RANDOM -> stampWrite(slot, block, randomOffset());
            case WRITE_NEXT -> stampWrite(slot, block, sequentialOffset());
            case GETATTR -> Memory.putLong(block + FUSE_IN_HEADER_NODEID_OFFSET, files.fileNode(takeFile()));
            case OPEN -> {
                long node = files.fileNode(takeFile());
                Memory.putLong(block + FUSE_IN_HEADER_NODEID_OFFSET, node);
                Memory.putLong(block(slot, 1) + FUSE_IN_HEADER_NODEID_OFFSET, node);
            }
            case LOOKUP -> {
                int file = takeFile();
                long digits = block + IN_ARGS_OFFSET + "file-".length();
                Memory.putInt(
                        digits,
                        ('0' + file / 1000)
                                | ('0' + file / 100 % 10) << 8
                                | ('0' + file / 10 % 10) << 16
                                | ('0' + file % 10) << 24);
            }
            case CREATE -> {
                long digits = hexDigits(nextName++);
                Memory.putLong(block + IN_ARGS_OFFSET + FUSE_CREATE_IN_SIZE + NAME_DIGITS_OFFSET, digits);
                Memory.putLong(block(slot, 2) + IN_ARGS_OFFSET + NAME_DIGITS_OFFSET, digits);
            }
            case MKDIR -> {
                long digits = hexDigits(nextName++);
                Memory.putLong(block + IN_ARGS_OFFSET + FUSE_MKDIR_IN_SIZE + NAME_DIGITS_OFFSET, digits);
                Memory.putLong(block(slot, 1) + IN_ARGS_OFFSET + NAME_DIGITS_OFFSET, digits);
            }
            default -> {}
        }
        if (steps.length > 1) {
            pointHead(slot, step);
        }
        queue.push(slot);
    }

    private void pointHead(int slot, int step) {
        queue.setDescriptor(slot, memory.guestAddress(table(slot, step)), tableBytes[step], VRING_DESC_F_INDIRECT, 0);
    }

    private long randomOffset() {
        random ^= random << 13;
        random ^= random >>> 7;
        random ^= random << 17;
        // The upper half as a fraction of the file's blocks.
        return (((random >>> 32) * blockCount) >>> 32) * blockBytes;
    }

    private long sequentialOffset() {
        long offset = nextOffset;
        nextOffset = offset + blockBytes == blockBytes * blockCount ? 0 : offset + blockBytes;
        return offset;
    }

    private int takeFile() {
        int file = nextFile;
        nextFile = file + 1 == BenchFiles.FILES ? 0 : file + 1;
        return file;
    }

    private void stampWrite(int slot, long block, long offset) {
        Memory.putLong(block + IN_ARGS_OFFSET + FUSE_READ_IN_OFFSET_OFFSET, offset);
        long data = dataAddress(slot);
        for (int at = 0; at < dataStride; at += BenchFiles.BLOCK_BYTES) {
            long stamp = (offset + at) / BenchFiles.BLOCK_BYTES;
            Memory.putLong(data + at, stamp);
            Memory.putLong(data + at + BenchFiles.BLOCK_BYTES - Long.BYTES, stamp);
        }
    }

    /** Eight hexadecimal digits as characters in a word: nibbles spread to bytes, then each made a letter. */
    private static long hexDigits(int number) {
        long x = Integer.toUnsignedLong(number);
        x = (x | x << 16) & 0x0000_ffff_0000_ffffL;
        x = (x | x << 8) & 0x00ff_00ff_00ff_00ffL;
        x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0fL;
        return x + 0x6161_6161_6161_6161L;
    }

    private void forget(long nodeid) throws IOException {
        long lastNs = System.nanoTime();
        while (freeForgetCount == 0) {
            hiprio.publish();
            reapForgets();
            check(lastNs);
        }
        int slot = freeForgets[--freeForgetCount];
        Memory.putLong(forgetArea + slot * 64L + FUSE_IN_HEADER_NODEID_OFFSET, nodeid);
        hiprio.push(slot);
    }

    private void reapForgets() throws IOException {
        int ready = hiprio.ready();
        for (int i = 0; i < ready; i++) {
            int slot = hiprio.usedHead(i);
            if (slot < 0 || slot >= FORGET_SLOTS || freeForgetCount == FORGET_SLOTS) {
                throw new FrontEndException("the high priority used ring names descriptor " + slot);
            }
            freeForgets[freeForgetCount++] = slot;
        }
        hiprio.consume(ready);
    }

    private long block(int slot, int step) {
        return blocks + (long) (slot * steps.length + step) * BLOCK_SIZE;
    }

    private long table(int slot, int step) {
        return tables + (long) (slot * steps.length + step) * tableStride;
    }

    private long dataAddress(int slot) {
        return dataArea + (long) slot * dataStride;
    }

    private void layOut(int slot, int step) {
        long block = block(slot, step);
        String slotName = String.format("n%02x", slot);
        int inArgs = 0;
        int inData = 0;
        int outArgs = 0;
        int outData = 0;
        int opcode = 0;
        long node = files.workNode();
        long args = block + IN_ARGS_OFFSET;
        switch (steps[step]) {
            case READ_RANDOM, READ_NEXT -> {
                opcode = FUSE_READ;
                node = files.data().nodeid();
                inArgs = FUSE_READ_IN_SIZE;
                outData = workload.blockBytes();
                putReadArgs(args, files.data().fh(), outData);
            }
            case WRITE_RANDOM, WRITE_NEXT -> {
                opcode = FUSE_WRITE;
                node = files.data().nodeid();
                inArgs = FUSE_WRITE_IN_SIZE;
                inData = workload.blockBytes();
                outArgs = FUSE_WRITE_OUT_SIZE;
                putReadArgs(args, files.data().fh(), inData);
            }
            case FSYNC -> {
                opcode = FUSE_FSYNC;
                node = files.data().nodeid();
                inArgs = FUSE_FSYNC_IN_SIZE;
                Memory.putLong(args, files.data().fh());
            }
            case GETATTR -> {
                opcode = FUSE_GETATTR;
                inArgs = FUSE_GETATTR_IN_SIZE;
                outArgs = FUSE_ATTR_OUT_SIZE;
            }
            case LOOKUP -> {
                opcode = FUSE_LOOKUP;
                node = files.filesNode();
                inArgs = putNames(args, BenchFiles.fileName(0));
                outArgs = FUSE_ENTRY_OUT_SIZE;
            }
            case OPEN -> {
                opcode = FUSE_OPEN;
                inArgs = FUSE_OPEN_IN_SIZE;
                Memory.putInt(args, O_RDWR);
                outArgs = FUSE_OPEN_OUT_SIZE;
            }
            case CREATE -> {
                opcode = FUSE_CREATE;
                Memory.putInt(args + FUSE_CREATE_IN_FLAGS_OFFSET, O_RDWR);
                Memory.putInt(args + FUSE_CREATE_IN_MODE_OFFSET, S_IFREG | 0644);
                inArgs = FUSE_CREATE_IN_SIZE + putNames(args + FUSE_CREATE_IN_SIZE, slotName + NAME_TEMPLATE);
                outArgs = FUSE_ENTRY_OUT_SIZE + FUSE_OPEN_OUT_SIZE;
            }
            case RELEASE -> {
                opcode = FUSE_RELEASE;
                inArgs = FUSE_RELEASE_IN_SIZE;
                Memory.putInt(args + FUSE_RELEASE_IN_FLAGS_OFFSET, O_RDWR);
            }
            case UNLINK -> {
                opcode = FUSE_UNLINK;
                inArgs = putNames(args, slotName + NAME_TEMPLATE);
            }
            case MKDIR -> {
                opcode = FUSE_MKDIR;
                Memory.putInt(args, 0755);
                inArgs = FUSE_MKDIR_IN_SIZE + putNames(args + FUSE_MKDIR_IN_SIZE, slotName + NAME_TEMPLATE);
                outArgs = FUSE_ENTRY_OUT_SIZE;
            }
            case RMDIR -> {
                opcode = FUSE_RMDIR;
                inArgs = putNames(args, slotName + NAME_TEMPLATE);
            }
            case RENAME, RENAME_BACK -> {
                boolean back = steps[step] == BenchWorkload.Step.RENAME_BACK;
                String away = BenchFiles.fileName(slot) + "-renamed";
                String home = BenchFiles.fileName(slot);
                opcode = FUSE_RENAME2;
                node = files.filesNode();
                Memory.putLong(args, node);
                inArgs = FUSE_RENAME2_IN_SIZE
                        + putNames(args + FUSE_RENAME2_IN_SIZE, back ? away : home, back ? home : away);
            }
            case READDIRPLUS -> {
                opcode = FUSE_READDIRPLUS;
                node = files.filesNode();
                inArgs = FUSE_READ_IN_SIZE;
                outData = BenchWorkload.DIRECTORY_BUFFER_BYTES;
                putReadArgs(args, directory == null ? 0 : directory.fh(), outData);
            }
        }
        writeInHeader(block, opcode, node, inArgs + inData, slot * steps.length + step);
        int count = new RequestLayout(memory, table(slot, step), 0)
                .readable(block, FUSE_IN_HEADER_SIZE)
                .readable(args, inArgs)
                .readablePages(dataAddress(slot), inData)
                .writable(block + OUT_HEADER_OFFSET, FUSE_OUT_HEADER_SIZE)
                .writable(block + OUT_ARGS_OFFSET, outArgs)
                .writablePages(dataAddress(slot), outData)
                .end();
        tableBytes[step] = count * VRING_DESC_SIZE;
        expectedLength[step] =
                steps[step] == BenchWorkload.Step.READDIRPLUS ? 0 : FUSE_OUT_HEADER_SIZE + outArgs + outData;
    }

    private static void putReadArgs(long args, long fh, int size) {
        Memory.putLong(args + FUSE_READ_IN_FH_OFFSET, fh);
        Memory.putInt(args + FUSE_READ_IN_SIZE_OFFSET, size);
        Memory.putInt(args + FUSE_READ_IN_FLAGS_OFFSET, O_RDWR);
    }

    /** Each name ended by a NUL; returns the bytes. */
    private static int putNames(long at, String... names) {
        int length = 0;
        for (String name : names) {
            byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
            Memory.copyFromArray(bytes, 0, at + length, bytes.length);
            Memory.putByte(at + length + bytes.length, (byte) 0);
            length += bytes.length + 1;
        }
        return length;
    }

    /** Unique among all that is in flight, which is what the field is for. */
    private static void writeInHeader(long block, int opcode, long node, int bodyLength, int number) {
        Memory.putInt(block + FUSE_IN_HEADER_LEN_OFFSET, FUSE_IN_HEADER_SIZE + bodyLength);
        Memory.putInt(block + FUSE_IN_HEADER_OPCODE_OFFSET, opcode);
        Memory.putLong(block + FUSE_IN_HEADER_UNIQUE_OFFSET, (1L << 40) + 2L * number);
        Memory.putLong(block + FUSE_IN_HEADER_NODEID_OFFSET, node);
        Memory.putInt(block + FUSE_IN_HEADER_PID_OFFSET, 1);
    }
}

package io.vhostfs.lab;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.NvmeDevice;
import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.util.Random;
import java.util.concurrent.TimeUnit;

/**
 * Random I/O with verification on a block device, at rising depths; run in the lab as a program of its own.
 *
 * <p>Every block carries its number and the round that wrote it; what is read has to be what was last written. The last line
 * of its output are the driver's counters.
 */
final class LabIo {
    private static final int MAX_DEPTH = 64;
    private static final int MAX_BLOCKS_PER_IO = 64;

    /** Few enough that every one of them is met, also by few requests. */
    private static final int WORKING_SET_BLOCKS = 1 << 12;

    private static final long LIMIT_NS = TimeUnit.SECONDS.toNanos(600);

    private final NvmeDevice device;
    private final Reactor reactor = new Reactor("lab");
    private final BlockChannel channel;
    private final HugepageMemory memory;
    private final Arena arena = Arena.ofConfined();
    private final Slot[] slots = new Slot[MAX_DEPTH];
    private final int[] generations;
    private final boolean[] busy;
    private final int block;
    private final Random random = new Random(1);
    private long requests;
    private long bytes;
    private int errors;
    private final boolean tolerant;

    private LabIo(NvmeDevice device, long blocks, boolean tolerant) {
        this.device = device;
        this.tolerant = tolerant;
        block = device.blockSize();
        channel = device.openChannel(reactor);
        memory = HugepageMemory.allocate((long) MAX_DEPTH * MAX_BLOCKS_PER_IO * block, "lab");
        generations = new int[(int) blocks];
        busy = new boolean[(int) blocks];
        for (int i = 0; i < MAX_DEPTH; i++) {
            slots[i] = new Slot(
                    memory.address() + (long) i * MAX_BLOCKS_PER_IO * block,
                    arena.allocate(Iovecs.IOVEC_SIZE, 8).address());
        }
    }

    private final class Slot extends BlockIo {
        private final long address;
        private boolean idle = true;
        private int first;
        private int count;

        Slot(long address, long iovec) {
            this.address = address;
            this.iovecsAddress = iovec;
            this.iovecCount = 1;
        }

        void start(boolean write, int firstBlock, int blocks) {
            first = firstBlock;
            count = blocks;
            idle = false;
            operation = write ? WRITE : READ;
            flags = write && random.nextInt(8) == 0 ? FLAG_FUA : 0;
            offsetBytes = (long) firstBlock * block;
            lengthBytes = (long) blocks * block;
            Iovecs.set(iovecsAddress, 0, address, lengthBytes);
            for (int i = 0; i < blocks; i++) {
                busy[firstBlock + i] = true;
                if (write) {
                    generations[firstBlock + i]++;
                    fill(address + (long) i * block, firstBlock + i);
                } else {
                    Memory.zero(address + (long) i * block, block);
                }
            }
            requests++;
            bytes += lengthBytes;
            int status = channel.submit(this);
            if (status != BlockChannel.PENDING) {
                onComplete(status);
            }
        }

        private void fill(long at, int number) {
            for (int i = 0; i < block; i += 16) {
                Memory.putLong(at + i, number);
                Memory.putLong(at + i + 8, generations[number]);
            }
        }

        @Override
        public void onComplete(int status) {
            idle = true;
            if (status != 0) {
                errors++;
                if (!tolerant) {
                    throw new AssertionError(
                            operation + " of blocks " + first + "+" + count + ": " + Errno.name(status));
                }
            }
            for (int i = 0; i < count; i++) {
                int number = first + i;
                busy[number] = false;
                if (operation == READ && status == 0 && generations[number] != 0) {
                    verify(address + (long) i * block, number);
                }
                if (operation == WRITE && status != 0) {
                    generations[number] = 0;
                }
            }
        }

        private void verify(long at, int number) {
            for (int i = 0; i < block; i += 16) {
                if (Memory.getLong(at + i) != number || Memory.getLong(at + i + 8) != generations[number]) {
                    throw new AssertionError("block " + number + " byte " + i + " holds " + Memory.getLong(at + i)
                            + ", " + Memory.getLong(at + i + 8) + " instead of round " + generations[number]);
                }
            }
        }
    }

    private void run(int depth, int count) {
        long deadline = System.nanoTime() + LIMIT_NS;
        long started = System.nanoTime();
        long before = requests;
        int left = count;
        while (left > 0 || channel.inFlight() > 0) {
            if (device.controller().state() == NvmeController.State.DEAD) {
                // One more, to see it refused.
                left = Math.min(left, 1);
            }
            for (int i = 0; i < depth && left > 0; i++) {
                if (slots[i].idle && tryStart(slots[i])) {
                    left--;
                }
            }
            reactor.runOnce();
            if (System.nanoTime() > deadline) {
                throw new AssertionError("hangs with " + channel.inFlight() + " requests in flight; "
                        + device.controller().counters());
            }
        }
        long ms = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
        System.out.printf("qd%d: %d requests in %d ms, what was read verified%n", depth, requests - before, ms);
    }

    private boolean tryStart(Slot slot) {
        int count = 1 + random.nextInt(random.nextInt(4) == 0 ? MAX_BLOCKS_PER_IO : 8);
        int first = random.nextInt(busy.length - count);
        for (int i = 0; i < count; i++) {
            if (busy[first + i]) {
                return false;
            }
        }
        slot.start(random.nextBoolean(), first, count);
        return true;
    }

    /** Flush, zeroes and discard, each with a look at what is there afterwards. */
    private void otherCommands() {
        one(BlockIo.FLUSH, 0, 0);
        System.out.println("flush: done");
        slots[0].start(true, 0, 32);
        drain();
        one(BlockIo.WRITE_ZEROES, 8L * block, 8L * block);
        one(BlockIo.DISCARD, 16L * block, 8L * block);
        for (int i = 8; i < 24; i++) {
            generations[i] = 0;
        }
        slots[0].start(false, 0, 32);
        drain();
        String zeroed = isZero(slots[0].address + 8L * block) ? "zeros" : "something else";
        String discarded = isZero(slots[0].address + 16L * block) ? "zeros" : "something else";
        System.out.printf("write zeroes: 8 blocks read as %s, their neighbours as before%n", zeroed);
        System.out.printf("discard: 8 blocks read as %s, their neighbours as before%n", discarded);
    }

    private boolean isZero(long eightBlocks) {
        long any = 0;
        for (int i = 0; i < 8 * block; i += Long.BYTES) {
            any |= Memory.getLong(eightBlocks + i);
        }
        return any == 0;
    }

    /**
     * Data in pieces that no list of pages describes: without a copy where the drive takes scatter-gather lists and the pieces
     * are whole double words, else copied.
     */
    private void askew() {
        askew(Integer.BYTES, device.controller().info().sgls());
        askew(1, false);
    }

    private void askew(int step, boolean withoutCopy) {
        long bounced = device.controller().bouncedBytes();
        long length = 8L * block;
        long[] lengths = {block + 25L * step, 2L * block - 50L * step, 5L * block + 25L * step};
        long half = memory.lengthBytes() / 2 & -block;
        for (long i = 0; i < 2 * length; i++) {
            Memory.putByte(memory.address() + step + i, (byte) (i * 31 + step));
        }
        one(BlockIo.WRITE, 0, length, pieces(memory.address() + step, lengths));
        one(BlockIo.READ, 0, length, pieces(memory.address() + half + step, lengths));
        long at = 0;
        for (long piece : lengths) {
            // Between pieces lies a gap of a step.
            if (Memory.mismatch(memory.address() + step + at, memory.address() + half + step + at, piece) >= 0) {
                throw new AssertionError("a piece at " + at + " came back otherwise");
            }
            at += piece + step;
        }
        boolean copied = device.controller().bouncedBytes() != bounced;
        if (copied == withoutCopy) {
            throw new AssertionError("pieces of " + step + " bytes: copied " + copied);
        }
        System.out.printf("pieces aligned to %d bytes: %s%n", step, copied ? "copied" : "not copied");
    }

    private long pieces(long address, long[] lengths) {
        long iovecs =
                arena.allocate((long) Iovecs.IOVEC_SIZE * lengths.length, 8).address();
        long at = address;
        for (int i = 0; i < lengths.length; i++) {
            Iovecs.set(iovecs, i, at, lengths[i]);
            at += lengths[i] + (address & 7);
        }
        return iovecs;
    }

    private void one(int operation, long offset, long length) {
        one(operation, offset, length, 0);
    }

    /** @param pieces three iovecs, or 0 */
    private void one(int operation, long offset, long length, long pieces) {
        int[] result = {BlockChannel.PENDING};
        BlockIo io = new BlockIo() {
            @Override
            public void onComplete(int status) {
                result[0] = status;
            }
        };
        io.operation = operation;
        io.offsetBytes = offset;
        io.lengthBytes = length;
        io.iovecsAddress = pieces;
        io.iovecCount = pieces == 0 ? 0 : 3;
        int status = channel.submit(io);
        while (status == BlockChannel.PENDING && result[0] == BlockChannel.PENDING) {
            reactor.runOnce();
        }
        int end = status == BlockChannel.PENDING ? result[0] : status;
        if (end != 0) {
            throw new AssertionError("operation " + operation + ": " + Errno.name(end));
        }
    }

    private void drain() {
        while (channel.inFlight() > 0) {
            reactor.runOnce();
        }
    }

    /**
     * Arguments: block device, requests for each depth, {@code tolerant} when errors are only counted, and the first depth
     * when that is not 1.
     */
    public static void main(String[] arguments) {
        boolean tolerant = arguments.length > 2;
        int requests = Integer.parseInt(arguments[1]);
        try (BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse(arguments[0]), false)) {
            NvmeDevice nvme = (NvmeDevice) device;
            System.out.printf("%s: %d bytes in blocks of %d%n", nvme.name(), nvme.capacityBytes(), nvme.blockSize());
            long blocks = Math.min(nvme.capacityBytes() / nvme.blockSize(), WORKING_SET_BLOCKS);
            LabIo lab = new LabIo(nvme, blocks, tolerant);
            if (!tolerant) {
                lab.otherCommands();
            }
            int firstDepth = arguments.length > 3 ? Integer.parseInt(arguments[3]) : 1;
            for (int depth = firstDepth; depth <= MAX_DEPTH; depth *= 4) {
                lab.run(depth, requests);
            }
            if (!tolerant) {
                System.out.printf(
                        "%s aligned I/O is zero copy: asked for bytes %d, zero-copy bytes %d, bounced bytes %d%n",
                        nvme.controller().zeroCopyBytes() == lab.bytes ? "all" : "not all",
                        lab.bytes,
                        nvme.controller().zeroCopyBytes(),
                        nvme.controller().bouncedBytes());
                lab.askew();
            }
            lab.channel.close();
            lab.memory.close();
            lab.arena.close();
            System.out.printf("errors %d of %d requests%n", lab.errors, lab.requests);
            System.out.printf(
                    "zero-copy bytes %d, bounced bytes %d; %s%n",
                    nvme.controller().zeroCopyBytes(),
                    nvme.controller().bouncedBytes(),
                    nvme.controller().counters());
        }
    }
}

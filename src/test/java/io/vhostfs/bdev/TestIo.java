package io.vhostfs.bdev;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.util.Random;

/** A request of a test, with memory of its own, that says how it ended. One thread. */
final class TestIo extends BlockIo {
    private static final int NOT_ENDED = Integer.MAX_VALUE;

    private final Arena arena;
    private int status = NOT_ENDED;
    private Runnable whenEnded = () -> {};

    TestIo(Arena arena) {
        this.arena = arena;
    }

    static TestIo of(Arena arena, int operation, long offsetBytes, long lengthBytes) {
        TestIo io = new TestIo(arena);
        io.operation = operation;
        io.offsetBytes = offsetBytes;
        io.lengthBytes = lengthBytes;
        return io;
    }

    /** Sets the buffers: one after the other in new memory aligned to a page. */
    TestIo buffers(long... lengths) {
        long total = 0;
        for (long length : lengths) {
            total += length;
        }
        long at = arena.allocate(Math.max(1, total), 4096).address();
        iovecsAddress =
                arena.allocate((long) Iovecs.IOVEC_SIZE * lengths.length, 8).address();
        iovecCount = lengths.length;
        for (int i = 0; i < lengths.length; i++) {
            Iovecs.set(iovecsAddress, i, at, lengths[i]);
            at += lengths[i];
        }
        return this;
    }

    /** Sets the one buffer. */
    TestIo at(long address) {
        Iovecs.set(iovecsAddress, 0, address, lengthBytes);
        return this;
    }

    /** What its owner does when it ends. */
    TestIo whenEnded(Runnable action) {
        whenEnded = action;
        return this;
    }

    int status() {
        return status;
    }

    TestIo filled(long seed) {
        byte[] bytes = new byte[(int) lengthBytes];
        new Random(seed).nextBytes(bytes);
        return filled(bytes);
    }

    TestIo filled(byte[] bytes) {
        Memory.copyFromArray(bytes, 0, Iovecs.base(iovecsAddress, 0), bytes.length);
        return this;
    }

    byte[] content() {
        byte[] bytes = new byte[(int) lengthBytes];
        Memory.copyToArray(Iovecs.base(iovecsAddress, 0), bytes, 0, bytes.length);
        return bytes;
    }

    /** Submits and drives the reactor until the request has ended; its status. */
    int run(BlockChannel channel, Reactor reactor) {
        submitTo(channel);
        return await(reactor);
    }

    void submitTo(BlockChannel channel) {
        status = NOT_ENDED;
        int result = channel.submit(this);
        if (result != BlockChannel.PENDING) {
            onComplete(result);
        }
    }

    int await(Reactor reactor) {
        while (status == NOT_ENDED) {
            if (reactor.runOnce() == 0) {
                Thread.onSpinWait();
            }
        }
        return status;
    }

    boolean ended() {
        return status != NOT_ENDED;
    }

    @Override
    public void onComplete(int ioStatus) {
        if (status != NOT_ENDED) {
            throw new AssertionError("completed twice");
        }
        status = ioStatus;
        whenEnded.run();
    }
}

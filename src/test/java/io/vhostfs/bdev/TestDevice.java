package io.vhostfs.bdev;

import io.vhostfs.reactor.Reactor;

/** A disk for tests that answers within the call; what is special about one it overrides. */
public abstract class TestDevice implements BlockDevice {
    public static final int SECTOR = 512;
    public static final int BLOCK = 4096;

    private final String name;

    protected TestDevice(String name) {
        this.name = name;
    }

    /** Does what is asked for; 0 or a negative errno. */
    protected abstract int answer(BlockIo io);

    @Override
    public String name() {
        return name;
    }

    @Override
    public int blockSize() {
        return SECTOR;
    }

    @Override
    public boolean hasVolatileCache() {
        return false;
    }

    @Override
    public int atomicWriteBytes() {
        return BLOCK;
    }

    @Override
    public boolean supportsDiscard() {
        return false;
    }

    @Override
    public int memoryAlignment() {
        return 1;
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        return new BlockChannel() {
            @Override
            public int submit(BlockIo io) {
                return answer(io);
            }

            @Override
            public int inFlight() {
                return 0;
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public void close() {}
}

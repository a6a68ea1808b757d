package io.vhostfs.bdev;

import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;

/** A disk for tests in front of another one that has the content; what is special about it it overrides. */
public abstract class ForwardingDevice implements BlockDevice {
    private final BlockDevice inner;

    protected ForwardingDevice(BlockDevice inner) {
        this.inner = inner;
    }

    @Override
    public String name() {
        return inner.name();
    }

    @Override
    public int blockSize() {
        return inner.blockSize();
    }

    @Override
    public long capacityBytes() {
        return inner.capacityBytes();
    }

    @Override
    public boolean hasVolatileCache() {
        return inner.hasVolatileCache();
    }

    @Override
    public int atomicWriteBytes() {
        return inner.atomicWriteBytes();
    }

    @Override
    public boolean supportsDiscard() {
        return inner.supportsDiscard();
    }

    @Override
    public int memoryAlignment() {
        return inner.memoryAlignment();
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        return openChannel(reactor, inner.openChannel(reactor));
    }

    protected abstract BlockChannel openChannel(Reactor reactor, BlockChannel below);

    @Override
    public void close() {
        inner.close();
    }

    /** A channel that answers some requests later, in turns of its reactor. */
    protected abstract static class LateChannel implements BlockChannel, Poller {
        private final Reactor reactor;
        protected final BlockChannel below;

        protected LateChannel(Reactor reactor, BlockChannel below) {
            this.reactor = reactor;
            this.below = below;
            reactor.addPoller(this);
        }

        @Override
        public boolean prepareToSleep() {
            return inFlight() == 0;
        }

        @Override
        public void wake() {}

        @Override
        public void close() {
            reactor.removePoller(this);
            below.close();
        }
    }
}

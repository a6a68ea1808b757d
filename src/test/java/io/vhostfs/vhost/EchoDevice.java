package io.vhostfs.vhost;

import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.virtio.ChainHandler;
import io.vhostfs.virtio.DescriptorChain;
import io.vhostfs.virtio.SplitVirtqueue;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A device that answers each chain with its readable bytes; can hold chains back until it is told to complete them.
 *
 * <p>Chains on the reactors, everything else from any thread.
 */
final class EchoDevice implements VhostDeviceBackend {
    private static final int MAX_ECHO_BYTES = 1 << 20;

    final AtomicInteger resets = new AtomicInteger();
    final AtomicInteger disconnects = new AtomicInteger();
    final AtomicInteger chains = new AtomicInteger();
    final List<String> events = new CopyOnWriteArrayList<>();
    volatile boolean holding;
    volatile boolean throwing;

    private final String name;
    private final int queues;
    private final Reactor reactor;
    private final long bounce = Arena.global().allocate(MAX_ECHO_BYTES).address();
    private final Deque<DescriptorChain> held = new ArrayDeque<>();

    EchoDevice(String name, int queues, Reactor reactor) {
        this.name = name;
        this.queues = queues;
        this.reactor = reactor;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int queueCount() {
        return queues;
    }

    @Override
    public byte[] config() {
        byte[] config = new byte[40];
        config[0] = 'e';
        config[36] = (byte) (queues - 1);
        return config;
    }

    @Override
    public Reactor reactorFor(int queueIndex) {
        return reactor;
    }

    @Override
    public ChainHandler onQueueStarted(int queueIndex, SplitVirtqueue queue) {
        events.add("started " + queueIndex);
        return this::onChain;
    }

    @Override
    public void onQueueStopped(int queueIndex) {
        events.add("stopped " + queueIndex);
        held.clear();
    }

    @Override
    public void onReset(Runnable done) {
        resets.incrementAndGet();
        done.run();
    }

    @Override
    public void onDisconnect(Runnable done) {
        disconnects.incrementAndGet();
        done.run();
    }

    /** Completes, on the reactor, what was held back. */
    void completeHeld() {
        holding = false;
        reactor.send(() -> {
            while (!held.isEmpty()) {
                echo(held.pop());
            }
        });
    }

    private void onChain(DescriptorChain chain) {
        chains.incrementAndGet();
        if (throwing) {
            throw new IllegalStateException("a bug");
        }
        if (holding) {
            held.add(chain);
        } else {
            echo(chain);
        }
    }

    private void echo(DescriptorChain chain) {
        long length = Math.min(Math.min(chain.readableBytes(), chain.writableBytes()), MAX_ECHO_BYTES);
        int written = 0;
        try {
            Iovecs.gather(chain.readableIovecs(), chain.readableCount(), 0, bounce, length);
            written = (int) Iovecs.scatter(bounce, length, chain.writableIovecs(), chain.writableCount(), 0);
            Memory.deliverFault();
        } catch (InternalError fault) {
            chain.queue().onMemoryFault(fault);
        }
        chain.queue().pushUsed(chain, written);
    }
}

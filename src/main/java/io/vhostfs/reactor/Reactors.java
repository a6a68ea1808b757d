package io.vhostfs.reactor;

import java.util.ArrayList;
import java.util.List;

/**
 * The reactors of a process, started and ended together: one per core of a mask, or unpinned ones.
 *
 * <p>Invariant: all run, or none. Control threads only.
 */
public final class Reactors implements AutoCloseable {
    private final List<Reactor> reactors;

    private Reactors(List<Reactor> reactors) {
        this.reactors = List.copyOf(reactors);
    }

    /**
     * Starts one pinned reactor on each core of {@code cores}, named {@code reactor-CORE}.
     *
     * @throws CoreMaskException when this process may not run on one of them
     * @throws ReactorException when one does not start; those that did are stopped
     */
    public static Reactors start(CoreMask cores, IdlePolicy idlePolicy) throws InterruptedException {
        List<Reactor.Config> configs = new ArrayList<>();
        for (int core : cores.requireAllowed().cores()) {
            configs.add(Reactor.Config.named("reactor-" + core).withCore(core).withIdlePolicy(idlePolicy));
        }
        return start(configs);
    }

    /** Starts a reactor for each of at least one configuration. */
    public static Reactors start(List<Reactor.Config> configs) throws InterruptedException {
        if (configs.isEmpty()) {
            throw new IllegalArgumentException("no reactor is configured");
        }
        List<Reactor> running = new ArrayList<>();
        try {
            for (Reactor.Config config : configs) {
                Reactor reactor = new Reactor(config);
                reactor.start();
                running.add(reactor);
            }
        } catch (RuntimeException e) {
            stopAll(running);
            throw e;
        }
        return new Reactors(running);
    }

    /** The first: where a file system's metadata lives unless configured otherwise. */
    public Reactor home() {
        return reactors.getFirst();
    }

    public Reactor get(int index) {
        return reactors.get(index);
    }

    public int count() {
        return reactors.size();
    }

    public List<Reactor> all() {
        return reactors;
    }

    /** Stops all and waits for them. Again: no effect. */
    public void stop() throws InterruptedException {
        stopAll(reactors);
    }

    @Override
    public void close() {
        try {
            stop();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void stopAll(List<Reactor> reactors) throws InterruptedException {
        for (Reactor reactor : reactors.reversed()) {
            reactor.stop();
        }
    }
}

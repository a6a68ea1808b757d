package io.vhostfs.vhost;

import io.vhostfs.reactor.Reactor;
import java.io.IOException;
import java.nio.file.Path;

/** A reactor with an echo device behind a socket, for one test. */
final class EchoTarget implements AutoCloseable {
    static final int QUEUES = 3;

    final Path path;
    final Reactor reactor;
    final EchoDevice device;
    final VhostUserServer server;
    private final boolean ownsReactor;

    EchoTarget(Path directory, String name) throws IOException {
        this(directory, name, startedReactor(name), true);
    }

    /** One more device on a reactor that belongs to another target. */
    EchoTarget(Path directory, String name, Reactor reactor) throws IOException {
        this(directory, name, reactor, false);
    }

    private EchoTarget(Path directory, String name, Reactor reactor, boolean ownsReactor) throws IOException {
        path = directory.resolve(name + ".sock");
        this.reactor = reactor;
        this.ownsReactor = ownsReactor;
        device = new EchoDevice(name, QUEUES, reactor);
        server = VhostUserServer.listen(path, null, device);
        server.start();
    }

    private static Reactor startedReactor(String name) {
        Reactor reactor = new Reactor(name);
        reactor.start();
        return reactor;
    }

    /** The next front end is let in and served. */
    void assertServes() throws IOException {
        try (TestFrontEnd front = TestFrontEnd.connectWhenFree(path)) {
            front.startRing(1, 64, TestFrontEnd.EVENT_IDX | TestFrontEnd.INDIRECT);
            for (int i = 0; i < 100; i++) {
                front.echo(i);
            }
        }
    }

    @Override
    public void close() {
        server.close();
        if (ownsReactor) {
            try {
                reactor.stop();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}

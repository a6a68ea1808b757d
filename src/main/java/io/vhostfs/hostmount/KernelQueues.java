package io.vhostfs.hostmount;

import io.vhostfs.fuse.FuseSession;
import io.vhostfs.reactor.CoreMask;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.uring.Ring;
import io.vhostfs.uring.UringException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The rings of a mount, one for each processor's queue of the kernel, spread over reactors.
 *
 * <p>Invariant: they are all there before the kernel is told that requests may come through io_uring, since it holds every
 * request back from then on until all its queues are registered. Control threads only; each ring is opened and closed on
 * the reactor that polls it.
 */
final class KernelQueues {
    private static final Path PARAMETER = Path.of("/sys/module/fuse/parameters/enable_uring");

    /** Processors that may ever be there: the kernel has a queue for each of these. */
    private static final Path POSSIBLE_PROCESSORS = Path.of("/sys/devices/system/cpu/possible");

    private record Opened(Reactor reactor, Ring ring) {}

    /** A queue and the reactor that polls it. */
    record Polled(Reactor reactor, UringQueue queue) {}

    private final List<Opened> opened = new ArrayList<>();
    private final String whyNone;

    private KernelQueues(String whyNone) {
        this.whyNone = whyNone;
    }

    static KernelQueues none(String why) {
        return new KernelQueues(why);
    }

    /**
     * Opens a ring for each processor; none when this kernel has no such queues, or gives no rings.
     *
     * @param device the mount's file of {@code /dev/fuse}
     * @param entries of each queue
     */
    static KernelQueues open(int device, int entries, List<Reactor> reactors) throws InterruptedException {
        int processors;
        try {
            if (!Files.readString(PARAMETER).startsWith("Y")) {
                return none("for requests through io_uring: echo Y > " + PARAMETER);
            }
            processors = CoreMask.parse(Files.readString(POSSIBLE_PROCESSORS)).count();
        } catch (IOException e) {
            return none("FUSE over io_uring is in Linux 6.14 and newer");
        }
        KernelQueues queues = new KernelQueues("the kernel did not offer FUSE_OVER_IO_URING");
        for (int i = 0; i < processors; i++) {
            Reactor reactor = reactors.get(i % reactors.size());
            Object result = reactor.ask(() -> openRing(device, entries));
            if (result instanceof Ring ring) {
                queues.opened.add(new Opened(reactor, ring));
            } else {
                queues.close();
                return none(result.toString());
            }
        }
        return queues;
    }

    /** A ring, or why there is none. */
    private static Object openRing(int device, int entries) {
        try {
            Ring ring = Ring.openForCommands(entries);
            try {
                ring.registerFile(device);
                return ring;
            } catch (UringException e) {
                ring.close();
                throw e;
            }
        } catch (UringException e) {
            return e.getMessage();
        }
    }

    boolean areThere() {
        return !opened.isEmpty();
    }

    /** Why requests do not come through io_uring, when they do not. */
    String whyNone() {
        return whyNone;
    }

    /** File descriptors of the rings. */
    List<Integer> fds() {
        return opened.stream().map(o -> o.ring().fd()).toList();
    }

    /** The queues of a session, of which the kernel knows nothing yet. They own the rings from here on. */
    List<Polled> attach(RequestSource.Owner owner, FuseSession session) throws InterruptedException {
        List<Polled> queues = new ArrayList<>();
        for (int i = 0; i < opened.size(); i++) {
            Opened o = opened.get(i);
            int queueId = i;
            queues.add(o.reactor()
                    .ask(() ->
                            new Polled(o.reactor(), new UringQueue(owner, o.ring(), queueId, session, o.reactor()))));
        }
        return queues;
    }

    /** For rings that no queue owns. */
    void close() throws InterruptedException {
        for (Opened o : opened) {
            o.reactor().ask(() -> {
                o.ring().close();
                return true;
            });
        }
    }
}

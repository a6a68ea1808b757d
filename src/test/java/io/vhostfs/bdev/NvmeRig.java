package io.vhostfs.bdev;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.nvme.NamespaceInfo;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.NvmeOptions;
import io.vhostfs.nvme.model.ModelConfig;
import io.vhostfs.nvme.model.ModelController;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.reactor.ReactorClock;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

/** A model of a drive, its driver and reactors, all on one thread and one simulated clock. */
final class NvmeRig implements AutoCloseable {
    /** A run that takes longer hangs: a simulated minute and more. */
    private static final int MAX_ROUNDS = 200_000;

    private static final long ROUND_NS = TimeUnit.MILLISECONDS.toNanos(1);

    static final NvmeOptions OPTIONS =
            NvmeOptions.DEFAULT.withTimeouts(TimeUnit.MILLISECONDS.toNanos(200), TimeUnit.MILLISECONDS.toNanos(500));

    final ModelController model;
    final NvmeController controller;
    final Arena arena = Arena.ofConfined();
    final HugepageMemory buffers = HugepageMemory.allocate(8 << 20, "buffers of a test");
    private final List<Reactor> reactors = new ArrayList<>();
    private final List<BlockChannel> channels = new ArrayList<>();
    private final CopyOnWriteArrayList<NvmeChannel> owners = new CopyOnWriteArrayList<>();

    NvmeRig(ModelConfig config) throws NvmeException {
        this(config, OPTIONS);
    }

    NvmeRig(ModelConfig config, NvmeOptions options) throws NvmeException {
        this(new ModelController(config), options);
    }

    NvmeRig(ModelController model, NvmeOptions options) throws NvmeException {
        this.model = model;
        model.setOnPause(() -> reactors.forEach(Reactor::runOnce));
        controller = NvmeController.open(model, options);
    }

    Reactor reactor() {
        Reactor reactor = new Reactor(Reactor.Config.named("rig").withClock(new ReactorClock() {
            @Override
            public long monotonicNs() {
                return model.nowNs();
            }

            @Override
            public long wallClockNs() {
                return model.nowNs();
            }
        }));
        reactors.add(reactor);
        return reactor;
    }

    NvmeDevice device(int nsid) {
        NamespaceInfo namespace = controller.namespaces().get(nsid - 1);
        return new NvmeDevice("nvme:model,nsid=" + nsid, controller, namespace, owners, () -> {});
    }

    BlockChannel channel(NvmeDevice device) {
        BlockChannel channel = device.openChannel(reactor());
        channels.add(channel);
        return channel;
    }

    /** A request on memory that is mapped for DMA, from {@code bufferOffset} on in one piece. */
    TestIo mapped(int operation, long offset, int length, long bufferOffset) {
        TestIo io = TestIo.of(arena, operation, offset, length);
        io.iovecsAddress = arena.allocate(16, 8).address();
        io.iovecCount = 1;
        io.at(buffers.address() + bufferOffset);
        return io;
    }

    /** Submits and lets everything run until the request has ended. */
    int run(BlockChannel channel, TestIo io) {
        io.submitTo(channel);
        return await(io);
    }

    int await(TestIo io) {
        for (int i = 0; !io.ended(); i++) {
            if (i > MAX_ROUNDS) {
                throw new AssertionError("hangs; " + controller.state() + " " + controller.counters());
            }
            round();
        }
        return io.status();
    }

    /** One turn of everything. */
    void round() {
        model.step();
        reactors.forEach(Reactor::runOnce);
        controller.watch();
        model.advance(ROUND_NS);
    }

    @Override
    public void close() {
        for (int i = 0; i < 1000 && channels.stream().anyMatch(c -> c.inFlight() != 0); i++) {
            round();
        }
        channels.reversed().forEach(BlockChannel::close);
        controller.close();
        buffers.close();
        arena.close();
    }
}

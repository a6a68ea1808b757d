package io.vhostfs.bench;

import io.vhostfs.memory.HugepageMemory;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.memory.PermanentMemory;
import io.vhostfs.nvme.Commands;
import io.vhostfs.nvme.NvmeConstants;
import io.vhostfs.nvme.NvmeController;
import io.vhostfs.nvme.NvmeException;
import io.vhostfs.nvme.NvmeOptions;
import io.vhostfs.nvme.QueuePair;
import io.vhostfs.nvme.model.ModelConfig;
import io.vhostfs.nvme.model.ModelController;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Submission and completion of 4 KiB reads on an NVMe queue pair, against a model that moves no data, beside an eventfd
 * write: the cheapest system call that a kernel's driver would need. The model's own part is measured alone.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class NvmeBenchmark {
    private static final int BATCH = 32;

    /** A queue pair, its model, and a counter to write to. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls open first
    public static class Drive implements QueuePair.Owner {
        private final ModelController model = new ModelController(
                new ModelConfig().namespace(512, 1 << 16).queuePairs(1).withoutData());
        private final HugepageMemory buffer = HugepageMemory.allocate(HugepageMemory.HUGEPAGE_SIZE, "benchmark");
        private final long iovec = PermanentMemory.allocate(Iovecs.IOVEC_SIZE);
        private final int eventFd = Libc.eventfd(0, LibcConstants.EFD_CLOEXEC | LibcConstants.EFD_NONBLOCK);
        private final long one = PermanentMemory.allocate(Long.BYTES);
        private NvmeController controller;
        private QueuePair pair;
        private int done;

        @Setup
        public void open() throws NvmeException {
            controller = NvmeController.open(model, NvmeOptions.DEFAULT);
            pair = Objects.requireNonNull(controller.attach(new Reactor("benchmark"), this));
            Iovecs.set(iovec, 0, buffer.address(), 4096);
        }

        @TearDown
        public void close() {
            controller.detach(pair);
            controller.close();
            buffer.close();
            Libc.close(eventFd);
        }

        @Override
        public void onCommandDone(int slot, int status) {
            done++;
        }

        private void submitRead(int index) {
            int slot = pair.takeSlot();
            long command = pair.command(slot);
            Commands.start(command, NvmeConstants.NVME_CMD_READ, 1);
            pair.pointTo(slot, iovec, 1, 0, 4096, 512);
            Commands.blocks(command, index * 8L, 8, 0);
            pair.submit(slot);
        }
    }

    /** One read: submitted, doorbell rung, carried out by the model, completed. */
    @Benchmark
    public int readOne(Drive drive) {
        drive.submitRead(0);
        drive.pair.poll();
        drive.model.step();
        drive.pair.poll();
        return drive.done;
    }

    /** 32 reads with one doorbell write and one look at the completions; per read. */
    @Benchmark
    @OperationsPerInvocation(BATCH)
    public int readBatch(Drive drive) {
        for (int i = 0; i < BATCH; i++) {
            drive.submitRead(i);
        }
        drive.pair.poll();
        drive.model.step();
        drive.pair.poll();
        return drive.done;
    }

    /** A look at a queue without completions, as a polling reactor makes it all the time. */
    @Benchmark
    public int pollEmpty(Drive drive) {
        return drive.pair.poll();
    }

    /** The model's look at doorbells that have not changed: to be taken off {@link #readOne}. */
    @Benchmark
    public int modelAlone(Drive drive) {
        return drive.model.step();
    }

    /** What it is compared with. */
    @Benchmark
    public long eventfdWrite(Drive drive) {
        Memory.putLong(drive.one, 1);
        return Libc.write(drive.eventFd, drive.one, Long.BYTES);
    }
}

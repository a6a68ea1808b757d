package io.vhostfs.bench;

import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.reactor.Message;
import io.vhostfs.reactor.Reactor;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** A message to a reactor: on one thread, and there and back between two that poll. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-XX:+UseSerialGC", "-Xmx256m"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class MailboxBenchmark {
    /** A reactor that JMH's thread drives turn by turn. */
    @State(Scope.Thread)
    public static class Stepped {
        private final Reactor reactor =
                new Reactor(Reactor.Config.named("stepped").withIdlePolicy(IdlePolicy.BUSY));
        private long delivered;
        private final Message message = () -> delivered++;
    }

    /** A reactor on a thread of its own, which answers by a counter. */
    @State(Scope.Thread)
    public static class Running {
        private final Reactor reactor =
                new Reactor(Reactor.Config.named("running").withIdlePolicy(IdlePolicy.BUSY));
        private volatile long answered;
        private final Message message = this::answer;

        @SuppressWarnings("NonAtomicVolatileUpdate") // the reactor is the only writer
        private void answer() {
            answered++;
        }

        @Setup
        public void start() {
            reactor.start();
        }

        @TearDown
        public void stop() throws InterruptedException {
            reactor.stop();
        }
    }

    @Benchmark
    public long sendAndTurn(Stepped stepped) {
        stepped.reactor.send(stepped.message);
        stepped.reactor.runOnce();
        return stepped.delivered;
    }

    @Benchmark
    public long roundTrip(Running running) {
        long expected = running.answered + 1;
        running.reactor.send(running.message);
        while (running.answered != expected) {
            Thread.onSpinWait();
        }
        return expected;
    }
}

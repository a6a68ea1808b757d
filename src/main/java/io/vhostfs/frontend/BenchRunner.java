package io.vhostfs.frontend;

import static io.vhostfs.os.LibcConstants.SIGCONT;
import static io.vhostfs.os.LibcConstants.SIGSTOP;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Measures one or more running targets with the same client, in turns, in one process.
 *
 * <p>At any time one target has load. The others may be stopped meanwhile, so that one that polls does not take the core from
 * the one that is measured. What the data file holds is checked before the first and after the last measurement of each
 * target. The calling thread does everything and should be pinned, away from the targets' cores.
 */
public final class BenchRunner {
    /**
     * Who is measured.
     *
     * @param name in reports
     * @param socket the vhost-user socket
     * @param pid whose processor time counts, with its children's; 0 for the process that listens on the socket
     */
    public record Target(String name, Path socket, long pid) {}

    /**
     * How it is measured.
     *
     * @param workloads what is run
     * @param repetitions of each workload per target
     * @param measureMs length of a repetition
     * @param warmUpMs load before each repetition that does not count, 0 for none; the first has ten times as much
     * @param dataBytes size of the data file, a multiple of 1 MiB
     * @param stopOthers whether targets that are not measured are stopped by signal
     */
    public record Options(
            List<BenchWorkload> workloads,
            int repetitions,
            int measureMs,
            int warmUpMs,
            long dataBytes,
            boolean stopOthers) {
        public static final Options DEFAULT = new Options(BenchWorkload.all(), 5, 500, 100, 256 << 20, false);
    }

    private final Options options;
    private final Consumer<String> progress;
    private final WindowRecorder recorder;
    private final WindowRecorder warmUp;

    public BenchRunner(Options options, Consumer<String> progress) {
        this.options = options;
        this.progress = progress;
        recorder = new WindowRecorder(options.measureMs() * 1_000_000L);
        warmUp = new WindowRecorder(options.warmUpMs() * 1_000_000L);
    }

    public BenchReport run(List<Target> targets) throws IOException {
        List<Session> sessions = new ArrayList<>();
        try {
            for (Target target : targets) {
                progress.accept("preparing " + target.name());
                Session session = new Session(target, options);
                sessions.add(session);
                session.files.verify();
                stop(session, true);
            }
            List<BenchReport.Result> results = new ArrayList<>();
            for (BenchWorkload workload : options.workloads()) {
                progress.accept(workload.id());
                results.add(new BenchReport.Result(workload, measure(sessions, workload)));
            }
            for (Session session : sessions) {
                progress.accept("checking the data of " + session.target.name());
                stop(session, false);
                session.finish();
                stop(session, true);
            }
            return new BenchReport(
                    targets.stream().map(Target::name).toList(),
                    results,
                    sessions.stream().map(Session::kicks).toList());
        } finally {
            for (Session session : sessions) {
                stop(session, false);
                session.close();
            }
        }
    }

    private List<BenchSample> measure(List<Session> sessions, BenchWorkload workload) throws IOException {
        List<List<BenchSample>> samples = new ArrayList<>();
        for (Session session : sessions) {
            stop(session, false);
            session.load(workload);
            samples.add(new ArrayList<>());
            stop(session, true);
        }
        for (int repetition = 0; repetition < options.repetitions(); repetition++) {
            for (int i = 0; i < sessions.size(); i++) {
                Session session = sessions.get(i);
                stop(session, false);
                for (int turn = warmUpTurns(repetition); turn > 0; turn--) {
                    session.generator().run(warmUp);
                    recorder.plan(options.measureMs() * 1_000_000L, warmUp.operationNs());
                }
                samples.get(i).add(session.measure(recorder));
                stop(session, true);
            }
        }
        for (Session session : sessions) {
            stop(session, false);
            session.unload();
            stop(session, true);
        }
        return samples.stream().map(BenchSample::median).toList();
    }

    private void stop(Session session, boolean stopped) throws IOException {
        if (options.stopOthers()) {
            session.signal(stopped ? SIGSTOP : SIGCONT);
        }
    }

    private int warmUpTurns(int repetition) {
        if (options.warmUpMs() == 0) {
            return 0;
        }
        return repetition == 0 ? 10 : 1;
    }

    /** One target's connection, files and current load. */
    private static final class Session {
        private final Target target;
        private final FrontEnd frontEnd;
        private final FuseClient client;
        private final BenchFiles files;
        private final long pid;
        private @Nullable LoadGenerator generator;
        private long memoryMark;

        Session(Target target, Options options) throws IOException {
            this.target = target;
            frontEnd = FrontEnd.connect(target.socket(), FrontEnd.Options.DEFAULT);
            try {
                client = new FuseClient(frontEnd);
                pid = target.pid() != 0 ? target.pid() : frontEnd.socket().peerPid();
                files = new BenchFiles(client, client.init(), options.dataBytes());
            } catch (IOException | RuntimeException e) {
                frontEnd.close();
                throw e;
            }
        }

        void load(BenchWorkload workload) throws IOException {
            memoryMark = frontEnd.memory().mark();
            generator = new LoadGenerator(client, workload, files);
        }

        LoadGenerator generator() {
            return Objects.requireNonNull(generator);
        }

        BenchSample measure(WindowRecorder recorder) throws IOException {
            double before = ProcessCpu.seconds(pid);
            generator().run(recorder);
            double seconds = ProcessCpu.seconds(pid) - before;
            BenchSample sample = recorder.sample();
            return seconds <= 0 ? sample : sample.withOpsPerCpuSecond(recorder.operations() / seconds);
        }

        void unload() throws IOException {
            generator().finish(client);
            generator = null;
            frontEnd.memory().release(memoryMark);
        }

        void finish() throws IOException {
            files.verify();
            files.close();
        }

        long kicks() {
            return frontEnd.queue(FrontEnd.REQUEST_QUEUE).kicks();
        }

        void signal(int signal) throws IOException {
            signal(pid, signal);
            for (ProcessHandle child : ProcessHandle.of(pid).stream()
                    .flatMap(ProcessHandle::descendants)
                    .toList()) {
                signal(child.pid(), signal);
            }
        }

        private static void signal(long pid, int signal) throws IOException {
            int result = Libc.kill((int) pid, signal);
            if (result < 0 && result != -Errno.ESRCH) {
                throw new FrontEndException("signal to process " + pid + ": " + Errno.name(result));
            }
        }

        void close() {
            frontEnd.close();
        }
    }
}

package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * {@code kill -9} of a target under load, again and again on one store; clients keep the journal.
 *
 * <p>{@code -Dvhostfs.kills=100} kills a hundred times, {@code -Dvhostfs.seed=} repeats the clients' choices.
 */
class KillTest {
    private static final int KILLS = Integer.getInteger("vhostfs.kills", 10);
    private static final int CLIENTS = 4;

    /** Small, so that the log goes round and checkpoints come every few hundred syncs. */
    private static final String SIZE = "32M";

    /** Answers of all clients together before a kill, at most. */
    private static final int MAX_ANSWERS = 3000;

    private static final long MAX_DELAY_NS = 2_000_000;

    @TempDir
    Path directory;

    private final AtomicLong answered = new AtomicLong();
    private final List<KillClient> clients = new ArrayList<>();
    private long steps;
    private long lost;
    private long unsynced;

    private String store(String options) {
        return "file:" + directory.resolve("store") + ",size=" + SIZE + options;
    }

    private Path socket(int client) {
        return directory.resolve(client + ".sock");
    }

    private ServeProcess serve(String bdevOptions) throws Exception {
        List<String> options = new ArrayList<>(List.of("--create", "--bdev", store(bdevOptions)));
        List<Path> sockets = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            sockets.add(socket(i));
            options.addAll(List.of("--share", "tag=t" + i + ",mode=shared,socket=" + socket(i)));
        }
        return ServeProcess.start(directory.resolve("log"), sockets, options);
    }

    @ParameterizedTest
    @CsvSource({"'', ''", "',direct=on', ',discard=on'"})
    void whatWasSyncedOutlivesAKillAndTheRestIsOldOrNew(String deviceOptions, String storeOptions) throws Exception {
        long seed = Long.getLong("vhostfs.seed", System.nanoTime());
        Random random = new Random(seed);
        for (int i = 0; i < CLIENTS; i++) {
            clients.add(new KillClient(i, socket(i), random.nextLong(), answered));
        }
        try (ExecutorService threads = Executors.newFixedThreadPool(CLIENTS)) {
            for (int kill = 0; kill < KILLS; kill++) {
                killOnce(kill, deviceOptions, storeOptions, random, threads);
            }
            try (ServeProcess serve = serve(deviceOptions + storeOptions)) {
                attachAndCheck(false);
                hangUp();
                assertEquals(0, serve.stop(), "exit code");
            }
            StoreCheck.assertSound(store(deviceOptions));
        } catch (AssertionError e) {
            throw new AssertionError("seed " + seed + ": " + e.getMessage(), e);
        }
        System.out.printf(
                "%d kills%s: %d steps, %d of them after the last sync, %d lost; seed %d%n",
                KILLS, deviceOptions, steps, unsynced, lost, seed);
        assertTrue(steps > KILLS, "there was no load");
    }

    private void killOnce(int kill, String deviceOptions, String storeOptions, Random random, ExecutorService threads)
            throws Exception {
        try (ServeProcess serve = serve(deviceOptions + storeOptions)) {
            attachAndCheck(kill == 0);
            long until = answered.get() + 1 + random.nextInt(1 + random.nextInt(MAX_ANSWERS));
            List<Future<?>> running = new ArrayList<>();
            for (KillClient client : clients) {
                running.add(threads.submit(client::workUntilKilled));
            }
            TestTargets.await(
                    "answers", () -> answered.get() >= until || running.stream().anyMatch(Future::isDone));
            LockSupport.parkNanos(random.nextLong(MAX_DELAY_NS));
            assertTrue(serve.isAlive(), serve.output());
            serve.kill();
            for (Future<?> client : running) {
                client.get();
            }
        }
        hangUp();
        StoreCheck.assertSound(store(deviceOptions));
    }

    private void attachAndCheck(boolean first) throws Exception {
        List<List<KillJournal.Step>> all = new ArrayList<>();
        List<KillJournal.Kept> kept = new ArrayList<>();
        for (KillClient client : clients) {
            client.connect(first);
            all.add(client.journal().steps());
            KillJournal.Kept k = client.check();
            kept.add(k);
            steps += k.steps();
            unsynced += k.steps() - k.synced();
            lost += k.steps() - k.longest();
        }
        KillJournal.assertOnePrefix(all, kept);
    }

    private void hangUp() {
        clients.forEach(KillClient::close);
    }
}

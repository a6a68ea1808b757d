package io.vhostfs.target;

import static io.vhostfs.os.LibcConstants.O_RDWR;
import static io.vhostfs.os.LibcConstants.S_IFREG;
import static io.vhostfs.target.SectorPattern.SECTOR;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.FuseErrnoException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A guest that works on files of its own until its target is gone, and then finds out what the next target kept.
 *
 * <p>One request of it is in flight at a time; several clients on shares of one file system keep as many in flight. Each
 * request is in the journal before it is sent, and marked when its answer has come. One thread at a time.
 */
final class KillClient implements AutoCloseable {
    private static final int MAX_FILES = 20;
    private static final int MAX_FILE_SECTORS = 192;
    private static final int MAX_WRITE_SECTORS = 64;
    private static final String[] DIRECTORIES = {"a", "b"};

    /** How many of the steps before a kill are syncs: many leave little to lose, few leave long prefixes. */
    private static final int[] SYNC_PERCENT = {0, 1, 1, 5, 20};

    private final int number;
    private final Path socket;
    private final Random random;
    private final AtomicLong answered;
    private final KillJournal journal = new KillJournal();
    private final Map<String, Long> directories = new HashMap<>();
    private final Map<String, Long> sizes = new TreeMap<>();
    private final Map<String, FuseClient.Handle> handles = new HashMap<>();
    private int nextName;
    private int syncPercent;
    private @Nullable Guest guest;

    /** @param answered counts the answers of all clients */
    KillClient(int number, Path socket, long seed, AtomicLong answered) {
        this.number = number;
        this.socket = socket;
        this.answered = answered;
        random = new Random(seed);
    }

    KillJournal journal() {
        return journal;
    }

    private FuseClient fuse() {
        if (guest == null) {
            throw new IllegalStateException("not connected");
        }
        return guest.fuse;
    }

    /** Attaches to a target that has just started; makes the directories the first time. */
    void connect(boolean first) throws IOException {
        guest = Guest.mount(socket);
        handles.clear();
        for (String name : DIRECTORIES) {
            FuseClient.Entry entry = first
                    ? fuse().mkdir(FuseClient.ROOT, directoryName(name), 0755)
                    : fuse().lookup(FuseClient.ROOT, directoryName(name));
            directories.put(name, entry.nodeid());
        }
        if (first) {
            fuse().syncfs();
        }
    }

    private String directoryName(String name) {
        return "client" + number + name;
    }

    /** Reads everything back and compares it with the journal. */
    KillJournal.Kept check() throws IOException {
        Map<String, KillJournal.Found> found = new HashMap<>();
        for (String directory : DIRECTORIES) {
            long parent = directory(directory);
            for (String name : TestTargets.names(fuse(), parent)) {
                byte[] data = TestTargets.readFile(fuse(), parent, name);
                long[] versions = new long[(data.length + SECTOR - 1) / SECTOR];
                for (int i = 0; i < data.length / SECTOR; i++) {
                    versions[i] = SectorPattern.version(data, i * SECTOR, number, (long) i * SECTOR);
                }
                found.put(directory + "/" + name, new KillJournal.Found(data.length, versions));
            }
        }
        KillJournal.Kept kept = journal.check(found);
        sizes.clear();
        sizes.putAll(journal.sizes());
        return kept;
    }

    private long directory(String path) {
        Long nodeid = directories.get(path.indexOf('/') < 0 ? path : path.substring(0, path.indexOf('/')));
        if (nodeid == null) {
            throw new IllegalStateException("no directory of " + path);
        }
        return nodeid;
    }

    private static String name(String path) {
        return path.substring(path.indexOf('/') + 1);
    }

    // --- load

    /** Sends requests without end; returns when the target is gone, and throws when an answer is an error. */
    void workUntilKilled() {
        syncPercent = SYNC_PERCENT[random.nextInt(SYNC_PERCENT.length)];
        try {
            while (true) {
                step();
                answered.incrementAndGet();
            }
        } catch (FuseErrnoException e) {
            throw new AssertionError("client " + number + " was refused: " + e.getMessage(), e);
        } catch (IOException e) {
            // The connection ended, which is what the clients wait for; the journal says how far they came.
            assert e.getMessage() != null;
        }
    }

    private void step() throws IOException {
        int dice = random.nextInt(100);
        if (sizes.isEmpty()) {
            create();
        } else if (random.nextInt(100) < syncPercent) {
            sync(dice);
        } else if (dice < 15) {
            if (sizes.size() < MAX_FILES) {
                create();
            } else {
                unlink(anyFile());
            }
        } else if (dice < 66) {
            write(anyFile());
        } else if (dice < 80) {
            truncate(anyFile());
        } else if (dice < 92) {
            rename(anyFile());
        } else {
            unlink(anyFile());
        }
    }

    private String anyFile() {
        List<String> all = new ArrayList<>(sizes.keySet());
        return all.get(random.nextInt(all.size()));
    }

    private String newPath() {
        return DIRECTORIES[random.nextInt(DIRECTORIES.length)] + "/f" + nextName++;
    }

    private FuseClient.Handle handle(String path) throws IOException {
        FuseClient.Handle handle = handles.get(path);
        if (handle == null) {
            FuseClient.Entry entry = fuse().lookup(directory(path), name(path));
            handle = fuse().open(entry.nodeid(), O_RDWR);
            handles.put(path, handle);
        }
        return handle;
    }

    /** Handles of files that are gone are closed now and then only: a kill leaves files without a name behind. */
    private void forgetHandle(FuseClient.@Nullable Handle handle) throws IOException {
        if (handle != null && random.nextInt(3) > 0) {
            fuse().release(handle.nodeid(), handle.fh(), O_RDWR);
        }
    }

    private void create() throws IOException {
        String path = newPath();
        KillJournal.Step step = journal.add(KillJournal.Kind.CREATE, path, "", 0, 0);
        FuseClient.Handle handle = fuse().create(directory(path), name(path), O_RDWR, S_IFREG | 0644);
        step.answered();
        sizes.put(path, 0L);
        handles.put(path, handle);
    }

    private void write(String path) throws IOException {
        FuseClient.Handle handle = handle(path);
        long sectors = size(path) / SECTOR;
        int length = 1 + random.nextInt(random.nextInt(4) == 0 ? MAX_WRITE_SECTORS : 9);
        long at =
                switch (random.nextInt(4)) {
                    case 0 -> sectors;
                    case 1 -> random.nextInt((int) sectors + 16);
                    default -> random.nextInt((int) sectors + 1);
                };
        at = Math.min(at, MAX_FILE_SECTORS - length);
        byte[] data = new byte[length * SECTOR];
        KillJournal.Step step = journal.add(KillJournal.Kind.WRITE, path, "", at * SECTOR, data.length);
        SectorPattern.fill(data, number, step.offset, step.version);
        int written = fuse().write(handle.nodeid(), handle.fh(), step.offset, data);
        if (written != data.length) {
            throw new AssertionError("a write of " + data.length + " bytes wrote " + written);
        }
        step.answered();
        sizes.merge(path, step.offset + data.length, Math::max);
    }

    private long size(String path) {
        Long size = sizes.get(path);
        if (size == null) {
            throw new IllegalStateException("no file " + path);
        }
        return size;
    }

    private void truncate(String path) throws IOException {
        FuseClient.Handle handle = handle(path);
        long sectors = size(path) / SECTOR;
        long to = (long) Math.min(random.nextInt((int) sectors + 12), MAX_FILE_SECTORS) * SECTOR;
        KillJournal.Step step = journal.add(KillJournal.Kind.TRUNCATE, path, "", to, 0);
        fuse().truncate(handle.nodeid(), to);
        step.answered();
        sizes.put(path, to);
    }

    private void rename(String from) throws IOException {
        String to = random.nextBoolean() ? newPath() : anyFile();
        if (to.equals(from)) {
            return;
        }
        KillJournal.Step step = journal.add(KillJournal.Kind.RENAME, from, to, 0, 0);
        fuse().rename(directory(from), name(from), directory(to), name(to), 0);
        step.answered();
        sizes.put(to, size(from));
        sizes.remove(from);
        forgetHandle(handles.remove(to));
        FuseClient.Handle moved = handles.remove(from);
        if (moved != null) {
            handles.put(to, moved);
        }
    }

    private void unlink(String path) throws IOException {
        KillJournal.Step step = journal.add(KillJournal.Kind.UNLINK, path, "", 0, 0);
        fuse().unlink(directory(path), name(path));
        step.answered();
        sizes.remove(path);
        forgetHandle(handles.remove(path));
    }

    private void sync(int dice) throws IOException {
        if (dice < 70) {
            String path = anyFile();
            FuseClient.Handle handle = handle(path);
            KillJournal.Step step = journal.add(KillJournal.Kind.FSYNC, path, "", 0, 0);
            fuse().fsync(handle.nodeid(), handle.fh(), random.nextBoolean());
            step.answered();
        } else if (dice < 85) {
            String path = DIRECTORIES[random.nextInt(DIRECTORIES.length)];
            FuseClient.Handle handle = fuse().opendir(directory(path));
            KillJournal.Step step = journal.add(KillJournal.Kind.FSYNCDIR, path, "", 0, 0);
            fuse().fsyncdir(handle.nodeid(), handle.fh());
            step.answered();
            fuse().releasedir(handle.nodeid(), handle.fh());
        } else {
            KillJournal.Step step = journal.add(KillJournal.Kind.SYNCFS, "", "", 0, 0);
            fuse().syncfs();
            step.answered();
        }
    }

    /** Hangs up without a word. */
    @Override
    public void close() {
        if (guest != null) {
            guest.close();
            guest = null;
        }
    }
}

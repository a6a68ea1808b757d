package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FuseClient;
import io.vhostfs.frontend.FuseErrnoException;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.IdlePolicy;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Configurations of targets, and what tests of running ones share. */
final class TestTargets {
    /** A loaded machine may stall a thread for seconds; a longer wait is a hang. */
    private static final long TIMEOUT_NS = 30_000_000_000L;

    /** Longer than a request takes, shorter than anybody notices. */
    private static final long SPIN_NS = 50_000;

    /** A call that is to fail. */
    interface Call {
        void run() throws IOException;
    }

    private TestTargets() {}

    /** One reactor that is not pinned. */
    static TargetConfig config(List<String> devices, String... shares) {
        return config("", devices, shares);
    }

    static TargetConfig config(String coreMask, List<String> devices, String... shares) {
        return new TargetConfig(
                coreMask,
                IdlePolicy.ADAPTIVE,
                devices.stream().map(DeviceConfig::parse).toList(),
                List.of(shares).stream().map(ShareConfig::parse).toList(),
                true);
    }

    /** A target with one device. */
    static Target start(String device, String... shares) throws IOException, InterruptedException {
        return Target.start(config(List.of(device), shares));
    }

    /** A small store in a file of a directory. */
    static String store(Path directory) {
        return "file:" + directory.resolve("store") + ",size=64M";
    }

    /** A share that listens at {@link #socket}, with more options. */
    static String share(Path directory, String tag, String more) {
        return "tag=" + tag + ",socket=" + socket(directory, tag) + more;
    }

    static Path socket(Path directory, String tag) {
        return directory.resolve(tag + ".sock");
    }

    static void assertErrno(int errno, Call call) {
        FuseErrnoException e = assertThrows(FuseErrnoException.class, call::run);
        assertEquals(Errno.name(errno), Errno.name(e.errno()), e.getMessage());
    }

    /** Waits for what another thread does. */
    static void await(String what, BooleanSupplier condition) {
        long start = System.nanoTime();
        while (!condition.getAsBoolean()) {
            long waitedNs = System.nanoTime() - start;
            if (waitedNs > TIMEOUT_NS) {
                fail("has not come in " + TIMEOUT_NS / 1_000_000_000 + " s: " + what);
            } else if (waitedNs < SPIN_NS) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(SPIN_NS);
            }
        }
    }

    static byte[] random(long seed, int bytes) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    /** Makes a file with {@code data} in it, closed again; returns its nodeid. */
    static long makeFile(FuseClient fuse, long parent, String name, byte[] data) throws IOException {
        FuseClient.Handle file = fuse.create(parent, name, LibcConstants.O_RDWR, LibcConstants.S_IFREG | 0644);
        int written = 0;
        while (written < data.length) {
            byte[] piece = new byte[Math.min(FuseClient.MAX_DATA_BYTES, data.length - written)];
            System.arraycopy(data, written, piece, 0, piece.length);
            assertEquals(piece.length, fuse.write(file.nodeid(), file.fh(), written, piece));
            written += piece.length;
        }
        fuse.release(file.nodeid(), file.fh(), LibcConstants.O_RDWR);
        return file.nodeid();
    }

    /** The whole content of a file. */
    static byte[] readFile(FuseClient fuse, long parent, String name) throws IOException {
        FuseClient.Entry entry = fuse.lookup(parent, name);
        FuseClient.Handle file = fuse.open(entry.nodeid(), LibcConstants.O_RDONLY);
        byte[] data = new byte[(int) entry.attributes().size()];
        int done = 0;
        while (done < data.length) {
            byte[] piece =
                    fuse.read(file.nodeid(), file.fh(), done, Math.min(FuseClient.MAX_DATA_BYTES, data.length - done));
            assertNotEquals(0, piece.length, name + " ends before its size");
            System.arraycopy(piece, 0, data, done, piece.length);
            done += piece.length;
        }
        fuse.release(file.nodeid(), file.fh(), LibcConstants.O_RDONLY);
        fuse.forget(entry.nodeid(), 1);
        return data;
    }

    /** All entries, in the order in which they come, over several buffers; the lookups are given back. */
    static List<FuseClient.DirectoryEntry> list(FuseClient fuse, long directory) throws IOException {
        FuseClient.Handle handle = fuse.opendir(directory);
        List<FuseClient.DirectoryEntry> all = new ArrayList<>();
        long offset = 0;
        List<FuseClient.DirectoryEntry> some = fuse.readdirplus(directory, handle.fh(), offset, 4096);
        while (!some.isEmpty()) {
            for (FuseClient.DirectoryEntry entry : some) {
                all.add(entry);
                offset = entry.offset();
            }
            some = fuse.readdirplus(directory, handle.fh(), offset, 4096);
        }
        fuse.releasedir(directory, handle.fh());
        for (FuseClient.DirectoryEntry entry : all) {
            if (entry.nodeid() != 0) {
                fuse.forget(entry.nodeid(), 1);
            }
        }
        return all;
    }

    /** The names in a directory but {@code .} and {@code ..}. */
    static Set<String> names(FuseClient fuse, long directory) throws IOException {
        Set<String> names = new TreeSet<>();
        for (FuseClient.DirectoryEntry entry : list(fuse, directory)) {
            assertTrue(names.add(entry.name()), () -> entry.name() + " is listed twice");
        }
        names.removeAll(List.of(".", ".."));
        return names;
    }

    /** Reads everything below a directory; returns how many files and directories there are. */
    static int readAll(FuseClient fuse, long directory) throws IOException {
        int count = 0;
        for (String name : names(fuse, directory)) {
            FuseClient.Entry entry = fuse.lookup(directory, name);
            int type = entry.attributes().mode() & LibcConstants.S_IFMT;
            if (type == LibcConstants.S_IFDIR) {
                count += readAll(fuse, entry.nodeid());
            } else if (type == LibcConstants.S_IFREG && entry.attributes().size() <= 64 << 20) {
                readFile(fuse, directory, name);
            } else if (type == LibcConstants.S_IFLNK) {
                fuse.readlink(entry.nodeid());
            }
            fuse.listxattr(entry.nodeid(), 65536 / 8);
            fuse.forget(entry.nodeid(), 1);
            count++;
        }
        return count;
    }
}

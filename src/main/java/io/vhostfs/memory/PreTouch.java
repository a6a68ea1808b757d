package io.vhostfs.memory;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.os.Threads;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes the pages of a mapping present in the background, so that no reactor waits for the kernel to find and zero them: 2
 * MiB take up to some milliseconds.
 *
 * <p>Invariant: what the memory holds does not change, the host keeps an eighth of its memory available, and after {@link
 * #close} nothing is touched. A thread of its own; started and closed by any.
 */
public final class PreTouch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(PreTouch.class);

    /** The kernel's part of one call, and how long {@link #close} may have to wait. */
    private static final long PIECE_BYTES = HugepageMemory.HUGEPAGE_SIZE;

    /** How much is touched between two looks at what the host has left. */
    private static final long LOOK_BYTES = 64L << 20;

    private static final int SHARE_KEPT = 8;
    private static final Path MEMORY_INFO = Path.of("/proc/meminfo");

    static final String THREAD_NAME = "pre-touch";

    private final long address;
    private final long lengthBytes;
    private final String purpose;
    private final Thread thread;
    private volatile boolean stop;

    private PreTouch(long address, long lengthBytes, String purpose) {
        this.address = address;
        this.lengthBytes = lengthBytes;
        this.purpose = purpose;
        thread = new Thread(this::run, THREAD_NAME);
        thread.setDaemon(true);
    }

    /** Begins with memory that is mapped until after {@link #close}. */
    public static PreTouch start(long address, long lengthBytes, String purpose) {
        PreTouch touch = new PreTouch(address, lengthBytes, purpose);
        touch.thread.start();
        return touch;
    }

    private void run() {
        for (long at = 0; at < lengthBytes && !stop; at += PIECE_BYTES) {
            if (at % LOOK_BYTES == 0 && !hostHasEnough()) {
                LOG.info("{}: memory is short, so the rest of it is taken when it is used", purpose);
                return;
            }
            int status = Libc.madvise(
                    address + at, Math.min(PIECE_BYTES, lengthBytes - at), LibcConstants.MADV_POPULATE_WRITE);
            if (status < 0) {
                LOG.info("{}: {}, so the rest of the memory is taken when it is used", purpose, Errno.name(status));
                return;
            }
        }
    }

    private static boolean hostHasEnough() {
        try {
            List<String> lines = Files.readAllLines(MEMORY_INFO);
            return kibibytes(lines, "MemAvailable:") > kibibytes(lines, "MemTotal:") / SHARE_KEPT + (LOOK_BYTES >> 10);
        } catch (IOException | NumberFormatException e) {
            LOG.debug("{} cannot be read", MEMORY_INFO, e);
            return false;
        }
    }

    private static long kibibytes(List<String> lines, String name) {
        for (String line : lines) {
            if (line.startsWith(name)) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new NumberFormatException("no line " + name);
    }

    @Override
    public void close() {
        stop = true;
        Threads.join(thread);
    }
}

package io.vhostfs.guest;

import static io.vhostfs.os.LibcConstants.F_RDLCK;
import static io.vhostfs.os.LibcConstants.F_UNLCK;
import static io.vhostfs.os.LibcConstants.F_WRLCK;
import static io.vhostfs.os.LibcConstants.LOCK_EX;
import static io.vhostfs.os.LibcConstants.LOCK_NB;
import static io.vhostfs.os.LibcConstants.LOCK_UN;
import static io.vhostfs.os.LibcConstants.O_CREAT;
import static io.vhostfs.os.LibcConstants.O_RDWR;

import io.vhostfs.hostmount.SystemCalls;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * Locks files as it is told, in a guest or on the host. Argument: the directory where they are.
 *
 * <p>It reads lines {@code NUMBER COMMAND}, and answers each with {@code NUMBER = RESULT}: 0, what is there, or the name of an
 * error. A command that waits says {@code NUMBER waits} when it does; others are done meanwhile. {@code end}
 * ends it, as the end of its input does.
 */
final class LockProgram {
    // asm-generic/fcntl.h
    private static final int F_GETLK = 5;
    private static final int F_SETLK = 6;
    private static final int F_SETLKW = 7;
    private static final int LOCK_SH = 1;
    private static final int CLONE_FILES = 0x400;
    private static final int FLOCK_SIZE = 32;
    private static final int FLOCK_START_OFFSET = 8;
    private static final int FLOCK_LEN_OFFSET = 16;
    private static final int FLOCK_PID_OFFSET = 24;

    // What /proc/PID/syscall begins with, x86-64.
    private static final String IN_FCNTL = "72 ";
    private static final String IN_FLOCK = "73 ";

    private final Path directory;
    private final Map<String, Integer> fds = new HashMap<>();

    private LockProgram(Path directory) {
        this.directory = directory;
    }

    public static void main(String[] arguments) throws Exception {
        LockProgram program = new LockProgram(Path.of(arguments[0]));
        say("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.endsWith(" end"); line = in.readLine()) {
            String[] words = line.split(" ");
            program.run(words[0], words);
        }
        System.exit(0); // whoever still waits
    }

    private static synchronized void say(String line) {
        System.out.println(line);
    }

    private void run(String number, String... w) throws Exception {
        switch (w[1]) {
            case "open" -> {
                int fd = SystemCalls.callInt("open", directory.resolve(w[2]).toString(), O_RDWR | O_CREAT, 0644);
                fds.put(w[2], fd);
                answer(number, Math.min(fd, 0));
            }
            case "close" -> answer(number, Libc.close(Objects.requireNonNull(fds.remove(w[2]))));
            case "pid" -> answer(number, ProcessHandle.current().pid());
            case "set" -> answer(number, record(F_SETLK, w));
            case "wait" -> inItsOwnThread(number, IN_FCNTL, () -> record(F_SETLKW, w));
            case "get" -> say(number + " = " + holder(w));
            case "get-as-another" -> asAnother(() -> say(number + " = " + holder(w)));
            case "flock" -> answer(number, flock(LOCK_NB, w));
            case "flock-wait" -> inItsOwnThread(number, IN_FLOCK, () -> flock(0, w));
            case "kill-waiter" -> answer(number, killWaiter(directory.resolve(w[2])));
            default -> throw new IllegalArgumentException(w[1]);
        }
    }

    private static void answer(String number, long result) {
        say(number + " = " + (result < 0 ? Errno.name((int) result) : Long.toString(result)));
    }

    private int fd(String name) {
        return Objects.requireNonNull(fds.get(name), name);
    }

    /** NAME TYPE START LENGTH from the third word on. */
    private static MemorySegment flock(Arena arena, String... w) {
        MemorySegment lock = arena.allocate(FLOCK_SIZE, 8);
        int type =
                switch (w[3]) {
                    case "read" -> F_RDLCK;
                    case "write" -> F_WRLCK;
                    default -> F_UNLCK;
                };
        lock.set(ValueLayout.JAVA_SHORT, 0, (short) type);
        lock.set(ValueLayout.JAVA_LONG, FLOCK_START_OFFSET, Long.parseLong(w[4]));
        lock.set(ValueLayout.JAVA_LONG, FLOCK_LEN_OFFSET, Long.parseLong(w[5]));
        return lock;
    }

    private long record(int command, String... w) {
        try (Arena arena = Arena.ofConfined()) {
            return SystemCalls.callInt("fcntl", fd(w[2]), command, flock(arena, w));
        }
    }

    /** TYPE START LENGTH PID of what excludes it, or "none". */
    private String holder(String... w) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment lock = flock(arena, w);
            int status = SystemCalls.callInt("fcntl", fd(w[2]), F_GETLK, lock);
            int type = lock.get(ValueLayout.JAVA_SHORT, 0);
            if (status < 0 || type == F_UNLCK) {
                return status < 0 ? Errno.name(status) : "none";
            }
            return (type == F_RDLCK ? "read " : "write ")
                    + lock.get(ValueLayout.JAVA_LONG, FLOCK_START_OFFSET) + " "
                    + lock.get(ValueLayout.JAVA_LONG, FLOCK_LEN_OFFSET) + " "
                    + lock.get(ValueLayout.JAVA_INT, FLOCK_PID_OFFSET);
        }
    }

    private long flock(int flags, String... w) {
        int operation =
                switch (w[3]) {
                    case "shared" -> LOCK_SH;
                    case "exclusive" -> LOCK_EX;
                    default -> LOCK_UN;
                };
        return SystemCalls.callInt("flock", fd(w[2]), operation | flags);
    }

    /** By a thread with a table of descriptors of its own: to the kernel another owner of locks, of the same process. */
    private static void asAnother(Runnable look) throws InterruptedException {
        Thread thread = new Thread(() -> {
            SystemCalls.call("unshare", CLONE_FILES);
            look.run();
        });
        thread.start();
        thread.join();
    }

    private static void inItsOwnThread(String number, String systemCall, LongSupplier call)
            throws IOException, InterruptedException {
        long[] tid = new long[1];
        Thread thread = new Thread(() -> {
            synchronized (tid) {
                tid[0] = SystemCalls.callInt("gettid");
                tid.notifyAll();
            }
            answer(number, call.getAsLong());
        });
        thread.start();
        Path state;
        synchronized (tid) {
            while (tid[0] == 0) {
                tid.wait();
            }
            state = Path.of("/proc/self/task/" + tid[0] + "/syscall");
        }
        if (awaitSystemCall(state, systemCall, () -> thread.join(Duration.ofMillis(1)))) {
            say(number + " waits");
        }
    }

    /** What ends, or does not within a moment. */
    private interface Ending {
        boolean endsSoon() throws InterruptedException;
    }

    /** False when it ended before it was seen there; the pause between two looks is waiting for its end. */
    private static boolean awaitSystemCall(Path state, String call, Ending caller)
            throws IOException, InterruptedException {
        while (!caller.endsSoon()) {
            try {
                if (Files.readString(state).startsWith(call)) {
                    return true;
                }
            } catch (IOException e) {
                if (!caller.endsSoon()) {
                    throw e;
                }
            }
        }
        return false;
    }

    /** Returns when a process sleeps in flock(2); false when it ended before it was seen there. */
    static boolean awaitFlock(Process process) throws IOException, InterruptedException {
        Path state = Path.of("/proc/" + process.pid() + "/syscall");
        return awaitSystemCall(state, IN_FLOCK, () -> process.waitFor(1, TimeUnit.MILLISECONDS));
    }

    /** A process that waits for an exclusive flock is killed. */
    private static int killWaiter(Path file) throws IOException, InterruptedException {
        Process waiter = new ProcessBuilder("flock", file.toString(), "true").start();
        boolean waits = awaitFlock(waiter);
        waiter.destroyForcibly();
        return waits ? 0 : -Errno.EAGAIN;
    }
}

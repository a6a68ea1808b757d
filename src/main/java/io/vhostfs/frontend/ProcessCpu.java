package io.vhostfs.frontend;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Processor time of a process and of all that descend from it: a sandboxed virtiofsd works in a child of the process that
 * listens. Any thread.
 */
final class ProcessCpu {
    /** USER_HZ, which Linux shows to user space on every architecture we run on. */
    private static final long TICKS_PER_SECOND = 100;

    private ProcessCpu() {}

    /** User and system time so far, in steps of 10 ms. */
    static double seconds(long pid) throws IOException {
        long ticks = ticks(pid);
        for (ProcessHandle child : ProcessHandle.of(pid).stream()
                .flatMap(ProcessHandle::descendants)
                .toList()) {
            ticks += ticks(child.pid());
        }
        return (double) ticks / TICKS_PER_SECOND;
    }

    private static long ticks(long pid) throws IOException {
        String stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
        // The command's name, in parentheses, may hold anything; utime is the twelfth field behind it.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
    }
}

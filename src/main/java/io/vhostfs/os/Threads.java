package io.vhostfs.os;

/** Waiting for threads. Any thread; control paths only. */
public final class Threads {
    private Threads() {}

    /** Waits for the end of a thread, also when the caller is interrupted, which it then still is. */
    public static void join(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

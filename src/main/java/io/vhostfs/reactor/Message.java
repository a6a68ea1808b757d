package io.vhostfs.reactor;

/** What is sent to a reactor: preallocated by its sender, in flight at most once at a time. */
public interface Message {
    /** Runs on the receiving reactor's thread. */
    void run();
}

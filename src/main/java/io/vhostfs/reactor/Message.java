package io.vhostfs.reactor;

/** What is sent to a reactor: preallocated by its sender, in flight at most once at a time. */
public interface Message {
    /** Runs on the receiving reactor's thread. */
    void run();

    /**
     * Told, on the reactor, what {@link #run} threw, also when it never got to run. Ends what waits for the message, a request
     * say: nobody else knows of it.
     */
    default void onFailure(Throwable thrown) {}
}

package io.vhostfs.hostmount;

import io.vhostfs.reactor.Poller;

/**
 * Where requests of one mount come from, polled by one reactor: a file of {@code /dev/fuse} ({@link FuseChannel}) or a
 * queue of the kernel ({@link UringQueue}). All on the reactor's thread.
 */
interface RequestSource extends Poller {
    /** What a source tells of itself, from its reactor. */
    interface Owner {
        /** The kernel and the session have agreed: the mount can be used. */
        void onInitialised();

        /** The file system was unmounted or the connection aborted: nothing will come any more. */
        void onDisconnected();

        String describe();
    }

    /** Becomes readable when a request comes to a reactor that sleeps. */
    int wakeFd();

    /** Takes nothing any more; runs {@code drained} once nothing is in flight. */
    void drain(Runnable drained);

    /** Gives everything back; nothing is in flight and the poller is removed. */
    void free();
}

package io.vhostfs.vhost;

import io.vhostfs.os.Libc;
import org.jspecify.annotations.Nullable;

/**
 * What the front end has said about one ring, and the poller once it is started.
 *
 * <p>Invariant: the descriptors here are open and belong to the ring. Server's thread only.
 */
final class Vring {
    final int index;

    /** Entries; 0: not set. */
    int size;

    boolean hasAddresses;
    long descUserAddress;
    long availUserAddress;
    long usedUserAddress;

    /** Next available entry of a ring that is not started. */
    int base;

    /** Whether a kick descriptor, or the wish to be polled without one, was given since the last stop. */
    boolean hasKick;

    boolean enabled;
    int kickFd = -1;
    int callFd = -1;
    int errFd = -1;

    /** Null: stopped. */
    @Nullable
    VringPoller poller;

    /** Whether the poller is on its reactor and takes chains. */
    boolean running;

    Vring(int index) {
        this.index = index;
    }

    void setKickFd(int fd) {
        closeFd(kickFd);
        kickFd = fd;
    }

    void setCallFd(int fd) {
        closeFd(callFd);
        callFd = fd;
    }

    void setErrFd(int fd) {
        closeFd(errFd);
        errFd = fd;
    }

    void closeFds() {
        setKickFd(-1);
        setCallFd(-1);
        setErrFd(-1);
    }

    private static void closeFd(int fd) {
        if (fd >= 0) {
            Libc.close(fd);
        }
    }
}

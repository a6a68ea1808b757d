package io.vhostfs.uring;

import io.vhostfs.os.Errno;

/** Why this host gives no ring; the message names the remedy. */
public final class UringException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int errno;

    UringException(String call, int negativeErrno) {
        super(call + " failed with " + Errno.name(negativeErrno) + remedy(negativeErrno));
        this.errno = -negativeErrno;
    }

    UringException(String message) {
        super(message);
        this.errno = Errno.ENOSYS;
    }

    /** Never null, unlike what the superclass promises. */
    @Override
    public String getMessage() {
        return String.valueOf(super.getMessage());
    }

    /** Positive. */
    public int errno() {
        return errno;
    }

    private static String remedy(int negativeErrno) {
        return switch (-negativeErrno) {
            case Errno.ENOSYS -> "; the kernel has no io_uring: Linux 5.6 or newer is needed";
            case Errno.EPERM ->
                "; io_uring is forbidden here: set sysctl kernel.io_uring_disabled=0, or allow it in the container's"
                        + " seccomp profile";
            case Errno.ENOMEM -> "; too little locked memory is allowed: raise it with ulimit -l";
            case Errno.EMFILE, Errno.ENFILE -> "; too many files are open: raise the limit with ulimit -n";
            default -> "";
        };
    }
}

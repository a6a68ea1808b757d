package io.vhostfs.frontend;

import io.vhostfs.os.Errno;
import java.io.IOException;

/** The file system answered a request with an error. */
public final class FuseErrnoException extends IOException {
    private static final long serialVersionUID = 1;

    private final int errno;

    FuseErrnoException(String what, int errno) {
        super(what + ": " + Errno.name(errno));
        this.errno = errno;
    }

    /** The positive error number. */
    public int errno() {
        return errno;
    }
}

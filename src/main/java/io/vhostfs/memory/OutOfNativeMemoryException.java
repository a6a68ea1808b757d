package io.vhostfs.memory;

import io.vhostfs.os.Errno;

/** The kernel gave no memory, or a fixed budget of memory outside the Java heap is used up. Control paths only. */
public final class OutOfNativeMemoryException extends RuntimeException {
    private static final long serialVersionUID = 1;

    OutOfNativeMemoryException(String purpose, long lengthBytes, int errno) {
        super("no memory for " + purpose + ": " + lengthBytes + " bytes wanted, " + Errno.name(errno)
                + "; remedy: free memory, raise the cgroup's limit, or ask for less");
    }

    OutOfNativeMemoryException(String message) {
        super(message);
    }
}

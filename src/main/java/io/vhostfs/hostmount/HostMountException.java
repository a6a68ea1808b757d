package io.vhostfs.hostmount;

import java.io.IOException;

/** A mount could not be made; the message names the directory and the remedy. */
public final class HostMountException extends IOException {
    private static final long serialVersionUID = 1L;

    HostMountException(String message) {
        super(message);
    }
}

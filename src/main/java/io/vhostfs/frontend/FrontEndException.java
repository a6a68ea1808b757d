package io.vhostfs.frontend;

import java.io.IOException;

/** The back end broke the vhost-user protocol, closed the connection, or did not answer in time. */
public final class FrontEndException extends IOException {
    private static final long serialVersionUID = 1;

    public FrontEndException(String message) {
        super(message);
    }
}

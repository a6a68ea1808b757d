package io.vhostfs.reactor;

/** A reactor could not be started, or could not do what was asked of it. Names the reactor and the remedy. */
public final class ReactorException extends RuntimeException {
    private static final long serialVersionUID = 1;

    ReactorException(String message) {
        super(message);
    }

    ReactorException(String message, Throwable cause) {
        super(message, cause);
    }
}

package io.vhostfs.reactor;

/** A core mask that cannot be read, or names cores on which this process may not run. */
public final class CoreMaskException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    CoreMaskException(String message) {
        super(message);
    }
}

package io.vhostfs.bdev;

/**
 * Why a block device cannot be named, opened or used on a control path.
 *
 * <p>Its message names the device and what helps; {@link #kind} tells a command line which exit code fits. Data paths
 * return errno values instead.
 */
public final class BlockDeviceException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** What sort of trouble it is. */
    public enum Kind {
        /** The device's name cannot be understood, or contradicts what is there. */
        INVALID,
        /** There is no such file, or it holds nothing. */
        MISSING,
        /** Another process, or this one, has it open. */
        BUSY,
        /** The operating system refuses access. */
        NOT_PERMITTED,
        /** This host or this version cannot do it. */
        UNSUPPORTED,
        /** The device failed. */
        IO
    }

    private final Kind kind;

    public BlockDeviceException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    /** Never null, unlike what the superclass promises. */
    @Override
    public String getMessage() {
        return String.valueOf(super.getMessage());
    }

    public Kind kind() {
        return kind;
    }
}

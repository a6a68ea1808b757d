package io.vhostfs.vfio;

/** Why a device cannot be had or mapped; the message names the device and the remedy. */
public final class VfioException extends Exception {
    private static final long serialVersionUID = 1L;

    /** What sort of trouble it is. */
    public enum Kind {
        MISSING,
        UNSUPPORTED,
        BUSY,
        NOT_PERMITTED,
        FAILED
    }

    private final Kind kind;

    public VfioException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    public Kind kind() {
        return kind;
    }

    /** Never null, unlike what the superclass promises. */
    @Override
    public String getMessage() {
        return String.valueOf(super.getMessage());
    }
}

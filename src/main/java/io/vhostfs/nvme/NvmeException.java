package io.vhostfs.nvme;

/** Why a controller cannot be used; the message names the controller, what it did and the remedy. Control paths only. */
public final class NvmeException extends Exception {
    private static final long serialVersionUID = 1L;

    /** What sort of trouble it is. */
    public enum Kind {
        /** There is no such controller or namespace. */
        MISSING,
        /** It or this host lacks something that we need. */
        UNSUPPORTED,
        /** It is used by somebody else. */
        BUSY,
        /** The operating system refuses access. */
        NOT_PERMITTED,
        /** It failed, or does not keep to the specification. */
        FAILED
    }

    private final Kind kind;

    public NvmeException(Kind kind, String message) {
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

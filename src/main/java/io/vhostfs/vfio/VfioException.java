package io.vhostfs.vfio;

import io.vhostfs.os.Errno;

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

    /**
     * The result of a system call on a device, unless that was refused.
     *
     * @param what it was for
     * @throws VfioException when the result is a negative errno
     */
    static int check(String device, int result, String what) throws VfioException {
        if (result < 0) {
            throw new VfioException(
                    result == -Errno.EBUSY ? Kind.BUSY : Kind.FAILED,
                    device + ": VFIO refuses " + what + " (" + Errno.name(result) + "); the end of dmesg may say why");
        }
        return result;
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

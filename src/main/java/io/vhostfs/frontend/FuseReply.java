package io.vhostfs.frontend;

/** One reply as it lay in memory when the used ring named it; nothing is checked but that it fits. */
public final class FuseReply {
    private final int error;
    private final int length;
    private final int usedLength;
    private final byte[] bytes;

    FuseReply(int error, int length, int usedLength, byte[] bytes) {
        this.error = error;
        this.length = length;
        this.usedLength = usedLength;
        this.bytes = bytes;
    }

    /** 0 or a negative errno. */
    public int error() {
        return error;
    }

    /** The length that the out header says, itself included. */
    public int length() {
        return length;
    }

    /** The length that the used ring says. */
    public int usedLength() {
        return usedLength;
    }

    /** What follows the out header: arguments or data. */
    public byte[] bytes() {
        return bytes;
    }
}

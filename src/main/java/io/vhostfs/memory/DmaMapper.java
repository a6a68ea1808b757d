package io.vhostfs.memory;

/** Makes memory of this process reachable for devices, at addresses of their own (IOVAs). Control paths; any thread. */
public interface DmaMapper {
    /** What {@link #maxMapBytes} says when any range will do. */
    long ANY_LENGTH = 1L << 62;

    /**
     * The largest range that {@link #map} takes, a power of two: larger ones are mapped in pieces, at multiples of it. What
     * lies side by side in memory need not do so for the device then.
     */
    default long maxMapBytes() {
        return ANY_LENGTH;
    }

    /**
     * Maps a range whose start and length are multiples of a page; the range is contiguous for the device too.
     *
     * @return its IOVA, a multiple of a page, or a negative errno
     */
    long map(long address, long lengthBytes);

    /** Takes a range back that {@link #map} has mapped, whole. */
    void unmap(long iova, long lengthBytes);

    /** What helps when {@link #map} has answered {@code negativeErrno}. */
    String remedy(int negativeErrno);
}

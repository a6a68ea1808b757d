package io.vhostfs.memory;

/** Makes memory of this process reachable for devices, at addresses of their own (IOVAs). Control paths; any thread. */
public interface DmaMapper {
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

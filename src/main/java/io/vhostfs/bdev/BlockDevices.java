package io.vhostfs.bdev;

/** Opens block devices by what users call them. Any thread. */
public final class BlockDevices {
    private BlockDevices() {}

    /**
     * Opens the device.
     *
     * @param create whether a file that is missing or empty is made, of the size that the name says
     * @throws BlockDeviceException when that is impossible
     */
    public static BlockDevice open(BlockDeviceSpec spec, boolean create) {
        return switch (spec) {
            case BlockDeviceSpec.Malloc malloc -> new MallocDevice(malloc.sizeBytes());
            case BlockDeviceSpec.FilePath file -> UringDevice.open(file, create);
        };
    }
}
